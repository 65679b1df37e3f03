package inspect_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/inspect"
	"github.com/stay-go/stay/internal/access"
	"github.com/stay-go/stay/internal/keyspace"
	"github.com/stay-go/stay/internal/testkit"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
	"github.com/stay-go/stay/web"
)

// write changes a document and what is private of it.
func (s *site) write(t *testing.T, text string) {
	t.Helper()
	if _, err := s.docs.At("tea").Update(t.Context(), func(d *Doc) error { d.ID, d.Text, d.Note = "tea", text, "note-4242"; return nil }); err != nil {
		t.Fatal(err)
	}
}

// The page of a state changes with the state, at once, and has no private field
// then either. What stays the same is not sent again.
//
// Proves X11.
func TestAStateIsLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newApp(t, stay.Options{})
		s.write(t, "one")
		pages := inspect.Handler(s.app, everybody, nil)
		page := "state?at=" + refOf(t, show(t, pages, "module?name=doc"), "state")
		wantIn(t, "the page", show(t, pages, page), ownScript, `id="live"`)
		w := listen(t, pages, page)
		_, parts := w.take()
		wantIn(t, "the first part", parts["state"], `"text": "one"`, `"note": "(private)"`, "<dt>Watched in this process by</dt><dd>nobody</dd>")
		if got, live := parts["live"]; got != "" || !live {
			t.Errorf("the stream says %q, %v", got, live)
		}
		testkit.Sleep(time.Second)
		for i := range 20 { // in no time
			s.write(t, fmt.Sprint("changed ", i))
			synctest.Wait()
		}
		text, parts := w.take()
		wantIn(t, "the first change", parts["state"], `"text": "changed 0"`, `"note": "(private)"`)
		testkit.Sleep(250 * time.Millisecond)
		more, parts := w.take()
		wantIn(t, "the last change", parts["state"], `"text": "changed 19"`, `"note": "(private)"`)
		if n := strings.Count(text+more, "event: part"); n != 2 {
			t.Errorf("%d parts were sent", n)
		}
		all := text + more
		testkit.Sleep(14 * time.Second)
		if text, _ = w.take(); text != "" {
			t.Errorf("nothing has changed, and the stream sends %q", text)
		}
		testkit.Sleep(5 * time.Second)
		if text, _ = w.take(); text != ":\n\n" {
			t.Errorf("the heartbeat is %q", text)
		}
		wantNotIn(t, "the stream", all, private...)
	})
}

// A change by another process arrives too.
//
// Proves X11.
func TestAStateOfAnotherProcessIsLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := testkit.Nodes(t, 2, nil)
		var docs []*stay.State[Doc]
		for _, app := range nodes {
			docs = append(docs, stay.Register(app, stay.Module[Doc]{Name: "doc", Persist: stay.WithKey(func(d *Doc) string { return d.ID })}))
		}
		set := func(text string) {
			testkit.NoError(t, second(docs[1].At("a").Update(t.Context(), func(d *Doc) error { d.ID, d.Text = "a", text; return nil })))
		}
		set("one")
		pages := inspect.Handler(nodes[0], everybody, nil)
		w := listen(t, pages, "state?at="+refOf(t, show(t, pages, "module?name=doc"), "state"))
		w.take()
		testkit.Sleep(500 * time.Millisecond)
		set("two")
		testkit.Sleep(250 * time.Millisecond)
		_, parts := w.take()
		wantIn(t, "the change", parts["state"], `"text": "two"`, "not in memory")
		w.gone()
	})
}

func second[T any](_ T, err error) error { return err }

