package inspect_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/inspect"
	"github.com/stay-go/stay/internal/keyspace"
	"github.com/stay-go/stay/internal/testkit"
	"github.com/stay-go/stay/web"
)

// Open streams of web.Live are shown with the states that they are about: how many,
// since when, whose, and which of them are slow. A stream counts once, whatever it
// shows.
//
// Proves X11.
func TestStreamsAreShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newApp(t, stay.Options{})
		s.write(t, "one")
		mux := http.NewServeMux()
		tea := func(*http.Request) (string, error) { return "tea", nil }
		cake := func(*http.Request) (string, error) { return "cake", nil }
		doc := func(w io.Writer, d *Doc) error { _, err := io.WriteString(w, strings.Repeat(d.Text, 2)); return err }
		mux.Handle("/docs", web.Live(web.PartAt("tea", s.docs, tea, doc), web.PartAt("cake", s.docs, cake, doc)))
		mux.Handle("/mine", web.Live(
			web.Part("cart", s.carts, func(w io.Writer, c *Cart) error { _, err := fmt.Fprint(w, len(c.Items)); return err }),
			web.PartAt("tea", s.docs, tea, doc),
		))
		handler := withLogin(s.app, mux)
		pages := inspect.Handler(s.app, everybody, nil)
		page := "state?at=" + refOf(t, show(t, pages, "module?name=doc"), "state")

		first := listen(t, handler, "docs")
		first.take()
		testkit.Sleep(3 * time.Minute)
		second := listen(t, handler, "mine", "Cookie", login(t, handler, "ann", ""))
		second.take()
		testkit.Sleep(10 * time.Second)

		wantIn(t, "the overview", show(t, pages, ""), "<span>Open streams</span><b>2</b>",
			`>doc</a></th>`, `<td class="n">2</td><td></td></tr>`)
		list := show(t, pages, "streams")
		wantIn(t, "the streams", list, "<span>Open streams</span><b>2</b>", "<span>The oldest</span><b>3 min</b>", "<span>Slow readers</span><b>0</b>", "<span>Loops of Watch</span><b>0</b>")
		if got := strings.Join(rowsOf(list), " "); got != "doc cart doc" {
			t.Errorf("the states are %q", got)
		}
		wantIn(t, "the streams", list, "<td>tea</td><td class=\"n\">2</td>", "<td>ann</td><td class=\"n\">1</td>", "<td>cake</td><td class=\"n\">1</td>", "3 min ago", "10 s ago")
		state := show(t, pages, page)
		id := s.sessionIDs()[0]
		wantIn(t, "the state", state, "2 streams, the oldest for 3 min", "<code>"+keyspace.Hash(id)+"</code></a> of <a", ">ann</a>")
		wantNotIn(t, "the state", state, id)
		if n := strings.Count(state, "session <code>"); n != 1 { // the other is nobody's
			t.Errorf("%d sessions watch", n)
		}

		// One of them takes nothing.
		stuck := make(chan struct{})
		first.mu.Lock()
		first.stuck = stuck
		first.mu.Unlock()
		s.write(t, "two")
		testkit.Sleep(500 * time.Millisecond)
		wantIn(t, "the state soon", show(t, pages, page), "2 streams, the oldest for 3 min<br>")
		testkit.Sleep(time.Second)
		wantIn(t, "the state later", show(t, pages, page), "2 streams, the oldest for 3 min, 1 slow")
		wantIn(t, "the overview", show(t, pages, ""), "<span>Open streams</span><b>2</b> <small>1 slow</small>")
		wantIn(t, "the streams", show(t, pages, "streams"), "<span>Slow readers</span><b>1</b>", `<span class="tag bad">1</span>`)
		first.mu.Lock()
		first.stuck = nil
		first.mu.Unlock()
		close(stuck)
		first.take()
		wantIn(t, "the state at last", show(t, pages, page), "2 streams, the oldest for 3 min<br>")

		wantIn(t, "the module", show(t, pages, "module?name=doc"), "<dt>Watched in this process by</dt><dd>2 streams, the oldest for 3 min</dd>")
		first.gone()
		wantIn(t, "the state without the first", show(t, pages, page), "1 stream, open for 11 s")
		second.gone()
		wantIn(t, "the streams without both", show(t, pages, "streams"), "Nobody watches a state.", "<span>The oldest</span><b>–</b>")
	})
}

// Of many states that are watched, the most watched are listed, and of many
// sessions some.
func TestListsOfStreamsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newApp(t, stay.Options{})
		s.write(t, "one")
		mux := http.NewServeMux()
		mux.Handle("/doc", web.Live(web.PartAt("doc", s.docs, func(r *http.Request) (string, error) {
			stay.SessionFrom(r.Context()).User()
			return r.FormValue("key"), nil
		}, func(io.Writer, *Doc) error { return nil })))
		handler := withLogin(s.app, mux)
		pages := inspect.Handler(s.app, everybody, nil)
		var all []*tube
		for i := range 110 {
			all = append(all, listen(t, handler, fmt.Sprintf("doc?key=%d", i)))
		}
		for i := range 12 {
			all = append(all, listen(t, handler, "doc?key=tea", "Cookie", login(t, handler, fmt.Sprint("user-", i), "")))
		}
		synctest.Wait()
		page := show(t, pages, "streams")
		if rows := rowsOf(page); len(rows) != 100 {
			t.Errorf("%d states are listed", len(rows))
		}
		wantIn(t, "the streams", page, "<span>Open streams</span><b>122</b>", "There are more.", `<td>tea</td><td class="n">12</td>`)
		state := show(t, pages, "state?at="+refOf(t, page, "state"))
		wantIn(t, "the state", state, "12 streams", " and more")
		if n := strings.Count(state, "session <code>"); n != 10 {
			t.Errorf("%d sessions are named", n)
		}
		for _, w := range all {
			w.gone()
		}
	})
}
