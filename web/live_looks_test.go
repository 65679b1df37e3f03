package web_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/testseed"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
	"github.com/stay-go/stay/web"
)

// threePart shows a state of each kind in one part: that of everybody, that of the
// key in the address, and that of the user.
func (s *liveSite) threePart(id string) web.LivePart {
	return web.PartOf(s.app, id, func(w io.Writer, r *http.Request) error {
		news, err := web.Look(r.Context(), s.news)
		if err != nil {
			return err
		}
		room, err := web.Look(r.Context(), s.rooms.At(r.PathValue("room")))
		if err != nil {
			return err
		}
		mine, err := web.Look(r.Context(), s.mine)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(w, "%s|%s|%s", news.Text, room.Text, mine.Text)
		return err
	})
}

func (s *liveSite) writeRoom(t *testing.T, room, text string) {
	t.Helper()
	if _, err := s.rooms.At(room).Update(t.Context(), func(n *Note) error { n.Name, n.Text = room, text; return nil }); err != nil {
		t.Fatal(err)
	}
}

// A part of several states is sent when one of them has changed what it shows, once
// for several changes, and not when nothing is different.
//
// Proves L9, L11, L12.
func TestLivePartOfFollowsEachState(t *testing.T) {
	for _, d := range dialects {
		t.Run(fmt.Sprint(d), func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				s := newLiveSite(t, nil)
				s.mux.Handle("GET /room/{room}", web.Live(s.countPart(), s.threePart("three")))
				c := browser(s.h)
				send(t, c, "POST", "/login?user=ann", "")
				p := newTab(t, s.h, c, "/room/tea")
				p.dialect = d
				p.open()
				p.shows("three", "||")
				settle()
				p.want()
				s.publish(t, "news")
				p.want("three")
				settle()
				s.writeRoom(t, "tea", "Assam")
				p.want("three")
				settle()
				p.post("/write?text=mine")
				p.want("three")
				p.shows("three", "news|Assam|mine")
				s.writeRoom(t, "coffee", "Java")
				settle()
				p.want()
				p.post("/count")
				p.want("count")
				s.publish(t, "1") // within Every
				s.writeRoom(t, "tea", "2")
				p.post("/write?text=3")
				settle()
				p.want("three")
				p.shows("three", "1|2|3")

				p.close()
				p.open() // it has what there is
				p.want()
				p.close()
				s.writeRoom(t, "tea", "Ceylon")
				p.open()
				p.shows("three", "1|Ceylon|3")
			})
		})
	}
}

// Whatever changes, comes and goes in whatever order, the page shows in the end what
// a fresh page shows, and no part comes twice as it was.
//
// Proves L7, L9.
func TestLivePartOfConverges(t *testing.T) {
	random := rand.New(rand.NewPCG(testseed.New(t), 1))
	for range 10 {
		inBubble(t, func(t *testing.T) {
			s := newLiveSite(t, nil)
			s.mux.Handle("GET /room/{room}", web.Live(s.newsPart(), s.threePart("three")))
			c := browser(s.h)
			send(t, c, "POST", "/login?user=ann", "")
			p := newTab(t, s.h, c, "/room/tea")
			p.open()
			last := p.page["three"]
			look := func() {
				t.Helper()
				n := len(p.changed)
				if p.read(); slices.Contains(p.changed[n:], "three") && p.page["three"] == last {
					t.Fatalf("%q came twice", last)
				}
				last = p.page["three"]
			}
			for range 60 {
				text := fmt.Sprint(random.IntN(3))
				switch random.IntN(8) {
				case 0:
					s.publish(t, text)
				case 1:
					s.writeRoom(t, "tea", text)
				case 2:
					p.post("/write?text=" + text)
				case 3:
					evict(s.app)
				case 4:
					_ = s.rooms.At("tea").Delete(t.Context())
				case 5:
					p.close()
					p.open()
				default:
					sleep(time.Duration(random.IntN(80)) * time.Millisecond)
				}
				look()
			}
			settle()
			look()
			fresh := newTab(t, s.h, c, "/room/tea")
			fresh.open()
			if fresh.page["three"] != p.page["three"] {
				t.Fatalf("the page shows %q, a fresh one %q", p.page["three"], fresh.page["three"])
			}
		})
	}
}

