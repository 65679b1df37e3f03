package watching_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/access"
	"github.com/stay-go/stay/internal/testkit"
	"github.com/stay-go/stay/internal/testseed"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
)

// A scene is an App, or two nodes with one store, that watchers and changes meet
// at. The label of a state says whose it is.
type scene struct {
	t     *testing.T
	steps *stepper
	nodes []*node

	watchers []*watcher
	changes  []func()
}

// A node is one App, with a module of each kind.
type node struct {
	app                             *stay.App
	global, late, own, notes, tasks *stay.State[testkit.Counter]
}

// A watcher is a loop over Watch, and the same state as a new request reads it.
type watcher struct {
	state *stay.State[testkit.Counter]
	ctx   func() context.Context
	seen  []testkit.Counter
	err   error
}

func newScene(t *testing.T, m *meeting) *scene {
	s := &scene{t: t, steps: &stepper{}}
	stores := []store.Store{memstore.New()}
	if m.nodes > 0 {
		stores = nil
		for _, st := range memstore.Shared(m.nodes) {
			stores = append(stores, st)
		}
	}
	for _, st := range stores {
		opts := &stay.Options{Metrics: s.steps, KeepCookieOnKeyChange: m.keeps}
		if m.slow {
			opts.Clock = s.steps.slowClock
		}
		if m.behind {
			st = testkit.BehindCommitter(st)
		}
		app := testkit.NewApp(t, &stepped{st, s.steps}, opts)
		module := func(name string, persist stay.Strategy) stay.Module[testkit.Counter] {
			return stay.Module[testkit.Counter]{Name: name, Persist: persist}
		}
		late := module("late", stay.Global)
		if m.nodes == 0 {
			late.Debounce = testkit.Debounce
		}
		s.nodes = append(s.nodes, &node{
			app:    app,
			global: stay.Register(app, module("global", stay.Global)),
			late:   stay.Register(app, late),
			own:    stay.Register(app, module("own", stay.PerSession)),
			notes:  stay.Register(app, module("notes", nil)),
			tasks:  stay.Register(app, module("tasks", stay.PerUser)),
		})
	}
	return s
}

// watch has somebody watch.
func (s *scene) watch(state *stay.State[testkit.Counter], ctx func() context.Context) {
	s.watchers = append(s.watchers, &watcher{state: state, ctx: ctx})
}

// then has something happen.
func (s *scene) then(change func()) { s.changes = append(s.changes, change) }

// add has a change of the state happen. It may fail where the session is over.
func (s *scene) add(state *stay.State[testkit.Counter], ctx func() context.Context) {
	s.then(func() { _, _ = state.Update(ctx(), testkit.Increment) })
}

// nobody is a context without a session.
func nobody() context.Context { return context.Background() }

// A meeting is what happens at once. It is played in every order.
type meeting struct {
	nodes  int  // 0: one that owns its store alone
	behind bool // the store waits for a disk
	keeps  bool // a change of the key keeps the cookie
	slow   bool // the clock has points, too
	play   func(s *scene, one *node)
}

// user is the context of new requests of a browser that is logged in.
func user(t *testing.T, app *stay.App, name string) (ctx func() context.Context, b *testkit.Browser) {
	b = testkit.NewBrowser(app)
	testkit.Login(t, b, name)
	return at(b, app), b
}

// at is the context of new requests of a browser with the cookie that it has now,
// at one of the nodes.
func at(b *testkit.Browser, app *stay.App) func() context.Context {
	token := b.Token
	return func() context.Context { return b.With(token).On(app).With(token).Ctx() }
}

