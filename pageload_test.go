package stay_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/bridge"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

func mustLoadPage(t *testing.T, ctx context.Context, app *stay.App) {
	t.Helper()
	if err := bridge.AppOf(app).PageLoad(ctx); err != nil {
		t.Errorf("page load: %v", err)
	}
}

func wantCounter(t *testing.T, ctx context.Context, s *stay.State[counter], want counter) {
	t.Helper()
	got, err := s.Get(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if *got != want {
		t.Errorf("%s is %+v, want %+v", s.Name(), *got, want)
	}
}

func set(t *testing.T, ctx context.Context, s *stay.State[counter], to counter) {
	t.Helper()
	if _, err := s.Update(ctx, func(c *counter) error { *c = to; return nil }); err != nil {
		t.Fatal(err)
	}
}

// pageModules registers modules that are reset by page loads: two that are
// stored and one that is not.
func pageModules(app *stay.App) []*stay.State[counter] {
	initial := counter{Count: 1, Label: "new"}
	return []*stay.State[counter]{
		stay.Register(app, stay.Module[counter]{Name: "a", Initial: initial, Persist: stay.PerSession, ResetOnPageLoad: true}),
		stay.Register(app, stay.Module[counter]{Name: "b", Initial: initial, Persist: stay.PerSession, ResetOnPageLoad: true}),
		stay.Register(app, stay.Module[counter]{Name: "ephemeral", Initial: initial, ResetOnPageLoad: true}),
	}
}

// W4, B6: a page load resets every module that asks for it, but for preserved
// fields, of this session, whether it is in memory or not; others stay.
func TestW4B6PageLoadResets(t *testing.T) {
	onEachStore(t, func(t *testing.T, app *stay.App) {
		states := pageModules(app)
		kept := stay.Register(app, stay.Module[counter]{Name: "kept", Persist: stay.PerSession})
		mine, other := newBrowser(app), newBrowser(app)
		for _, evicted := range []bool{false, true} {
			for _, b := range []*browser{mine, other} {
				for _, s := range append(states, kept) {
					set(t, b.ctx(), s, counter{Count: 7, Label: "chosen"})
				}
			}
			if evicted {
				bridge.AppOf(app).Evict(false)
			}
			mustLoadPage(t, mine.ctx(), app)
			for _, s := range states {
				wantCounter(t, mine.ctx(), s, counter{Count: 1, Label: "chosen"})
				wantCounter(t, other.ctx(), s, counter{Count: 7, Label: "chosen"})
			}
			wantCounter(t, mine.ctx(), kept, counter{Count: 7, Label: "chosen"})
		}
		bridge.AppOf(app).Evict(false)
		wantCounter(t, mine.ctx(), states[0], counter{Count: 1, Label: "chosen"})
	})
}

// W4, B1: without a session that something may be stored for, a page load
// looks up nothing but what tells that, stores nothing and sets no cookie.
func TestW4B1PageLoadOfUnknownSessions(t *testing.T) {
	clock := newClock()
	st := storefault.Wrap(memstore.New(), nil)
	app := newApp(t, st, &stay.Options{Clock: clock.Now})
	a := pageModules(app)[0]
	ended := newBrowser(app)
	set(t, ended.ctx(), a, counter{})
	token := ended.token
	if err := stay.SessionFrom(ended.ctx()).Destroy(t.Context()); err != nil {
		t.Fatal(err)
	}
	clock.Advance(2 * time.Minute) // it counts as unknown now
	before := rows(t, st)

	for name, token := range map[string]string{
		"none": "", "malformed": "x.y.z", "forged": token[:len(token)-2] + "AA", "ended": token,
	} {
		b := newBrowser(app)
		b.token = token
		loads, commits := st.Count(storefault.Load), st.Count(storefault.Commit)
		ctx, resp := b.request()
		mustLoadPage(t, ctx, app)
		if len(resp.issued) > 0 || resp.used {
			t.Errorf("%s: the response was given %d cookies, used: %t", name, len(resp.issued), resp.used)
		}
		if loads, commits := st.Count(storefault.Load)-loads, st.Count(storefault.Commit)-commits; loads+commits > 0 {
			t.Errorf("%s: %d loads and %d commits", name, loads, commits)
		}
	}
	mustLoadPage(t, t.Context(), app) // no session at all
	if after := rows(t, st); len(after) != len(before) {
		t.Errorf("stored before: %q, after: %q", before, after)
	}
}

// W4: a known session that has stored nothing yet, and one whose states are
// reset already, store nothing and wait for no turn.
func TestW4PageLoadWithoutChangeWritesNothing(t *testing.T) {
	st := behindCommitter(memstore.New())
	app := newApp(t, st, nil)
	hooked := stay.Register(app, stay.Module[counter]{
		Name: "hooked", Persist: stay.PerSession, ResetOnPageLoad: true,
		OnCreated: func(_ *stay.Call, c *counter) error { c.Count = 40; return nil },
	})
	a := pageModules(app)[0]
	b := newBrowser(app)
	if _, err := a.Get(b.ctx()); err != nil { // sets the cookie
		t.Fatal(err)
	}
	before := st.Count(storefault.Commit)
	mustLoadPage(t, b.ctx(), app)
	wantCounter(t, b.ctx(), hooked, counter{Count: 40})
	if n := st.Count(storefault.Commit) - before; n != 0 {
		t.Errorf("a page load of a session without states made %d commits", n)
	}

	set(t, b.ctx(), a, counter{Count: 1, Label: "chosen"})
	running, goOn := make(chan struct{}), make(chan struct{})
	done := make(chan error, 1)
	go func() {
		_, err := a.Update(b.ctx(), func(*counter) error { close(running); <-goOn; return nil })
		done <- err
	}()
	<-running
	before = st.Count(storefault.Commit)
	ctx, cancel := context.WithTimeout(b.ctx(), 5*time.Second)
	defer cancel()
	mustLoadPage(t, ctx, app) // would wait for the turn
	close(goOn)
	if err := <-done; err != nil {
		t.Error(err)
	}
	if n := st.Count(storefault.Commit) - before; n != 0 {
		t.Errorf("a page load of states that are reset made %d commits", n)
	}
}

// W4: what is not in memory is loaded in one call, however many modules there
// are.
func TestW4PageLoadLoadsOnce(t *testing.T) {
	for name, open := range stores {
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
			app := newApp(t, st, nil)
			states := pageModules(app)
			b := newBrowser(app)
			for _, s := range states {
				set(t, b.ctx(), s, counter{Count: 7})
			}
			bridge.AppOf(app).Evict(false)
			mu.Lock()
			loads = nil
			mu.Unlock()
			mustLoadPage(t, b.ctx(), app)
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
func TestW4PageLoadCostsNothingUnused(t *testing.T) {
	st := storefault.Wrap(memstore.New(), nil)
	app := newApp(t, st, nil)
	s := stay.Register(app, stay.Module[counter]{Name: "s", Persist: stay.PerSession})
	core := bridge.AppOf(app)
	if core.ResetsOnPageLoad() {
		t.Error("there is something to reset")
	}
	b := newBrowser(app)
	mustUpdate(t, b.ctx(), s)
	ctx, calls := b.ctx(), st.Count(storefault.Any)
	if n := testing.AllocsPerRun(100, func() { mustLoadPage(t, ctx, app) }); n != 0 || st.Count(storefault.Any) != calls {
		t.Errorf("a page load made %.0f allocations and %d calls of the store", n, st.Count(storefault.Any)-calls)
	}
	wantCount(t, ctx, s, 1)
}

// A session that ends, or is renewed, while its page is loaded has nothing to
// reset; the page is shown.
func TestW4S5PageLoadOfEndedSession(t *testing.T) {
	st := behindCommitter(memstore.New())
	app := newApp(t, st, nil)
	states := pageModules(app)
	a := states[0]
	b := newBrowser(app)
	set(t, b.ctx(), a, counter{Count: 7})
	ctx, late := b.ctx(), b.ctx()
	if _, err := a.Get(late); err != nil { // has looked the session up already
		t.Fatal(err)
	}
	if err := stay.SessionFrom(b.ctx()).Destroy(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustLoadPage(t, ctx, app)
	mustLoadPage(t, late, app)

	// It ends between the look at it and the reset.
	c := newBrowser(app)
	set(t, c.ctx(), a, counter{Count: 7})
	bridge.AppOf(app).Evict(false)
	same := newBrowser(app)
	same.token = c.token
	gate := storefault.NewGate()
	defer gate.Open()
	rule := st.Add(storefault.Rule{Op: storefault.Load, Key: "session/a/" + stay.SessionFrom(c.ctx()).ID(), Fault: storefault.Stop(gate)})
	loaded := make(chan error, 1)
	ctx = c.ctx()
	go func() { loaded <- bridge.AppOf(app).PageLoad(ctx) }()
	if _, err := gate.Arrived(soon(t)); err != nil {
		t.Fatal(err)
	}
	rule.Remove()
	destroyed := make(chan error, 1)
	go func() { destroyed <- stay.SessionFrom(c.ctx()).Destroy(t.Context()) }()
	for err := error(nil); !errors.Is(err, stay.ErrEnded); {
		_, err = states[2].Update(same.ctx(), increment)
	}
	gate.Open()
	if err := <-loaded; err != nil {
		t.Errorf("page load of a session that ended meanwhile: %v", err)
	}
	if err := <-destroyed; err != nil {
		t.Error(err)
	}
	for _, key := range rows(t, st) {
		if strings.HasPrefix(key, "session/") {
			t.Errorf("%s was stored for an ended session", key)
		}
	}
}

// A failing store is an error: the page would show what should be gone. One
// record that cannot be decoded is not: who uses it is told, all others are
// reset (M3).
func TestW4M3PageLoadFailures(t *testing.T) {
	st := behindCommitter(memstore.New())
	app := newApp(t, st, &stay.Options{OnError: quiet})
	states := pageModules(app)
	b := newBrowser(app)
	fill := func() {
		for _, s := range states {
			set(t, b.ctx(), s, counter{Count: 7})
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
		bridge.AppOf(app).Evict(false)
		wantCode(t, bridge.AppOf(app).PageLoad(b.ctx()), stay.ErrUnavailable)
		rule.Remove()
		wantCounter(t, b.ctx(), states[0], counter{Count: 7})
	}

	key := "session/a/" + stay.SessionFrom(b.ctx()).ID()
	rule := st.Add(storefault.Rule{Op: storefault.Load, Fault: storefault.Corrupt(func(r *store.Record) {
		if r.Key == key {
			r.Value = []byte("{")
		}
	})})
	bridge.AppOf(app).Evict(false)
	mustLoadPage(t, b.ctx(), app)
	_, err := states[0].Get(b.ctx())
	wantCode(t, err, stay.ErrCorrupt)
	for _, s := range states[1:] {
		wantCounter(t, b.ctx(), s, counter{Count: 1})
	}
	rule.Remove()
	wantCounter(t, b.ctx(), states[0], counter{Count: 7})
}

// Page loads beside changes of the same states: each change is before or
// after a reset, and modules may register meanwhile.
func TestW4PageLoadBesideChanges(t *testing.T) {
	onEachStore(t, func(t *testing.T, app *stay.App) {
		states := pageModules(app)
		b := newBrowser(app)
		for _, s := range states {
			mustUpdate(t, b.ctx(), s)
		}
		token := b.token
		var all sync.WaitGroup
		for i := range 4 {
			all.Go(func() {
				own := newBrowser(app)
				own.token = token
				for range 50 {
					if i == 0 {
						mustLoadPage(t, own.ctx(), app)
						continue
					}
					for _, s := range states {
						if _, err := s.Update(own.ctx(), increment); err != nil {
							t.Error(err)
						}
					}
				}
			})
		}
		all.Go(func() {
			for i := range 20 {
				stay.Register(app, stay.Module[counter]{Name: "late" + string(rune('a'+i)), ResetOnPageLoad: true})
			}
		})
		all.Wait()
		mustLoadPage(t, b.ctx(), app)
		for _, s := range states {
			wantCount(t, b.ctx(), s, 1)
		}
	})
}

// After Close a page load says so.
func TestW4PageLoadAfterClose(t *testing.T) {
	app := stay.New(memstore.New(), nil)
	a := pageModules(app)[0]
	b := newBrowser(app)
	set(t, b.ctx(), a, counter{Count: 7})
	ctx := b.ctx()
	if err := app.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := bridge.AppOf(app).PageLoad(ctx); !errors.Is(err, stay.ErrClosed) {
		t.Errorf("page load of a closed app: %v", err)
	}
}

// W4, K8: a page load keeps the key fields, and so the session's login; it
// resets what one device sees for all devices of that key.
func TestW4K8PageLoadKeepsKeyFields(t *testing.T) {
	type draft struct {
		User string `json:"user" stay:"key"`
		Text string `json:"text"`
		Name string `json:"name" stay:"preserve"`
	}
	app := newApp(t, memstore.New(), nil)
	s := stay.Register(app, stay.Module[draft]{
		Name: "draft", Persist: stay.WithKey(func(d *draft) string { return d.User }), ResetOnPageLoad: true,
	})
	b := newBrowser(app)
	if _, err := s.Update(b.ctx(), func(d *draft) error { *d = draft{"ann", "typed", "kept"}; return nil }); err != nil {
		t.Fatal(err)
	}
	mustLoadPage(t, b.ctx(), app)
	got, err := s.Get(b.ctx())
	if err != nil {
		t.Fatal(err)
	}
	if want := (draft{User: "ann", Name: "kept"}); *got != want {
		t.Errorf("the state is %+v, want %+v", *got, want)
	}

	other := newBrowser(app)
	for _, text := range []string{"", "typed elsewhere"} { // the login, then a change
		if _, err := s.Update(other.ctx(), func(d *draft) error { d.User, d.Text = "ann", text; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	mustLoadPage(t, b.ctx(), app)
	if got, err = s.Get(other.ctx()); err != nil {
		t.Fatal(err)
	}
	if want := (draft{User: "ann", Name: "kept"}); *got != want {
		t.Errorf("the other device sees %+v, want %+v", *got, want)
	}
}

// W4, M3: a state under a key that cannot be read keeps no other module from
// its reset, on stores of one owner and of several.
func TestW4M3PageLoadBesideAnUnreadableKey(t *testing.T) {
	for what, st := range map[string]*storefault.Store{
		"sole": behindCommitter(memstore.New()), "shared": storefault.Wrap(memstore.Shared(1)[0], nil),
	} {
		t.Run(what, func(t *testing.T) {
			app := newApp(t, st, &stay.Options{OnError: quiet})
			m := todosModule()
			m.ResetOnPageLoad = true
			s := stay.Register(app, m)
			own := stay.Register(app, stay.Module[counter]{Name: "own", Persist: stay.PerSession, ResetOnPageLoad: true})
			b := newBrowser(app)
			must(t)(s.Update(b.ctx(), become("ann")))
			mustUpdate(t, b.ctx(), own)
			st.Add(storefault.Rule{Op: storefault.Load, Fault: storefault.Corrupt(func(r *store.Record) {
				if r.Key == "key/todos/ann" {
					r.Revision, r.Value = 1<<40, []byte("{")
				}
			})})
			bridge.AppOf(app).Evict(false)
			mustLoadPage(t, b.ctx(), app)
			wantCount(t, b.ctx(), own, 0)
		})
	}
}