// A page that is live shows what the page shows: no secret, no form that changes
// anything, and each part of the page once. A search, an asset and what is not there
// have no stream.
//
// Proves X11.
func TestStreamsShowWhatPagesShow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newApp(t, stay.Options{})
		for _, user := range []string{"ann", ""} {
			b := testkit.NewBrowser(s.app)
			if user != "" {
				testkit.Login(t, b, user)
			}
			testkit.NoError(t, s.work(httptest.NewRequestWithContext(b.Ctx(), "GET", "/", nil), "tea of "+user))
		}
		pages := inspect.Handler(s.app, everybody, nil)
		session := show(t, pages, "session?at="+refOf(t, show(t, pages, "sessions"), "session"))
		for _, page := range []string{
			"", "streams", "sessions", "users", "module?name=doc", "module?name=draft", "module?name=hits",
			"user?at=" + refOf(t, show(t, pages, "users"), "user"), "session?at=" + refOf(t, show(t, pages, "sessions"), "session"),
			"state?at=" + refOf(t, session, "state"), "state?at=" + refOf(t, show(t, pages, "module?name=hits"), "state"),
		} {
			whole := show(t, pages, page)
			wantIn(t, page, whole, ownScript)
			w := listen(t, pages, page)
			text, parts := w.take()
			w.gone()
			wantNotIn(t, page, text, append(s.sessionIDs(), private...)...)
			wantNotIn(t, page, text, `method="post"`)
			if len(parts) != strings.Count(whole, "<section id=")+1 {
				t.Errorf("%q: %d parts", page, len(parts))
			}
			delete(parts, "live")
			for id, part := range parts { // to the byte: the page changes only where it is different
				if !strings.Contains(whole, `<section id="`+id+`">`+part+"</section>") {
					t.Errorf("%q has not the part %s:\n%s", page, id, part)
				}
			}
		}
		for _, page := range []string{"module?name=doc&q=te", "sessions?q=abc", "users?q=a", "style.css", "x", "state?at=x", "module?name=x"} {
			w := listen(t, pages, page)
			if code := w.code(); code != http.StatusNotFound || !w.over() {
				t.Errorf("the stream of %q: %d", page, code)
			}
			wantNotIn(t, page, show(t, pages, page), "<script")
		}
	})
}

// Who looks at live pages leaves no trace: nothing is stored, nothing is taken into
// memory, no session begins, and nobody is told that a state is watched.
//
// Proves X11.
func TestLivePagesLeaveNoTrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newApp(t, stay.Options{})
		s.write(t, "one")
		access.AppOf(s.app).Evict(false)
		pages := inspect.Handler(s.app, everybody, nil)
		handler := web.Sessions(s.app, nil)(pages)
		about, before := access.Inspect(s.app).About(), testkit.AllRows(t, s.memory)
		commits := s.store.Count(storefault.Commit)
		var all []*tube
		for _, page := range []string{"", "streams", "sessions", "module?name=doc", "state?at=" + refOf(t, show(t, pages, "module?name=doc"), "state")} {
			all = append(all, listen(t, handler, page))
		}
		testkit.Sleep(time.Minute)
		for _, w := range all {
			if text, _ := w.take(); text == "" || w.over() || w.header.Get("Set-Cookie") != "" {
				t.Errorf("the stream has sent %q, with the header %v", text, w.header)
			}
		}
		wantIn(t, "the streams", show(t, pages, "streams"), "Nobody watches a state.", "<span>Open streams</span><b>0</b>")
		testkit.WantEqual(t, "memory", access.Inspect(s.app).About(), about)
		testkit.WantEqual(t, "the records", testkit.AllRows(t, s.memory), before)
		if got := s.store.Count(storefault.Commit); got != commits {
			t.Errorf("%d commits", got-commits)
		}
		for _, w := range all {
			w.gone()
		}
	})
}

// When the right to look ends, so does the stream, within seconds and without
// another word; with the session that had the right, it ends at once.
//
// Proves X11.
func TestStreamsEndWithTheRightToLook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newApp(t, stay.Options{})
		s.write(t, "one")
		var may atomic.Bool
		may.Store(true)
		pages := inspect.Handler(s.app, func(*http.Request) bool { return may.Load() }, nil)
		w := listen(t, pages, "state?at="+refOf(t, show(t, pages, "module?name=doc"), "state"))
		w.take()
		may.Store(false)
		s.write(t, "a secret")
		testkit.Sleep(3 * time.Second)
		text, _ := w.take()
		if !w.over() {
			t.Error("the stream goes on")
		}
		if retry, found := strings.CutPrefix(text, "retry: "); !found || strings.Count(retry, "\n") != 2 {
			t.Errorf("the last words are %q", text)
		}
		if again := listen(t, pages, ""); again.code() != http.StatusNotFound {
			t.Errorf("afterwards: %d", again.code())
		}

		handler := withLogin(s.app, inspect.Handler(s.app, isRoot, nil))
		for what, ends := range map[string]func(cookie string){
			"a revocation": func(string) { testkit.NoError(t, s.app.Revoke(t.Context(), "root")) },
			"a login": func(cookie string) {
				login(t, handler, "ann", cookie)
			},
		} {
			cookie := login(t, handler, "root", "")
			w := listen(t, handler, "", "Cookie", cookie)
			if _, parts := w.take(); parts["summary"] == "" {
				t.Fatalf("%s: nothing is shown", what)
			}
			wantIn(t, "the streams", show(t, inspect.Handler(s.app, everybody, nil), "streams"), "<span>Open streams</span><b>0</b>")
			// Not into the next slot of the charts: the request that ends the right
			// wakes the stream first, which may still send what is new.
			testkit.Sleep(100 * time.Millisecond)
			ends(cookie)
			if text, parts := w.take(); !w.over() || len(parts) != 0 {
				t.Errorf("after %s the stream goes on with %q", what, text)
			}
			if again := listen(t, handler, "", "Cookie", cookie); again.code() != http.StatusNotFound {
				t.Errorf("after %s the client comes back to %d", what, again.code())
			}
		}
	})
}

