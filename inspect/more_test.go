package inspect_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
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
)

func everybody(*http.Request) bool { return true }

// show returns a page of a handler.
func show(t *testing.T, pages http.Handler, page string) string {
	t.Helper()
	w := httptest.NewRecorder()
	pages.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", "/"+page, nil))
	return w.Body.String()
}

// Looking changes nothing: nothing is stored, no state is taken into memory, and
// no session begins or is used.
//
// Proves X11.
func TestLookingLeavesNoTrace(t *testing.T) {
	s := newSite(t, setup{})
	s.comes("ann", "tea")
	s.comes("", "milk")
	core := access.AppOf(s.app)
	core.Evict(false)
	about := access.Inspect(s.app).About()
	commits := s.store.Count(storefault.Commit)
	before := testkit.AllRows(t, s.memory)
	if pages := s.crawl(); len(pages) < 20 {
		t.Errorf("only %d pages", len(pages))
	}
	after := access.Inspect(s.app).About()
	if got := s.store.Count(storefault.Commit); got != commits {
		t.Errorf("%d commits", got-commits)
	}
	testkit.WantEqual(t, "the records", testkit.AllRows(t, s.memory), before)
	testkit.WantEqual(t, "memory", after, about)
}

// A state that Debounce has not stored yet is shown as memory has it, and is told
// from one that is stored.
func TestUnsavedStatesAreShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app := testkit.NewApp(t, memstore.New(), nil)
		notes := stay.Register(app, stay.Module[Visit]{Name: "note", Persist: stay.Global, Debounce: time.Hour})
		pages := inspect.Handler(app, everybody, nil)
		page := "state?at=" + refOf(t, show(t, pages, "module?name=note"), "state")
		set := func(text string) {
			if _, err := notes.Update(t.Context(), func(v *Visit) error { v.Page, v.Token = text, "token-7777"; return nil }); err != nil {
				t.Fatal(err)
			}
		}
		set("first")
		text := show(t, pages, page)
		wantIn(t, "the state", text, `"page": "first"`, "not stored yet", "<dt>Revision</dt><dd>–")
		time.Sleep(2 * time.Hour) //nolint:forbidigo // it takes no time here
		text = show(t, pages, page)
		wantIn(t, "the stored state", text, `"page": "first"`)
		wantNotIn(t, "the stored state", text, "not stored yet", "<dt>Revision</dt><dd>–")
		set("second")
		text = show(t, pages, page)
		wantIn(t, "the changed state", text, `"page": "second"`, "not stored yet", `"token": "(private)"`)
	})
}

// The pages say how many watch a state, and a module's states.
func TestWatchersAreCounted(t *testing.T) {
	app := testkit.NewApp(t, memstore.New(), nil)
	docs := stay.Register(app, stay.Module[Doc]{Name: "doc", Persist: stay.WithKey(func(d *Doc) string { return d.ID })})
	if _, err := docs.At("a").Update(t.Context(), func(d *Doc) error { d.ID = "a"; return nil }); err != nil {
		t.Fatal(err)
	}
	pages := inspect.Handler(app, everybody, nil)
	page := "state?at=" + refOf(t, show(t, pages, "module?name=doc"), "state")
	watched := func(state, module string) {
		t.Helper()
		wantIn(t, "the state", show(t, pages, page), "<dt>Watched in this process by</dt><dd>"+state+"</dd>")
		wantIn(t, "the overview", show(t, pages, ""), `<td class="n">0</td><td></td></tr>`, "<span>Open streams</span><b>0</b>")
		wantIn(t, "the module", show(t, pages, "module?name=doc"), "<dt>Watched in this process by</dt><dd>"+state+"</dd>")
		wantIn(t, "the streams", show(t, pages, "streams"), "<span>Loops of Watch</span><b>"+module+"</b>")
	}
	watched("nobody", "0")
	for _, err := range docs.At("a").Watch(t.Context()) {
		testkit.NoError(t, err)
		for _, err := range docs.At("a").Watch(t.Context()) {
			testkit.NoError(t, err)
			watched("2 loops of Watch", "2")
			break
		}
		watched("1 loop of Watch", "1")
		break
	}
	watched("nobody", "0")
}

