package web_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/sse"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
	"github.com/stay-go/stay/web"
)

// A state that a part sees by its key and as that of the session is followed both
// ways: the session may move to another key.
//
// Proves L6.
func TestLivePartOfFollowsTwoWaysToOneState(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := newLiveSite(t, nil, func(o *stay.Options) { o.KeepCookieOnKeyChange = true })
		s.mux.HandleFunc("/go", web.Handle(func(_ http.ResponseWriter, r *http.Request) error {
			_, err := s.rooms.Update(r.Context(), func(n *Note) error { n.Name = r.FormValue("room"); return nil })
			return err
		}))
		s.mux.Handle("GET /two", web.Live(web.PartOf(s.app, "two", func(w io.Writer, r *http.Request) error {
			tea, err := web.Look(r.Context(), s.rooms.At("tea"))
			if err != nil {
				return err
			}
			here, err := web.Look(r.Context(), s.rooms)
			if err != nil {
				return err
			}
			_, err = fmt.Fprint(w, tea.Text, "|", here.Text)
			return err
		})))
		s.writeRoom(t, "tea", "Assam")
		s.writeRoom(t, "coffee", "Java")
		c := browser(s.h)
		send(t, c, "POST", "/go?room=tea", "")
		p := newTab(t, s.h, c, "/two")
		p.open()
		p.shows("two", "Assam|Assam")
		settle()
		p.post("/go?room=coffee")
		settle()
		p.read()
		p.shows("two", "Assam|Java")
		s.writeRoom(t, "coffee", "Arabica")
		settle()
		p.read()
		p.shows("two", "Assam|Arabica")
	})
}

// A damaged record leaves a part as it is until it is repaired, by another node too:
// then the part is made again, whether its function had to read that record only or
// had seen others before.
//
// Proves L19.
func TestLivePartOfIsMadeAgainWhenARecordIsRepaired(t *testing.T) {
	for _, before := range []bool{false, true} {
		t.Run(fmt.Sprint(before), func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				nodes := memstore.Shared(2)
				write := func(base store.Revision, value string) {
					t.Helper()
					res := nodes[1].Commit(t.Context(), []store.Group{{{Key: "global/board/", Base: base, Value: []byte(value), Version: 1}}})
					if res[0].Err != nil {
						t.Fatal(res[0].Err)
					}
				}
				write(0, "{")
				app := stay.New(nodes[0], &stay.Options{Logger: slog.New(slog.DiscardHandler)})
				t.Cleanup(func() { app.Close(context.Background()) })
				board := stay.Register(app, stay.Module[Board]{Name: "board", Persist: stay.Global})
				other := stay.Register(app, stay.Module[Board]{Name: "other", Persist: stay.Global})
				h := web.Sessions(app, nil)(web.Live(web.PartOf(app, "part", func(w io.Writer, r *http.Request) error {
					if before {
						if _, err := web.Look(r.Context(), other); err != nil {
							return err
						}
					}
					b, err := web.Look(r.Context(), board)
					if err != nil {
						return err
					}
					return showBoard(w, b)
				})))
				p := newTab(t, h, browser(h), "/")
				p.page["part"] = "shown before"
				p.open()
				sleep(time.Minute)
				p.want()
				recs, err := nodes[1].Load(t.Context(), []store.Read{{Key: "global/board/"}})
				if err != nil {
					t.Fatal(err)
				}
				write(recs[0].Revision, `{"text":"repaired"}`)
				sleep(time.Minute)
				p.read()
				p.shows("part", "repaired")
			})
		})
	}
}

