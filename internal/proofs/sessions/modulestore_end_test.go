package sessions_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/access"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

// An endWorld is a session of ann and one of its changes that is about to
// create a state in another store.
type endWorld struct {
	main, elsewhere *storefault.Store // of the process that makes the change
	app, other      *stay.App         // other is where the session is ended
	there           *stay.State[testkit.Counter]
	alsoThere       *stay.State[testkit.Counter] // there in the other process
	b               *testkit.Browser
	old             context.Context // a request with the cookie that will be refused
	key             string          // of the state in its store
	mem             store.Store     // what elsewhere keeps
}

// stepTime is how long the end of a session waits for a change that is under
// way.
const stepTime = time.Second

// endVerbs end a session, or what its cookie is good for.
var endVerbs = map[string]func(ctx context.Context, x *endWorld) error{
	"destroy": func(ctx context.Context, _ *endWorld) error {
		short, cancel := context.WithTimeout(ctx, stepTime)
		defer cancel()
		return stay.SessionFrom(ctx).Destroy(short)
	},
	"renew":  func(ctx context.Context, _ *endWorld) error { return stay.SessionFrom(ctx).Renew(ctx) },
	"logout": func(ctx context.Context, _ *endWorld) error { return stay.SessionFrom(ctx).Logout(ctx) },
	"switch": func(ctx context.Context, _ *endWorld) error { return stay.SessionFrom(ctx).Login(ctx, "bob") },
	"revoke": func(ctx context.Context, x *endWorld) error { return x.other.Revoke(ctx, "ann") },
}

// inEndWorlds runs the test in bubbles: on stores of one process, immediate and
// not, also where it keeps nothing in memory, and on those of two processes.
func inEndWorlds(t *testing.T, test func(t *testing.T, x *endWorld)) {
	inEndWorldsOf(t, []bool{false, true}, []bool{true, false}, test)
	t.Run("nothing in memory", func(t *testing.T) {
		inEndWorldsOf(t, []bool{false}, []bool{true, false}, func(t *testing.T, x *endWorld) {
			access.AppOf(x.app).Evict(true)
			test(t, x)
		})
	})
}

func inEndWorldsOf(t *testing.T, shared, immediate []bool, test func(t *testing.T, x *endWorld)) {
	for _, shared := range shared {
		for _, immediate := range immediate {
			name := "one process"
			if shared {
				name = "two processes"
			}
			if !immediate {
				name += ", committer"
			}
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { test(t, newEndWorld(t, shared, immediate)) })
			})
		}
	}
}

func newEndWorld(t *testing.T, shared, immediate bool) *endWorld {
	t.Helper()
	x := &endWorld{}
	wrap := func(s store.Store) *storefault.Store {
		if immediate {
			return storefault.Wrap(s, nil)
		}
		return testkit.BehindCommitter(s)
	}
	opts := &stay.Options{Logger: slog.New(slog.DiscardHandler)}
	open := func(main, own store.Store) (*stay.App, *stay.State[testkit.Counter]) {
		app := testkit.NewApp(t, main, opts)
		return app, stay.Register(app, stay.Module[testkit.Counter]{Name: "there", Persist: stay.PerSession, Store: own})
	}
	if shared {
		mains, owns := memstore.Shared(2), memstore.Shared(2)
		x.mem, x.main, x.elsewhere = owns[1], wrap(mains[0]), wrap(owns[0])
		x.app, x.there = open(x.main, x.elsewhere)
		x.other, x.alsoThere = open(mains[1], owns[1])
	} else {
		own := memstore.New()
		x.mem, x.main, x.elsewhere = own, wrap(memstore.New()), wrap(own)
		x.app, x.there = open(x.main, x.elsewhere)
		x.other, x.alsoThere = x.app, x.there
	}
	x.b = testkit.NewBrowser(x.app)
	testkit.Login(t, x.b, "ann")
	x.old = x.b.Ctx()
	x.key = "session/there/" + stay.SessionFrom(x.old).ID()
	return x
}

// end ends the session by the verb, in the other process if there is one.
func (x *endWorld) end(t *testing.T, verb string) {
	t.Helper()
	x.b = x.b.On(x.other)
	if err := endVerbs[verb](x.b.Ctx(), x); err != nil {
		t.Fatalf("%s: %v", verb, err)
	}
}

// wantNothing checks that nothing was created.
func (x *endWorld) wantNothing(t *testing.T) {
	t.Helper()
	synctest.Wait()
	if rec := testkit.RecordAt(t, x.mem, time.Now(), x.key); rec.Revision != 0 {
		t.Errorf("the store has %s", rec.Value)
	}
	for app, s := range map[*stay.App]*stay.State[testkit.Counter]{x.app: x.there, x.other: x.alsoThere} {
		testkit.WantCount(t, x.b.On(app).Ctx(), s, 0)
	}
}

