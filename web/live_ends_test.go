package web_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
	"github.com/stay-go/stay/web"
)

// Whatever ends a session, or gives its browser another cookie, ends its streams
// without another message. A browser that has a new cookie comes back with it, and
// gets what that is entitled to. One that has none gets the parts of the session in
// their initial state, and asks seldom. Nothing that is written later reaches it.
//
// Proves L14.
func TestStreamsEndWithTheirSession(t *testing.T) {
	for name, tc := range map[string]struct {
		end func(s *liveSite, p *tab, ann context.Context)
		// cookie: the browser has a new one afterwards.
		cookie bool
	}{
		"logout":       {func(_ *liveSite, p *tab, _ context.Context) { p.post("/logout") }, true},
		"another user": {func(_ *liveSite, p *tab, _ context.Context) { p.post("/login?user=bob") }, true},
		"renewal":      {func(_ *liveSite, p *tab, _ context.Context) { p.post("/renew") }, true},
		"destruction":  {func(_ *liveSite, p *tab, _ context.Context) { p.post("/destroy") }, true},
		"revocation": {func(s *liveSite, p *tab, _ context.Context) {
			if err := s.app.Revoke(p.t.Context(), "ann"); err != nil {
				p.t.Fatal(err)
			}
		}, false},
		"destruction by others": {func(s *liveSite, p *tab, _ context.Context) {
			for x, err := range s.app.Sessions(p.t.Context(), "ann") {
				if err == nil {
					err = x.Destroy(p.t.Context())
				}
				if err != nil {
					p.t.Fatal(err)
				}
			}
		}, false},
	} {
		for _, d := range dialects {
			t.Run(fmt.Sprint(name, d), func(t *testing.T) {
				inBubble(t, func(t *testing.T) {
					s := newLiveSite(t, nil)
					s.publish(t, "news")
					c := browser(s.h)
					send(t, c, "POST", "/login?user=ann", "")
					send(t, c, "POST", "/write?text=secret", "")
					send(t, c, "POST", "/count", "")
					p := newTab(t, s.h, c, "/live")
					p.dialect = d
					p.open()
					p.shows("mine", "secret", "count", "1", "news", "news")
					settle()
					p.want()
					tc.end(s, p, t.Context())
					p.want() // no message
					p.ended(300*time.Millisecond, 600*time.Millisecond)

					if !tc.cookie {
						p.open()
						p.shows("mine", "", "count", "0", "news", "news")
						sleep(2 * time.Second) // Datastar has time to take it
						p.ended(5*time.Second, 10*time.Second)
						p.open() // it has what it is entitled to
						p.want()
						p.ended(5*time.Second, 10*time.Second)
						sleep(2 * time.Minute) // by then the cookie is unknown, and a new session begins
					}
					p.open()
					want := ""
					if name == "renewal" {
						want = "secret"
					}
					p.shows("mine", want, "news", "news")
					settle()
					if err := changeOf(t, s, "ann"); err != nil {
						t.Fatal(err)
					}
					if name == "renewal" {
						p.want("mine")
					} else {
						p.want()
					}
				})
			})
		}
	}
}

// changeOf changes the state of a user from another device.
func changeOf(t *testing.T, s *liveSite, user string) error {
	c := browser(s.h)
	send(t, c, "POST", "/login?user="+user, "")
	if a := send(t, c, "POST", "/write?text=later", ""); a.status != 200 {
		return errors.New(a.body)
	}
	return nil
}

// A change of the key that keeps the cookie is followed in place: the stream shows
// the state of the other key, and nothing of the first any more.
//
// Proves L14.
func TestStreamsFollowAKeyThatChanges(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := newLiveSite(t, nil, func(o *stay.Options) { o.KeepCookieOnKeyChange = true })
		become := func(name string) func(http.ResponseWriter, *http.Request) {
			return web.Handle(func(_ http.ResponseWriter, r *http.Request) error {
				_, err := s.rooms.Update(r.Context(), func(n *Note) error { n.Name = name; return nil })
				return err
			})
		}
		s.mux.HandleFunc("/ann", become("ann"))
		s.mux.HandleFunc("/bob", become("bob"))
		s.mux.HandleFunc("/nobody", become(""))
		s.mux.Handle("GET /note", web.Live(web.Part("note", s.rooms, func(w io.Writer, n *Note) error {
			_, err := fmt.Fprint(w, n.Name, ":", n.Text)
			return err
		})))
		write := func(key, text string) {
			if _, err := s.rooms.At(key).Update(t.Context(), func(n *Note) error { n.Name, n.Text = key, text; return nil }); err != nil {
				t.Fatal(err)
			}
			settle()
		}
		write("ann", "1")
		write("bob", "2")
		p := s.tab(t, "/note")
		settle()
		p.shows("note", ":")
		for _, step := range []struct{ path, shows string }{{"/ann", "ann:1"}, {"/bob", "bob:2"}, {"/nobody", ":"}} {
			p.post(step.path)
			settle()
			p.read()
			p.shows("note", step.shows)
			if p.over() {
				t.Fatal("the stream has ended although the browser has the same cookie")
			}
		}
		write("ann", "3")
		write("bob", "4")
		p.want()
	})
}

