package web_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
	"github.com/stay-go/stay/web"
)

// round is how long what another node does may stay unseen where the store announces
// nothing.
const round = 15 * time.Second

// onTwoNodes runs a test with a site on each of two nodes: things are done on one,
// and streams are open on the other. seen is how long the second may not know what
// the first has done.
func onTwoNodes(t *testing.T, change func(*stay.Options), test func(t *testing.T, here, there *liveSite, seen time.Duration)) {
	for name, tc := range map[string]struct {
		features func(store.Features) store.Features
		seen     time.Duration
	}{
		"announced":          {nil, 0},
		"announced, waiting": {func(f store.Features) store.Features { f.Immediate = false; return f }, 0},
		"not announced":      {func(f store.Features) store.Features { f.Watch = false; return f }, round},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				shared := memstore.Shared(2)
				opts := &web.Options{Live: web.LiveOptions{MaxAge: 24 * time.Hour}}
				here := newLiveSiteOn(newSiteOn(t, shared[0], change), opts)
				there := newLiveSiteOn(newSiteOn(t, storefault.Wrap(shared[1], &storefault.Options{Features: tc.features}), change), opts)
				test(t, here, there, tc.seen)
			})
		})
	}
}

// attach adds what the tests of several nodes need.
func (s *liveSite) attach() {
	note := func(w io.Writer, n *Note) error { _, err := fmt.Fprint(w, n.Text); return err }
	s.mux.HandleFunc("/become", web.Handle(func(_ http.ResponseWriter, r *http.Request) error {
		_, err := s.rooms.Update(r.Context(), func(n *Note) error { n.Name = r.FormValue("key"); return nil })
		return err
	}))
	s.mux.Handle("GET /note", web.Live(web.Part("note", s.rooms, note)))
	s.mux.Handle("GET /for", web.Live(web.PartFor("mine", s.mine, func(w io.Writer, _ *http.Request, b *Board) error { return showBoard(w, b) })))
	s.mux.Handle("/json/", web.Actions(s.news, s.mine))
	s.mux.Handle("GET /private", web.Live(web.PartAt("note", s.rooms, func(r *http.Request) (string, error) {
		if stay.SessionFrom(r.Context()).User() != "ann" {
			return "", &stay.Error{Code: stay.ErrDenied, Message: "for ann"}
		}
		return "anns", nil
	}, note)))
}

// writeForAnn changes all that ann has, as another of her devices may.
func (s *liveSite) writeForAnn(t *testing.T, text string) {
	t.Helper()
	if _, err := s.mine.At("ann").Update(t.Context(), func(b *Board) error { b.Text = text; return nil }); err != nil {
		t.Fatal(err)
	}
	s.writeNote(t, "anns", text)
}

func (s *liveSite) writeNote(t *testing.T, key, text string) {
	t.Helper()
	if _, err := s.rooms.At(key).Update(t.Context(), func(n *Note) error { n.Name, n.Text = key, text; return nil }); err != nil {
		t.Fatal(err)
	}
}