// A change that comes while the function runs, to what it has seen already, calls it
// once more.
//
// Proves L3, L6.
func TestLivePartOfMissesNothingWhileItIsMade(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := newLiveSite(t, nil)
		during := func() {}
		s.mux.Handle("GET /two", web.Live(web.PartOf(s.app, "two", func(w io.Writer, r *http.Request) error {
			news, err := web.Look(r.Context(), s.news)
			if err != nil {
				return err
			}
			during()
			during = func() {}
			room, err := web.Look(r.Context(), s.rooms.At("tea"))
			if err != nil {
				return err
			}
			_, err = fmt.Fprint(w, news.Text, "|", room.Text)
			return err
		})))
		during = func() { s.publish(t, "first") }
		p := s.tab(t, "/two")
		settle()
		p.read()
		p.shows("two", "first|")
		during = func() { s.publish(t, "second"); s.writeRoom(t, "tea", "Assam") }
		s.writeRoom(t, "tea", "Java")
		settle()
		p.read()
		p.shows("two", "second|Assam")
	})
}

// Which states a part shows may follow from others. What it has left does not call
// its function any more, and nobody is present there.
//
// Proves L5, L24.
func TestLivePartOfLeavesWhatItDoesNotShow(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := newLiveSite(t, nil)
		boards := stay.Register(s.app, stay.Module[Note]{Name: "boards", Persist: stay.WithKey(func(n *Note) string { return n.Name }), Presence: true})
		write := func(key, text string) {
			if _, err := boards.At(key).Update(t.Context(), func(n *Note) error { n.Name, n.Text = key, text; return nil }); err != nil {
				t.Fatal(err)
			}
			settle()
		}
		present := func(key string) int {
			all, err := boards.At(key).Present(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return len(all)
		}
		calls := 0
		s.mux.Handle("GET /chosen", web.Live(s.countPart(), web.PartOf(s.app, "board", func(w io.Writer, r *http.Request) error {
			calls++
			news, err := web.Look(r.Context(), s.news)
			if err != nil {
				return err
			}
			board, err := web.Look(r.Context(), boards.At(news.Text))
			if err != nil {
				return err
			}
			_, err = fmt.Fprint(w, board.Text)
			return err
		})))
		s.publish(t, "a")
		write("a", "A")
		write("b", "B")
		p := s.tab(t, "/chosen")
		settle()
		p.shows("board", "A")
		s.publish(t, "b")
		settle()
		p.read()
		p.shows("board", "B")
		p.post("/count") // a look for another part
		sleep(time.Minute)
		if a, b := present("a"), present("b"); a != 0 || b != 1 {
			t.Errorf("%d present at a and %d at b", a, b)
		}
		before := calls
		write("a", "A2")
		p.post("/count")
		settle()
		if calls != before {
			t.Errorf("the function was called %d times for what it does not show", calls-before)
		}
		write("b", "B2")
		p.read()
		p.shows("board", "B2")
		s.publish(t, "a")
		settle()
		p.read()
		p.shows("board", "A2")
	})
}

// A right that is itself a state ends at once: the stream ends without another
// message, and the client that comes back is refused. With the right it is let in.
//
// Proves L14.
func TestLivePartOfRefusesWhoseRightIsOver(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := newLiveSite(t, nil)
		s.mux.Handle("GET /members", web.Live(s.newsPart(), web.PartOf(s.app, "room", func(w io.Writer, r *http.Request) error {
			members, err := web.Look(r.Context(), s.rooms.At("members"))
			if err != nil {
				return err
			}
			if !strings.Contains(members.Text, stay.SessionFrom(r.Context()).User()) {
				return &stay.Error{Code: stay.ErrDenied, Message: "members only"}
			}
			room, err := web.Look(r.Context(), s.rooms.At("tea"))
			if err != nil {
				return err
			}
			_, err = fmt.Fprint(w, room.Text)
			return err
		})))
		s.writeRoom(t, "members", "ann,bob")
		s.writeRoom(t, "tea", "Assam")
		c := browser(s.h)
		send(t, c, "POST", "/login?user=ann", "")
		p := newTab(t, s.h, c, "/members")
		p.open()
		p.shows("room", "Assam")
		settle()
		s.writeRoom(t, "members", "bob")
		s.publish(t, "for members")
		s.writeRoom(t, "tea", "secret")
		p.want()
		p.ended(300*time.Millisecond, 600*time.Millisecond)
		p.open()
		if !p.over() || p.wire.status != http.StatusForbidden {
			t.Errorf("the client that came back was answered with %d", p.wire.status)
		}
		s.writeRoom(t, "members", "ann")
		p.open()
		p.shows("room", "secret", "news", "for members")
	})
}