// isRoot lets one user see the pages.
func isRoot(r *http.Request) bool { return stay.SessionFrom(r.Context()).User() == "root" }

// withLogin serves a handler behind web.Sessions, with a place to log in.
func withLogin(app *stay.App, h http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/login", web.Handle(func(_ http.ResponseWriter, r *http.Request) error {
		return stay.SessionFrom(r.Context()).Login(r.Context(), r.FormValue("user"))
	}))
	mux.Handle("/", h)
	return web.Sessions(app, nil)(mux)
}

// login logs in, and returns the cookie.
func login(t *testing.T, h http.Handler, user, cookie string) string {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), "POST", "/login", strings.NewReader(url.Values{"user": {user}}.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Cookie", cookie)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	all := w.Result().Cookies()
	if i := slices.IndexFunc(all, func(c *http.Cookie) bool { return c.Name == "stay" }); i >= 0 {
		return "stay=" + all[i].Value
	}
	t.Fatalf("no cookie: %d %v", w.Code, w.Header())
	return ""
}

// A stream ends a while before its session would expire, so that the page comes back
// in time, and that request keeps the session.
//
// Proves X11.
func TestStreamsEndBeforeTheirSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newApp(t, stay.Options{IdleTimeout: 3 * time.Minute})
		handler := withLogin(s.app, inspect.Handler(s.app, isRoot, nil))
		w := listen(t, handler, "", "Cookie", login(t, handler, "root", ""))
		testkit.Sleep(2 * time.Minute)
		if _, parts := w.take(); w.over() || parts["summary"] == "" {
			t.Errorf("after two minutes the stream has sent %q", parts)
		}
		testkit.Sleep(50 * time.Second)
		if text, _ := w.take(); !w.over() || !strings.Contains(text, "retry: ") {
			t.Errorf("shortly before the end of the session the stream says %q", text)
		}
	})
}

// There are 32 streams at most, and none for other sites. Each ends after ten
// minutes, when its visitor leaves, when the App is closed, and when the server
// shuts down.
//
// Proves X11.
func TestStreamsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newApp(t, stay.Options{})
		pages := inspect.Handler(s.app, everybody, nil)
		var all []*tube
		for range 32 {
			all = append(all, listen(t, pages, ""))
		}
		synctest.Wait()
		more := listen(t, pages, "")
		if text, parts := more.take(); !more.over() || len(parts) != 0 || !strings.HasPrefix(text, "retry: 1") {
			t.Errorf("one more gets %q", text)
		}
		all[0].gone()
		if next := listen(t, pages, ""); next.over() {
			t.Error("the place of one that has left is not free")
		}
		evil := listen(t, pages, "", "Sec-Fetch-Site", "cross-site")
		if code := evil.code(); code != http.StatusForbidden {
			t.Errorf("another site gets %d", code)
		}
		reads, lists := s.store.Count(storefault.Load), s.store.Count(storefault.List)
		testkit.Sleep(time.Minute)
		reads, lists = s.store.Count(storefault.Load)-reads, s.store.Count(storefault.List)-lists
		if reads == 0 || reads > 60 || lists > 4*13 { // at most once a second, and once in five seconds for each module
			t.Errorf("in a minute, 32 streams have read the store %d times, and listed it %d times", reads, lists)
		}
		testkit.Sleep(9 * time.Minute)
		for i, w := range all {
			if !w.over() {
				t.Errorf("stream %d is more than ten minutes old", i)
			}
		}
		last := listen(t, pages, "")
		last.take()
		testkit.WantClosed(t, s.app)
		if text, _ := last.take(); !last.over() || !strings.Contains(text, "retry: ") {
			t.Errorf("after Close the stream says %q", text)
		}
	})
}

// A server that shuts down does not wait for streams.
//
// Proves X11.
func TestStreamsEndWithTheirServer(t *testing.T) {
	s := newApp(t, stay.Options{})
	server := httptest.NewServer(inspect.Handler(s.app, everybody, nil))
	defer server.Close()
	r, err := http.NewRequestWithContext(t.Context(), "GET", server.URL, nil)
	testkit.NoError(t, err)
	r.Header.Set("Accept", "text/event-stream")
	resp, err := http.DefaultClient.Do(r)
	testkit.NoError(t, err)
	defer resp.Body.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	testkit.NoError(t, server.Config.Shutdown(ctx))
}

