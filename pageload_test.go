package stay_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/access"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

func wantCounter(t *testing.T, ctx context.Context, s *stay.State[testkit.Counter], want testkit.Counter) {
	t.Helper()
	got, err := s.Get(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if *got != want {
		t.Errorf("%s is %+v, want %+v", s.Name(), *got, want)
	}
}

// pageModules registers modules that are reset by page loads: two that are
// stored and one that is not.
func pageModules(app *stay.App) []*stay.State[testkit.Counter] {
	initial := testkit.Counter{Count: 1, Label: "new"}
	return []*stay.State[testkit.Counter]{
		stay.Register(app, stay.Module[testkit.Counter]{Name: "a", Initial: initial, Persist: stay.PerSession, ResetOnPageLoad: true}),
		stay.Register(app, stay.Module[testkit.Counter]{Name: "b", Initial: initial, Persist: stay.PerSession, ResetOnPageLoad: true}),
		stay.Register(app, stay.Module[testkit.Counter]{Name: "ephemeral", Initial: initial, ResetOnPageLoad: true}),
	}
}

// A page load resets every module that asks for it, but for preserved fields,
// of this session, whether it is in memory or not; others stay.
//
// Proves B6, W4.
func TestPageLoadResetsAllButPreservedFields(t *testing.T) {
	testkit.OnEachApp(t, func(t *testing.T, app *stay.App) {
		states := pageModules(app)
		kept := stay.Register(app, stay.Module[testkit.Counter]{Name: "kept", Persist: stay.PerSession})
		mine, other := testkit.NewBrowser(app), testkit.NewBrowser(app)
		for _, evicted := range []bool{false, true} {
			for _, b := range []*testkit.Browser{mine, other} {
				for _, s := range append(states, kept) {
					testkit.Set(t, b.Ctx(), s, testkit.Counter{Count: 7, Label: "chosen"})
				}
			}
			if evicted {
				access.AppOf(app).Evict(false)
			}
			testkit.MustLoadPage(t, mine.Ctx(), app)
			for _, s := range states {
				wantCounter(t, mine.Ctx(), s, testkit.Counter{Count: 1, Label: "chosen"})
				wantCounter(t, other.Ctx(), s, testkit.Counter{Count: 7, Label: "chosen"})
			}
			wantCounter(t, mine.Ctx(), kept, testkit.Counter{Count: 7, Label: "chosen"})
		}
		access.AppOf(app).Evict(false)
		wantCounter(t, mine.Ctx(), states[0], testkit.Counter{Count: 1, Label: "chosen"})
	})
}

// Without a session that may have stored states, a page load reads no state,
// stores nothing and sets no cookie.
//
// Proves B1, W4.
func TestPageLoadOfUnknownSessionsStoresNothing(t *testing.T) {
	clock := testkit.NewClock()
	st := storefault.Wrap(memstore.New(), nil)
	app := testkit.NewApp(t, st, &stay.Options{Clock: clock.Now})
	a := pageModules(app)[0]
	ended := testkit.NewBrowser(app)
	testkit.Set(t, ended.Ctx(), a, testkit.Counter{})
	token := ended.Token
	if err := stay.SessionFrom(ended.Ctx()).Destroy(t.Context()); err != nil {
		t.Fatal(err)
	}
	clock.Advance(2 * time.Minute) // it counts as unknown now
	before := testkit.Rows(t, st)

	for name, token := range map[string]string{
		"none": "", "malformed": "x.y.z", "forged": token[:len(token)-2] + "AA", "ended": token,
	} {
		b := testkit.NewBrowser(app)
		b.Token = token
		loads, commits := st.Count(storefault.Load), st.Count(storefault.Commit)
		ctx, resp := b.Request()
		testkit.MustLoadPage(t, ctx, app)
		if len(resp.Issued) > 0 || resp.WasUsed {
			t.Errorf("%s: the response was given %d cookies, used: %t", name, len(resp.Issued), resp.WasUsed)
		}
		if loads, commits := st.Count(storefault.Load)-loads, st.Count(storefault.Commit)-commits; loads+commits > 0 {
			t.Errorf("%s: %d loads and %d commits", name, loads, commits)
		}
	}
	testkit.MustLoadPage(t, t.Context(), app) // no session at all
	if after := testkit.Rows(t, st); len(after) != len(before) {
		t.Errorf("stored before: %q, after: %q", before, after)
	}
}

// A known session that has stored nothing yet, and one whose states are reset
// already, store nothing and wait for no turn.
//
// Proves W4.
func TestPageLoadWithoutChangeWritesNothing(t *testing.T) {
	st := testkit.BehindCommitter(memstore.New())
	app := testkit.NewApp(t, st, nil)
	hooked := stay.Register(app, stay.Module[testkit.Counter]{
		Name: "hooked", Persist: stay.PerSession, ResetOnPageLoad: true,
		OnCreated: func(_ *stay.Call, c *testkit.Counter) error { c.Count = 40; return nil },
	})
	a := pageModules(app)[0]
	b := testkit.NewBrowser(app)
	if _, err := a.Get(b.Ctx()); err != nil { // sets the cookie
		t.Fatal(err)
	}
	before := st.Count(storefault.Commit)
	testkit.MustLoadPage(t, b.Ctx(), app)
	wantCounter(t, b.Ctx(), hooked, testkit.Counter{Count: 40})
	if n := st.Count(storefault.Commit) - before; n != 0 {
		t.Errorf("a page load of a session without states made %d commits", n)
	}

	testkit.Set(t, b.Ctx(), a, testkit.Counter{Count: 1, Label: "chosen"})
	running, goOn := make(chan struct{}), make(chan struct{})
	done := make(chan error, 1)
	go func() {
		_, err := a.Update(b.Ctx(), func(*testkit.Counter) error { close(running); <-goOn; return nil })
		done <- err
	}()
	<-running
	before = st.Count(storefault.Commit)
	ctx, cancel := context.WithTimeout(b.Ctx(), 5*time.Second)
	defer cancel()
	testkit.MustLoadPage(t, ctx, app) // would wait for the turn
	close(goOn)
	if err := <-done; err != nil {
		t.Error(err)
	}
	if n := st.Count(storefault.Commit) - before; n != 0 {
		t.Errorf("a page load of states that are reset made %d commits", n)
	}
}

// States that are not in memory are loaded in one call, however many modules
// there are.
//
// Proves W4.
func TestPageLoadLoadsOnce(t *testing.T) {
	for name, open := range testkit.Stores {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			var loads [][]string
			st := storefault.Wrap(open(), &storefault.Options{Hook: func(c storefault.Call) {
				if c.Op == storefault.Load {
					mu.Lock()
					defer mu.Unlock()
					loads = append(loads, c.Keys)
				}
			}})
			app := testkit.NewApp(t, st, nil)
			states := pageModules(app)
			b := testkit.NewBrowser(app)
			for _, s := range states {
				testkit.Set(t, b.Ctx(), s, testkit.Counter{Count: 7})
			}
			access.AppOf(app).Evict(false)
			mu.Lock()
			loads = nil
			mu.Unlock()
			testkit.MustLoadPage(t, b.Ctx(), app)
			mu.Lock()
			defer mu.Unlock()
			ofStates := 0
			for _, keys := range loads {
				if strings.HasPrefix(keys[0], "session/") {
					ofStates++
				}
			}
			if ofStates != 1 || len(loads) > 2 {
				t.Errorf("loads: %q, want the session's record, then all states at once", loads)
			}
		})
	}
}

