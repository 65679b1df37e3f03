package once_test

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/access"
	"github.com/stay-go/stay/internal/meta"
	"github.com/stay-go/stay/internal/once"
	"github.com/stay-go/stay/internal/testkit"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

func counterOf(app *stay.App, persist stay.Strategy) *stay.State[testkit.Counter] {
	return stay.Register(app, stay.Module[testkit.Counter]{
		Name: "counter", Persist: persist,
		Actions: stay.Actions[testkit.Counter]{
			"one": func(_ *stay.Call, c *testkit.Counter) error { return testkit.Increment(c) },
			"two": func(_ *stay.Call, c *testkit.Counter) error { return testkit.Increment(c) },
		},
	})
}

// send makes an increment with the id.
func send(t *testing.T, ctx context.Context, s *stay.State[testkit.Counter], id string) {
	t.Helper()
	testkit.MustUpdate(t, stay.Once(ctx, id), s)
}

func must(t *testing.T) func(*testkit.Counter, error) {
	return func(_ *testkit.Counter, err error) {
		t.Helper()
		testkit.NoError(t, err)
	}
}

// eachOwner runs the test with states of every kind, over each store.
func eachOwner(t *testing.T, test func(t *testing.T, app *stay.App, s *stay.State[testkit.Counter], b *testkit.Browser)) {
	for name, persist := range map[string]stay.Strategy{
		"memory": nil, "session": stay.PerSession, "user": stay.PerUser, "global": stay.Global,
	} {
		t.Run(name, func(t *testing.T) {
			testkit.OnEachApp(t, func(t *testing.T, app *stay.App) {
				test(t, app, counterOf(app, persist), testkit.NewBrowser(app))
			})
		})
	}
}

// The change of an id is made once. Afterwards its function does not run, and the
// result is the state as it is now, with what came later.
//
// Proves L27, L29.
func TestAChangeThatIsSentAgainIsMadeOnce(t *testing.T) {
	eachOwner(t, func(t *testing.T, _ *stay.App, s *stay.State[testkit.Counter], b *testkit.Browser) {
		send(t, b.Ctx(), s, "a")
		testkit.MustUpdate(t, b.Ctx(), s)
		for range 3 {
			c, err := s.Update(stay.Once(b.Ctx(), "a"), func(*testkit.Counter) error {
				t.Error("the function ran")
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			testkit.WantEqual(t, "the answer", c.Count, 2)
			c.Count = 100 // it is the caller's
		}
		testkit.WantCount(t, b.Ctx(), s, 2)
	})
}

// A name is of the id, the session, the module, the action, and of the place of
// the change among those of the request: whatever differs is another change.
//
// Proves L27.
func TestANameIsOfAllThatAChangeIs(t *testing.T) {
	testkit.OnEachApp(t, func(t *testing.T, app *stay.App) {
		s := counterOf(app, stay.PerUser)
		other := stay.Register(app, stay.Module[testkit.Counter]{Name: "other", Persist: stay.PerUser})
		ann, bob := testkit.NewBrowser(app), testkit.NewBrowser(app)
		for _, b := range []*testkit.Browser{ann, bob} { // two sessions of one user
			ctx := b.Ctx()
			testkit.NoError(t, stay.SessionFrom(ctx).Login(ctx, "u"))
		}
		for range 2 {
			send(t, ann.Ctx(), s, "a")
			send(t, ann.Ctx(), s, "b")
			send(t, bob.Ctx(), s, "a")
			send(t, ann.Ctx(), other, "a")
			for _, action := range []string{"one", "two"} {
				must(t)(s.Do(stay.Once(ann.Ctx(), "a"), action, nil))
			}
			ctx := stay.Once(ann.Ctx(), "several")
			for range 3 {
				testkit.MustUpdate(t, ctx, s)
			}
		}
		testkit.WantCount(t, ann.Ctx(), s, 3+2+3)
		testkit.WantCount(t, ann.Ctx(), other, 1)
	})
}

// The changes of several keys by one request may come in any order.
//
// Proves L27.
func TestChangesOfDifferentKeysHaveNoOrder(t *testing.T) {
	testkit.OnEachApp(t, func(t *testing.T, app *stay.App) {
		s := counterOf(app, stay.PerUser)
		for _, order := range [][]string{{"a", "b", "c"}, {"c", "a", "b"}, {"b"}} {
			ctx := stay.Once(t.Context(), "m")
			for _, key := range order {
				testkit.MustUpdate(t, ctx, s.At(key))
			}
		}
		for _, key := range []string{"a", "b", "c"} {
			testkit.WantCount(t, t.Context(), s.At(key), 1)
		}
	})
}

// An id that cannot be one is a typed error of the change, and changes nothing.
//
// Proves L27.
func TestAnIDOfAWrongLengthIsRefused(t *testing.T) {
	testkit.OnEachApp(t, func(t *testing.T, app *stay.App) {
		s := counterOf(app, stay.Global)
		long := make([]byte, once.MaxID+1)
		for _, id := range []string{"", string(long)} {
			_, err := s.Update(stay.Once(t.Context(), id), testkit.Increment)
			testkit.WantCode(t, err, stay.ErrInvalid)
		}
		testkit.WantCount(t, t.Context(), s, 0)
		send(t, t.Context(), s, string(long[1:]))
		testkit.WantCount(t, t.Context(), s, 1)
	})
}

// What comes again while the first is at the store waits for it: it is answered
// when the first is durable, and if the first is not stored after all, it is
// made.
//
// Proves L28.
func TestAChangeThatComesWhileTheFirstIsOnItsWayWaits(t *testing.T) {
	for name, stored := range map[string]bool{"stored": true, "rejected": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				gate := storefault.NewGate()
				st := testkit.BehindCommitter(memstore.New())
				s := counterOf(testkit.NewApp(t, st, &stay.Options{OnError: testkit.Quiet}), stay.Global)
				fault := storefault.Stop(gate)
				st.Add(storefault.Rule{Op: storefault.Commit, Times: 1, Fault: fault, Match: testkit.StoresNoList})
				if !stored {
					st.Add(storefault.Rule{Op: storefault.Commit, Times: 1, Fault: storefault.Fail(store.ErrTooLarge), Match: testkit.StoresNoList})
				}
				results := make(chan error, 4)
				for range cap(results) {
					go func() {
						_, err := s.Update(stay.Once(t.Context(), "a"), testkit.Increment)
						results <- err
					}()
					synctest.Wait()
				}
				if len(results) != 0 {
					t.Error("an answer came before the first was stored")
				}
				gate.Open()
				failed := 0
				for range cap(results) {
					if <-results != nil {
						failed++
					}
				}
				testkit.WantEqual(t, "failed", failed > 0, !stored)
				testkit.WantCount(t, t.Context(), s, 1)
			})
		})
	}
}

