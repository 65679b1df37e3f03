package web_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/web"
)

// In development the client of a failed request reads the cause, and what was
// wrong with a request is in the log. In production neither is true.
func TestDevelopmentShowsCauses(t *testing.T) {
	for _, development := range []bool{true, false} {
		s := newSite(t, func(o *stay.Options) { o.Development = development })
		mux := http.NewServeMux()
		mux.Handle("GET /fails", web.Handle(func(http.ResponseWriter, *http.Request) error { return errors.New("the disk is on fire") }))
		mux.Handle("GET /denied", web.Handle(func(http.ResponseWriter, *http.Request) error { return stay.ErrDenied }))
		c := browser(web.Sessions(s.app, nil)(mux))
		for _, accept := range []string{"text/html", "application/json"} {
			a := send(t, c, "GET", "http://shop.test/fails", "", "Accept", accept)
			if shows := strings.Contains(a.body, "on fire"); a.status != 500 || shows != development {
				t.Errorf("development %t: %d %s", development, a.status, a.body)
			}
		}
		if a := send(t, c, "GET", "http://shop.test/denied", ""); a.status != 403 || strings.Contains(a.body, "Development") {
			t.Errorf("%d %s", a.status, a.body)
		}
		if logged := strings.Contains(s.log.String(), "status=403"); logged != development {
			t.Errorf("development %t: the log says %s", development, s.log)
		}
	}
}

// In development a change that is committed under the status of an error is
// warned about. It is committed all the same.
func TestDevelopmentWarnsOfChangesUnderAnError(t *testing.T) {
	for _, development := range []bool{true, false} {
		s := newSite(t, func(o *stay.Options) { o.Development = development })
		h := web.Sessions(s.app, nil)(web.Update(s.counter, func(w http.ResponseWriter, _ *http.Request, c *Counter) error {
			c.Count++
			http.Error(w, "no such article", http.StatusNotFound)
			return nil
		}))
		send(t, browser(h), "POST", "http://shop.test/", "").want(t, http.StatusNotFound, "no such article\n")
		if warned := strings.Contains(s.log.String(), "its change is committed"); warned != development {
			t.Errorf("development %t: the log says %s", development, s.log)
		}
	}
}

// In development a handler that asks for the session of a request which did not
// come through Sessions is warned.
func TestDevelopmentWarnsOfSessionsThatAreMissing(t *testing.T) {
	for _, development := range []bool{true, false} {
		s := newSite(t, func(o *stay.Options) { o.Development = development })
		shared := stay.Register(s.app, stay.Module[Counter]{Name: "shared", Persist: stay.Global})
		ask := func(_ http.ResponseWriter, r *http.Request, _ *Counter) error {
			_ = stay.SessionFrom(r.Context()).User()
			return nil
		}
		for _, h := range []http.Handler{web.View(shared, ask), web.Update(shared, ask)} {
			before := strings.Count(s.log.String(), "SessionFrom returned nil")
			if a := send(t, browser(web.Sessions(s.app, nil)(h)), "POST", "http://shop.test/", ""); a.status != 200 {
				t.Errorf("%d %s", a.status, a.body)
			}
			if n := strings.Count(s.log.String(), "SessionFrom returned nil"); n != before {
				t.Errorf("behind Sessions: the log says %s", s.log)
			}
			if a := send(t, browser(h), "POST", "http://shop.test/", ""); a.status != 200 {
				t.Errorf("%d %s", a.status, a.body)
			}
			if warned := strings.Count(s.log.String(), "SessionFrom returned nil") > before; warned != development {
				t.Errorf("development %t: the log says %s", development, s.log)
			}
		}
	}
}