// An app without ResetOnPageLoad pays nothing for it.
//
// Proves W4.
func TestPageLoadCostsNothingUnused(t *testing.T) {
	st := storefault.Wrap(memstore.New(), nil)
	app := testkit.NewApp(t, st, nil)
	s := stay.Register(app, stay.Module[testkit.Counter]{Name: "s", Persist: stay.PerSession})
	core := access.AppOf(app)
	if core.ResetsOnPageLoad() {
		t.Error("there is something to reset")
	}
	b := testkit.NewBrowser(app)
	testkit.MustUpdate(t, b.Ctx(), s)
	ctx, calls := b.Ctx(), st.Count(storefault.Any)
	if n := testing.AllocsPerRun(100, func() { testkit.MustLoadPage(t, ctx, app) }); n != 0 || st.Count(storefault.Any) != calls {
		t.Errorf("a page load made %.0f allocations and %d calls of the store", n, st.Count(storefault.Any)-calls)
	}
	testkit.WantCount(t, ctx, s, 1)
}

// A session that ends, or is renewed, while its page is loaded has nothing to
// reset; the page is shown.
//
// Proves S5, W4.
func TestPageLoadOfEndedSession(t *testing.T) {
	st := testkit.BehindCommitter(memstore.New())
	app := testkit.NewApp(t, st, nil)
	states := pageModules(app)
	a := states[0]
	b := testkit.NewBrowser(app)
	testkit.Set(t, b.Ctx(), a, testkit.Counter{Count: 7})
	ctx, late := b.Ctx(), b.Ctx()
	if _, err := a.Get(late); err != nil { // has looked the session up already
		t.Fatal(err)
	}
	if err := stay.SessionFrom(b.Ctx()).Destroy(t.Context()); err != nil {
		t.Fatal(err)
	}
	testkit.MustLoadPage(t, ctx, app)
	testkit.MustLoadPage(t, late, app)

	// It ends between the read and the reset.
	c := testkit.NewBrowser(app)
	testkit.Set(t, c.Ctx(), a, testkit.Counter{Count: 7})
	access.AppOf(app).Evict(false)
	same := testkit.NewBrowser(app)
	same.Token = c.Token
	gate := storefault.NewGate()
	defer gate.Open()
	rule := st.Add(storefault.Rule{Op: storefault.Load, Key: "session/a/" + stay.SessionFrom(c.Ctx()).ID(), Fault: storefault.Stop(gate)})
	loaded := make(chan error, 1)
	ctx = c.Ctx()
	go func() { loaded <- access.AppOf(app).PageLoad(ctx) }()
	if _, err := gate.Arrived(testkit.Soon(t)); err != nil {
		t.Fatal(err)
	}
	rule.Remove()
	destroyed := make(chan error, 1)
	go func() { destroyed <- stay.SessionFrom(c.Ctx()).Destroy(t.Context()) }()
	for err := error(nil); !errors.Is(err, stay.ErrEnded); {
		_, err = states[2].Update(same.Ctx(), testkit.Increment)
	}
	gate.Open()
	if err := <-loaded; err != nil {
		t.Errorf("page load of a session that ended meanwhile: %v", err)
	}
	if err := <-destroyed; err != nil {
		t.Error(err)
	}
	for _, key := range testkit.Rows(t, st) {
		if strings.HasPrefix(key, "session/") {
			t.Errorf("%s was stored for an ended session", key)
		}
	}
}