// A session that expires ends its streams too. But one that lasts is kept by them:
// they end a while before, and the client that comes back lets the session slide.
//
// Proves L14, L15.
func TestStreamsKeepTheirSessionAlive(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := newLiveSite(t, nil, func(o *stay.Options) { o.IdleTimeout = 10 * time.Minute; o.Lifetime = 24 * time.Hour })
		c := browser(s.h)
		send(t, c, "POST", "/login?user=ann", "")
		send(t, c, "POST", "/write?text=secret", "")
		p := newTab(t, s.h, c, "/live")
		p.open()
		for range 20 { // more than three hours
			sleep(8 * time.Minute)
			if p.over() {
				t.Fatal("the stream ended too early")
			}
			sleep(2*time.Minute - time.Second)
			p.want()
			p.ended(100*time.Millisecond, 1200*time.Millisecond)
			p.open()
			p.want()
			if cookie := p.wire.header.Get("Set-Cookie"); cookie == "" {
				t.Fatal("the session does not slide")
			}
		}
		p.shows("mine", "secret")
	})
}

// A stream ends after MaxAge, not together with those that began with it, and its
// client comes back without being sent anything again.
//
// Proves L15.
func TestStreamsHaveAMaximumAge(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := newLiveSite(t, &web.Options{Live: web.LiveOptions{MaxAge: 80 * time.Minute}})
		var tabs []*tab
		for range 20 {
			tabs = append(tabs, s.tab(t, "/public"))
		}
		sleep(69 * time.Minute)
		over := func() (n int) {
			for _, p := range tabs {
				if p.over() {
					n++
				}
			}
			return n
		}
		if n := over(); n != 0 {
			t.Errorf("%d of 20 streams ended before 70 min", n)
		}
		sleep(11 * time.Minute)
		if n := over(); n == 0 || n == 20 {
			t.Errorf("%d of 20 streams ended in the first half of the time for it", n)
		}
		sleep(11 * time.Minute)
		for _, p := range tabs {
			p.want()
			p.ended(100*time.Millisecond, 1200*time.Millisecond)
			p.open()
			p.want()
		}
	})
}

// Streams end when the App is closed, and their clients come back, spread.
//
// Proves L16, L17.
func TestStreamsEndWithTheApp(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := newLiveSite(t, nil)
		var tabs []*tab
		for i := range 40 {
			p := newTab(t, s.h, browser(s.h), "/live")
			p.dialect = dialects[i%4]
			p.open()
			tabs = append(tabs, p)
		}
		if err := s.app.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
		times := map[time.Duration]bool{}
		for _, p := range tabs {
			p.want()
			p.ended(100*time.Millisecond, 1100*time.Millisecond)
			times[p.retry] = true
		}
		if len(times) < 20 {
			t.Errorf("40 clients come back at %d times", len(times))
		}
		p := tabs[0]
		p.open()
		p.want()
		p.ended(100*time.Millisecond, 1100*time.Millisecond)
	})
}

// With many streams the clients come back over a longer time.
//
// Proves L17.
func TestManyClientsComeBackSpread(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := newLiveSite(t, nil)
		var tabs []*tab
		for range 1000 {
			tabs = append(tabs, s.tab(t, "/public"))
		}
		if err := s.app.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
		var tenths [10]int
		for _, p := range tabs {
			p.read()
			tenths[min(int((p.retry-100*time.Millisecond)/(200*time.Millisecond)), 9)]++
		}
		for i, n := range tenths {
			if n < 50 || n > 150 {
				t.Errorf("%d of 1000 clients come back in the %d. tenth of 2 s: %v", n, i+1, tenths)
			}
		}
	})
}

