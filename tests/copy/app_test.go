package copy_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/testkit"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/web"
)

// A site is an application with states of all owners.
type site struct {
	*httptest.Server
	app     *stay.App
	expired events
}

// events are the states that OnExpire got.
type events struct {
	mu  sync.Mutex
	all []string
}

func (e *events) add(c *stay.Call, v *testkit.Counter) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, fmt.Sprintf("%s %d", c.Module(), v.Count))
}

func (e *events) want(t *testing.T, want ...string) {
	t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	slices.Sort(e.all)
	slices.Sort(want)
	if !slices.Equal(e.all, want) {
		t.Errorf("OnExpire got %q, want %q", e.all, want)
	}
	e.all = nil
}

// openSite begins the application on a store, at an address that stays.
func openSite(t *testing.T, s store.Store, clock *testkit.Clock) *site {
	t.Helper()
	st := &site{app: stay.New(s, &stay.Options{
		Clock: clock.Now, Guests: stay.GuestStored, Lifetime: 300 * time.Hour, IdleTimeout: 200 * time.Hour,
		Logger: slog.New(slog.DiscardHandler), OnError: func(_ *stay.Call, err *stay.Error) { t.Errorf("OnError: %v", err) },
	})}
	counter := func(name string, persist stay.Strategy) stay.Module[testkit.Counter] {
		return stay.Module[testkit.Counter]{Name: name, Persist: persist}
	}
	own := counter("own", stay.PerSession)
	if s.Features().SoleOwner {
		own.Debounce = time.Minute
	}
	ends := counter("ends", stay.PerSession)
	ends.Expiry, ends.OnExpire = time.Hour, st.expired.add
	adopted := counter("adopted", stay.PerUser)
	adopted.Adopt = func(stored, guest *testkit.Counter) error { stored.Count += guest.Count; return nil }
	page := counter("page", stay.PerSession)
	page.ResetOnPageLoad = true
	counters := map[string]*stay.State[testkit.Counter]{}
	for _, m := range []stay.Module[testkit.Counter]{own, ends, adopted, page, counter("all", stay.Global), counter("short", nil)} {
		counters[m.Name] = stay.Register(st.app, m)
	}
	todos := stay.Register(st.app, testkit.TodosModule())

	mux := http.NewServeMux()
	for name, state := range counters {
		mux.Handle("POST /"+name, web.Update(state, func(w http.ResponseWriter, _ *http.Request, c *testkit.Counter) error {
			c.Count++
			_, err := fmt.Fprint(w, c.Count)
			return err
		}))
	}
	mux.Handle("POST /todos", web.Update(todos, func(_ http.ResponseWriter, r *http.Request, s *testkit.Todos) error {
		s.Items = append(s.Items, r.FormValue("item"))
		return nil
	}))
	mux.Handle("POST /owner", web.Update(todos, func(_ http.ResponseWriter, r *http.Request, s *testkit.Todos) error {
		return testkit.Become(r.FormValue("id"))(s)
	}))
	mux.Handle("POST /login", web.Handle(func(_ http.ResponseWriter, r *http.Request) error {
		return stay.SessionFrom(r.Context()).Login(r.Context(), r.FormValue("user"))
	}))
	mux.Handle("POST /logout", web.Handle(func(_ http.ResponseWriter, r *http.Request) error {
		return stay.SessionFrom(r.Context()).Logout(r.Context())
	}))
	mux.Handle("POST /flash", web.Handle(func(w http.ResponseWriter, r *http.Request) error {
		return web.SetFlash(w, r, "saved")
	}))
	mux.Handle("GET /field", web.Handle(func(w http.ResponseWriter, r *http.Request) error {
		_, err := io.WriteString(w, web.PageValue(r))
		return err
	}))
	mux.Handle("GET /all", web.Handle(func(w http.ResponseWriter, r *http.Request) error {
		seen := map[string]any{"user": stay.SessionFrom(r.Context()).User(), "flash": web.TakeFlash(w, r)}
		for name, state := range counters {
			if name == "ends" {
				continue
			}
			c, err := state.Get(r.Context())
			if err != nil {
				return err
			}
			seen[name] = c.Count
		}
		v, err := todos.Get(r.Context())
		if err != nil {
			return err
		}
		seen["todos"] = v.Owner.ID + ":" + strings.Join(v.Items, ",")
		return json.NewEncoder(w).Encode(seen)
	}))
	st.Server = httptest.NewServer(web.Sessions(st.app, nil)(mux))
	return st
}

// end closes the application, which closes its store.
func (s *site) end(t *testing.T) {
	t.Helper()
	s.Close()
	if err := s.app.Close(context.Background()); err != nil {
		t.Error(err)
	}
}

// A visitor is a browser, which goes on whatever store the site is on.
type visitor struct {
	t      *testing.T
	client *http.Client
	site   *site
}

func newVisitor(t *testing.T) *visitor {
	jar, _ := cookiejar.New(nil)
	return &visitor{t: t, client: &http.Client{Jar: jar}}
}

// post sends a form and returns the answer; its status must be this.
func (v *visitor) post(status int, path string, fields ...string) string {
	v.t.Helper()
	form := url.Values{}
	for i := 0; i < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	return v.do(status, "POST", path, form.Encode())
}

func (v *visitor) get(path string) string {
	v.t.Helper()
	return v.do(http.StatusOK, "GET", path, "")
}

