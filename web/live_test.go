package web_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/sse"
	"github.com/stay-go/stay/web"
)

// Each client gets the parts of its page when it opens it, and then each part that
// changes, in its own language.
//
// Proves L9, L16.
func TestLiveKeepsAPageUpToDate(t *testing.T) {
	for _, d := range dialects {
		t.Run(fmt.Sprint(d), func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				s := newLiveSite(t, nil)
				s.publish(t, "<b>one</b>\r<i>two</i>")
				p := newTab(t, s.h, browser(s.h), "/live")
				p.dialect = d
				p.open()
				if got := p.page["news"]; got != "<b>one</b>\n<i>two</i>" || p.page["mine"] != "" || p.page["count"] != "0" {
					t.Errorf("the page shows %q", p.page)
				}
				settle()
				p.want()
				s.publish(t, "three")
				p.want("news")
				p.shows("news", "three")
				settle()
				p.post("/count")
				p.want("count")
				p.shows("count", "1")
				settle()
				p.post("/write?text=mine")
				p.want("mine")
				s.publish(t, "three") // nothing has changed
				settle()
				p.want()
			})
		})
	}
}

// A part that writes its whole element replaces it.
//
// Proves L16.
func TestLivePartsMayBeWholeElements(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := newLiveSite(t, nil)
		s.mux.Handle("GET /whole", web.Live(web.Part("news", s.news, func(w io.Writer, b *Board) error {
			_, err := fmt.Fprintf(w, "<p id=\"news\">%s</p>", b.Text)
			return err
		})))
		for _, d := range dialects[1:] {
			p := newTab(t, s.h, browser(s.h), "/whole")
			p.dialect = d
			p.open()
			p.shows("news", `<p id="news"></p>`)
		}
	})
}

// A state of a key is that which the request names, and its function decides who
// sees it.
//
// Proves L9.
func TestLivePartAtHasAKey(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := newLiveSite(t, nil)
		s.mux.Handle("GET /room/{room}", web.Live(web.PartAt("room", s.rooms, func(r *http.Request) (string, error) {
			if r.PathValue("room") == "secret" {
				return "", &stay.Error{Code: stay.ErrDenied, Message: "members only"}
			}
			return r.PathValue("room"), nil
		}, func(w io.Writer, n *Note) error { _, err := fmt.Fprint(w, n.Text); return err })))
		write := func(room, text string) {
			if _, err := s.rooms.At(room).Update(t.Context(), func(n *Note) error { n.Name, n.Text = room, text; return nil }); err != nil {
				t.Fatal(err)
			}
		}
		tea, coffee := s.tab(t, "/room/tea"), s.tab(t, "/room/coffee")
		settle()
		write("tea", "Assam")
		tea.want("room")
		tea.shows("room", "Assam")
		coffee.want()
		write("coffee", "Java")
		coffee.want("room")
		tea.want()

		secret := newTab(t, s.h, browser(s.h), "/room/secret")
		secret.open()
		if !secret.over() || secret.wire.status != http.StatusForbidden {
			t.Errorf("a part that is refused was answered with %d", secret.wire.status)
		}
	})
}

// A part that depends on the request is made for each stream, with its request.
//
// Proves L11.
func TestLivePartForIsNotShared(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := newLiveSite(t, nil)
		s.mux.Handle("GET /for", web.Live(web.PartFor("news", s.news, func(w io.Writer, r *http.Request, b *Board) error {
			_, err := fmt.Fprint(w, r.Header.Get("Accept-Language"), b.Text)
			return err
		})))
		open := func(language string) *tab {
			p := newTab(t, s.h, browser(s.h), "/for")
			p.header.Set("Accept-Language", language)
			p.open()
			return p
		}
		de, en := open("de"), open("en")
		de.shows("news", "de")
		en.shows("news", "en")
		settle()
		s.publish(t, "!")
		de.want("news")
		en.want("news")
		de.shows("news", "de!")
		en.shows("news", "en!")
	})
}

