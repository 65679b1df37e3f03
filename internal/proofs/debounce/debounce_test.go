package debounce_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

// withSaveFaults runs the test in bubbles for each way in which a save fails;
// the fault is put in force with start.
func withSaveFaults(t *testing.T, opts stay.Options, test func(t *testing.T, app *stay.App, st *storefault.Store, mem store.Store, start func() *storefault.Added)) {
	for name, fault := range map[string]storefault.Fault{
		"rejected": storefault.Fail(nil), "not arrived": storefault.Drop(nil), "applied": storefault.LoseAck(nil),
		"hanging before": storefault.Delay(time.Hour, 0), "hanging after": storefault.Delay(0, time.Hour),
	} {
		for _, immediate := range []bool{false, true} {
			if immediate && strings.HasPrefix(name, "hanging") {
				continue // it never waits
			}
			t.Run(fmt.Sprintf("%s/immediate=%v", name, immediate), func(t *testing.T) {
				testkit.InBubble(t, immediate, opts, func(t *testing.T, app *stay.App, st *storefault.Store, mem store.Store) {
					test(t, app, st, mem, func() *storefault.Added {
						return st.Add(storefault.Rule{Op: storefault.Commit, Fault: fault})
					})
				})
			})
		}
	}
}

// A faultLog records the errors that OnError gets.
type faultLog struct {
	mu   sync.Mutex
	told []*stay.Error
}

func (l *faultLog) hook(_ *stay.Call, e *stay.Error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.told = append(l.told, e)
}

// take returns the errors since the last call.
func (l *faultLog) take() []*stay.Error {
	l.mu.Lock()
	defer l.mu.Unlock()
	told := l.told
	l.told = nil
	return told
}

func wantStored(t *testing.T, s store.Store, want int) {
	t.Helper()
	if c, found := testkit.StoredCounter(t, s, "s"); c.Count != want || !found {
		t.Errorf("%d is stored (%v), want %d", c.Count, found, want)
	}
}

// A change of a module with Debounce is acknowledged and seen by everybody at
// once, also while the store answers nobody, and stored when Debounce is over,
// not before.
//
// Proves A14.
func TestChangesAreAcknowledgedAtOnce(t *testing.T) {
	testkit.InBubbles(t, stay.Options{}, func(t *testing.T, app *stay.App, st *storefault.Store, mem store.Store) {
		s := testkit.Debounced(app)
		perUser := stay.Register(app, stay.Module[testkit.Counter]{Name: "u", Persist: stay.PerUser, Debounce: testkit.Debounce})
		gate := storefault.NewGate()
		rule := st.Add(storefault.Rule{Op: storefault.Commit, Fault: storefault.Stop(gate)})
		began := time.Now()
		for i := range 3 {
			testkit.MustUpdate(t, t.Context(), s)
			testkit.MustUpdate(t, t.Context(), perUser.At("ann"))
			testkit.WantCount(t, t.Context(), s, i+1)
			testkit.WantCount(t, t.Context(), perUser.At("ann"), i+1)
		}
		testkit.Sleep(testkit.Debounce - 1)
		if n := st.Count(storefault.Commit); n != 0 {
			t.Errorf("%d commits before the time", n)
		}
		testkit.Sleep(1)
		if n := st.Count(storefault.Commit); n == 0 || time.Since(began) != testkit.Debounce {
			t.Errorf("%d commits after %v", n, time.Since(began))
		}
		testkit.MustUpdate(t, t.Context(), s) // while it is being saved
		testkit.WantCount(t, t.Context(), s, 4)
		rule.Remove()
		gate.Open()
		synctest.Wait()
		wantStored(t, mem, 3)
		testkit.Sleep(testkit.Debounce)
		wantStored(t, mem, 4)
		testkit.WantCount(t, t.Context(), s, 4)
	})
}