// change makes the change and returns its answer.
func (x *endWorld) change(fn func(*testkit.Counter) error) <-chan error {
	answer := make(chan error, 1)
	go func() {
		_, err := x.there.Update(x.old, fn)
		answer <- err
	}()
	return answer
}

// stopped makes the change stop in its store.
func (x *endWorld) stopped(t *testing.T, fault func(*storefault.Gate) storefault.Fault) (*storefault.Gate, <-chan error) {
	t.Helper()
	gate := storefault.NewGate()
	x.elsewhere.Add(storefault.Rule{Op: storefault.Commit, Key: x.key, Times: 1, Fault: fault(gate)})
	answer := x.change(testkit.Increment)
	if _, err := gate.Arrived(t.Context()); err != nil {
		t.Fatal(err)
	}
	return gate, answer
}

// A change that is under way creates nothing in a store of the module's own once
// the end of its session was acknowledged, wherever it was at that moment: in
// its function, on its way to the store, or on its way back.
//
// Proves A12, E5, S5, N1.
func TestNothingIsCreatedElsewhereAfterTheEnd(t *testing.T) {
	for verb := range endVerbs {
		t.Run(verb, func(t *testing.T) {
			t.Run("in its function", func(t *testing.T) {
				inEndWorlds(t, func(t *testing.T, x *endWorld) {
					inside, goOn := make(chan struct{}), make(chan struct{})
					var once sync.Once
					answer := x.change(func(c *testkit.Counter) error {
						once.Do(func() { close(inside); <-goOn })
						return testkit.Increment(c)
					})
					<-inside
					x.end(t, verb)
					close(goOn)
					testkit.WantCode(t, <-answer, stay.ErrEnded)
					x.wantNothing(t)
				})
			})
			for at, fault := range map[string]func(*storefault.Gate) storefault.Fault{
				"before it is stored": storefault.Stop, "before it is answered": storefault.StopAfter,
			} {
				t.Run(at, func(t *testing.T) {
					inEndWorlds(t, func(t *testing.T, x *endWorld) {
						gate, answer := x.stopped(t, fault)
						x.end(t, verb)
						gate.Open()
						testkit.WantCode(t, <-answer, stay.ErrEnded)
						x.wantNothing(t)
					})
				})
			}
		})
	}
}

// In the other order, the change succeeds before the end is stored: then the
// end removes the created state, and a new cookie finds it.
//
// Proves A12, S5.
func TestTheEndFindsWhatWasCreatedElsewhere(t *testing.T) {
	for verb := range endVerbs {
		t.Run(verb, func(t *testing.T) {
			inEndWorldsOf(t, []bool{false}, []bool{true, false}, func(t *testing.T, x *endWorld) {
				gate := storefault.NewGate()
				x.main.Add(storefault.Rule{Op: storefault.Commit, Times: 1, Fault: storefault.Stop(gate)})
				ended := make(chan struct{})
				go func() {
					defer close(ended)
					x.end(t, verb)
				}()
				if _, err := gate.Arrived(t.Context()); err != nil {
					t.Fatal(err)
				}
				if _, err := x.there.Update(x.old, testkit.Increment); err != nil {
					t.Fatal(err)
				}
				gate.Open()
				<-ended
				switch verb {
				case "destroy":
					x.wantNothing(t)
				case "revoke":
					testkit.WantCount(t, x.b.Ctx(), x.there, 0)
				default:
					testkit.WantCount(t, x.b.Ctx(), x.there, 1)
				}
			})
		})
	}
}

// A store that does not answer, or refuses, the removal of a created state is
// asked again; if it never answers, the caller gets ErrUnknown.
//
// Proves E5, S5.
func TestRemovalOfWhatMustNotBeIsTriedAgain(t *testing.T) {
	for name, c := range map[string]struct {
		fault storefault.Fault
		times int
		want  stay.Code
	}{
		"lost answers":  {storefault.LoseAck(nil), 3, stay.ErrEnded},
		"lost requests": {storefault.Drop(nil), 3, stay.ErrEnded},
		"refused":       {storefault.Fail(nil), 3, stay.ErrEnded},
		"for ever":      {storefault.Fail(nil), 0, stay.ErrUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			inEndWorlds(t, func(t *testing.T, x *endWorld) {
				gate, answer := x.stopped(t, storefault.StopAfter)
				x.end(t, "renew")
				x.elsewhere.Add(storefault.Rule{Op: storefault.Commit, Key: x.key, Times: c.times, Fault: c.fault})
				gate.Open()
				testkit.WantCode(t, <-answer, c.want)
				if c.want == stay.ErrEnded {
					x.wantNothing(t)
				}
			})
		})
	}
}