// What is shared is rendered once for each version and dialect, whoever asks, from
// a copy that belongs to the function.
//
// Proves L11.
func TestLiveRendersOnceForAll(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := newLiveSite(t, nil)
		var n atomic.Int64
		s.mux.Handle("GET /counted", web.Live(web.Part("news", s.news, func(w io.Writer, b *Board) error {
			n.Add(1)
			_, err := fmt.Fprint(w, b.Text)
			b.Text = "spoiled"
			return err
		})))
		var tabs []*tab
		for i := range 40 {
			p := newTab(t, s.h, browser(s.h), "/counted")
			p.dialect = dialects[i%2]
			p.open()
			tabs = append(tabs, p)
		}
		if n.Load() != 2 {
			t.Errorf("40 pages of 2 dialects rendered %d times", n.Load())
		}
		settle()
		s.publish(t, "new")
		for _, p := range tabs {
			p.want("news")
			p.shows("news", "new")
		}
		if n.Load() != 4 {
			t.Errorf("after a change: %d renderings, want 4", n.Load())
		}
	})
}

// What is kept of renderings is bounded, in number and in bytes: the oldest go.
//
// Proves L11.
func TestLiveKeepsFewRenderings(t *testing.T) {
	for name, tc := range map[string]struct{ states, size int }{"many": {1100, 1}, "large": {12, 1 << 20}} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				s := newLiveSite(t, nil)
				n := 0
				text := strings.Repeat("x", tc.size)
				key := func(r *http.Request) (string, error) { return r.PathValue("room"), nil }
				s.mux.Handle("GET /room/{room}", web.Live(web.PartAt("room", s.rooms, key, func(w io.Writer, _ *Note) error {
					n++
					_, err := io.WriteString(w, text)
					return err
				})))
				look := func(i, renderings int) {
					t.Helper()
					s.tab(t, fmt.Sprint("/room/", i)).close()
					if n != renderings {
						t.Fatalf("%d renderings, want %d", n, renderings)
					}
				}
				for i := range tc.states {
					look(i, i+1)
				}
				look(tc.states-1, tc.states)
				look(0, tc.states+1)
			})
		})
	}
}

// A client that comes back gets what differs from what it has, and nothing else:
// also from a process that has never seen it, and after an id that is no id.
//
// Proves L7, L9.
func TestComingBackBringsWhatIsDifferent(t *testing.T) {
	for _, d := range dialects {
		t.Run(fmt.Sprint(d), func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				s := newLiveSite(t, nil)
				s.publish(t, "one")
				p := newTab(t, s.h, browser(s.h), "/live")
				p.dialect = d
				p.open()
				p.close()
				p.open()
				p.want()
				p.close()
				s.publish(t, "two")
				s.publish(t, "three")
				delete(p.page, "news")
				before := p.id
				p.open()
				p.shows("news", "three")
				if p.id == before {
					t.Error("the id stayed as it was")
				}
				p.close()
				p.page = map[string]string{}
				p.open()
				if len(p.page) != 0 {
					t.Errorf("what the page had was sent again: %q", p.page)
				}
				p.close()
				for _, id := range []string{"", "x", p.id + "A", p.id[:11], strings.Repeat("A", 33)} {
					p.page, p.id = map[string]string{}, id
					p.open()
					if len(p.page) != 3 {
						t.Errorf("a client with the id %q got %q", id, p.page)
					}
					p.close()
				}
			})
		})
	}
}

// A page that was told to stay away is answered so that it does.
//
// Proves L16.
func TestClientsThatWereStoppedStayAway(t *testing.T) {
	s := newLiveSite(t, nil)
	c := browser(s.h)
	for d, status := range map[sse.Dialect]int{sse.Plain: 204, sse.HTMX: 409, sse.Datastar: 204} {
		var headers []string
		for name := range clientHeaders[d] {
			headers = append(headers, name, clientHeaders[d].Get(name))
		}
		send(t, c, "GET", "/live", "", append(headers, "Last-Event-ID", sse.Stop)...).want(t, status, "")
	}
}