// Steady changes postpone no save: at any moment the store has all changes that
// were acknowledged a Debounce earlier, in about one write for each Debounce,
// so a process that is killed leaves them too.
//
// Proves A3, A14.
func TestSteadyChangesPostponeNoSave(t *testing.T) {
	testkit.InBubbles(t, stay.Options{}, func(t *testing.T, app *stay.App, st *storefault.Store, mem store.Store) {
		const changes = 1000 // one each millisecond
		s := testkit.Debounced(app)
		for i := 1; i <= changes; i++ {
			testkit.MustUpdate(t, t.Context(), s)
			testkit.Sleep(time.Millisecond)
			if c, _ := testkit.StoredCounter(t, mem, "s"); c.Count < i-int(testkit.Debounce/time.Millisecond) {
				t.Fatalf("%d is stored after %d changes", c.Count, i)
			}
		}
		if n := st.Count(storefault.Commit); n < 19 || n > 21 {
			t.Errorf("%d saves in a second, want about 20", n)
		}
		killed := stay.New(testkit.Unclosed{Store: mem}, nil) // the first app has not noticed its end
		defer killed.Close(context.Background())
		c, err := testkit.Debounced(killed).Get(t.Context())
		if err != nil || c.Count < changes-int(testkit.Debounce/time.Millisecond) {
			t.Errorf("%+v is left of %d changes, %v", c, changes, err)
		}
	})
}

// Changes that cancel out are not saved, and nor is an update that changes
// nothing; but a record that was created and changed back exists.
//
// Proves A14, A16.
func TestChangesThatCancelOutAreNotSaved(t *testing.T) {
	testkit.InBubbles(t, stay.Options{}, func(t *testing.T, app *stay.App, st *storefault.Store, mem store.Store) {
		s := testkit.Debounced(app)
		add := func(n int) {
			testkit.Change(t, t.Context(), s, func(c *testkit.Counter) error { c.Count += n; return nil })
		}
		add(1)
		add(-1)
		testkit.Sleep(testkit.Debounce)
		wantStored(t, mem, 0)
		before := st.Count(storefault.Commit)
		add(5)
		add(-5)
		add(0)
		testkit.Sleep(time.Second)
		if n := st.Count(storefault.Commit); n != before {
			t.Errorf("%d commits of what did not change", n-before)
		}
		add(1)
		testkit.Sleep(testkit.Debounce)
		wantStored(t, mem, 1)
	})
}

// Close stores the unsaved changes, even if the store fails for a while;
// changes that it cannot store make it return an error and go to OnError.
// Nothing goes on after it.
//
// Proves A14, A21, E7, E8.
func TestCloseStoresWhatWasKeptBack(t *testing.T) {
	t.Run("stored", func(t *testing.T) {
		testkit.InBubbles(t, stay.Options{}, func(t *testing.T, app *stay.App, st *storefault.Store, mem store.Store) {
			s := testkit.Debounced(app)
			testkit.MustUpdate(t, t.Context(), s)
			if err := app.Close(t.Context()); err != nil {
				t.Error(err)
			}
			wantStored(t, mem, 1)
			before := st.Count(storefault.Commit)
			testkit.Sleep(time.Hour)
			if n := st.Count(storefault.Commit); n != before {
				t.Errorf("%d commits after Close", n-before)
			}
		})
	})
	t.Run("while others are busy", func(t *testing.T) {
		testkit.InBubbles(t, stay.Options{}, func(t *testing.T, app *stay.App, _ *storefault.Store, mem store.Store) {
			s := stay.Register(app, stay.Module[testkit.Counter]{Name: "s", Persist: stay.Global, Debounce: time.Hour})
			slow := stay.Register(app, stay.Module[testkit.Counter]{Name: "slow", Persist: stay.Global})
			goOn := make(chan struct{})
			defer close(goOn)
			go func() { _, _ = slow.Update(context.Background(), func(*testkit.Counter) error { <-goOn; return nil }) }()
			synctest.Wait()
			testkit.MustUpdate(t, t.Context(), s)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if err := app.Close(ctx); !errors.Is(err, context.DeadlineExceeded) || stay.CodeOf(err) == stay.ErrUnavailable {
				t.Errorf("close: %v", err)
			}
			wantStored(t, mem, 1)
		})
	})
	t.Run("recovered", func(t *testing.T) {
		withSaveFaults(t, stay.Options{OnError: testkit.Quiet}, func(t *testing.T, app *stay.App, _ *storefault.Store, mem store.Store, start func() *storefault.Added) {
			s := testkit.Debounced(app)
			testkit.MustUpdate(t, t.Context(), s)
			rule := start()
			testkit.Sleep(4 * time.Second)
			testkit.MustUpdate(t, t.Context(), s)
			result := make(chan error)
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Hour)
			defer cancel()
			go func() { result <- app.Close(ctx) }()
			testkit.Sleep(3 * time.Second)
			rule.Remove()
			if err := <-result; err != nil {
				t.Error(err)
			}
			wantStored(t, mem, 2)
		})
	})
	t.Run("failed", func(t *testing.T) {
		var log faultLog
		withSaveFaults(t, stay.Options{OnError: log.hook}, func(t *testing.T, app *stay.App, _ *storefault.Store, _ store.Store, start func() *storefault.Added) {
			log.take()
			s := testkit.Debounced(app)
			testkit.MustUpdate(t, t.Context(), s)
			testkit.Sleep(testkit.Debounce)
			testkit.MustUpdate(t, t.Context(), s)
			start()
			began := time.Now()
			testkit.WantCode(t, app.Close(context.Background()), stay.ErrUnavailable)
			if d := time.Since(began); d > 11*time.Second {
				t.Errorf("Close took %v", d)
			}
			told := log.take()
			if len(told) == 0 || told[len(told)-1].Phase != "save" || told[len(told)-1].Module != "s" {
				t.Errorf("OnError was told %v", told)
			}
			testkit.Sleep(time.Hour)
			if told := log.take(); len(told) > 0 {
				t.Errorf("OnError was told %v after Close", told)
			}
		})
	})
}

