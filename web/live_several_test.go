package web_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/sse"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/web"
)

// A severalSite has streams of everybody's states, of keys, and of a session, by a
// policy.
func severalSite(t *testing.T, policy web.Several) *liveSite {
	s := newLiveSite(t, &web.Options{Live: web.LiveOptions{Several: policy, MaxAge: time.Hour, Max: 7}})
	room := func(r *http.Request) (string, error) { return r.PathValue("room"), nil }
	s.mux.Handle("GET /room/{room}", web.Live(web.PartAt("room", s.rooms, room, func(w io.Writer, n *Note) error {
		_, err := fmt.Fprint(w, n.Text)
		return err
	})))
	return s
}

// stopped checks that the stream has ended, in the way that has the client stay away
// for good: also if it asks again.
func (p *tab) stopped() {
	p.t.Helper()
	if !p.over() {
		p.t.Fatal("the stream goes on")
	}
	p.read()
	if p.broken {
		p.t.Error("the connection broke, and the client comes back")
	}
	if p.dialect.Breaks() {
		return // a clean end is final
	}
	if p.id != sse.Stop {
		p.t.Errorf("the client would come back with the id %q", p.id)
	}
	p.open()
	if !p.over() || p.wire.status != p.dialect.StopStatus() || len(p.raw) != 0 {
		p.t.Errorf("the client asked again, and got %d %q", p.wire.status, p.raw)
	}
}

// Several pages of one session may have a stream open, or the last or the first of
// them: each client is told in its own language to stay away. A page that is loaded
// again is the one that counts. Streams of other handlers, keys and sessions are not
// concerned, and neither are those without a session.
//
// Proves A20, L23.
func TestSeveralPagesOfASession(t *testing.T) {
	for _, d := range dialects {
		for _, path := range []string{"/live", "/room/tea"} {
			run := func(name string, policy web.Several, test func(s *liveSite, open func() *tab)) {
				t.Run(fmt.Sprint(name, d, path), func(t *testing.T) {
					inBubble(t, func(t *testing.T) {
						s := severalSite(t, policy)
						c := browser(s.h)
						send(t, c, "POST", "/login?user=ann", "")
						page := func(c *http.Client, path string) *tab {
							p := newTab(t, s.h, c, path)
							p.dialect = d
							p.open()
							return p
						}
						other := browser(s.h)
						send(t, other, "POST", "/login?user=ann", "")
						others := []*tab{page(other, path), page(c, "/public"), page(c, "/room/coffee")}
						if policy == web.AllowMultiple {
							others[1].close()
							others[1].open()
						}
						test(s, func() *tab { return page(c, path) })
						for _, p := range others {
							if p.over() {
								t.Error("a stream of something else has ended")
							}
						}
					})
				})
			}
			run("AllowMultiple", web.AllowMultiple, func(_ *liveSite, open func() *tab) {
				first, second := open(), open()
				if first.over() || second.over() {
					t.Error("a stream has ended")
				}
			})
			run("KickOld", web.KickOld, func(_ *liveSite, open func() *tab) {
				first := open()
				second := open()
				first.stopped()
				second.close()
				second.open() // the client comes back
				if second.over() {
					t.Error("the client came back, and its stream has ended")
				}
				first.id = ""
				first.open() // is loaded again
				second.stopped()
				if first.over() {
					t.Error("the newest stream has ended")
				}
			})
			run("RejectNew", web.RejectNew, func(_ *liveSite, open func() *tab) {
				first := open()
				second := open()
				sleep(2 * time.Second)
				if second.over() || first.over() {
					t.Error("it was not waited for the first to end")
				}
				sleep(time.Second)
				second.stopped()
				if len(second.page) != 0 {
					t.Errorf("the refused page got %q", second.page)
				}
				third := open() // the first is loaded again
				sleep(time.Second)
				first.close()
				sleep(10 * time.Second)
				if third.over() {
					t.Error("a page that was loaded again has no stream")
				}
				third.close()
				second.id = ""
				second.open()
				sleep(10 * time.Second)
				if second.over() {
					t.Error("nobody else is there, and the stream has ended")
				}
				for range 20 { // those that were refused take no place
					p := open()
					sleep(4 * time.Second)
					p.stopped()
				}
			})
		}
	}
}

// A policy that is none is refused at the start.
func TestPoliciesAreChecked(t *testing.T) {
	defer func() {
		if e := recover(); e == nil || !strings.Contains(fmt.Sprint(e), "Options.Live.Several") {
			t.Errorf("the panic is %v", e)
		}
	}()
	web.Sessions(stay.New(memstore.New(), nil), &web.Options{Live: web.LiveOptions{Several: 7}})
}

