package nodes_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/testkit"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

// A session goes on while the signing keys rotate, at whichever node each of its
// requests arrives, and whichever node has seen the new key first.
//
// Proves S6, W1, N1.
func TestSessionsOutliveRotationsOnAnyNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const days = 70 // keys rotate after 30
		clock, handles := testkit.NewClock(), memstore.Shared(4)
		var apps []*stay.App
		var states []*stay.State[testkit.Counter]
		for _, s := range handles[:3] {
			app := testkit.NewApp(t, s, &stay.Options{Clock: clock.Now, IdleTimeout: 48 * time.Hour, Lifetime: 2 * days * 24 * time.Hour})
			apps = append(apps, app)
			states = append(states, stay.Register(app, stay.Module[testkit.Counter]{Name: "c", Persist: stay.PerSession}))
		}
		b := testkit.NewBrowser(apps[0])
		keys := map[string]bool{}
		for step := range 2 * days {
			at := (step*step + step/7) % len(apps)
			b = b.On(apps[at])
			testkit.MustUpdate(t, b.Ctx(), states[at])
			testkit.WantCount(t, b.On(apps[(at+1)%len(apps)]).Ctx(), states[(at+1)%len(apps)], step+1)
			keys[b.Token[:6]] = true // names the key
			clock.Advance(12 * time.Hour)
			testkit.Sweep(apps[step%len(apps)])
			synctest.Wait()
		}
		if len(keys) < 3 {
			t.Errorf("%d keys have signed in %d days", len(keys), days)
		}
	})
}

// While a key of the program's own is replaced as Options.Keys says, node by
// node, each cookie is good at every node: those of one step at those of the
// next, and the other way round.
//
// Proves W1, N1.
func TestKeysOfTheProgramAreReplacedNodeByNode(t *testing.T) {
	key := func(c byte) []byte { return slices.Repeat([]byte{c}, 32) }
	old, next := key('o'), key('n')
	steps := [][][]byte{{old}, {old, next}, {next, old}}
	apps := testkit.Nodes(t, 2, nil)
	var states []*stay.State[testkit.Counter]
	for _, app := range apps {
		states = append(states, stay.Register(app, stay.Module[testkit.Counter]{Name: "c", Persist: stay.PerSession}))
	}
	for i := range len(steps) - 1 {
		for _, keys := range [][2][][]byte{{steps[i], steps[i+1]}, {steps[i+1], steps[i]}} {
			b := testkit.NewBrowser(apps[0])
			b.Ring = b.App.Keyring(keys[0])
			testkit.MustUpdate(t, b.Ctx(), states[0])
			there := b.On(apps[1])
			there.Ring = there.App.Keyring(keys[1])
			testkit.MustUpdate(t, there.Ctx(), states[1])
			testkit.WantCount(t, b.With(there.Token).Ctx(), states[0], 2)
		}
	}
}

// A node that comes upon an expired session which another node keeps in use asks
// the store: nothing that is used anywhere expires.
//
// Proves A15, S6, N1.
func TestWhatIsUsedAtAnotherNodeDoesNotExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock, handles := testkit.NewClock(), memstore.Shared(2)
		var nodes []*testkit.Expiring
		var own []*stay.State[testkit.Counter]
		events := &testkit.Events{}
		for _, s := range handles {
			n := testkit.NewExpiring(t, s, clock)
			m := testkit.Watched("own", stay.PerSession, events)
			m.OnDestroyed = nil
			nodes, own = append(nodes, n), append(own, stay.Register(n.App, m))
		}
		b := testkit.NewBrowser(nodes[0].App)
		for i := range 6 { // the idle timeout is an hour
			testkit.MustUpdate(t, b.Ctx(), own[0])
			if i == 0 {
				testkit.WantCount(t, b.On(nodes[1].App).Ctx(), own[1], 1) // so that it has both in memory
			}
			clock.Advance(50 * time.Minute)
			nodes[1].Sweep(0)
		}
		events.Want(t)
		testkit.WantCount(t, b.On(nodes[1].App).Ctx(), own[1], 6)
		clock.Advance(2 * time.Hour)
		var wg sync.WaitGroup
		for _, n := range nodes {
			wg.Go(func() { testkit.Sweep(n.App) })
		}
		wg.Wait()
		synctest.Wait()
		events.Want(t, "expired own 6")
		nodes[0].Sweep(2 * time.Minute)
		nodes[1].Sweep(2 * time.Minute)
		events.Want(t)
	})
}

