package system_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/web"
)

// A session that is not used for IdleTimeout is over: its cookie begins a new
// one, and its state is not to be had any more.
//
// Proves S6.
func TestIdleSessionsEnd(t *testing.T) {
	for _, st := range stores {
		t.Run(st.name, func(t *testing.T) {
			now := newClock()
			x := serve(t, st.open(t), &stay.Options{Clock: now.now, IdleTimeout: time.Hour})
			b := x.browser()
			a := b.want("POST", "/click", 200, "1")
			id, old := b.id(), b.cookie
			if len(a.set) != 1 || !a.set[0].Expires.Equal(now.now().Add(time.Hour).Truncate(time.Second)) {
				t.Errorf("the cookie is good until %v, want an hour from %v", a.set, now.now())
			}
			now.advance(time.Hour - time.Second)
			c := b.clone()
			c.want("GET", "/", 200, "1") // which slides; the old cookie stays as it is
			now.advance(time.Second)
			b.cookie = old
			if a := b.want("GET", "/", 200, "0"); len(a.set) != 1 || b.id() == id {
				t.Errorf("a cookie that has run out: %v", a)
			}
			c.want("GET", "/", 200, "1") // its session slid
			now.advance(time.Hour)
			c.want("GET", "/", 200, "0")
			if _, err := x.counter.At(id).Get(t.Context()); stay.CodeOf(err) != stay.ErrNotFound {
				t.Errorf("the state of a session that has ended: %v", err)
			}
		})
	}
}

// A session slides while it is used: cookie and record are written once in a
// tenth of the idle time, and no more often.
//
// Proves S6.
func TestSessionsSlideCoarsely(t *testing.T) {
	for _, st := range stores {
		t.Run(st.name, func(t *testing.T) {
			now := newClock()
			s := st.open(t)
			x := serve(t, s, &stay.Options{Clock: now.now, IdleTimeout: time.Hour})
			b := x.browser()
			b.want("POST", "/click", 200, "1")
			key := sessionRows + b.id()
			revision := func() store.Revision {
				recs, err := s.Load(t.Context(), []store.Read{{Key: key}})
				if err != nil {
					t.Fatal(err)
				}
				return recs[0].Revision
			}
			slides, last := 0, revision()
			const uses = 120
			for range uses { // two hours, used every minute
				now.advance(time.Minute)
				a := b.want("GET", "/", 200, "1")
				rev := revision()
				if (rev != last) != (len(a.set) > 0) {
					t.Errorf("cookie and record slide apart: revision %d after %d, %v", rev, last, a.set)
				}
				if rev != last {
					slides++
					if end := a.set[0].Expires; end.Before(now.now().Add(time.Hour - time.Second)) {
						t.Errorf("it slid to %v at %v", end, now.now())
					}
				}
				last = rev
			}
			// Once in 6 minutes, or in 7 as it is used every minute.
			if slides < uses/8 || slides > uses/6 {
				t.Errorf("it slid %d times in %d minutes", slides, uses)
			}
		})
	}
}

// However much it is used, a session ends after its lifetime.
//
// Proves S6.
func TestSessionsEndAfterTheirLifetime(t *testing.T) {
	for _, st := range stores {
		t.Run(st.name, func(t *testing.T) {
			now := newClock()
			s := st.open(t)
			x := serve(t, s, &stay.Options{Clock: now.now, IdleTimeout: time.Hour, Lifetime: 3 * time.Hour})
			b := x.browser()
			b.want("POST", "/click", 200, "1")
			id, born := b.id(), now.now()
			for n := 2; now.now().Sub(born) < 3*time.Hour-30*time.Minute; n++ {
				now.advance(30 * time.Minute)
				a := b.do("POST", "/click")
				if now.now().Sub(born) < 3*time.Hour {
					if a.body != fmt.Sprint(n) {
						t.Fatalf("after %v: %v, want %d", now.now().Sub(born), a, n)
					}
					for _, c := range a.set {
						if c.Expires.After(born.Add(3 * time.Hour)) {
							t.Errorf("a cookie beyond the lifetime: %v", c)
						}
					}
				}
			}
			now.advance(30*time.Minute + time.Second)
			if a := b.want("GET", "/", 200, "0"); b.id() == id {
				t.Errorf("it lives on: %v", a)
			}
			if left := rowsOf(t, s.(store.Lister), now.now(), sessionRows, counterRows); len(left) > 0 {
				t.Errorf("what is stored of it has not expired: %q", left)
			}
		})
	}
}

