package fromscs

import (
	"encoding/gob"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/gorilla/sessions"

	"github.com/stay-go/stay/staytest"
)

func isAnn(name, password string) bool { return name == "ann" && password == "secret" }

// manager is one of scs, as it comes.
func manager() *scs.SessionManager { return scs.New() }

// A site is an address whose program is replaced while visitors are on it.
type site struct {
	handler atomic.Pointer[http.Handler]
	client  *http.Client
	address string
}

func newSite(t *testing.T, before http.Handler) *site {
	s := &site{}
	s.deploy(before)
	s.client, s.address = staytest.Browser(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		(*s.handler.Load()).ServeHTTP(w, r)
	}))
	return s
}

func (s *site) deploy(h http.Handler) { s.handler.Store(&h) }

// names are the cookies that the visitor has.
func (s *site) names(t *testing.T) string {
	u, err := url.Parse(s.address)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, c := range s.client.Jar.Cookies(u) {
		names = append(names, c.Name)
	}
	return strings.Join(names, " ")
}

func (s *site) post(t *testing.T, path, want string, form url.Values) {
	t.Helper()
	resp, err := s.client.PostForm(s.address+path, form)
	check(t, path, resp, err, 200, want)
}

func (s *site) get(t *testing.T, status int, want string) {
	t.Helper()
	resp, err := s.client.Get(s.address + "/")
	check(t, "/", resp, err, status, want)
}

func check(t *testing.T, path string, resp *http.Response, err error, status int, want string) {
	t.Helper()
	if err != nil {
		t.Error(err)
		return
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != status || string(body) != want {
		t.Errorf("%s: %d %q %v, want %d %q", path, resp.StatusCode, body, err, status, want)
	}
}

var (
	tea   = url.Values{"item": {"tea"}}
	cup   = url.Values{"item": {"cup"}}
	asAnn = url.Values{"name": {"ann"}, "password": {"secret"}}
)

// The sites of the guide do the same, and a visitor of the first one stays
// logged in on the second one.
func TestMigrationFromSCS(t *testing.T) {
	old := manager()
	s := newSite(t, Before(old, isAnn))
	s.post(t, "/basket", "[tea]", tea)
	s.post(t, "/login", "ann: [tea]", asAnn)
	if got := s.names(t); got != "session" {
		t.Errorf("cookies %q", got)
	}

	after := After(staytest.App(t, nil), isAnn, SCS{old})
	s.deploy(after)
	s.get(t, 200, "ann: [tea]")
	if got := s.names(t); got != "stay" {
		t.Errorf("cookies %q", got)
	}
	s.post(t, "/basket", "[tea cup]", cup)
	s.get(t, 200, "ann: [tea cup]")

	s.deploy(Before(old, isAnn)) // back, and forth again
	s.post(t, "/basket", "[cup]", cup)
	s.deploy(after)
	s.get(t, 200, "ann: [tea cup]")

	s.deploy(After(staytest.App(t, nil), isAnn)) // a stranger, here
	s.get(t, 200, ": []")
	s.post(t, "/basket", "[tea]", tea)
	s.post(t, "/login", "ann: [tea]", asAnn)
}

// Guests come along too, and those whom scs does not know begin as guests.
func TestMigrationOfGuests(t *testing.T) {
	old := manager()
	s := newSite(t, Before(old, isAnn))
	s.post(t, "/basket", "[tea]", tea)
	s.deploy(After(staytest.App(t, nil), isAnn, SCS{old}))
	s.get(t, 200, ": [tea]")

	gone := newSite(t, Before(manager(), isAnn))
	gone.post(t, "/basket", "[tea]", tea)
	gone.deploy(After(staytest.App(t, nil), isAnn, SCS{old}))
	gone.get(t, 200, ": []")
}

// Requests that are sent together, all with the old cookie, find the same.
func TestMigrationOfParallelRequests(t *testing.T) {
	old := manager()
	s := newSite(t, Before(old, isAnn))
	s.post(t, "/basket", "[tea]", tea)
	s.post(t, "/login", "ann: [tea]", asAnn)
	u, err := url.Parse(s.address)
	if err != nil {
		t.Fatal(err)
	}
	cookies := s.client.Jar.Cookies(u)
	s.deploy(After(staytest.App(t, nil), isAnn, SCS{old}))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			r, err := http.NewRequestWithContext(t.Context(), "GET", s.address+"/", http.NoBody)
			if err != nil {
				t.Error(err)
				return
			}
			for _, c := range cookies {
				r.AddCookie(c)
			}
			resp, err := http.DefaultTransport.RoundTrip(r)
			check(t, "/", resp, err, 200, "ann: [tea]")
		})
	}
	wg.Wait()
}