// A read names the revisions that memory has, of session, user and state, so
// only what has changed travels.
//
// Proves C1, N1.
func TestReadsNameTheRevisionsTheyHave(t *testing.T) {
	handles := memstore.Shared(2)
	seen := &readLog{Store: handles[0]}
	app := testkit.NewApp(t, seen, nil)
	p, _ := testkit.UserModules(app)
	k := stay.Register(app, testkit.TodosModule())
	b := testkit.NewBrowser(app)
	testkit.Login(t, b, "ann")
	testkit.Change(t, b.Ctx(), p, testkit.Name("Ann"))
	testkit.Change(t, b.Ctx(), k, testkit.Become("ann"))
	for what, read := range map[string]func(ctx context.Context) error{
		"PerUser": func(ctx context.Context) error { _, err := p.Get(ctx); return err },
		"WithKey": func(ctx context.Context) error { _, err := k.Get(ctx); return err },
	} {
		testkit.NoError(t, read(b.Ctx())) // it may have to bring the session's record back
		ctx := b.Ctx()
		seen.take()
		testkit.NoError(t, read(ctx))
		reads := seen.take()
		if len(reads) != 3 {
			t.Errorf("%s: asked for %v, want session, user and state", what, reads)
		}
		for _, r := range reads {
			if r.Have == 0 {
				t.Errorf("%s: asked for all of %s", what, r.Key)
			}
		}
	}
}

// readLog keeps what is asked for.
type readLog struct {
	store.Store
	mu    sync.Mutex
	reads []store.Read
}

// Load implements store.Store.
func (l *readLog) Load(ctx context.Context, reads []store.Read) ([]store.Record, error) {
	l.mu.Lock()
	l.reads = append(l.reads, reads...)
	l.mu.Unlock()
	return l.Store.Load(ctx, reads)
}

func (l *readLog) take() []store.Read {
	l.mu.Lock()
	defer l.mu.Unlock()
	reads := l.reads
	l.reads = nil
	return reads
}

// A node that loses its store refuses its requests and the other nodes go on. It
// serves as soon as the store is back, with what the others have done meanwhile.
//
// Proves A5, N1.
func TestANodeThatLosesItsStoreComesBackByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		handles := memstore.Shared(2)
		st := storefault.Wrap(handles[0], nil)
		apps := []*stay.App{
			testkit.NewApp(t, st, &stay.Options{OnError: testkit.Quiet, MaxWait: 5 * time.Second, CommitTimeout: 5 * time.Second}),
			testkit.NewApp(t, handles[1], nil),
		}
		var own, global [2]*stay.State[testkit.Counter]
		for i, app := range apps {
			own[i] = stay.Register(app, stay.Module[testkit.Counter]{Name: "own", Persist: stay.PerSession})
			global[i] = stay.Register(app, stay.Module[testkit.Counter]{Name: "all", Persist: stay.Global})
		}
		b := testkit.NewBrowser(apps[0])
		testkit.MustUpdate(t, b.Ctx(), own[0])
		testkit.MustUpdate(t, b.Ctx(), global[0])
		for round, fault := range []storefault.Fault{storefault.Fail(nil), storefault.Hang()} {
			rule := st.Add(storefault.Rule{Fault: fault})
			for _, s := range []*stay.State[testkit.Counter]{own[0], global[0]} {
				_, err := s.Get(b.Ctx())
				testkit.WantCode(t, err, stay.ErrUnavailable)
				_, err = s.Update(b.Ctx(), testkit.Increment)
				testkit.WantCode(t, err, stay.ErrUnavailable)
			}
			there := b.On(apps[1])
			testkit.MustUpdate(t, there.Ctx(), own[1])
			testkit.MustUpdate(t, there.Ctx(), global[1])
			rule.Remove()
			<-time.After(time.Second) // longer than a node goes on refusing without asking
			testkit.WantCount(t, b.Ctx(), own[0], 2+2*round)
			testkit.WantCount(t, b.Ctx(), global[0], 2+2*round)
			testkit.MustUpdate(t, b.Ctx(), own[0])
			testkit.MustUpdate(t, b.Ctx(), global[0])
		}
	})
}