var meetings = map[string]meeting{
	"two changes": {play: func(s *scene, n *node) {
		s.watch(n.global, nobody)
		s.watch(n.global, nobody)
		s.add(n.global, nobody)
		s.add(n.global, nobody)
	}},
	"two changes behind a committer": {behind: true, play: func(s *scene, n *node) {
		s.watch(n.global, nobody)
		s.add(n.global, nobody)
		s.add(n.global, nobody)
	}},
	"a change and an eviction": {play: func(s *scene, n *node) {
		s.watch(n.global, nobody)
		s.add(n.global, nobody)
		s.then(func() { access.AppOf(n.app).Evict(false) })
		s.add(n.global, nobody)
	}},
	"a change and a deletion": {play: func(s *scene, n *node) {
		testkit.MustUpdate(s.t, nobody(), n.global)
		s.watch(n.global, nobody)
		s.add(n.global, nobody)
		s.then(func() { _ = n.global.Delete(nobody()) })
	}},
	"a change that is saved later": {play: func(s *scene, n *node) {
		s.watch(n.late, nobody)
		s.add(n.late, nobody)
		s.then(func() { access.AppOf(n.app).Evict(false) })
		s.add(n.late, nobody)
	}},
	"changes of a state in memory": {slow: true, play: func(s *scene, n *node) {
		b := testkit.NewBrowser(n.app)
		_, _ = n.notes.Get(b.Ctx())
		s.watch(n.notes, at(b, n.app))
		s.add(n.notes, at(b, n.app))
		s.add(n.notes, at(b, n.app))
	}},
	"a first change of a session": {play: func(s *scene, n *node) {
		b := testkit.NewBrowser(n.app)
		_, _ = n.own.Get(b.Ctx())
		s.watch(n.own, at(b, n.app))
		s.add(n.own, at(b, n.app))
		s.then(func() { access.AppOf(n.app).Evict(false) })
	}},
	"a login in place": {keeps: true, play: func(s *scene, n *node) {
		testkit.Change(s.t, nobody(), n.tasks.At("bob"), func(c *testkit.Counter) error { c.Label = "bob"; return nil })
		ctx, _ := user(s.t, n.app, "ann")
		s.watch(n.tasks, ctx)
		s.add(n.tasks.At("ann"), nobody)
		s.add(n.tasks.At("bob"), nobody)
		s.then(func() {
			ctx := ctx()
			_ = stay.SessionFrom(ctx).Login(ctx, "bob")
		})
	}},
	"a logout in place": {keeps: true, play: func(s *scene, n *node) {
		ctx, _ := user(s.t, n.app, "ann")
		s.watch(n.tasks, ctx)
		s.watch(n.own, ctx)
		s.add(n.own, ctx)
		s.then(func() {
			ctx := ctx()
			_ = stay.SessionFrom(ctx).Logout(ctx)
		})
	}},
	"a login": {play: func(s *scene, n *node) {
		ctx, _ := user(s.t, n.app, "ann")
		s.watch(n.tasks, ctx)
		s.add(n.tasks.At("ann"), nobody)
		s.then(func() {
			ctx := ctx()
			_ = stay.SessionFrom(ctx).Login(ctx, "bob")
		})
	}},
	"a revocation": {play: func(s *scene, n *node) {
		ctx, _ := user(s.t, n.app, "ann")
		s.watch(n.tasks, ctx)
		s.watch(n.own, ctx)
		s.add(n.tasks.At("ann"), nobody)
		s.then(func() { _ = n.app.Revoke(nobody(), "ann") })
	}},
	"an end": {play: func(s *scene, n *node) {
		ctx, _ := user(s.t, n.app, "ann")
		testkit.MustUpdate(s.t, ctx(), n.own)
		s.watch(n.own, ctx)
		s.add(n.own, ctx)
		s.then(func() {
			ctx := ctx()
			_ = stay.SessionFrom(ctx).Destroy(ctx)
		})
	}},
	"a change by another node": {nodes: 2, play: func(s *scene, n *node) {
		s.watch(n.global, nobody)
		s.add(s.nodes[1].global, nobody)
		s.add(n.global, nobody)
		s.then(func() { _, _ = n.global.Get(nobody()) })
	}},
	"a change by another node, an eviction and a resync": {nodes: 2, play: func(s *scene, n *node) {
		testkit.MustUpdate(s.t, nobody(), n.global)
		s.watch(n.global, nobody)
		s.add(s.nodes[1].global, nobody)
		s.then(func() { access.AppOf(n.app).Evict(false) })
		s.then(func() { _, _ = n.global.Get(nobody()) })
	}},
	"an end at another node and a resync": {nodes: 2, play: func(s *scene, n *node) {
		ctx, b := user(s.t, n.app, "ann")
		other := at(b, s.nodes[1].app)
		s.watch(n.tasks, ctx)
		s.add(n.tasks.At("ann"), nobody)
		s.then(func() {
			ctx := other()
			_ = stay.SessionFrom(ctx).Logout(ctx)
		})
	}},
}