// On a store with several owners a page shows what is stored, and not what this
// process remembers.
func TestAnotherProcessIsSeen(t *testing.T) {
	nodes := testkit.Nodes(t, 2, nil)
	var docs []*stay.State[Doc]
	for _, app := range nodes {
		docs = append(docs, stay.Register(app, stay.Module[Doc]{Name: "doc", Persist: stay.WithKey(func(d *Doc) string { return d.ID })}))
	}
	pages := inspect.Handler(nodes[0], everybody, nil)
	set := func(node int, text string) {
		t.Helper()
		if _, err := docs[node].At("a").Update(t.Context(), func(d *Doc) error { d.ID, d.Text = "a", text; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	set(0, "mine")
	page := "state?at=" + refOf(t, show(t, pages, "module?name=doc"), "state")
	wantIn(t, "the own state", show(t, pages, page), `"text": "mine"`, "in memory")
	set(1, "theirs")
	wantIn(t, "the other's state", show(t, pages, page), `"text": "theirs"`, "not in memory")
	if err := docs[1].At("a").Delete(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantIn(t, "the deleted state", show(t, pages, page), "the owner has the initial state")
}

// A session whose key was deleted is shown with the state that it has then.
func TestADeletedKeyIsNotTheSessions(t *testing.T) {
	app := testkit.NewApp(t, memstore.New(), nil)
	todos := stay.Register(app, testkit.TodosModule())
	browser := testkit.NewBrowser(app)
	id := browser.Known(t, todos)
	if _, err := todos.Update(browser.Ctx(), testkit.Become("ann")); err != nil {
		t.Fatal(err)
	}
	pages := inspect.Handler(app, everybody, nil)
	session := "session?at=" + refOf(t, show(t, pages, "sessions"), "session")
	if got := rowsOf(show(t, pages, session)); strings.Join(got, " ") != "todos" {
		t.Fatalf("the session has %q", got)
	}
	wantIn(t, "the session", show(t, pages, session), "<td>ann")
	if err := todos.At("ann").Delete(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := todos.At("ann").Update(t.Context(), func(s *testkit.Todos) error { s.Owner.ID = "ann"; return nil }); err != nil {
		t.Fatal(err)
	}
	text := show(t, pages, session)
	wantNotIn(t, "the session after the deletion", text, "<td>ann")
	wantIn(t, "the session after the deletion", text, "<td>session "+keyspace.Hash(id), "(guest)")
}

// What expired is shown as expired, for as long as it is stored.
func TestExpiredStatesAreSaid(t *testing.T) {
	clock := testkit.NewClock()
	app := testkit.NewApp(t, memstore.New(), &stay.Options{Clock: clock.Now})
	docs := stay.Register(app, stay.Module[Doc]{Name: "doc", Persist: stay.WithKey(func(d *Doc) string { return d.ID }), Expiry: time.Hour})
	if _, err := docs.At("a").Update(t.Context(), func(d *Doc) error { d.ID = "a"; return nil }); err != nil {
		t.Fatal(err)
	}
	pages := inspect.Handler(app, everybody, nil)
	page := "state?at=" + refOf(t, show(t, pages, "module?name=doc"), "state")
	wantIn(t, "the state", show(t, pages, page), "in 1 h")
	clock.Advance(2 * time.Hour)
	wantIn(t, "the expired state", show(t, pages, page), "expired", "1 h ago", `"id": "a"`)
	if got := rowsOf(show(t, pages, "module?name=doc")); len(got) != 0 {
		t.Errorf("the list has %q", got)
	}
}

// Failures are shown by their code, place and key's hash, and not with their text.
func TestFailuresAreShown(t *testing.T) {
	told := 0
	s := newSite(t, setup{options: stay.Options{OnError: func(*stay.Call, *stay.Error) { told++ }}})
	for i := range 103 {
		key := fmt.Sprintf("ann-%d", i)
		rule := s.store.Add(storefault.Rule{Op: storefault.Load, Key: "key/doc/" + key, Fault: storefault.Fail(errors.New("broken row of " + key))})
		if _, err := s.docs.At(key).Get(t.Context()); err == nil {
			t.Fatal("no error")
		}
		rule.Remove()
	}
	page := s.get("")
	if told != 103 || strings.Count(page, `<span class="tag bad">unavailable</span>`) != 100 {
		t.Errorf("%d failures, %d are shown", told, strings.Count(page, `<span class="tag bad">unavailable</span>`))
	}
	wantIn(t, "the overview", page, "103 since", "load", keyspace.Hash("ann-102"), keyspace.Hash("ann-3"))
	wantNotIn(t, "the overview", page, "broken row", keyspace.Hash("ann-2"), "ann-1")
	wantIn(t, "the module of a failure", s.get("module?name=doc&q=%23"+keyspace.Hash("ann-102")), "Nothing is stored under such a key.")
}

// The charts show changes and the time of commits and reads.
func TestRatesAreShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newApp(t, stay.Options{})
		pages := inspect.Handler(s.app, everybody, nil)
		wantIn(t, "the first page", show(t, pages, ""), "Changes in the last ten minutes: now 0/s, at most 0/s")
		time.Sleep(time.Until(time.Unix(time.Now().Unix()/5*5+5, 0))) //nolint:forbidigo // it takes no time here
		s.store.Add(storefault.Rule{Op: storefault.Commit, Fault: storefault.Delay(40*time.Millisecond, 0)})
		for range 20 {
			if _, err := s.hits.Update(t.Context(), func(h *Hits) error { h.N++; return nil }); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(5 * time.Second) //nolint:forbidigo // it takes no time here
		text := show(t, pages, "")
		wantIn(t, "the page", text, "Changes in the last ten minutes: now 4/s, at most 4/s", "Commit time in the last ten minutes: now 40.0 ms, at most 40.0 ms", "Failures in the last ten minutes: now 0 in 5 s")
		if n := strings.Count(text, "<polyline"); n != 3 { // changes, the mean and the longest commit
			t.Errorf("%d lines are drawn", n)
		}
		time.Sleep(20 * time.Minute) //nolint:forbidigo // it takes no time here
		wantIn(t, "the page later", show(t, pages, ""), "Changes in the last ten minutes: now 0/s, at most 0/s")
	})
}

// Without JavaScript a page can have the browser ask for it again.
func TestPagesRefreshWithoutJavaScript(t *testing.T) {
	s := newSite(t, setup{})
	const again = `<noscript><meta http-equiv="refresh" content="5"></noscript>`
	for _, page := range []string{"", "sessions", "module?name=doc"} {
		text := s.get(page)
		wantNotIn(t, page, text, again)
		wantIn(t, "the refreshing page", s.follow(text, "Refresh every 5 s"), again, "Stop refreshing")
		wantNotIn(t, "the page after it", s.follow(s.follow(text, "Refresh every 5 s"), "Stop refreshing"), again)
	}
}

// Many visitors look at once while states change, and the App is closed in the
// middle: every page is an answer.
func TestManyLookAtOnce(t *testing.T) {
	s := newApp(t, stay.Options{})
	pages := inspect.Handler(s.app, everybody, nil)
	inspect.Handler(s.app, everybody, nil) // another one shares what is counted
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range 50 {
				_, _ = s.docs.At(fmt.Sprint(i)).Update(t.Context(), func(d *Doc) error { d.ID = fmt.Sprint(i); return nil })
			}
		})
		wg.Go(func() {
			for _, page := range strings.Fields(strings.Repeat("? module?name=doc sessions users ", 10)) {
				if text := show(t, pages, page); !strings.Contains(text, "</html>") {
					t.Errorf("%s: %q", page, text)
				}
			}
		})
	}
	wg.Go(func() { testkit.WantClosed(t, s.app) })
	wg.Wait()
	for _, page := range []string{"", "module?name=doc", "sessions", "users"} {
		wantIn(t, page, show(t, pages, page), "closed")
	}
}

