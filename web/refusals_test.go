package web_test

import (
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/web"
)

// An Order is a payload with its own rule.
type Order struct {
	By    int8   `json:"by"`
	Apart string `json:"apart"`
}

func (o Order) Validate() error {
	switch o.Apart {
	case "plain":
		return errors.New("is not possible")
	case "field":
		return stay.Invalid("apart", "is not possible")
	case "denied":
		return stay.ErrDenied
	case "without a code":
		return &stay.Error{Message: "is not possible"}
	case "internal":
		return &stay.Error{Code: stay.ErrInternal, Err: errors.New("broken")}
	}
	return nil
}

// A payload that is refused gives one error, whichever way it has come: with
// one code, one message and the same fields, and a text that says it once.
//
// Proves B8, W6.
func TestARefusedPayloadGivesOneErrorWhicheverWayItCame(t *testing.T) {
	s := newSite(t)
	orders := stay.Register(s.app, stay.Module[Counter]{
		Name: "orders", Persist: stay.PerSession,
		Actions: stay.Actions[Counter]{"order": stay.WithPayload(func(*stay.Call, *Counter, Order) error { return nil })},
	})
	const byField = "must be a whole number from -128 to 127"
	for _, c := range []struct {
		contentType, body string
		code              stay.Code
		message           string
		fields            map[string]string
	}{
		{jsonType, `{"by":"x"}`, stay.ErrInvalid, "by: must be a whole number", map[string]string{"by": "must be a whole number"}},
		{jsonType, `{"by":128}`, stay.ErrInvalid, "by: " + byField, map[string]string{"by": byField}},
		{jsonType, `{"nobody":1}`, stay.ErrMalformed, "nobody: is not a field", map[string]string{"nobody": "is not a field"}},
		{jsonType, `[1]`, stay.ErrMalformed, "must be an object", nil},
		{jsonType, `{"by":`, stay.ErrMalformed, "the payload is not valid JSON: unexpected end of JSON input", nil},
		{jsonType, strings.Repeat("[", 1001) + strings.Repeat("]", 1001), stay.ErrMalformed, "the payload is nested deeper than 1000 levels", nil},
		{jsonType, `{"apart":"plain"}`, stay.ErrInvalid, "is not possible", nil},
		{jsonType, `{"apart":"field"}`, stay.ErrInvalid, "apart: is not possible", map[string]string{"apart": "is not possible"}},
		{jsonType, `{"apart":"denied"}`, stay.ErrDenied, "", nil},
		{jsonType, `{"apart":"without a code"}`, stay.ErrInvalid, "stay: : is not possible", nil},
		{jsonType, `{"apart":"internal"}`, stay.ErrInternal, "", nil},
		{formType, "by=x", stay.ErrInvalid, "by: must be a whole number", map[string]string{"by": "must be a whole number"}},
		{formType, "by=-129", stay.ErrInvalid, "by: " + byField, map[string]string{"by": byField}},
		{formType, "by=1&by=2", stay.ErrInvalid, "by: has 2 values where one is needed", map[string]string{"by": "has 2 values where one is needed"}},
		{formType, "apart[0]=1", stay.ErrMalformed, "apart[0]: must be written as apart", map[string]string{"apart[0]": "must be written as apart"}},
		{formType, strings.Repeat("by=1&", 10_000) + "by=1", stay.ErrTooLarge, "the form has more than 10000 values", nil},
		{formType, "apart=plain", stay.ErrInvalid, "is not possible", nil},
	} {
		h := web.Sessions(s.app, &web.Options{MaxBody: 1 << 20})(web.Handle(func(_ http.ResponseWriter, r *http.Request) error {
			var direct any = json.RawMessage(c.body)
			if c.contentType == formType {
				values := url.Values{} // net/url parses no form of more than 10,000 values
				for pair := range strings.SplitSeq(c.body, "&") {
					name, value, _ := strings.Cut(pair, "=")
					values.Add(name, value)
				}
				direct = values
			}
			_, withValue := orders.Do(r.Context(), "order", direct)
			_, withBody := orders.Do(r.Context(), "order", web.Payload(r))
			for way, err := range map[string]error{
				"a value of State.Do": withValue, "web.Payload": withBody, "web.Bind": web.Bind(r, new(Order)),
			} {
				name := way + " of " + c.body[:min(len(c.body), 40)]
				if stay.CodeOf(err) != c.code || !maps.Equal(stay.FieldErrors(err), c.fields) {
					t.Errorf("%s: %v with code %q and fields %q, want %q and %q", name, err, stay.CodeOf(err), stay.FieldErrors(err), c.code, c.fields)
				}
				if e := (*stay.Error)(nil); errors.As(err, &e) && e.Message != c.message || e == nil && c.message != "" {
					t.Errorf("%s: the message of %v is not %q", name, err, c.message)
				}
				if err != nil && c.message != "" && strings.Count(err.Error(), c.message) != 1 {
					t.Errorf("%s: %q does not say %q once", name, err, c.message)
				}
			}
			return nil
		}))
		send(t, browser(h), "POST", "/", c.body, "Content-Type", c.contentType).want(t, 200, "")
	}
}