// Many senders of the same ids, at once: each id counts once, also where their
// changes come into one batch.
//
// Proves L28.
func TestManyWhoSendTheSameAtOnce(t *testing.T) {
	eachOwner(t, func(t *testing.T, _ *stay.App, s *stay.State[testkit.Counter], b *testkit.Browser) {
		testkit.MustUpdate(t, b.Ctx(), s) // the session is known
		done := make(chan error)
		const ids, each = 25, 6
		for i := range ids * each {
			go func() {
				_, err := s.Update(stay.Once(b.Ctx(), strconv.Itoa(i%ids)), testkit.Increment)
				done <- err
			}()
		}
		for range ids * each {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		testkit.WantCount(t, b.Ctx(), s, 1+ids)
	})
}

// What is called after a change is not called for one that was made before, and
// what it changes takes no place among the changes of the request.
//
// Proves L29.
func TestAfterIsNotCalledAgain(t *testing.T) {
	testkit.OnEachApp(t, func(t *testing.T, app *stay.App) {
		stats := stay.Register(app, stay.Module[testkit.Counter]{Name: "stats", Persist: stay.Global})
		called := 0
		s := stay.Register(app, stay.Module[testkit.Counter]{
			Name: "counter", Persist: stay.Global,
			Actions: stay.Actions[testkit.Counter]{"add": func(call *stay.Call, c *testkit.Counter) error {
				call.After(func(ctx context.Context) {
					called++
					testkit.MustUpdate(t, ctx, stats)
				})
				return testkit.Increment(c)
			}},
		})
		for i := range 3 {
			ctx := stay.Once(t.Context(), "a")
			must(t)(s.Do(ctx, "add", nil))
			if i > 0 { // the first was cut off here
				testkit.MustUpdate(t, ctx, stats)
			}
		}
		testkit.WantEqual(t, "calls", called, 1)
		testkit.WantCount(t, t.Context(), stats, 2)
	})
}

// The same id with another content is an error that changes nothing; where one of
// the contents is not known, they are not compared.
//
// Proves L29.
func TestAnotherContentIsRefused(t *testing.T) {
	eachOwner(t, func(t *testing.T, _ *stay.App, s *stay.State[testkit.Counter], b *testkit.Browser) {
		with := func(content uint32) error {
			_, err := s.Update(once.With(b.Ctx(), once.New("a", content)), testkit.Increment)
			return err
		}
		testkit.NoError(t, with(1))
		testkit.WantCode(t, with(2), stay.ErrReused)
		testkit.NoError(t, with(1))
		testkit.NoError(t, with(0))
		testkit.WantCount(t, b.Ctx(), s, 1)
	})
}

// An error, a panic and a run without a change leave nothing behind: what comes
// again is made.
//
// Proves L30.
func TestOnlyChangesAreRemembered(t *testing.T) {
	eachOwner(t, func(t *testing.T, _ *stay.App, s *stay.State[testkit.Counter], b *testkit.Browser) {
		refused := errors.New("refused")
		_, err := s.Update(stay.Once(b.Ctx(), "a"), func(c *testkit.Counter) error {
			c.Count = 100
			return refused
		})
		if !errors.Is(err, refused) {
			t.Errorf("error %v", err)
		}
		func() {
			defer func() { _ = recover() }()
			_, _ = s.Update(stay.Once(b.Ctx(), "a"), func(*testkit.Counter) error { panic("no") })
		}()
		must(t)(s.Update(stay.Once(b.Ctx(), "a"), func(*testkit.Counter) error { return nil }))
		send(t, b.Ctx(), s, "a")
		testkit.WantCount(t, b.Ctx(), s, 1)
	})
}

// After ErrUnknown the same id gives the answer, whether the change was stored or
// not.
//
// Proves L28, L30.
func TestTheSameIDAgainAnswersAnUnknownOutcome(t *testing.T) {
	for name, hang := range map[string]func() storefault.Fault{"stored": storefault.HangAfter, "not stored": storefault.Hang} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st := testkit.BehindCommitter(memstore.New())
				s := counterOf(testkit.NewApp(t, st, &stay.Options{OnError: testkit.Quiet}), stay.Global)
				st.Add(storefault.Rule{Op: storefault.Commit, Times: 1, Fault: hang(), Match: testkit.StoresNoList})
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				_, err := s.Update(stay.Once(ctx, "a"), testkit.Increment)
				testkit.WantCode(t, err, stay.ErrUnknown)
				send(t, t.Context(), s, "a")
				testkit.WantCount(t, t.Context(), s, 1)
			})
		})
	}
}