func (v *visitor) do(status int, method, path, body string) string {
	v.t.Helper()
	r, err := http.NewRequestWithContext(v.t.Context(), method, v.site.URL+path, strings.NewReader(body))
	if err != nil {
		v.t.Fatal(err)
	}
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	res, err := v.client.Do(r)
	if err != nil {
		v.t.Fatal(err)
	}
	out, err := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if err != nil || res.StatusCode != status {
		v.t.Errorf("%s %s: %d %s %v, want %d", method, path, res.StatusCode, out, err, status)
	}
	return strings.TrimSpace(string(out))
}

func (v *visitor) want(text string) {
	v.t.Helper()
	if got := v.get("/all"); got != text {
		v.t.Errorf("the visitor sees\n%s, want\n%s", got, text)
	}
}

// An application goes on on a copy of its store as if nothing had happened:
// cookies, logins, pages, messages, guests, what has expired and is to be told.
// So it goes from SQLite to PostgreSQL and back.
func TestApplicationGoesOnOnACopy(t *testing.T) {
	pgURL := newSchema(t).url
	dir := t.TempDir()
	clock := testkit.NewClock()
	clock.Advance(time.Since(clock.Now()).Truncate(time.Second))
	guest, ann, ben := newVisitor(t), newVisitor(t), newVisitor(t)

	on := openSite(t, openSQLite(t, filepath.Join(dir, "app.db")), clock)
	everybody := func(s *site) { guest.site, ann.site, ben.site, on = s, s, s, s }
	everybody(on)
	ann.post(200, "/adopted")
	ann.post(200, "/login", "user", "ann")
	for _, v := range []*visitor{guest, ann, ben} {
		for _, name := range []string{"/own", "/ends", "/adopted", "/page", "/all", "/short"} {
			v.post(200, name)
		}
		v.post(200, "/todos", "item", "a")
	}
	ben.post(200, "/owner", "id", "b")
	ben.post(200, "/todos", "item", "c")
	annsPage := ann.get("/field")
	clock.Advance(2 * time.Hour) // the states of ends expire,
	ben.post(200, "/ends")       // one of them is set aside,
	old := ben.client.Jar.Cookies(parse(t, ben.site.URL))
	ben.post(200, "/login", "user", "ben")
	ann.post(200, "/flash")
	on.end(t)
	on.expired.want(t) // and nobody has been told yet.

	pgCopy := openPostgres(t, pgURL)
	copyStore(t, openSQLite(t, filepath.Join(dir, "app.db")), pgCopy)
	for _, prefix := range []string{"stay/expired/", "stay/user/", "guest/", "key/", "global/", "stay/keys"} {
		if keys, err := pgCopy.List(t.Context(), time.Unix(0, 0), prefix, "", 1); err != nil || len(keys) == 0 {
			t.Errorf("no records %s were copied: %v", prefix, err)
		}
	}
	everybody(openSite(t, pgCopy, clock))
	guest.want(`{"adopted":1,"all":3,"flash":"","own":1,"page":1,"short":1,"todos":":a","user":""}`)
	ann.want(`{"adopted":2,"all":3,"flash":"saved","own":1,"page":1,"short":1,"todos":":a","user":"ann"}`)
	ben.want(`{"adopted":1,"all":3,"flash":"","own":1,"page":1,"short":1,"todos":"b:a,c","user":"ben"}`)
	testkit.Sweep(on.app)
	on.expired.want(t, "ends 1", "ends 1", "ends 1")
	ann.post(200, "/own", "_stay_page", annsPage)
	guest.post(409, "/own", "_stay_page", annsPage)
	guest.post(200, "/login", "user", "ann") // the guest's state is adopted
	guest.want(`{"adopted":3,"all":3,"flash":"","own":1,"page":1,"short":1,"todos":":a","user":"ann"}`)
	ann.post(200, "/flash")
	on.end(t)

	backName := filepath.Join(dir, "back.db")
	back := openSQLite(t, backName)
	copyStore(t, openPostgres(t, pgURL), back)
	if err := back.Close(); err != nil {
		t.Fatal(err)
	}
	everybody(openSite(t, openSQLite(t, backName), clock))
	ann.want(`{"adopted":3,"all":3,"flash":"saved","own":2,"page":1,"short":1,"todos":":a","user":"ann"}`)
	ann.post(200, "/logout")
	ann.post(409, "/own", "_stay_page", annsPage)
	ben.want(`{"adopted":1,"all":3,"flash":"","own":1,"page":1,"short":1,"todos":"b:a,c","user":"ben"}`)
	ben.client.Jar.SetCookies(parse(t, ben.site.URL), old) // replaced by a login before the first copy
	if got := ben.get("/all"); strings.Contains(got, `"user":"ben"`) || strings.Contains(got, `"own":1`) {
		t.Errorf("with a cookie that a login has replaced: %s", got)
	}
	testkit.Sweep(on.app)
	on.expired.want(t)       // once is enough
	clock.Advance(time.Hour) // now the one that was begun again
	testkit.Sweep(on.app)
	on.expired.want(t, "ends 1")
	on.end(t)
}

// copyStore copies a store, compares both and closes the source.
func copyStore(t *testing.T, from, to store.Store) {
	t.Helper()
	if _, err := store.Copy(t.Context(), from, to, store.CopyOptions{}); err != nil {
		t.Fatal(err)
	}
	wantCopy(t, from, to)
	if err := from.Close(); err != nil {
		t.Fatal(err)
	}
}

func parse(t *testing.T, address string) *url.URL {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return u
}
