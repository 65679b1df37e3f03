package web_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
	"github.com/stay-go/stay/web"
)

// pages is a site whose forms carry the field of their page.
func pages(app *stay.App) http.Handler {
	list := stay.Register(app, stay.Module[Counter]{Name: "list", Persist: stay.PerUser, Actions: counterModule.Actions})
	mux := http.NewServeMux()
	count := func(w http.ResponseWriter, _ *http.Request, c *Counter) error {
		_, err := fmt.Fprint(w, c.Count)
		return err
	}
	mux.HandleFunc("GET /field", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, web.PageField(r)) })
	mux.HandleFunc("GET /value", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, web.PageValue(r)) })
	mux.Handle("GET /count", web.View(list, count))
	mux.Handle("POST /update", web.Update(list, func(w http.ResponseWriter, r *http.Request, c *Counter) error {
		c.Count++
		return count(w, r, c)
	}))
	mux.Handle("POST /do", web.Do(list, "add", count))
	mux.Handle("POST /bind", web.Handle(func(w http.ResponseWriter, r *http.Request) error {
		var step Step
		if err := web.Bind(r, &step); err != nil {
			return err
		}
		c, err := list.Update(r.Context(), func(c *Counter) error { c.Count += step.By; return nil })
		if err != nil {
			return err
		}
		return count(w, r, c)
	}))
	mux.Handle("POST /payload", web.Handle(func(w http.ResponseWriter, r *http.Request) error {
		c, err := list.Do(r.Context(), "add", web.Payload(r))
		if err != nil {
			return err
		}
		return count(w, r, c)
	}))
	mux.Handle("/state/", web.Actions(list))
	mux.HandleFunc("POST /plain", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ran") })
	verb := func(fn func(s *stay.Session, r *http.Request) error) http.Handler {
		return web.Handle(func(_ http.ResponseWriter, r *http.Request) error { return fn(stay.SessionFrom(r.Context()), r) })
	}
	mux.Handle("POST /login", verb(func(s *stay.Session, r *http.Request) error { return s.Login(r.Context(), r.URL.Query().Get("user")) }))
	mux.Handle("POST /logout", verb(func(s *stay.Session, r *http.Request) error { return s.Logout(r.Context()) }))
	mux.Handle("POST /destroy", verb(func(s *stay.Session, r *http.Request) error { return s.Destroy(r.Context()) }))
	parsed := http.NewServeMux()
	parsed.Handle("/", mux)
	parsed.HandleFunc("/parsed/", func(w http.ResponseWriter, r *http.Request) {
		_ = r.FormValue("x") // as other middleware does
		http.StripPrefix("/parsed", mux).ServeHTTP(w, r)
	})
	return web.Sessions(app, nil)(parsed)
}

// A page of one user that is sent after another has logged in, in the same
// browser, changes nothing, however it is read.
func TestAPageOfAnotherLoginIsRefused(t *testing.T) {
	c := browser(pages(newSite(t).app))
	send(t, c, "POST", "/login?user=ann", "").want(t, 200, "")
	value := send(t, c, "GET", "/value", "").body
	multi, multiType := multipartForm(t, map[string]string{"by": "1", "_stay_page": value}, "")
	form := "by=1&_stay_page=" + value
	post := func(path string) []answer {
		return []answer{
			send(t, c, "POST", path, form, "Content-Type", formType),
			send(t, c, "POST", "/parsed"+path, form, "Content-Type", formType),
			send(t, c, "POST", path, multi, "Content-Type", multiType),
			send(t, c, "POST", path, "by=1", "Content-Type", formType, "Stay-Page", value),
			send(t, c, "POST", path, `{"by":1}`, "Content-Type", "application/json", "Stay-Page", value),
		}
	}
	paths := []string{"/update", "/do", "/bind", "/payload", "/state/list/add"}
	for _, path := range paths {
		for i, a := range post(path) {
			if path == "/state/list/add" && i == 1 {
				continue // the route does not fit
			}
			if a.status != 200 {
				t.Errorf("%s %d of the user's own page: %d %s", path, i, a.status, a.body)
			}
		}
	}
	before := send(t, c, "GET", "/count", "").body
	for _, other := range []string{"/login?user=bob", "/logout"} {
		send(t, c, "POST", "/logout", "")
		send(t, c, "POST", other, "").want(t, 200, "")
		for _, path := range append(paths, "/plain") {
			for i, a := range post(path) {
				if path == "/plain" && i < 3 || path == "/state/list/add" && i == 1 {
					continue // nothing reads the body
				}
				if a.status != 409 || !strings.Contains(a.body, "load it again") {
					t.Errorf("%s %d after %s: %d %s", path, i, other, a.status, a.body)
				}
			}
		}
		send(t, c, "GET", "/count", "", "Stay-Page", value).want(t, 200, "0") // a link of the old page
	}
	send(t, c, "POST", "/login?user=ann", "").want(t, 200, "")
	send(t, c, "GET", "/count", "").want(t, 200, before)
	send(t, c, "POST", "/do", form, "Content-Type", formType) // the same user, logged in again
	send(t, c, "POST", "/destroy", "")
	send(t, c, "POST", "/login?user=ann", "").want(t, 200, "") // in another session
	if a := send(t, c, "POST", "/do", form, "Content-Type", formType); a.status != 200 {
		t.Errorf("the page of the same user: %d %s", a.status, a.body)
	}
}