// An answer that one node has lost is given by the other.
//
// Proves L28, L30.
func TestAnAnswerThatOneNodeHasLostIsGivenByAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var apps []*stay.App
		var states []*stay.State[testkit.Counter]
		var faults []*storefault.Store
		for _, shared := range memstore.Shared(2) {
			st := testkit.BehindCommitter(shared)
			app := testkit.NewApp(t, st, &stay.Options{OnError: testkit.Quiet})
			apps, faults, states = append(apps, app), append(faults, st), append(states, counterOf(app, stay.PerSession))
		}
		b := testkit.NewBrowser(apps[0])
		testkit.MustUpdate(t, b.Ctx(), states[0])
		for i := range 10 {
			node, id := i%2, strconv.Itoa(i)
			faults[node].Add(storefault.Rule{Op: storefault.Commit, Times: 1, Fault: storefault.HangAfter(), Match: testkit.StoresNoList})
			ctx, cancel := context.WithTimeout(b.On(apps[node]).Ctx(), 100*time.Millisecond)
			_, err := states[node].Update(stay.Once(ctx, id), testkit.Increment)
			cancel()
			testkit.WantCode(t, err, stay.ErrUnknown)
			send(t, b.On(apps[1-node]).Ctx(), states[1-node], id)
			send(t, b.On(apps[node]).Ctx(), states[node], id)
			testkit.WantCount(t, b.On(apps[node]).Ctx(), states[node], 2+i)
		}
	})
}