// Beyond Max streams a client is told to come back later, with an answer that lets
// each kind of client do so.
//
// Proves L16, L18.
func TestStreamsAreBounded(t *testing.T) {
	for _, d := range dialects {
		t.Run(fmt.Sprint(d), func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				s := newLiveSite(t, &web.Options{Live: web.LiveOptions{Max: 2}})
				first, second := s.tab(t, "/public"), s.tab(t, "/live")
				third := newTab(t, s.h, browser(s.h), "/public")
				third.dialect = d
				third.open()
				third.want()
				third.ended(10*time.Second, 30*time.Second)
				if third.wire.status != 200 {
					t.Errorf("the answer is %d", third.wire.status)
				}
				if first.over() || second.over() {
					t.Error("a stream ended for one that found no place")
				}
				first.close()
				third.open()
				if third.over() || third.page["news"] != "" {
					t.Error("there is no place although a stream has ended")
				}
			})
		})
	}
}

// Of more streams of one session than a browser has room for, the oldest ends, and
// comes back. With HTTP/2 there is room.
//
// Proves L18.
func TestStreamsOfABrowserAreBounded(t *testing.T) {
	for name, tc := range map[string]struct {
		options web.Options
		proto   int
		header  http.Header
		path    string
		most    int
	}{
		"HTTP/1.1":         {web.Options{}, 1, nil, "/live", 4},
		"an option":        {web.Options{Live: web.LiveOptions{PerBrowser: 2}}, 1, nil, "/live", 2},
		"HTTP/2":           {web.Options{}, 2, nil, "/live", 32},
		"a larger option":  {web.Options{Live: web.LiveOptions{PerBrowser: 40}}, 2, nil, "/live", 40},
		"a proxy":          {web.Options{}, 1, http.Header{"X-Forwarded-Proto": {"https"}}, "/live", 4},
		"a trusted proxy":  {web.Options{TrustProxy: true}, 1, http.Header{"X-Forwarded-Proto": {"https"}}, "/live", 32},
		"a trusted http":   {web.Options{TrustProxy: true}, 1, http.Header{"X-Forwarded-Proto": {"http"}}, "/live", 4},
		"without sessions": {web.Options{}, 1, nil, "/public", 50},
		"of three states":  {web.Options{}, 1, nil, "/three/tea", 4},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				s := newLiveSite(t, &tc.options)
				c := browser(s.h)
				var tabs []*tab
				open := func() *tab {
					p := newTab(t, s.h, c, tc.path)
					p.proto = tc.proto
					for name, values := range tc.header {
						p.header[name] = values
					}
					p.open()
					tabs = append(tabs, p)
					return p
				}
				for range tc.most {
					open()
				}
				other := s.tab(t, "/live")
				for i, p := range tabs {
					if p.over() {
						t.Fatalf("stream %d of %d has ended", i+1, tc.most)
					}
				}
				if tc.path == "/public" {
					return
				}
				open()
				tabs[0].want()
				tabs[0].ended(4*time.Second, 6*time.Second)
				tabs[0].open()
				tabs[1].ended(4*time.Second, 6*time.Second)
				tabs[3%tc.most+1].close()
				tabs[1].open()
				n := 0
				for _, p := range tabs {
					if !p.over() {
						n++
					}
				}
				if n != tc.most {
					t.Errorf("%d streams are open, want %d", n, tc.most)
				}
				if other.over() {
					t.Error("a stream of another browser has ended")
				}
			})
		})
	}
}

// While the store does not answer, pages keep what they show, streams stay, and
// they ask again at a heartbeat.
//
// Proves L19.
func TestStreamsOutliveOutages(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		faulty := storefault.Wrap(memstore.New(), nil)
		app := stay.New(faulty, &stay.Options{Logger: slog.New(slog.DiscardHandler)})
		t.Cleanup(func() { app.Close(context.Background()) })
		board := stay.Register(app, stay.Module[Board]{Name: "board", Persist: stay.Global})
		h := web.Sessions(app, nil)(web.Live(web.Part("board", board, showBoard)))
		if _, err := board.Update(t.Context(), func(b *Board) error { b.Text = "stored"; return nil }); err != nil {
			t.Fatal(err)
		}
		evict(app)
		outage := faulty.Add(storefault.Rule{Op: storefault.Load, Fault: storefault.Fail(storefault.ErrInjected)})
		p := newTab(t, h, browser(h), "/")
		p.page["board"] = "shown before"
		p.open()
		if p.over() || p.wire.status != 200 {
			t.Fatalf("an outage is answered with %d", p.wire.status)
		}
		for range 10 {
			sleep(time.Minute)
			p.want()
		}
		if p.over() {
			t.Fatal("the stream has ended")
		}
		p.shows("board", "shown before")
		outage.Remove()
		sleep(time.Minute)
		p.want("board")
		p.shows("board", "stored")
	})
}