// The outcome of a creation whose answer was lost is found out before any
// caller gets it.
//
// Proves E5, S5.
func TestCreationElsewhereOfUnknownOutcome(t *testing.T) {
	for name, fault := range map[string]storefault.Fault{"stored": storefault.LoseAck(nil), "not stored": storefault.Drop(nil)} {
		for _, verb := range []string{"", "renew", "destroy"} {
			t.Run(name+" "+verb, func(t *testing.T) {
				inEndWorlds(t, func(t *testing.T, x *endWorld) {
					x.elsewhere.Add(storefault.Rule{Op: storefault.Commit, Key: x.key, Times: 1, Fault: fault})
					gate := storefault.NewGate()
					x.elsewhere.Add(storefault.Rule{Op: storefault.Commit, Key: x.key, Skip: 1, Times: 1, Fault: storefault.Stop(gate)})
					answer := x.change(testkit.Increment)
					if _, err := gate.Arrived(t.Context()); err != nil {
						t.Fatal(err)
					}
					if verb != "" {
						x.end(t, verb)
					}
					gate.Open()
					if verb != "" {
						testkit.WantCode(t, <-answer, stay.ErrEnded)
						x.wantNothing(t)
						return
					}
					testkit.NoError(t, <-answer)
					testkit.WantCount(t, x.b.Ctx(), x.there, 1)
				})
			})
		}
	}
}

// A state that a request with the new cookie has changed meanwhile, in another
// process, is not removed: then the outcome is unknown.
//
// Proves E5, S5, N1.
func TestWhatOthersHaveBuiltOnStays(t *testing.T) {
	for _, immediate := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			x := newEndWorld(t, true, immediate)
			gate, answer := x.stopped(t, storefault.StopAfter)
			x.end(t, "renew")
			testkit.MustUpdate(t, x.b.Ctx(), x.alsoThere)
			gate.Open()
			testkit.WantCode(t, <-answer, stay.ErrUnknown)
			testkit.WantCount(t, x.b.Ctx(), x.alsoThere, 2)
		})
		synctest.Test(t, func(t *testing.T) { // and here it is another one by now
			x := newEndWorld(t, true, immediate)
			gate, answer := x.stopped(t, storefault.StopAfter)
			x.end(t, "renew")
			testkit.NoError(t, x.alsoThere.Delete(x.b.Ctx()))
			testkit.MustUpdate(t, x.b.Ctx(), x.alsoThere)
			gate.Open()
			testkit.WantCode(t, <-answer, stay.ErrEnded)
			testkit.WantCount(t, x.b.Ctx(), x.alsoThere, 1)
		})
	}
}

// Where the session's store cannot say whether the session stands, nothing is
// created, and the change fails.
//
// Proves E5, S5.
func TestNothingIsCreatedElsewhereWhileTheSessionIsUnknown(t *testing.T) {
	for _, immediate := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			x := newEndWorld(t, true, immediate)
			gate, answer := x.stopped(t, storefault.StopAfter)
			down := x.main.Add(storefault.Rule{Op: storefault.Load, Fault: storefault.Fail(nil)})
			gate.Open()
			testkit.WantCode(t, <-answer, stay.ErrUnavailable)
			down.Remove()
			x.wantNothing(t)
		})
	}
}

// A caller that leaves while its creation is confirmed leaves no state either.
//
// Proves E5, S5.
func TestNothingIsCreatedElsewhereForACallerWhoLeft(t *testing.T) {
	// Who calls an immediate store does not wait.
	inEndWorldsOf(t, []bool{false, true}, []bool{false}, func(t *testing.T, x *endWorld) {
		ctx, cancel := context.WithCancel(x.old)
		x.old = ctx
		gate, answer := x.stopped(t, storefault.StopAfter)
		x.end(t, "renew")
		cancel()
		testkit.WantCode(t, <-answer, stay.ErrUnknown)
		gate.Open()
		x.wantNothing(t)
	})
}

