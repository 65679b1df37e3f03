package web_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/web"
)

// Boxes is a payload with two fields that can be wrong.
type Boxes struct {
	Boxes int    `json:"boxes"`
	Label string `json:"label"`
}

// Validate needs a label.
func (b Boxes) Validate() error {
	if b.Label == "" {
		return stay.Invalid("label", "write one")
	}
	return nil
}

// A line of the log about a refused request has the attributes that have a
// value, and says each thing once.
//
// Proves W6.
func TestTheLogOfARefusedRequestSaysEachThingOnce(t *testing.T) {
	s := newSite(t, func(o *stay.Options) { o.Development = true })
	orders := stay.Register(s.app, stay.Module[Counter]{
		Name: "orders", Persist: stay.PerSession,
		Actions: stay.Actions[Counter]{"pack": stay.WithPayload(func(*stay.Call, *Counter, Boxes) error { return nil })},
	})
	mux := http.NewServeMux()
	mux.Handle("POST /bind", web.Handle(func(_ http.ResponseWriter, r *http.Request) error { return web.Bind(r, new(Boxes)) }))
	mux.Handle("POST /do", web.Do(orders, "pack", func(http.ResponseWriter, *http.Request, *Counter) error { return nil }))
	c := browser(web.Sessions(s.app, nil)(mux))
	for _, path := range []string{"/bind", "/do"} {
		before := len(s.log.String())
		send(t, c, "POST", "http://shop.test"+path, "boxes=many", "Content-Type", formType).
			want(t, 422, "boxes: must be a whole number; label: write one\n")
		line := s.log.String()[before:]
		for _, once := range []string{"status=422", "code=invalid", "boxes: must be a whole number", "label: write one"} {
			if strings.Count(line, once) != 1 {
				t.Errorf("%s: the log does not say %q once: %s", path, once, line)
			}
		}
		for _, empty := range []string{`=""`, "module=", "action=", "phase=", "key_hash="} {
			if strings.Contains(line, empty) {
				t.Errorf("%s: the log has %s: %s", path, empty, line)
			}
		}
	}
}