// A failing store is an error: the page would show values that should be reset.
// One record that cannot be decoded is not: its callers get the error, and all
// others are reset.
//
// Proves M3, W4.
func TestPageLoadFailures(t *testing.T) {
	st := testkit.BehindCommitter(memstore.New())
	app := testkit.NewApp(t, st, &stay.Options{OnError: testkit.Quiet})
	states := pageModules(app)
	b := testkit.NewBrowser(app)
	fill := func() {
		for _, s := range states {
			testkit.Set(t, b.Ctx(), s, testkit.Counter{Count: 7})
		}
	}
	fill()
	for _, fault := range []storefault.Rule{
		{Op: storefault.Load, Match: func(c storefault.Call) bool { return strings.HasPrefix(c.Keys[0], "session/") }},
		{Op: storefault.Load, Match: func(c storefault.Call) bool { return strings.HasPrefix(c.Keys[0], "stay/session/") }},
		{Op: storefault.Commit},
	} {
		fault.Fault = storefault.Fail(nil)
		rule := st.Add(fault)
		access.AppOf(app).Evict(false)
		testkit.WantCode(t, access.AppOf(app).PageLoad(b.Ctx()), stay.ErrUnavailable)
		rule.Remove()
		wantCounter(t, b.Ctx(), states[0], testkit.Counter{Count: 7})
	}

	key := "session/a/" + stay.SessionFrom(b.Ctx()).ID()
	rule := st.Add(storefault.Rule{Op: storefault.Load, Fault: storefault.Corrupt(func(r *store.Record) {
		if r.Key == key {
			r.Value = []byte("{")
		}
	})})
	access.AppOf(app).Evict(false)
	testkit.MustLoadPage(t, b.Ctx(), app)
	_, err := states[0].Get(b.Ctx())
	testkit.WantCode(t, err, stay.ErrCorrupt)
	for _, s := range states[1:] {
		wantCounter(t, b.Ctx(), s, testkit.Counter{Count: 1})
	}
	rule.Remove()
	wantCounter(t, b.Ctx(), states[0], testkit.Counter{Count: 7})
}