// A guest's page is good for a user who logs in afterwards, and a form without
// the field is accepted.
func TestAPageOfAGuestIsTaken(t *testing.T) {
	c := browser(pages(newSite(t).app))
	field := send(t, c, "GET", "/field", "").body
	if field != `<input type="hidden" name="_stay_page" value="guest">` {
		t.Errorf("the field of a guest is %s", field)
	}
	send(t, c, "POST", "/login?user=ann", "").want(t, 200, "")
	send(t, c, "POST", "/do", "by=1&_stay_page=guest", "Content-Type", formType).want(t, 200, "1")
	send(t, c, "POST", "/do", "by=1&_stay_page=", "Content-Type", formType).want(t, 200, "2")
	send(t, c, "POST", "/do", "by=1", "Content-Type", formType).want(t, 200, "3")
	for _, value := range []string{"ann", "x", strings.Repeat("A", 16)} {
		if a := send(t, c, "POST", "/do", "by=1&_stay_page="+value, "Content-Type", formType); a.status != 409 {
			t.Errorf("an invented value: %d %s", a.status, a.body)
		}
	}
}

// The value does not reveal the user, is the same on each of their pages, and
// differs in another App.
func TestTheValueOfAPageIsAKeyedHash(t *testing.T) {
	value := func(h http.Handler, user string) string {
		c := browser(h)
		send(t, c, "POST", "/login?user="+user, "").want(t, 200, "")
		v := send(t, c, "GET", "/value", "").body
		if len(v) != 16 || strings.Contains(v, user) {
			t.Errorf("the value of %s is %q", user, v)
		}
		return v
	}
	h := pages(newSite(t).app)
	ann := value(h, "ann")
	if again := value(h, "ann"); again != ann {
		t.Errorf("two values of ann, %s and %s", ann, again)
	}
	if bob := value(h, "bob"); bob == ann {
		t.Error("bob's value is ann's")
	}
	if other := value(pages(newSite(t).app), "ann"); other == ann {
		t.Error("another App makes the same value")
	}
	r := httptest.NewRequest("GET", "/", nil)
	if v := web.PageValue(r); v != "" {
		t.Errorf("outside of Sessions the value is %q", v)
	}
}

// An outage does not count as another login.
func TestAPageThatCannotBeCheckedIsAnOutage(t *testing.T) {
	st := storefault.Wrap(memstore.New(), &storefault.Options{Features: func(f store.Features) store.Features {
		f.SoleOwner = false // so that each request asks
		return f
	}})
	app := stay.New(st, &stay.Options{Logger: slog.New(slog.DiscardHandler), OnError: func(*stay.Call, *stay.Error) {}})
	c := browser(pages(app))
	send(t, c, "POST", "/login?user=ann", "").want(t, 200, "")
	value := send(t, c, "GET", "/value", "").body
	st.Add(storefault.Rule{Op: storefault.Load, Fault: storefault.Fail(nil)})
	if a := send(t, c, "POST", "/do", "by=1&_stay_page="+value, "Content-Type", formType); a.status != 503 {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := send(t, c, "GET", "/value", ""); a.body != "" {
		t.Errorf("the value is %q", a.body)
	}
}