// A failed save is reported, tried again with growing pauses, and kills
// nothing: the state is read and changed all the while, and stored when the
// store is well again, each change once.
//
// Proves A14, A21, E5.
func TestFailedSavesAreTriedAgain(t *testing.T) {
	var log faultLog
	withSaveFaults(t, stay.Options{OnError: log.hook}, func(t *testing.T, app *stay.App, _ *storefault.Store, mem store.Store, start func() *storefault.Added) {
		log.take()
		s := testkit.Debounced(app)
		testkit.MustUpdate(t, t.Context(), s)
		rule := start()
		changes := 1
		for range 600 {
			testkit.Sleep(time.Second)
			testkit.MustUpdate(t, t.Context(), s)
			changes++
			testkit.WantCount(t, t.Context(), s, changes)
		}
		told := log.take()
		if len(told) < 10 || len(told) > 60 {
			t.Errorf("OnError was told %d times in ten minutes", len(told))
		}
		for _, e := range told {
			if e.Phase != "save" || e.Module != "s" {
				t.Errorf("OnError was told %v", e)
			}
		}
		rule.Remove()
		testkit.Sleep(time.Minute) // the longest pause, and an attempt that hangs
		wantStored(t, mem, changes)
		testkit.MustUpdate(t, t.Context(), s)
		testkit.Sleep(testkit.Debounce)
		wantStored(t, mem, changes+1)
	})
}