// A part that shows who is present is sent when somebody comes or goes, and not when
// a page is loaded again; a client that was told to come back is present all the
// while. A page that was refused is not present.
//
// Proves L24.
func TestAPartShowsWhoIsPresent(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := newSite(t)
		board := stay.Register(s.app, stay.Module[Board]{Name: "board", Persist: stay.Global, Presence: true})
		mux := http.NewServeMux()
		mux.Handle("GET /live", web.Live(
			web.Part("here", board, func(w io.Writer, b *Board) error {
				all, err := board.Present(context.Background())
				if err != nil {
					return err
				}
				pages := 0
				for _, p := range all {
					pages += p.Pages
				}
				_, err = fmt.Fprint(w, b.Text, len(all), " with ", pages)
				return err
			}),
			web.Part("count", s.counter, func(w io.Writer, c *Counter) error { _, err := fmt.Fprint(w, c.Count); return err })))
		h := web.Sessions(s.app, &web.Options{Live: web.LiveOptions{Several: web.RejectNew}})(mux)
		open := func() *tab {
			p := newTab(t, h, browser(h), "/live")
			p.open()
			return p
		}
		first := open()
		settle()
		first.read()
		first.shows("here", "1 with 1")
		second := open()
		settle()
		first.want("here")
		first.shows("here", "2 with 2")
		for range 3 {
			second.close()
			sleep(8 * time.Second)
			second.open()
			settle()
		}
		refused := newTab(t, h, second.browser, "/live")
		refused.open()
		sleep(5 * time.Second)
		refused.stopped()
		first.want() // nothing has changed
		second.close()
		sleep(11 * time.Second)
		first.want("here")
		first.shows("here", "1 with 1")
		first.close()
		sleep(time.Minute)
		first.open()
		settle()
		first.want() // it is as it was: the page has it
	})
}

// A page whose first part belongs to nobody is its session's, which another part
// begins, for hooks as well.
//
// Proves L25.
func TestHooksHearOfASessionThatAPageBegins(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := newSite(t)
		var heard []string
		board := stay.Register(s.app, stay.Module[Board]{
			Name: "board", Persist: stay.Global,
			OnConnect: func(c *stay.Call, _ *Board) { heard = append(heard, c.Session().ID()) },
		})
		h := web.Sessions(s.app, nil)(web.Live(web.Part("board", board, showBoard),
			web.Part("count", s.counter, func(w io.Writer, c *Counter) error { _, err := fmt.Fprint(w, c.Count); return err })))
		p := newTab(t, h, browser(h), "/live")
		p.open()
		settle()
		if len(heard) != 1 || len(heard[0]) != 32 {
			t.Errorf("OnConnect heard of %q", heard)
		}
	})
}

// Over real connections a page that is loaded again gets its stream, and one that is
// kicked is told so; the hooks hear of the first page, and nothing stays behind.
//
// Proves L23, L25.
func TestPagesOverRealConnections(t *testing.T) {
	for name, policy := range map[string]web.Several{"KickOld": web.KickOld, "RejectNew": web.RejectNew} {
		t.Run(name, func(t *testing.T) {
			protocols(t, func(t *testing.T, srv *httptest.Server, start func()) {
				app := stay.New(memstore.New(), nil)
				connected := make(chan string, 10)
				board := stay.Register(app, stay.Module[Board]{
					Name: "board", Persist: stay.PerSession,
					OnConnect: func(c *stay.Call, _ *Board) { connected <- c.Session().ID() },
				})
				mux := http.NewServeMux()
				mux.Handle("GET /live", web.Live(web.Part("board", board, showBoard)))
				mux.HandleFunc("/", web.Update(board, func(w http.ResponseWriter, r *http.Request, b *Board) error {
					b.Text = "written"
					_, err := fmt.Fprint(w, stay.SessionFrom(r.Context()).ID())
					return err
				}))
				srv.Config.Handler = web.Sessions(app, &web.Options{Live: web.LiveOptions{Several: policy}})(mux)
				start()
				client := srv.Client()
				client.Jar, _ = cookiejar.New(nil)
				res, err := client.Post(srv.URL+"/", "", nil)
				if err != nil {
					t.Fatal(err)
				}
				id, _ := io.ReadAll(res.Body)
				res.Body.Close()
				stream := func(ctx context.Context) (*bufio.Reader, func()) {
					r, _ := http.NewRequestWithContext(ctx, "GET", srv.URL+"/live", nil)
					res, err := client.Do(r)
					if err != nil {
						t.Fatal(err)
					}
					return bufio.NewReader(res.Body), func() { res.Body.Close() }
				}
				for range 3 { // loads of one page: the connection ends as the next request is sent
					ctx, cancel := context.WithCancel(t.Context())
					b, end := stream(ctx)
					line(t, b, "written")
					cancel()
					end()
				}
				first, endFirst := stream(t.Context())
				defer endFirst()
				line(t, first, "written")
				second, endSecond := stream(t.Context())
				defer endSecond()
				if policy == web.KickOld {
					line(t, first, "id: stop")
					line(t, second, "written")
				} else {
					line(t, second, "id: stop")
				}
				if got := <-connected; got != string(id) {
					t.Errorf("OnConnect heard of the session %q, want %q", got, id)
				}
				if len(connected) != 0 {
					t.Error("OnConnect was called for a page that was loaded again")
				}
				if err := app.Close(t.Context()); err != nil {
					t.Error(err)
				}
			})
		})
	}
}