// run plays one order, and compares what was seen last with what Get returns.
func (m *meeting) run(t *testing.T, name string, prefix *path, random *rand.Rand, met map[string]bool) (taken *path) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, m)
		m.play(s, s.nodes[0])
		ctx, cancel := context.WithCancel(t.Context())
		s.steps.begin()
		var changing, watching sync.WaitGroup
		for i, w := range s.watchers {
			watching.Go(func() {
				s.steps.stop(fmt.Sprint("watch ", i))
				w.loop(ctx)
			})
		}
		for i, change := range s.changes {
			changing.Go(func() {
				s.steps.stop(fmt.Sprint("change ", i))
				change()
				s.steps.count("over", fmt.Sprint(i), "")
			})
		}
		done := make(chan struct{})
		go func() {
			changing.Wait()
			close(done)
		}()
		taken = s.steps.steer(done, prefix, random, func(state string) bool {
			for _, w := range s.watchers {
				state += fmt.Sprint("\n", w.seen, w.err)
			}
			was := met[state]
			met[state] = true
			return was
		})
		s.steps.end()
		<-done
		testkit.Sleep(time.Second)
		for i, w := range s.watchers {
			w.check(t, fmt.Sprint("watcher ", i))
		}
		if t.Failed() {
			t.Logf("%s: the order %v", name, taken.chosen)
		}
		cancel()
		watching.Wait()
	})
	return taken
}

func (w *watcher) loop(ctx context.Context) {
	if s := stay.SessionFrom(w.ctx()); s != nil {
		ctx = stay.WithSession(ctx, s)
	}
	for c, err := range w.state.Watch(ctx) {
		if err != nil {
			w.err = err
		} else {
			w.seen = append(w.seen, *c)
		}
	}
}

func (w *watcher) check(t *testing.T, who string) {
	ctx := w.ctx()
	want, err := w.state.Get(ctx) // at another node's store it brings memory up to date
	testkit.NoError(t, err)
	synctest.Wait()
	if s := stay.SessionFrom(ctx); s != nil && s.ID() == "" {
		if stay.CodeOf(w.err) != stay.ErrEnded {
			t.Errorf("%s: the session is over, but the watch has ended with %v", who, w.err)
		}
		return
	}
	switch {
	case w.err != nil:
		t.Errorf("%s: the watch has ended with %v", who, w.err)
	case len(w.seen) == 0 || w.seen[len(w.seen)-1] != *want:
		t.Errorf("%s: saw %v, and now the state is %v", who, w.seen, *want)
	}
	for i := 1; i < len(w.seen); i++ {
		now, before := w.seen[i], w.seen[i-1]
		switch {
		case now == before:
			t.Errorf("%s: saw the same twice: %v", who, w.seen)
		case now.Label == before.Label && now.Count < before.Count && now.Count != 0:
			t.Errorf("%s: saw an older version after a newer one: %v", who, w.seen)
		}
	}
}

// Watchers, changes, evictions, deletions, logins and ends meet in every order of
// what they read and store. What a watcher has seen last is what Get returns, or
// it has heard of the end. Orders that come to the same state of things go on in the
// same way, so one of them is played to every end: they agree in what is stored, read
// and seen, and in who stands where since when. Of meetings that have too many states
// for that, the first orders are played, and some by lot.
//
// Proves L3, L4, L5, L6.
func TestEveryOrderOfAWatch(t *testing.T) {
	limit := 2200
	if raceEnabled {
		limit = 300 // each takes six times as long
	}
	playAll(t, limit)
}

// The same, with many more.
func TestSoakOrdersOfAWatch(t *testing.T) {
	if os.Getenv("STAY_SOAK") == "" {
		t.Skip("a long test: set STAY_SOAK=1")
	}
	playAll(t, 25_000)
}

func playAll(t *testing.T, limit int) {
	seed := testseed.New(t)
	total := 0
	for name, m := range meetings {
		t.Run(name, func(t *testing.T) {
			n, all, met := 0, false, map[string]bool{}
			for p := (&path{}); p != nil && n < limit && !t.Failed(); n++ {
				p = m.run(t, name, p, nil, met).next()
				all = p == nil
			}
			random := rand.New(rand.NewPCG(seed, 0))
			for i := 0; !all && i < limit/6 && !t.Failed(); i++ {
				m.run(t, name, &path{}, random, met)
				n++
			}
			total += n
			t.Logf("%d orders, all of them: %v; %d states", n, all, len(met))
		})
	}
	t.Logf("%d orders in all", total)
}