// Deleting a state drops its unsaved changes, whether a save is under way or
// nothing was stored yet, and a delete that fails drops nothing.
//
// Proves A14.
func TestDeleteDropsWhatIsNotStored(t *testing.T) {
	testkit.InBubbles(t, stay.Options{OnError: testkit.Quiet}, func(t *testing.T, app *stay.App, st *storefault.Store, mem store.Store) {
		s := testkit.Debounced(app)
		gone := func() {
			t.Helper()
			testkit.WantCount(t, t.Context(), s, 0)
			testkit.Sleep(time.Minute)
			if _, found := testkit.StoredCounter(t, mem, "s"); found {
				t.Error("it is stored")
			}
		}
		testkit.MustUpdate(t, t.Context(), s)
		if err := s.Delete(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := st.Count(storefault.Commit); n != 0 {
			t.Errorf("%d commits for what was never stored", n)
		}
		gone()

		// While the save is at the store.
		for _, fault := range []func(*storefault.Gate) storefault.Fault{storefault.Stop, storefault.StopAfter} {
			testkit.MustUpdate(t, t.Context(), s)
			gate := storefault.NewGate()
			rule := st.Add(storefault.Rule{Op: storefault.Commit, Times: 1, Fault: fault(gate)})
			testkit.Sleep(testkit.Debounce)
			testkit.MustUpdate(t, t.Context(), s)
			deleted := make(chan error)
			go func() { deleted <- s.Delete(t.Context()) }()
			synctest.Wait()
			rule.Remove()
			gate.Open()
			if err := <-deleted; err != nil {
				t.Fatal(err)
			}
			gone()
		}

		testkit.MustUpdate(t, t.Context(), s)
		testkit.Sleep(testkit.Debounce)
		testkit.MustUpdate(t, t.Context(), s)
		rule := st.Add(storefault.Rule{Op: storefault.Commit, Fault: storefault.Fail(nil)})
		testkit.WantCode(t, s.Delete(t.Context()), stay.ErrUnavailable)
		testkit.WantCount(t, t.Context(), s, 2)
		rule.Remove()
		testkit.Sleep(testkit.Debounce)
		wantStored(t, mem, 2)
		if err := s.Delete(t.Context()); err != nil {
			t.Fatal(err)
		}
		gone()
	})
}

// A record that somebody removes from the store behind its owner's back takes
// the changes with it that were not stored, which is reported; the key goes on
// with the initial state.
//
// Proves A14, A21.
func TestRecordRemovedOutsideTakesItsChangesAlong(t *testing.T) {
	var log faultLog
	testkit.InBubbles(t, stay.Options{OnError: log.hook}, func(t *testing.T, app *stay.App, _ *storefault.Store, mem store.Store) {
		s := testkit.Debounced(app)
		testkit.MustUpdate(t, t.Context(), s)
		testkit.Sleep(testkit.Debounce)
		recs, err := mem.Load(t.Context(), []store.Read{{Key: "global/s/"}})
		if err != nil {
			t.Fatal(err)
		}
		mem.Commit(t.Context(), []store.Group{{{Op: store.Delete, Key: "global/s/", Base: recs[0].Revision}}})
		testkit.MustUpdate(t, t.Context(), s)
		testkit.Sleep(testkit.Debounce)
		if told := log.take(); len(told) != 1 || told[0].Code != stay.ErrConflict || told[0].Phase != "save" || told[0].Module != "s" {
			t.Errorf("OnError was told %v", told)
		}
		testkit.WantCount(t, t.Context(), s, 0)
		testkit.MustUpdate(t, t.Context(), s)
		testkit.Sleep(testkit.Debounce)
		wantStored(t, mem, 1)
	})
}

// A change that the store could never take is refused when it is made.
//
// Proves A14, E9.
func TestChangeTooLargeIsRefusedWhenItIsMade(t *testing.T) {
	st := storefault.Wrap(memstore.New(), &storefault.Options{Features: func(f store.Features) store.Features {
		f.MaxValue = 30
		return f
	}})
	s := testkit.Debounced(testkit.NewApp(t, st, &stay.Options{MaxState: 30}))
	testkit.MustUpdate(t, t.Context(), s)
	_, err := s.Update(t.Context(), func(c *testkit.Counter) error { c.Label = "longer than the store takes"; return nil })
	testkit.WantCode(t, err, stay.ErrTooLarge)
	testkit.WantCount(t, t.Context(), s, 1)
}

// Debounce needs a store with a sole owner.
//
// Proves A14, C5.
func TestDebounceNeedsASoleOwner(t *testing.T) {
	shared := storefault.Wrap(memstore.New(), &storefault.Options{Features: func(f store.Features) store.Features {
		f.SoleOwner = false
		return f
	}})
	app := testkit.NewApp(t, memstore.New(), nil)
	testkit.WantPanic(t, func() {
		stay.Register(app, stay.Module[testkit.Counter]{Name: "mine", Persist: stay.PerSession, Debounce: time.Second, Store: shared})
	}, `"mine"`, "Debounce", "SoleOwner", "remove Debounce")
	if err := shared.Close(); err != nil {
		t.Error(err)
	}
}