// A part that cannot be rendered stays as it is, the others go on, and the log says
// it once for each version, however many pages show it.
//
// Proves L18, L19.
func TestPartsThatFailStayAsTheyAre(t *testing.T) {
	for name, fail := range map[string]func(w io.Writer) error{
		"an error":          func(io.Writer) error { return errBroken },
		"a panic":           func(io.Writer) error { panic(errBroken) },
		"a refusal":         func(io.Writer) error { return stay.ErrDenied },
		"an aborted answer": func(io.Writer) error { panic(http.ErrAbortHandler) },
		"too many bytes": func(w io.Writer) error {
			for range 100 {
				io.WriteString(w, strings.Repeat("x", 100))
			}
			return nil
		},
	} {
		for _, own := range []bool{false, true} {
			t.Run(fmt.Sprint(name, own), func(t *testing.T) {
				inBubble(t, func(t *testing.T) {
					s := newLiveSite(t, &web.Options{MaxResponse: 1000})
					part := web.Part("bad", s.news, func(w io.Writer, b *Board) error {
						if b.Text == "bad" {
							return fail(w)
						}
						return showBoard(w, b)
					})
					if own {
						part = web.PartFor("bad", s.news, func(w io.Writer, _ *http.Request, b *Board) error {
							if b.Text == "bad" {
								return fail(w)
							}
							return showBoard(w, b)
						})
					}
					s.mux.Handle("GET /bad", web.Live(part, s.newsPart()))
					s.publish(t, "good")
					pages := []*tab{s.tab(t, "/bad"), s.tab(t, "/bad"), s.tab(t, "/bad")}
					settle()
					s.publish(t, "bad")
					for _, p := range pages {
						p.want("news")
						p.shows("bad", "good", "news", "bad")
					}
					sleep(5 * time.Minute)
					reports := 1
					if own {
						reports = len(pages)
					}
					if n := strings.Count(s.log.String(), "stays as it is"); n != reports {
						t.Errorf("the log says it %d times, want %d:\n%s", n, reports, s.log)
					}
					late := s.tab(t, "/bad")
					late.shows("news", "bad")
					s.publish(t, "good again")
					for _, p := range append(pages, late) {
						settle()
						p.read()
						p.shows("bad", "good again", "news", "good again")
					}
				})
			})
		}
	}
}

// A part that failed for a reason beside its state is tried again, also if it is
// rendered for one stream alone.
//
// Proves L19.
func TestPartsThatFailAreTriedAgain(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := newLiveSite(t, nil)
		var broken atomic.Bool
		var calls atomic.Int32
		show := func(w io.Writer, b *Board) error {
			if calls.Add(1); broken.Load() {
				return errBroken
			}
			return showBoard(w, b)
		}
		s.mux.Handle("GET /shared", web.Live(web.Part("part", s.news, show)))
		s.mux.Handle("GET /own", web.Live(web.PartFor("part", s.news, func(w io.Writer, _ *http.Request, b *Board) error { return show(w, b) }), s.countPart()))
		s.publish(t, "news")
		for _, path := range []string{"/shared", "/own"} {
			broken.Store(true)
			calls.Store(0)
			p := s.tab(t, path)
			for range 20 { // a look for another part of the page
				p.post("/count")
				settle()
			}
			p.read()
			if n := calls.Load(); n > 3 {
				t.Errorf("%s: rendered %d times in 20 s", path, n)
			}
			broken.Store(false)
			sleep(time.Minute)
			p.read()
			p.shows("part", "news")
		}
	})
}