// Page loads beside changes of the same states: each change is before or
// after a reset, and modules may register meanwhile.
//
// Proves W4.
func TestPageLoadBesideChanges(t *testing.T) {
	testkit.OnEachApp(t, func(t *testing.T, app *stay.App) {
		states := pageModules(app)
		b := testkit.NewBrowser(app)
		for _, s := range states {
			testkit.MustUpdate(t, b.Ctx(), s)
		}
		token := b.Token
		var all sync.WaitGroup
		for i := range 4 {
			all.Go(func() {
				own := testkit.NewBrowser(app)
				own.Token = token
				for range 50 {
					if i == 0 {
						testkit.MustLoadPage(t, own.Ctx(), app)
						continue
					}
					for _, s := range states {
						if _, err := s.Update(own.Ctx(), testkit.Increment); err != nil {
							t.Error(err)
						}
					}
				}
			})
		}
		all.Go(func() {
			for i := range 20 {
				stay.Register(app, stay.Module[testkit.Counter]{Name: "late" + string(rune('a'+i)), ResetOnPageLoad: true})
			}
		})
		all.Wait()
		testkit.MustLoadPage(t, b.Ctx(), app)
		for _, s := range states {
			testkit.WantCount(t, b.Ctx(), s, 1)
		}
	})
}

// After Close a page load says so.
//
// Proves E7, W4.
func TestPageLoadAfterClose(t *testing.T) {
	app := stay.New(memstore.New(), nil)
	a := pageModules(app)[0]
	b := testkit.NewBrowser(app)
	testkit.Set(t, b.Ctx(), a, testkit.Counter{Count: 7})
	ctx := b.Ctx()
	if err := app.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := access.AppOf(app).PageLoad(ctx); !errors.Is(err, stay.ErrClosed) {
		t.Errorf("page load of a closed app: %v", err)
	}
}

// A page load keeps the key fields, and so the session's login; it resets what
// one device sees for all devices of that key.
//
// Proves K8, W4.
func TestPageLoadKeepsKeyFields(t *testing.T) {
	type draft struct {
		User string `json:"user" stay:"key"`
		Text string `json:"text"`
		Name string `json:"name" stay:"preserve"`
	}
	app := testkit.NewApp(t, memstore.New(), nil)
	s := stay.Register(app, stay.Module[draft]{
		Name: "draft", Persist: stay.WithKey(func(d *draft) string { return d.User }), ResetOnPageLoad: true,
	})
	b := testkit.NewBrowser(app)
	if _, err := s.Update(b.Ctx(), func(d *draft) error { *d = draft{"ann", "typed", "kept"}; return nil }); err != nil {
		t.Fatal(err)
	}
	testkit.MustLoadPage(t, b.Ctx(), app)
	got, err := s.Get(b.Ctx())
	if err != nil {
		t.Fatal(err)
	}
	if want := (draft{User: "ann", Name: "kept"}); *got != want {
		t.Errorf("the state is %+v, want %+v", *got, want)
	}

	other := testkit.NewBrowser(app)
	for _, text := range []string{"", "typed elsewhere"} { // the login, then a change
		if _, err := s.Update(other.Ctx(), func(d *draft) error { d.User, d.Text = "ann", text; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	testkit.MustLoadPage(t, b.Ctx(), app)
	if got, err = s.Get(other.Ctx()); err != nil {
		t.Fatal(err)
	}
	if want := (draft{User: "ann", Name: "kept"}); *got != want {
		t.Errorf("the other device sees %+v, want %+v", *got, want)
	}
}

// A state under a key that cannot be read keeps no other module from its reset,
// on stores of one owner and of several.
//
// Proves M3, W4.
func TestPageLoadBesideAnUnreadableKey(t *testing.T) {
	for what, st := range map[string]*storefault.Store{
		"sole": testkit.BehindCommitter(memstore.New()), "shared": storefault.Wrap(memstore.Shared(1)[0], nil),
	} {
		t.Run(what, func(t *testing.T) {
			app := testkit.NewApp(t, st, &stay.Options{OnError: testkit.Quiet})
			m := testkit.TodosModule()
			m.ResetOnPageLoad = true
			s := stay.Register(app, m)
			own := stay.Register(app, stay.Module[testkit.Counter]{Name: "own", Persist: stay.PerSession, ResetOnPageLoad: true})
			b := testkit.NewBrowser(app)
			testkit.Must(t)(s.Update(b.Ctx(), testkit.Become("ann")))
			testkit.MustUpdate(t, b.Ctx(), own)
			st.Add(storefault.Rule{Op: storefault.Load, Fault: storefault.Corrupt(func(r *store.Record) {
				if r.Key == "key/todos/ann" {
					r.Revision, r.Value = 1<<40, []byte("{")
				}
			})})
			access.AppOf(app).Evict(false)
			testkit.MustLoadPage(t, b.Ctx(), app)
			testkit.WantCount(t, b.Ctx(), own, 0)
		})
	}
}
