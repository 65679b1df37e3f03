package web_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/web"
)

// A page is checked wherever its field may be: after other code has asked for the
// form, in each format, with each method, and in the address where the values are
// sent there. The user's own page is taken in all of them.
//
// Proves W7.
func TestThePageIsCheckedWhereverItsFieldIs(t *testing.T) {
	app := newSite(t).app
	list := stay.Register(app, stay.Module[Counter]{Name: "list", Persist: stay.PerUser, Actions: counterModule.Actions})
	count := func(w http.ResponseWriter, _ *http.Request, c *Counter) error {
		_, err := fmt.Fprint(w, c.Count)
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/update", web.Update(list, func(_ http.ResponseWriter, _ *http.Request, c *Counter) error { c.Count++; return nil }))
	mux.Handle("/do", web.Do(list, "add", count))
	mux.HandleFunc("/bind", web.Handle(func(_ http.ResponseWriter, r *http.Request) error {
		var step Step
		if err := web.Bind(r, &step); err != nil {
			return err
		}
		_, err := list.Update(r.Context(), func(c *Counter) error { c.Count += step.By; return nil })
		return err
	}))
	mux.HandleFunc("/form", web.Handle(func(_ http.ResponseWriter, r *http.Request) error {
		_, err := web.ReadForm[Step](r)
		return err
	}))
	mux.HandleFunc("GET /count", web.View(list, count))
	mux.HandleFunc("GET /value", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, web.PageValue(r)) })
	mux.HandleFunc("POST /login", web.Handle(func(_ http.ResponseWriter, r *http.Request) error {
		return stay.SessionFrom(r.Context()).Login(r.Context(), r.URL.Query().Get("user"))
	}))
	asked := map[string]func(http.Handler) http.Handler{
		"at once": func(h http.Handler) http.Handler { return h },
		"after ParseForm": func(h http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _ = r.ParseForm(); h.ServeHTTP(w, r) })
		},
		"after FormValue": func(h http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _ = r.FormValue("x"); h.ServeHTTP(w, r) })
		},
	}
	for how, before := range asked {
		c := browser(web.Sessions(app, nil)(before(mux)))
		login := func(user string) { send(t, c, "POST", "/login?user="+user, "").want(t, 200, "") }
		login("ann")
		own := send(t, c, "GET", "/value", "").body
		multi, multiType := multipartForm(t, map[string]string{"by": "1", "_stay_page": own}, "")
		files, filesType := multipartForm(t, map[string]string{"by": "1", "_stay_page": own}, "file")
		query := "by=1&_stay_page=" + own
		json := `{"by":1,"_stay_page":"` + own + `"}`
		twice := `{"by":1,"_stay_page":["` + own + `","` + own + `"]}`
		sent := []struct{ method, query, body, contentType, htmx string }{
			{"POST", "", query, formType, ""},
			{"POST", "", "by=1&_stay_page=guest&_stay_page=" + own, formType, ""},
			{"PUT", "", multi, multiType, ""},
			{"POST", "", multi, multiType, ""},
			{"POST", "", files, filesType, ""},
			{"DELETE", "", query, formType, ""},
			{"DELETE", "", multi, multiType, ""},
			{"DELETE", "?" + query, "", "", "true"},
			{"DELETE", "?" + query, "", formType, ""},
			{"POST", "", json, "application/json", "true"},
			{"POST", "", json, "application/json", ""},
			{"POST", "", twice, "application/json", "true"},
			{"DELETE", "", json, "application/json", ""},
		}
		all := func(f func(name string, a answer)) {
			for i, s := range sent {
				for _, path := range []string{"/update", "/do", "/bind", "/form"} {
					if path != "/update" && i == 4 {
						continue // a file is not taken there
					}
					header := []string{"Content-Type", s.contentType}
					if s.htmx != "" {
						header = append(header, "HX-Request", s.htmx)
					}
					f(fmt.Sprintf("%s %s %d %s", how, s.method, i, path), send(t, c, s.method, path+s.query, s.body, header...))
				}
			}
		}
		all(func(name string, a answer) {
			if a.status != 200 {
				t.Errorf("%s: the user's own page: %d %s", name, a.status, a.body)
			}
		})
		login("bob")
		before := send(t, c, "GET", "/count", "").body
		all(func(name string, a answer) {
			if a.status != 409 {
				t.Errorf("%s: a page of another login: %d %s", name, a.status, a.body)
			}
		})
		send(t, c, "GET", "/count", "").want(t, 200, before)
	}
}

// Where JSON says of its page what no page says, it is refused; null and an empty
// text are none.
func TestJSONWithAnotherKindOfPageIsRefused(t *testing.T) {
	c := browser(pages(newSite(t).app))
	for value, want := range map[string]int{`5`: 409, `{"a":1}`: 409, `["x"]`: 409, `"guest"`: 200, `["guest","guest"]`: 200, `null`: 200, `""`: 200} {
		for _, path := range []string{"/update", "/do"} {
			if a := send(t, c, "POST", path, `{"by":1,"_stay_page":`+value+`}`, "Content-Type", "application/json"); a.status != want {
				t.Errorf("%s with %s: %d %s", path, value, a.status, a.body)
			}
		}
	}
	if a := send(t, c, "POST", "/do", `{"by":1,"other":"_stay_page"}`, "Content-Type", "application/json"); a.status != 400 {
		t.Errorf("a name that is not the action's: %d %s", a.status, a.body)
	}
}

// A visit checks the header of the page as Sessions does.
//
// Proves W7.
func TestAVisitFromAPageOfAnotherLoginIsRefused(t *testing.T) {
	s := newSite(t)
	begin := web.Visits(s.app, nil)
	page := ""
	login := func(user string) *caller {
		c := &caller{t: t, begin: begin}
		c.call(func(ctx context.Context, _ *web.Visit) {
			if err := stay.SessionFrom(ctx).Login(ctx, user); err != nil {
				t.Fatal(err)
			}
			page = web.PageValue(httptest.NewRequestWithContext(ctx, "GET", "/", nil))
		})
		return c
	}
	visit := func(c *caller, method string) error {
		v, err := begin(&http.Request{Method: method, Host: "app.test", Header: http.Header{"Cookie": {"stay=" + c.cookie}, "stay-page": {page}}})
		if err == nil {
			v.End()
		}
		return err
	}
	bob, ann := login("bob"), login("ann")
	if err := visit(ann, "POST"); err != nil {
		t.Errorf("the user's own page: %v", err)
	}
	if err := visit(bob, "POST"); stay.CodeOf(err) != stay.ErrConflict {
		t.Errorf("a page of another login: %v", err)
	}
	if err := visit(bob, "GET"); err != nil {
		t.Errorf("a link of an old page: %v", err)
	}
}