// What is created elsewhere and stored later is not stored any more once the
// session is destroyed, and goes if it is being stored.
//
// Proves A14, S5.
func TestDebouncedStateElsewhereGoesWithItsSession(t *testing.T) {
	for _, immediate := range []bool{true, false} {
		for _, saving := range []bool{true, false} {
			synctest.Test(t, func(t *testing.T) {
				own := memstore.New()
				f := testkit.BehindCommitter(testkit.Unclosed{Store: own})
				if immediate {
					f = storefault.Wrap(testkit.Unclosed{Store: own}, nil)
				}
				app := testkit.NewApp(t, memstore.New(), &stay.Options{Logger: slog.New(slog.DiscardHandler)})
				there := stay.Register(app, stay.Module[testkit.Counter]{Name: "there", Persist: stay.PerSession, Store: f, Debounce: time.Minute})
				b := testkit.NewBrowser(app)
				testkit.Login(t, b, "ann")
				key := "session/there/" + stay.SessionFrom(b.Ctx()).ID()
				gate := storefault.NewGate()
				f.Add(storefault.Rule{Op: storefault.Commit, Key: key, Times: 1, Fault: storefault.Stop(gate)})
				testkit.MustUpdate(t, b.Ctx(), there)
				if saving {
					if _, err := gate.Arrived(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				short, cancel := context.WithTimeout(b.Ctx(), stepTime)
				defer cancel()
				testkit.NoError(t, stay.SessionFrom(short).Destroy(short))
				gate.Open()
				testkit.Sleep(2 * time.Minute)
				if rec := testkit.RecordAt(t, own, time.Now(), key); rec.Revision != 0 {
					t.Errorf("saving=%v: the store has %s", saving, rec.Value)
				}
			})
		}
	}
}

// A change is not acknowledged to be stored later where another process has
// ended the session before, nor stored where it has destroyed it since.
//
// Proves A14, S5, N1.
func TestDebouncedStateElsewhereAsksTheSessionsStore(t *testing.T) {
	world := func(t *testing.T) *endWorld {
		x := &endWorld{mem: memstore.New()}
		mains := memstore.Shared(2)
		opts := &stay.Options{Logger: slog.New(slog.DiscardHandler)}
		x.app, x.other = testkit.NewApp(t, mains[0], opts), testkit.NewApp(t, mains[1], opts)
		x.there = stay.Register(x.app, stay.Module[testkit.Counter]{Name: "there", Persist: stay.PerSession, Store: testkit.Unclosed{Store: x.mem}, Debounce: time.Minute})
		x.b = testkit.NewBrowser(x.app)
		testkit.Login(t, x.b, "ann")
		x.old = x.b.Ctx()
		x.key = "session/there/" + stay.SessionFrom(x.old).ID()
		return x
	}
	wantNothing := func(t *testing.T, x *endWorld) {
		t.Helper()
		testkit.Sleep(2 * time.Minute)
		if rec := testkit.RecordAt(t, x.mem, time.Now(), x.key); rec.Revision != 0 {
			t.Errorf("the store has %s", rec.Value)
		}
	}
	for verb := range endVerbs {
		t.Run(verb, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x := world(t)
				inside, goOn := make(chan struct{}), make(chan struct{})
				var once sync.Once
				answer := x.change(func(c *testkit.Counter) error {
					once.Do(func() { close(inside); <-goOn })
					return testkit.Increment(c)
				})
				<-inside
				x.end(t, verb)
				close(goOn)
				testkit.WantCode(t, <-answer, stay.ErrEnded)
				wantNothing(t, x)
			})
		})
	}
	t.Run("destroyed since", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			x := world(t)
			testkit.MustUpdate(t, x.b.Ctx(), x.there)
			x.end(t, "destroy")
			wantNothing(t, x)
		})
	})
}

// Nor does a change that is under way create a state in memory after the end,
// in the same process or another.
//
// Proves A12, S2, S5, N1.
func TestNothingIsCreatedInMemoryAfterTheEnd(t *testing.T) {
	for verb := range endVerbs {
		for _, shared := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				opts := &stay.Options{Guests: stay.GuestMemory, StickySessions: true}
				x := &endWorld{app: testkit.NewApp(t, memstore.New(), opts)}
				x.other = x.app
				if shared {
					apps := testkit.Nodes(t, 2, opts)
					x.app, x.other = apps[0], apps[1]
				}
				x.there = stay.Register(x.app, stay.Module[testkit.Counter]{Name: "notes"})
				x.b = testkit.NewBrowser(x.app)
				testkit.Login(t, x.b, "ann")
				x.old = x.b.Ctx()
				inside, goOn := make(chan struct{}), make(chan struct{})
				var once sync.Once
				answer := x.change(func(c *testkit.Counter) error {
					once.Do(func() { close(inside); <-goOn })
					return testkit.Increment(c)
				})
				<-inside
				x.end(t, verb)
				close(goOn)
				testkit.WantCode(t, <-answer, stay.ErrEnded)
				testkit.WantCount(t, x.b.On(x.app).Ctx(), x.there, 0)
			})
		}
	}
}

// A change of a state that exists may finish: nothing is created by it.
//
// Proves S5.
func TestAChangeElsewhereMayFinishOnWhatExists(t *testing.T) {
	inEndWorlds(t, func(t *testing.T, x *endWorld) {
		testkit.MustUpdate(t, x.b.Ctx(), x.there)
		x.old = x.b.Ctx()
		gate, answer := x.stopped(t, storefault.Stop)
		x.end(t, "renew")
		gate.Open()
		if err := <-answer; err != nil && !errors.Is(err, stay.ErrEnded) {
			t.Error(err)
		}
		testkit.WantCount(t, x.b.Ctx(), x.alsoThere, 2)
	})
}