// A function that fails may not have come to all that its page shows. So whoever has
// the page open stays present there, whether the function tells of the error or
// copes with it. What the page does not show afterwards is left then.
//
// Proves L24, L25.
func TestLivePartOfThatFailsLeavesNobodyBehind(t *testing.T) {
	for _, copes := range []bool{false, true} {
		t.Run(fmt.Sprint(copes), func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				faulty := storefault.Wrap(memstore.New(), nil)
				app := stay.New(memstore.New(), &stay.Options{Logger: slog.New(slog.DiscardHandler)})
				t.Cleanup(func() { app.Close(context.Background()) })
				board := stay.Register(app, stay.Module[Board]{Name: "board", Persist: stay.Global, Store: faulty})
				var broken atomic.Bool
				var hooks []string
				rooms := stay.Register(app, stay.Module[Note]{
					Name: "room", Persist: stay.WithKey(func(n *Note) string { return n.Name }), Presence: true,
					OnConnect:    func(_ *stay.Call, n *Note) { hooks = append(hooks, "+"+n.Name) },
					OnDisconnect: func(_ *stay.Call, n *Note) { hooks = append(hooks, "-"+n.Name) },
				})
				own := stay.Register(app, stay.Module[Board]{Name: "own", Persist: stay.PerSession})
				mux := http.NewServeMux()
				mux.Handle("POST /touch", web.Update(own, func(_ http.ResponseWriter, _ *http.Request, b *Board) error { b.Text += "x"; return nil }))
				mux.Handle("GET /live", web.Live(web.PartOf(app, "part", func(w io.Writer, r *http.Request) error {
					mine, err := web.Look(r.Context(), own)
					if err != nil {
						return err
					}
					b, err := web.Look(r.Context(), board)
					switch {
					case err != nil && copes:
						_, err = fmt.Fprint(w, "not known ", mine.Text)
						return err
					case err != nil || b.Text == "":
						return err
					}
					if _, err = web.Look(r.Context(), rooms.At(b.Text)); err == nil && broken.Load() {
						err = errBroken
					}
					return err
				})))
				h := web.Sessions(app, nil)(mux)
				for _, room := range []string{"tea", "coffee"} {
					if _, err := rooms.At(room).Update(t.Context(), func(n *Note) error { n.Name = room; return nil }); err != nil {
						t.Fatal(err)
					}
				}
				move := func(room string) {
					t.Helper()
					if _, err := board.Update(t.Context(), func(b *Board) error { b.Text = room; return nil }); err != nil {
						t.Fatal(err)
					}
				}
				move("tea")
				c := browser(h)
				send(t, c, "POST", "/touch", "")
				p := newTab(t, h, c, "/live")
				p.open()
				settle()
				heard := func(want ...string) {
					t.Helper()
					if !slices.Equal(hooks, want) {
						t.Fatalf("hooks: %q, want %q", hooks, want)
					}
				}
				heard("+tea")
				evict(app)
				outage := faulty.Add(storefault.Rule{Op: storefault.Load, Fault: storefault.Fail(storefault.ErrInjected)})
				p.post("/touch")
				sleep(2 * time.Minute)
				heard("+tea")
				outage.Remove()
				sleep(2 * time.Minute)
				heard("+tea")

				evict(app)
				outage = faulty.Add(storefault.Rule{Op: storefault.Load, Fault: storefault.Fail(storefault.ErrInjected)})
				p.post("/touch")
				sleep(time.Minute)
				outage.Remove()
				move("coffee")
				sleep(2 * time.Minute)
				heard("+tea", "+coffee", "-tea")

				broken.Store(true) // it fails when it has seen all
				p.post("/touch")
				sleep(time.Minute)
				broken.Store(false)
				move("")
				sleep(2 * time.Minute)
				heard("+tea", "+coffee", "-tea", "-coffee")
				if p.over() {
					t.Error("the stream is over")
				}
			})
		})
	}
}

// A session has so many streams, also of parts that look at its states later than at
// the beginning.
//
// Proves L18.
func TestLivePartOfCountsForItsSessionFromTheBeginning(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := newLiveSite(t, nil)
		s.mux.Handle("GET /late", web.Live(web.PartOf(s.app, "late", func(w io.Writer, r *http.Request) error {
			news, err := web.Look(r.Context(), s.news)
			if err != nil || news.Text == "" {
				return err
			}
			mine, err := web.Look(r.Context(), s.mine)
			if err != nil {
				return err
			}
			return showBoard(w, mine)
		})))
		c := browser(s.h)
		send(t, c, "POST", "/login?user=ann", "")
		var all []*tab
		for range 9 {
			p := newTab(t, s.h, c, "/late")
			p.open()
			all = append(all, p)
		}
		s.publish(t, "news")
		settle()
		n := 0
		for _, p := range all {
			if !p.over() {
				n++
			}
		}
		if n != 4 {
			t.Errorf("the session has %d streams, want 4", n)
		}
	})
}

// The query is a part of the address of a page, but not the signals that Datastar
// adds to it.
//
// Proves L23.
func TestLivePartOfIsOfThePageWithItsQuery(t *testing.T) {
	for _, d := range dialects {
		t.Run(fmt.Sprint(d), func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				s := newLiveSite(t, &web.Options{Live: web.LiveOptions{Several: web.KickOld}})
				s.mux.Handle("GET /room", web.Live(web.PartOf(s.app, "room", func(w io.Writer, r *http.Request) error {
					room, err := web.Look(r.Context(), s.rooms.At(r.FormValue("room")))
					if err != nil {
						return err
					}
					_, err = fmt.Fprint(w, room.Text)
					return err
				})))
				c := browser(s.h)
				send(t, c, "POST", "/login?user=ann", "")
				open := func(query string) *tab {
					p := newTab(t, s.h, c, "/room?"+query)
					p.dialect = d
					p.open()
					return p
				}
				signals := func(of string) string {
					if d == sse.Datastar || d == sse.Fragments {
						return "&datastar=" + url.QueryEscape(of)
					}
					return ""
				}
				tea, coffee := open("room=tea"+signals(`{"a":1}`)), open("room=coffee")
				if tea.over() {
					t.Fatal("a page of another address was stopped")
				}
				again := open("room=tea" + signals(`{"a":2}`))
				tea.stopped()
				if coffee.over() || again.over() {
					t.Error("a page of another address, or the new one, was stopped")
				}
			})
		})
	}
}