// A state keeps the latest 256 names for 24 hours, and what it forgets before is
// measured.
//
// Proves L31.
func TestNamesAreBounded(t *testing.T) {
	for name, persist := range map[string]stay.Strategy{"stored": stay.PerSession, "in memory": nil} {
		t.Run(name, func(t *testing.T) {
			const most = 256
			clock, m := testkit.NewClock(), &testkit.Measured{}
			app := testkit.NewApp(t, memstore.New(), &stay.Options{Clock: clock.Now, Metrics: m, IdleTimeout: 240 * time.Hour})
			s, b := counterOf(app, persist), testkit.NewBrowser(app)
			for i := range most {
				send(t, b.Ctx(), s, strconv.Itoa(i))
			}
			send(t, b.Ctx(), s, "0")
			testkit.WantCount(t, b.Ctx(), s, most)
			testkit.WantEqual(t, "forgotten", len(m.Of("stay.once.forgotten")), 0)
			send(t, b.Ctx(), s, "more") // "0" makes room for it
			testkit.WantEqual(t, "forgotten", m.Sums("stay.once.forgotten"), map[string]float64{"counter": 1})
			send(t, b.Ctx(), s, "1")
			testkit.WantCount(t, b.Ctx(), s, most+1)
			send(t, b.Ctx(), s, "0") // as "1" does for this
			send(t, b.Ctx(), s, "2")
			testkit.WantCount(t, b.Ctx(), s, most+2)
			m.Of("stay.once.forgotten")

			clock.Advance(24*time.Hour + 2*time.Minute)
			send(t, b.Ctx(), s, "a day later") // and all the others go
			send(t, b.Ctx(), s, "2")
			send(t, b.Ctx(), s, "a day later")
			testkit.WantCount(t, b.Ctx(), s, most+4)
			testkit.WantEqual(t, "forgotten when they were old", len(m.Of("stay.once.forgotten")), 0)
		})
	}
}

// A change without an id keeps the names of those before it, and drops what is
// too old. A state that has no names has none in its record.
//
// Proves L27, L31.
func TestNamesStayWithTheRecord(t *testing.T) {
	clock := testkit.NewClock()
	mem := memstore.New()
	app := testkit.NewApp(t, mem, &stay.Options{Clock: clock.Now})
	s := counterOf(app, stay.Global)
	kept := func() int {
		return len(meta.ActionsOf(testkit.RecordOf(t, mem, "global/counter/").Meta)) / meta.ActionSize
	}
	testkit.MustUpdate(t, t.Context(), s)
	testkit.WantEqual(t, "names", kept(), 0)
	plain := len(testkit.RecordOf(t, mem, "global/counter/").Meta)
	send(t, t.Context(), s, "a")
	clock.Advance(time.Hour)
	send(t, t.Context(), s, "b")
	testkit.MustUpdate(t, t.Context(), s)
	testkit.WantEqual(t, "names", kept(), 2)
	clock.Advance(23*time.Hour + 2*time.Minute)
	testkit.MustUpdate(t, t.Context(), s)
	testkit.WantEqual(t, "names", kept(), 1)
	clock.Advance(time.Hour)
	testkit.MustUpdate(t, t.Context(), s)
	testkit.WantEqual(t, "names", kept(), 0)
	testkit.WantEqual(t, "length of Meta", len(testkit.RecordOf(t, mem, "global/counter/").Meta), plain)
}

// A record that is loaded again knows its names.
//
// Proves L27.
func TestNamesAreLoadedWithTheState(t *testing.T) {
	testkit.OnEachApp(t, func(t *testing.T, app *stay.App) {
		s, b := counterOf(app, stay.PerSession), testkit.NewBrowser(app)
		for i := range 40 {
			send(t, b.Ctx(), s, strconv.Itoa(i))
			access.AppOf(app).Evict(false)
			send(t, b.Ctx(), s, strconv.Itoa(i/2))
		}
		testkit.WantCount(t, b.Ctx(), s, 40)
	})
}

// A state that was deleted, or has expired, is another one when it comes back: it
// knows nothing of what had changed it.
//
// Proves L32.
func TestTheNextStateDoesNotKnowTheNamesOfTheLast(t *testing.T) {
	testkit.OnEachStore(t, func(t *testing.T, st store.Store) {
		clock := testkit.NewClock()
		app := testkit.NewApp(t, st, &stay.Options{Clock: clock.Now})
		s := stay.Register(app, stay.Module[testkit.Counter]{Name: "counter", Persist: stay.PerUser, Expiry: time.Hour})
		at := s.At("u")
		send(t, t.Context(), at, "a")
		testkit.NoError(t, at.Delete(t.Context()))
		send(t, t.Context(), at, "a")
		testkit.WantCount(t, t.Context(), at, 1)
		clock.Advance(2 * time.Hour)
		send(t, t.Context(), at, "a")
		send(t, t.Context(), at, "a")
		testkit.WantCount(t, t.Context(), at, 1)
	})
}