// When the session is over, a part of its states is sent in their initial state.
//
// Proves L14.
func TestLivePartOfClearsWhatWasAnEndedSessions(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := newLiveSite(t, nil)
		s.publish(t, "news")
		c := browser(s.h)
		send(t, c, "POST", "/login?user=ann", "")
		send(t, c, "POST", "/write?text=secret", "")
		p := newTab(t, s.h, c, "/three/tea")
		p.open()
		p.shows("three", "news||secret")
		settle()
		if err := s.app.Revoke(t.Context(), "ann"); err != nil {
			t.Fatal(err)
		}
		p.want()
		p.ended(300*time.Millisecond, 600*time.Millisecond)
		p.open()
		p.shows("three", "news||")
		p.ended(5*time.Second, 10*time.Second)
	})
}

// A session that ends while the function runs ends the stream, whatever the function
// makes of the error.
//
// Proves L14.
func TestLivePartOfEndsWithItsSessionWhileItIsMade(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := newLiveSite(t, nil)
		during := func() {}
		s.mux.Handle("GET /copes", web.Live(web.PartOf(s.app, "mine", func(w io.Writer, r *http.Request) error {
			if _, err := web.Look(r.Context(), s.news); err != nil {
				return err
			}
			during()
			mine, err := web.Look(r.Context(), s.mine)
			if err != nil {
				mine = &Board{Text: "nothing"}
			}
			return showBoard(w, mine)
		})))
		c := browser(s.h)
		send(t, c, "POST", "/login?user=ann", "")
		send(t, c, "POST", "/write?text=hers", "")
		p := newTab(t, s.h, c, "/copes")
		p.open()
		p.shows("mine", "hers")
		settle()
		during = func() {
			if err := s.app.Revoke(t.Context(), "ann"); err != nil {
				t.Error(err)
			}
		}
		s.publish(t, "news")
		p.want()
		p.ended(300*time.Millisecond, 600*time.Millisecond)
	})
}

// A part that looks at no state of a session begins none and sets no cookie.
//
// Proves L22.
func TestLivePartOfBeginsNoSessionByItself(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := newLiveSite(t, nil)
		s.mux.Handle("GET /all", web.Live(web.PartOf(s.app, "all", func(w io.Writer, r *http.Request) error {
			news, err := web.Look(r.Context(), s.news)
			if err != nil {
				return err
			}
			return showBoard(w, news)
		})))
		p := s.tab(t, "/all")
		if cookie := p.wire.header.Get("Set-Cookie"); cookie != "" {
			t.Errorf("the stream sets %q", cookie)
		}
		s.publish(t, "news")
		settle()
		p.read()
		p.shows("all", "news")
	})
}

// Streams of one address are of one page, and those of two are not.
//
// Proves L23.
func TestLivePartOfIsOfThePageAtItsAddress(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := newLiveSite(t, &web.Options{Live: web.LiveOptions{Several: web.KickOld}})
		c := browser(s.h)
		send(t, c, "POST", "/login?user=ann", "")
		open := func(path string) *tab {
			p := newTab(t, s.h, c, path)
			p.open()
			return p
		}
		tea, coffee := open("/three/tea"), open("/three/coffee")
		again := open("/three/tea")
		tea.stopped()
		if coffee.over() || again.over() {
			t.Error("a page of something else, or the new one, was stopped")
		}
	})
}