// eachOfAnn does something with each of her sessions, as another device may.
func (s *liveSite) eachOfAnn(t *testing.T, fn func(*stay.Session, context.Context) error) {
	t.Helper()
	for x, err := range s.app.Sessions(t.Context(), "ann") {
		if err == nil {
			err = fn(x, t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// However a right ends, and on whichever node, a stream on another node that shows
// what it was good for ends without another message: at once if the store announces
// what nodes do, after a round if not, and when a session expires at that moment. What
// is changed meanwhile does not reach it. The client that comes back gets what it is
// entitled to.
//
// Proves L4, L14, L34, L35.
func TestStreamsEndWithTheirSessionOnAnotherNode(t *testing.T) {
	var skew atomic.Int64 // of the clock
	post := func(path string) func(*testing.T, *liveSite, *tab) {
		return func(_ *testing.T, _ *liveSite, p *tab) { p.post(path) }
	}
	for name, tc := range map[string]struct {
		end     func(t *testing.T, here *liveSite, p *tab)
		options func(o *stay.Options)
		after   time.Duration // the end; 0 = as soon as it is seen
		keeps   bool          // the client that comes back is still ann's
		key     bool          // so is the state of a key, which goes with the session
	}{
		"logout":              {end: post("/logout"), key: true},
		"another user":        {end: post("/login?user=bob"), key: true},
		"renewal":             {end: post("/renew"), keeps: true},
		"destruction":         {end: post("/destroy")},
		"destroyed by others": {end: func(t *testing.T, here *liveSite, _ *tab) { here.eachOfAnn(t, (*stay.Session).Destroy) }},
		"revocation": {end: func(t *testing.T, here *liveSite, _ *tab) {
			if err := here.app.Revoke(t.Context(), "ann"); err != nil {
				t.Fatal(err)
			}
		}},
		"expiry":   {options: func(o *stay.Options) { o.IdleTimeout = 8 * time.Second }, after: 8 * time.Second},
		"lifetime": {options: func(o *stay.Options) { o.IdleTimeout, o.Lifetime = 8*time.Second, 8*time.Second }, after: 8 * time.Second},
		"the clock is set forward": {
			end:   func(*testing.T, *liveSite, *tab) { skew.Store(int64(48 * time.Hour)) },
			after: 2 * time.Minute, // a sweep finds out
		},
	} {
		for path, part := range map[string]string{"/live": "mine", "/for": "mine", "/json/": "mine", "/private": "note", "/note": "note"} {
			t.Run(name+path, func(t *testing.T) {
				onTwoNodes(t, func(o *stay.Options) {
					skew.Store(0)
					o.IdleTimeout = 24 * time.Hour
					o.Clock = func() time.Time { return time.Now().Add(time.Duration(skew.Load())) }
					if tc.options != nil {
						tc.options(o)
					}
				}, func(t *testing.T, here, there *liveSite, seen time.Duration) {
					here.attach()
					there.attach()
					here.writeForAnn(t, "secret")
					c := browser(here.h)
					send(t, c, "POST", "/login?user=ann", "")
					if path == "/note" {
						send(t, c, "POST", "/become?key=anns", "")
					}
					p := newTab(t, there.h, c, path)
					p.open()
					if !strings.Contains(p.page[part], "secret") || p.over() {
						t.Fatalf("the page shows %q, and its stream is over: %t", p.page, p.over())
					}
					settle()
					p.want()

					if tc.end != nil {
						tc.end(t, here, p)
					}
					if seen += tc.after; seen == 0 {
						p.want()
						p.ended(300*time.Millisecond, 600*time.Millisecond)
					}
					if tc.after == 0 {
						here.writeForAnn(t, "later")
					}
					sleep(seen)
					p.want() // no message
					p.ended(300*time.Millisecond, 600*time.Millisecond)
					here.writeForAnn(t, "later still")
					there.writeForAnn(t, "even later")
					sleep(time.Minute)
					p.want()

					p.open()
					keeps := tc.keeps || tc.key && path == "/note"
					for _, text := range []string{"secret", "later"} {
						if strings.Contains(string(p.raw), text) != (keeps && text == "later") {
							t.Errorf("the client that came back got %q", p.raw)
						}
					}
				})
			})
		}
	}
}

// A change of the key on one node moves a stream on another to the state of the new
// key, or ends it if the cookie changes with the key. Nothing of the old key follows.
//
// Proves L4, L14, L34, L35.
func TestStreamsFollowAKeyThatChangesOnAnotherNode(t *testing.T) {
	for _, keeps := range []bool{false, true} {
		t.Run(fmt.Sprint("keeps the cookie ", keeps), func(t *testing.T) {
			onTwoNodes(t, func(o *stay.Options) { o.KeepCookieOnKeyChange = keeps }, func(t *testing.T, here, there *liveSite, seen time.Duration) {
				here.attach()
				there.attach()
				here.writeNote(t, "one", "first")
				here.writeNote(t, "two", "second")
				c := browser(here.h)
				send(t, c, "POST", "/become?key=one", "")
				p := newTab(t, there.h, c, "/note")
				p.open()
				p.shows("note", "first")
				settle()
				for _, to := range []struct{ key, shows, left string }{{"two", "second", "one"}, {"one", "not seen", "two"}} {
					p.want()
					p.post("/become?key=" + to.key)
					here.writeNote(t, to.left, "not seen")
					sleep(max(seen, time.Second))
					if !keeps {
						p.want()
						p.ended(300*time.Millisecond, 600*time.Millisecond)
						p.open()
					}
					p.read()
					p.shows("note", to.shows)
					if n := strings.Count(string(p.raw), "not seen"); (n != 0) != (to.key == "one") {
						t.Fatalf("the stream got %q", p.raw)
					}
					settle()
				}
				there.writeNote(t, "two", "nor this")
				sleep(time.Minute)
				p.want()
			})
		})
	}
}

// A logout by another device leaves the browser its cookie, as a guest's. So a stream
// goes on, with what a guest has in place of what was the user's, and one that was
// allowed to the user ends.
//
// Proves L4, L14, L34, L35.
func TestStreamsOfASessionThatIsLoggedOutFromElsewhere(t *testing.T) {
	onTwoNodes(t, func(*stay.Options) {}, func(t *testing.T, here, there *liveSite, seen time.Duration) {
		here.attach()
		there.attach()
		here.writeForAnn(t, "secret")
		c := browser(here.h)
		send(t, c, "POST", "/login?user=ann", "")
		var tabs []*tab
		for _, path := range []string{"/live", "/for", "/json/", "/private"} {
			p := newTab(t, there.h, c, path)
			p.open()
			settle()
			tabs = append(tabs, p)
		}
		here.eachOfAnn(t, (*stay.Session).Logout)
		here.writeForAnn(t, "later")
		sleep(max(seen, time.Second))
		there.writeForAnn(t, "later still")
		sleep(time.Minute)
		for _, p := range tabs {
			p.read()
			if strings.Contains(string(p.raw), "later") || !strings.Contains(string(p.raw), "secret") {
				t.Errorf("%s got %q", p.path, p.raw)
			}
			if guests := p.path != "/private"; p.over() == guests || guests && strings.Contains(p.page["mine"], "secret") {
				t.Errorf("%s is over: %t; the page shows %q", p.path, p.over(), p.page)
			}
		}
	})
}