// A long state is cut, and a store without a list says so.
func TestWhatCannotBeShownIsSaid(t *testing.T) {
	s := newSite(t, setup{})
	if _, err := s.docs.At("long").Update(t.Context(), func(d *Doc) error { d.ID, d.Text = "long", strings.Repeat("ä", 300_000); return nil }); err != nil {
		t.Fatal(err)
	}
	page := s.follow(s.get("module?name=doc"), "long")
	wantIn(t, "the state", page, "The rest is too long to be shown.")
	if len(page) > 300<<10 {
		t.Errorf("the page has %d bytes", len(page))
	}

	var log bytes.Buffer
	plain := testkit.NewApp(t, storefault.Wrap(memstore.New(), &storefault.Options{Features: func(f store.Features) store.Features {
		f.List = false
		return f
	}}), &stay.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	stay.Register(plain, stay.Module[Doc]{Name: "doc", Persist: stay.WithKey(func(d *Doc) string { return d.ID })})
	pages := inspect.Handler(plain, everybody, nil)
	wantIn(t, "the module", show(t, pages, "module?name=doc"), "This store cannot list its keys.")
	for _, page := range []string{"sessions", "users"} {
		wantIn(t, page, show(t, pages, page), "cannot list its keys")
	}
	wantNotIn(t, "the overview", show(t, pages, ""), `role="alert"`)
}

// All hooks of a module are on its page.
//
// Proves X11.
func TestHooksAreShown(t *testing.T) {
	app := testkit.NewApp(t, memstore.New(), nil)
	hook := func(*stay.Call, *Doc) {}
	stay.Register(app, stay.Module[Doc]{
		Name: "doc", Persist: stay.WithKey(func(d *Doc) string { return d.ID }),
		OnDestroyed: hook, OnConnect: hook, OnReconnect: hook, OnDisconnect: hook,
	})
	wantIn(t, "the module", show(t, inspect.Handler(app, everybody, nil), "module?name=doc"),
		"OnDestroyed", "OnConnect", "OnReconnect", "OnDisconnect")
}