// A state that cannot be read leaves the part as it is, or is left to the function,
// and is asked for again. So it is with an error of the function, which is in the
// log once for each version.
//
// Proves L19.
func TestLivePartOfOutlivesFailures(t *testing.T) {
	for _, copes := range []bool{false, true} {
		t.Run(fmt.Sprint(copes), func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				log := &logBuffer{}
				faulty := storefault.Wrap(memstore.New(), nil)
				app := stay.New(faulty, &stay.Options{Logger: slog.New(slog.NewTextHandler(log, nil))})
				t.Cleanup(func() { app.Close(context.Background()) })
				board := stay.Register(app, stay.Module[Board]{Name: "board", Persist: stay.Global})
				var broken atomic.Bool
				h := web.Sessions(app, nil)(web.Live(web.PartOf(app, "part", func(w io.Writer, r *http.Request) error {
					b, err := web.Look(r.Context(), board)
					switch {
					case err != nil && copes:
						b = &Board{Text: "not known"}
					case err != nil:
						return err
					case broken.Load():
						panic(errBroken)
					}
					return showBoard(w, b)
				})))
				change := func(text string) {
					if _, err := board.Update(t.Context(), func(b *Board) error { b.Text = text; return nil }); err != nil {
						t.Fatal(err)
					}
				}
				change("stored")
				evict(app)
				outage := faulty.Add(storefault.Rule{Op: storefault.Load, Fault: storefault.Fail(storefault.ErrInjected)})
				p := newTab(t, h, browser(h), "/")
				p.page["part"] = "shown before"
				p.open()
				for range 5 {
					sleep(time.Minute)
				}
				p.read()
				want := "shown before"
				if copes {
					want = "not known"
				}
				p.shows("part", want)
				outage.Remove()
				sleep(time.Minute)
				p.want("part")
				p.shows("part", "stored")

				already := strings.Count(log.String(), "stays as it is")
				times := func() int { return strings.Count(log.String(), "stays as it is") - already }
				broken.Store(true)
				change("broken")
				sleep(5 * time.Minute)
				p.want()
				if n := times(); n != 1 || p.over() {
					t.Errorf("the log says it %d times, and the stream is over: %t\n%s", n, p.over(), log)
				}
				change("broken too")
				settle()
				if n := times(); n != 2 {
					t.Errorf("of two versions the log says it %d times\n%s", n, log)
				}
				broken.Store(false)
				sleep(time.Minute)
				p.want("part")
				p.shows("part", "broken too")
			})
		})
	}
}

// One function makes the part for the page and for the stream: outside of a stream
// Look reads, and a key without a state has the initial one.
func TestLookReadsOutsideOfAStream(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := newLiveSite(t, nil)
		var kept context.Context
		calls := 0
		show := func(w io.Writer, r *http.Request) error {
			kept = r.Context()
			calls++
			n, err := web.Look(r.Context(), s.rooms.At(r.PathValue("room")))
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(w, "(%s)", n.Text)
			return err
		}
		s.mux.Handle("GET /page/{room}", web.Handle(func(w http.ResponseWriter, r *http.Request) error { return show(w, r) }))
		s.mux.Handle("GET /room/{room}", web.Live(web.PartOf(s.app, "room", show)))
		c := browser(s.h)
		for _, want := range []string{"()", "(Assam)"} {
			if a := send(t, c, "GET", "/page/tea", ""); a.status != 200 || a.body != want {
				t.Errorf("the page: %d %q, want %q", a.status, a.body, want)
			}
			p := newTab(t, s.h, c, "/room/tea")
			p.open()
			p.shows("room", want)
			p.close()
			s.writeRoom(t, "tea", "Assam")
		}
		// The function has returned: its context reads, and follows nothing.
		if n, err := web.Look(kept, s.rooms.At("tea")); err != nil || n.Text != "Assam" {
			t.Errorf("after the function: %v, %v", n, err)
		}
		p := newTab(t, s.h, c, "/room/coffee")
		p.open()
		settle()
		before := calls
		for range 2 {
			if _, err := web.Look(kept, s.news); err != nil {
				t.Error(err)
			}
			s.publish(t, fmt.Sprint("news ", calls))
			s.writeRoom(t, "tea", "Ceylon")
			settle()
		}
		if calls != before {
			t.Error("a look after the function has returned is followed")
		}
		if _, err := web.Look(t.Context(), s.mine); stay.CodeOf(err) != stay.ErrNoSession {
			t.Errorf("without a session: %v", err)
		}
	})
}