// What a function of PartAt or PartOf has allowed to a session ends with it: when
// it is logged out, revoked or destroyed, has another user, or another cookie. A
// function of PartAt that asks for no session allows it for good.
//
// Proves L4, L14.
func TestStreamsOfKeysEndWithTheSessionThatMaySeeThem(t *testing.T) {
	for name, end := range map[string]func(s *liveSite, p *tab){
		"logout":       func(_ *liveSite, p *tab) { p.post("/logout") },
		"another user": func(_ *liveSite, p *tab) { p.post("/login?user=bob") },
		"destruction":  func(_ *liveSite, p *tab) { p.post("/destroy") },
		"expiry":       func(*liveSite, *tab) { sleep(90 * time.Minute) },
		"revocation": func(s *liveSite, p *tab) {
			if err := s.app.Revoke(p.t.Context(), "ann"); err != nil {
				p.t.Fatal(err)
			}
		},
	} {
		for i := range 4 {
			keeps, path := i%2 == 1, []string{"/private/tea", "/looks/tea"}[i/2]
			t.Run(fmt.Sprint(name, keeps, path), func(t *testing.T) {
				inBubble(t, func(t *testing.T) {
					s := newLiveSite(t, &web.Options{Live: web.LiveOptions{MaxAge: 24 * time.Hour}}, func(o *stay.Options) {
						o.KeepCookieOnKeyChange, o.IdleTimeout = keeps, time.Hour
					})
					room := func(r *http.Request) (string, error) { return r.PathValue("room"), nil }
					members := func(r *http.Request) (string, error) {
						if stay.SessionFrom(r.Context()).User() != "ann" {
							return "", &stay.Error{Code: stay.ErrDenied, Message: "members only"}
						}
						return room(r)
					}
					show := func(w io.Writer, n *Note) error { _, err := fmt.Fprint(w, n.Text); return err }
					s.mux.Handle("GET /private/{room}", web.Live(web.PartAt("room", s.rooms, members, show)))
					s.mux.Handle("GET /room/{room}", web.Live(web.PartAt("room", s.rooms, room, show)))
					s.mux.Handle("GET /looks/{room}", web.Live(web.PartOf(s.app, "room", func(w io.Writer, r *http.Request) error {
						key, err := members(r)
						if err != nil {
							return err
						}
						n, err := web.Look(r.Context(), s.rooms.At(key))
						if err != nil {
							return err
						}
						return show(w, n)
					})))
					write := func(text string) {
						t.Helper()
						if _, err := s.rooms.At("tea").Update(t.Context(), func(n *Note) error { n.Name, n.Text = "tea", text; return nil }); err != nil {
							t.Fatal(err)
						}
						settle()
					}
					c := browser(s.h)
					send(t, c, "POST", "/login?user=ann", "")
					private, public := newTab(t, s.h, c, path), newTab(t, s.h, c, "/room/tea")
					private.open()
					public.open()
					write("welcome")
					private.read()
					private.shows("room", "welcome")

					end(s, private)
					settle()
					if !private.over() {
						t.Fatal("the stream goes on")
					}
					write("secret")
					private.read()
					private.shows("room", "welcome")
					private.open()
					if !private.over() || private.wire.status != http.StatusForbidden {
						t.Errorf("the client that came back was answered with %d", private.wire.status)
					}
					public.read()
					public.shows("room", "secret")
				})
			})
		}
	}
}

// A stream of a key that a session may see keeps that session alive as others do.
//
// Proves L15.
func TestStreamsOfKeysKeepTheirSessionAlive(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := newLiveSite(t, nil, func(o *stay.Options) { o.IdleTimeout = 10 * time.Minute; o.Lifetime = 24 * time.Hour })
		s.mux.Handle("GET /private", web.Live(web.PartAt("room", s.rooms, func(r *http.Request) (string, error) {
			if user := stay.SessionFrom(r.Context()).User(); user != "" {
				return user, nil
			}
			return "", stay.ErrDenied
		}, func(w io.Writer, n *Note) error { _, err := fmt.Fprint(w, n.Text); return err })))
		c := browser(s.h)
		send(t, c, "POST", "/login?user=ann", "")
		p := newTab(t, s.h, c, "/private")
		p.open()
		for range 5 {
			sleep(10*time.Minute - time.Second)
			p.read()
			p.ended(100*time.Millisecond, 1200*time.Millisecond)
			p.open()
			if p.over() {
				t.Fatalf("the client that came back was answered with %d", p.wire.status)
			}
		}
	})
}