// A minute after it was taken over, the old session is good for nothing, so a
// logout in the new program holds.
func TestMigratedSessionEnds(t *testing.T) {
	old := manager() // outside of the bubble: scs begins a goroutine that never ends
	synctest.Test(t, func(t *testing.T) {
		ctx, err := old.Load(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		old.Put(ctx, "user", "ann")
		token, _, err := old.Commit(ctx)
		if err != nil {
			t.Fatal(err)
		}
		handler := After(staytest.App(t, nil), isAnn, SCS{old})
		get := func(want string) {
			t.Helper()
			r := httptest.NewRequest("GET", "/", http.NoBody)
			r.AddCookie(&http.Cookie{Name: "session", Value: token})
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			if w.Code != 200 || w.Body.String() != want {
				t.Errorf("%d %q, want %q", w.Code, w.Body, want)
			}
		}
		get("ann: []")
		<-time.After(59 * time.Second)
		get("ann: []")
		<-time.After(2 * time.Second)
		get(": []")
	})
}

// failing is a source that cannot end the old session the first time.
type failing struct {
	Source
	failed atomic.Bool
}

func (f *failing) Done(w http.ResponseWriter, r *http.Request) error {
	if !f.failed.Swap(true) {
		return errors.New("the old store is down")
	}
	return f.Source.Done(w, r)
}

// A migration that fails half way is made again, once.
func TestMigrationAgainAfterAFailure(t *testing.T) {
	old := manager()
	s := newSite(t, Before(old, isAnn))
	s.post(t, "/basket", "[tea]", tea)
	s.post(t, "/login", "ann: [tea]", asAnn)
	s.deploy(After(staytest.App(t, nil), isAnn, &failing{Source: SCS{old}}))
	s.get(t, 500, "Internal Server Error\n")
	if got := s.names(t); !strings.Contains(got, "session") {
		t.Errorf("cookies %q", got)
	}
	s.get(t, 200, "ann: [tea]")
	if got := s.names(t); got != "stay" {
		t.Errorf("cookies %q", got)
	}
}

// Visitors of gorilla/sessions come over the same way.
func TestMigrationFromGorilla(t *testing.T) {
	gob.Register([]string{})
	key := []byte(strings.Repeat("k", 32))
	for name, store := range map[string]sessions.Store{
		"cookie": plain(sessions.NewCookieStore(key)),
		"files":  sessions.NewFilesystemStore(t.TempDir(), key),
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				session, err := store.Get(r, "shop")
				if err != nil {
					t.Error(err)
				}
				session.Values["user"], session.Values["items"] = "ann", []string{"tea"}
				if err := session.Save(r, w); err != nil {
					t.Error(err)
				}
			}))
			s.get(t, 200, "")
			if got := s.names(t); got != "shop" {
				t.Errorf("cookies %q", got)
			}
			s.deploy(After(staytest.App(t, nil), isAnn, Gorilla{store, "shop"}))
			s.get(t, 200, "ann: [tea]")
			if got := s.names(t); got != "stay" {
				t.Errorf("cookies %q", got)
			}
			s.get(t, 200, "ann: [tea]")
		})
	}
}

// plain has the cookies sent without TLS.
func plain(s *sessions.CookieStore) *sessions.CookieStore {
	s.Options.Secure, s.Options.SameSite = false, http.SameSiteLaxMode
	return s
}