// While the store does not answer, a live page keeps what it shows and says so.
//
// Proves X11.
func TestLivePagesSayWhatIsWrong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newApp(t, stay.Options{})
		s.write(t, "one")
		pages := inspect.Handler(s.app, everybody, nil)
		page := "state?at=" + refOf(t, show(t, pages, "module?name=doc"), "state")
		w := listen(t, pages, page)
		w.take()
		rule := s.store.Add(storefault.Rule{Fault: storefault.Fail(fmt.Errorf("%w: %w", errDisk, store.ErrUnavailable))})
		testkit.Sleep(3 * time.Second)
		text, parts := w.take()
		wantIn(t, "the stream", parts["live"], "The store does not answer")
		wantNotIn(t, "the stream", text, "event: part", errDisk.Error())
		late := listen(t, pages, page) // the page that failed has another part
		if _, parts := late.take(); parts["live"] == "" || len(parts) != 1 {
			t.Errorf("a page that failed gets %q", parts)
		}
		rule.Remove()
		testkit.Sleep(3 * time.Second)
		if text, parts = w.take(); parts["live"] != "" || text == "" {
			t.Errorf("later the stream says %q", text)
		}
		if _, parts := late.take(); parts["state"] == "" {
			t.Errorf("later the page that failed gets %q", parts)
		}
		hang := s.store.Add(storefault.Rule{Fault: storefault.Hang()})
		testkit.Sleep(5 * time.Second)
		_, parts = w.take()
		wantIn(t, "the stream", parts["live"], "not answered in time")
		hang.Remove()
		w.gone()
		late.gone()
	})
}

// While nobody can say whether a session still has the right to look, its stream
// sends nothing new, and goes on later.
//
// Proves X11.
func TestNothingNewWhileTheRightIsNotKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		faulty := storefault.Wrap(memstore.Shared(2)[0], nil)
		app := testkit.NewApp(t, faulty, nil)
		docs := stay.Register(app, stay.Module[Doc]{Name: "doc", Persist: stay.WithKey(func(d *Doc) string { return d.ID })})
		set := func(text string) {
			testkit.NoError(t, second(docs.At("a").Update(t.Context(), func(d *Doc) error { d.ID, d.Text = "a", text; return nil })))
		}
		set("one")
		pages := inspect.Handler(app, isRoot, nil)
		handler := withLogin(app, pages)
		cookie := login(t, handler, "root", "")
		r := httptest.NewRequestWithContext(t.Context(), "GET", "/module?name=doc", nil)
		r.Header.Set("Cookie", cookie)
		list := httptest.NewRecorder()
		handler.ServeHTTP(list, r)
		w := listen(t, handler, "state?at="+refOf(t, list.Body.String(), "state"), "Cookie", cookie)
		_, parts := w.take()
		wantIn(t, "the stream", parts["state"], `"text": "one"`)
		rule := faulty.Add(storefault.Rule{Op: storefault.Load, Match: func(c storefault.Call) bool {
			return slices.ContainsFunc(c.Keys, func(key string) bool { return strings.HasPrefix(key, keyspace.Sessions) })
		}, Fault: storefault.Fail(store.ErrUnavailable)})
		set("two")
		testkit.Sleep(3 * time.Second)
		text, parts := w.take()
		wantIn(t, "the stream", parts["live"], "The store is not available")
		wantNotIn(t, "the stream", text, "two")
		if w.over() {
			t.Error("the stream has ended")
		}
		rule.Remove()
		testkit.Sleep(3 * time.Second)
		_, parts = w.take()
		wantIn(t, "the stream later", parts["state"], `"text": "two"`)
		w.gone()
	})
}

// When what a page is about ends, its stream says what the page says then, and ends.
//
// Proves X11.
func TestAPageOfWhatHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newApp(t, stay.Options{})
		b := testkit.NewBrowser(s.app)
		ctx := b.Ctx()
		testkit.NoError(t, stay.SessionFrom(ctx).Login(ctx, "ann"))
		pages := inspect.Handler(s.app, everybody, nil)
		w := listen(t, pages, "session?at="+refOf(t, show(t, pages, "sessions"), "session"))
		w.take()
		testkit.NoError(t, s.app.Revoke(t.Context(), "ann"))
		testkit.Sleep(6 * time.Second)
		_, parts := w.take()
		wantIn(t, "the stream", parts["failure"], "The session has ended")
		if !w.over() {
			t.Error("the stream goes on")
		}
	})
}