// An action whose effect the stream brings has an empty answer for scripts, and
// another page for a browser without them.
//
// Proves L10.
func TestDoneAnswersWithNothingToShow(t *testing.T) {
	h := web.Handle(func(w http.ResponseWriter, r *http.Request) error { return web.Done(w, r, "/page") })
	c := browser(h)
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	for _, tc := range []struct {
		who    string
		header []string
		status int
	}{
		{"a form on https", []string{"Sec-Fetch-Mode", "navigate"}, 303},
		{"a form on http", []string{"Accept", pageAccept}, 303},
		{"htmx", []string{"HX-Request", "true"}, 204},
		{"a boosted form of htmx", []string{"HX-Request", "true", "HX-Boosted", "true", "Sec-Fetch-Mode", "cors"}, 303},
		{"Datastar", []string{"Datastar-Request", "true"}, 204},
		{"fetch", []string{"Sec-Fetch-Mode", "cors"}, 204},
		{"fetch on http", []string{"Accept", "application/json"}, 204},
	} {
		a := send(t, c, "POST", "/", "", tc.header...)
		location := a.header.Get("Location")
		if a.status != tc.status || (a.status == 303) != (location == "/page") || a.status == 204 && a.body != "" {
			t.Errorf("%s: %d to %q: %q", tc.who, a.status, location, a.body)
		}
	}
}

// A GET of the mount of Actions with the Accept of EventSource is a stream of the
// public JSON of all its states.
//
// Proves L9.
func TestActionsStreamTheirStates(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := newLiveSite(t, nil)
		s.mux.Handle("/state/", web.Actions(s.counter, s.news))
		p := s.tab(t, "/state/")
		p.shows("counter", `{"count":0,"label":"clicks"}`, "news", `{"text":""}`)
		settle()
		p.post("/state/counter/increment")
		p.want("counter")
		p.shows("counter", `{"count":1,"label":"clicks"}`)
		p.close()
		p.open()
		p.want()
		p.close()
		for _, path := range []string{"/state/counter", "/state/news"} {
			if a := send(t, p.browser, "GET", path, "", "Accept", "text/event-stream"); strings.Contains(a.header.Get("Content-Type"), "stream") {
				t.Errorf("%s is a stream: %q", path, a.body)
			}
		}
		for _, path := range []string{"/state/%63ounter", "/state/", "/state//"} {
			if a := send(t, p.browser, "POST", path, "", "Accept", "text/event-stream"); a.status == 200 {
				t.Errorf("POST %s: %d", path, a.status)
			}
		}
		if a := send(t, p.browser, "GET", "/state/%63ounter", "", "Accept", "text/event-stream"); a.status != 404 {
			t.Errorf("an encoded path led to %d", a.status)
		}
	})
}

// Mistakes of the program are said at the start.
//
// Proves L18, L20.
func TestLivePanicsOnMistakes(t *testing.T) {
	s, other := newLiveSite(t, nil), newLiveSite(t, nil)
	many := make([]web.LivePart, 33)
	for i := range many {
		many[i] = web.Part(fmt.Sprintf("p%d", i), s.news, showBoard)
	}
	web.Live(many[:32]...)
	for name, fn := range map[string]func(){
		"no part":         func() { web.Live() },
		"an empty part":   func() { web.Live(web.LivePart{}) },
		"33 parts":        func() { web.Live(many...) },
		"one id twice":    func() { web.Live(s.newsPart(), s.newsPart()) },
		"two Apps":        func() { web.Live(s.newsPart(), other.minePart()) },
		"a bad id":        func() { web.Part("a b", s.news, showBoard) },
		"no id":           func() { web.Part("", s.news, showBoard) },
		"a reserved id":   func() { web.Part("stop", s.news, showBoard) },
		"no function":     func() { web.Part[Board]("a", s.news, nil) },
		"no state":        func() { web.Part("a", nil, showBoard) },
		"no key":          func() { web.PartAt("a", s.news, nil, showBoard) },
		"no own function": func() { web.PartFor[Board]("a", s.news, nil) },
		"no looks":        func() { web.PartOf(s.app, "a", nil) },
		"no App":          func() { web.PartOf(nil, "a", func(io.Writer, *http.Request) error { return nil }) },
		"a bad id of two": func() { web.PartOf(s.app, "a b", func(io.Writer, *http.Request) error { return nil }) },
		"two Apps of two": func() {
			web.Live(s.newsPart(), web.PartOf(other.app, "a", func(io.Writer, *http.Request) error { return nil }))
		},
		"negative Every": func() { web.Sessions(s.app, &web.Options{Live: web.LiveOptions{Every: -1}}) },
		"negative Max":   func() { web.Sessions(s.app, &web.Options{Live: web.LiveOptions{Max: -1}}) },
	} {
		func() {
			defer func() {
				if text, _ := recover().(string); !strings.HasPrefix(text, "web: ") {
					t.Errorf("%s: the panic is %q", name, text)
				}
			}()
			fn()
		}()
	}
}