// What has expired is removed about once a minute: the session's record and
// with it all its states; other sessions and Global states stay. Ephemeral
// state stays with its session, used or not, and goes with it.
//
// Proves A15, S6.
func TestSweepRemovesWhatHasExpired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := memstore.New()
		app := newApp(t, kept{mem}, &stay.Options{IdleTimeout: time.Hour, Logger: slog.New(slog.DiscardHandler)})
		mux := http.NewServeMux()
		for _, m := range []stay.Module[Counter]{
			{Name: "a", Persist: stay.PerSession},
			{Name: "b", Persist: stay.PerSession},
			{Name: "g", Persist: stay.Global},
			{Name: "e"},
		} {
			s := stay.Register(app, m)
			mux.Handle("POST /"+m.Name, web.Update(s, click))
			mux.Handle("GET /"+m.Name, web.View(s, show))
		}
		h := web.Sessions(app, nil)(mux)
		do := func(cookie *string, method, path, want string) {
			t.Helper()
			r := httptest.NewRequest(method, "http://app.test"+path, nil)
			r.Header.Set("Cookie", "stay="+*cookie)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != 200 || w.Body.String() != want {
				t.Errorf("%s %s: %d %q, want %q", method, path, w.Code, w.Body, want)
			}
			for _, c := range w.Result().Cookies() {
				*cookie = c.Value
			}
		}
		cookies := make([]string, 5)
		for i := range cookies {
			do(&cookies[i], "POST", "/a", "1")
			do(&cookies[i], "POST", "/b", "1")
			do(&cookies[i], "POST", "/e", "1")
		}
		do(&cookies[0], "POST", "/g", "1")
		// Records are counted as the store has them, expired or not.
		all := func() int { return len(rows(t, mem, time.Time{})) }
		if got := all(); got != 5*3+3 {
			t.Fatalf("%d records: %q", got, rows(t, mem, time.Time{}))
		}

		// The first browser goes on, the second one too but does not look at its
		// ephemeral state, the others leave.
		for range 2 {
			pass(40 * time.Minute)
			do(&cookies[0], "GET", "/a", "1")
			do(&cookies[0], "GET", "/e", "1")
			do(&cookies[1], "GET", "/a", "1")
		}
		pass(5 * time.Minute)
		if got := all(); got != 2*3+3 {
			t.Errorf("%d records are left, want those of two sessions, the Global one, the key and the list of modules: %q", got, rows(t, mem, time.Time{}))
		}
		do(&cookies[1], "GET", "/e", "1")
		do(&cookies[1], "GET", "/b", "1")
		do(&cookies[0], "POST", "/a", "2")
		do(&cookies[0], "POST", "/e", "2")
		do(&cookies[0], "GET", "/g", "1")
		for i := range cookies[2:] {
			do(&cookies[2+i], "GET", "/e", "0")
			do(&cookies[2+i], "GET", "/a", "0")
		}

		pass(2 * time.Hour)
		if got := rows(t, mem, time.Time{}); len(got) != 3 {
			t.Errorf("left in the end: %q", got)
		}
		for _, key := range rows(t, mem, time.Time{}) {
			if !strings.HasPrefix(key, "global/") && key != "stay/keys" && key != "stay/modules" {
				t.Errorf("left in the end: %q", key)
			}
		}
		do(&cookies[0], "GET", "/g", "1")
		closeApp(t, app)
	})
}

// Tombstones go as well, when no cookie of the session can be valid.
//
// Proves S6.
func TestSweepRemovesTombstones(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := memstore.New()
		app := newApp(t, kept{mem}, &stay.Options{IdleTimeout: time.Hour})
		counter := stay.Register(app, stay.Module[Counter]{Name: "counter", Persist: stay.PerSession})
		mux := http.NewServeMux()
		mux.Handle("POST /click", web.Update(counter, click))
		mux.Handle("POST /destroy", web.Handle(func(_ http.ResponseWriter, r *http.Request) error {
			return stay.SessionFrom(r.Context()).Destroy(r.Context())
		}))
		h := web.Sessions(app, nil)(mux)
		send := func(path, cookie string) *httptest.ResponseRecorder {
			r := httptest.NewRequest("POST", "http://app.test"+path, nil)
			r.Header.Set("Cookie", "stay="+cookie)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			return w
		}
		cookie := send("/click", "").Result().Cookies()[0].Value
		if w := send("/destroy", cookie); w.Code != 200 {
			t.Fatal(w.Code, w.Body)
		}
		pass(30 * time.Second)
		if w := send("/click", cookie); w.Code != http.StatusUnauthorized {
			t.Errorf("within the minute: %d %q", w.Code, w.Body)
		}
		pass(59 * time.Minute)
		if w := send("/click", cookie); w.Code != 200 || w.Body.String() != "1" || len(w.Result().Cookies()) != 1 {
			t.Errorf("just before the cookie runs out: %d %q", w.Code, w.Body)
		}
		if got := rowsOf(t, mem, time.Time{}, sessionRows); len(got) != 2 {
			t.Errorf("%q: want the tombstone and the new session", got)
		}
		pass(10 * time.Minute)
		if got := rowsOf(t, mem, time.Time{}, sessionRows); len(got) != 1 {
			t.Errorf("%q: the tombstone is still there", got)
		}
		closeApp(t, app)
	})
}

// pass lets time pass in a synctest bubble, and what is due then happen.
func pass(d time.Duration) {
	time.Sleep(d) //nolint:forbidigo // takes no real time
	synctest.Wait()
}
