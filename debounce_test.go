package stay_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

const debounce = 50 * time.Millisecond

// debounced is a Global counter whose changes are saved a while later.
func debounced(app *stay.App) *stay.State[counter] {
	return stay.Register(app, stay.Module[counter]{Name: "s", Persist: stay.Global, Debounce: debounce})
}

// inBubbles runs the test in a bubble, on an app over each store. The store
// below stays open when the app is closed.
func inBubbles(t *testing.T, opts stay.Options, test func(t *testing.T, app *stay.App, st *storefault.Store, mem store.Store)) {
	for _, name := range []string{"immediate", "committer"} {
		t.Run(name, func(t *testing.T) { inBubble(t, name == "immediate", opts, test) })
	}
}

func inBubble(t *testing.T, immediate bool, opts stay.Options, test func(t *testing.T, app *stay.App, st *storefault.Store, mem store.Store)) {
	synctest.Test(t, func(t *testing.T) {
		mem := memstore.New()
		st := behindCommitter(unclosed{mem})
		if immediate {
			st = storefault.Wrap(unclosed{mem}, nil)
		}
		test(t, newApp(t, st, &opts), st, mem)
	})
}

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
				inBubble(t, immediate, opts, func(t *testing.T, app *stay.App, st *storefault.Store, mem store.Store) {
					test(t, app, st, mem, func() *storefault.Added {
						return st.Add(storefault.Rule{Op: storefault.Commit, Fault: fault})
					})
				})
			})
		}
	}
}

// sleep lets time pass in a bubble, and whatever is due be done.
func sleep(d time.Duration) {
	time.Sleep(d) //nolint:forbidigo // the bubble's time
	synctest.Wait()
}

// A faultLog holds what OnError was told.
type faultLog struct {
	mu   sync.Mutex
	told []*stay.Error
}

func (l *faultLog) hook(_ *stay.Call, e *stay.Error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.told = append(l.told, e)
}

// take returns what was told since the last time.
func (l *faultLog) take() []*stay.Error {
	l.mu.Lock()
	defer l.mu.Unlock()
	told := l.told
	l.told = nil
	return told
}

func wantStored(t *testing.T, s store.Store, want int) {
	t.Helper()
	if c, found := stored(t, s, "s"); c.Count != want || !found {
		t.Errorf("%d is stored (%v), want %d", c.Count, found, want)
	}
}

// A change of a module with Debounce is acknowledged and seen by everybody at
// once, also while the store answers nobody, and stored when Debounce is over,
// not before (A14).
func TestA14DebounceAcknowledgesAtOnce(t *testing.T) {
	inBubbles(t, stay.Options{}, func(t *testing.T, app *stay.App, st *storefault.Store, mem store.Store) {
		s := debounced(app)
		perUser := stay.Register(app, stay.Module[counter]{Name: "u", Persist: stay.PerUser, Debounce: debounce})
		gate := storefault.NewGate()
		rule := st.Add(storefault.Rule{Op: storefault.Commit, Fault: storefault.Stop(gate)})
		began := time.Now()
		for i := range 3 {
			mustUpdate(t, t.Context(), s)
			mustUpdate(t, t.Context(), perUser.At("ann"))
			wantCount(t, t.Context(), s, i+1)
			wantCount(t, t.Context(), perUser.At("ann"), i+1)
		}
		sleep(debounce - 1)
		if n := st.Count(storefault.Commit); n != 0 {
			t.Errorf("%d commits before the time", n)
		}
		sleep(1)
		if n := st.Count(storefault.Commit); n == 0 || time.Since(began) != debounce {
			t.Errorf("%d commits after %v", n, time.Since(began))
		}
		mustUpdate(t, t.Context(), s) // while it is being saved
		wantCount(t, t.Context(), s, 4)
		rule.Remove()
		gate.Open()
		synctest.Wait()
		wantStored(t, mem, 3)
		sleep(debounce)
		wantStored(t, mem, 4)
		wantCount(t, t.Context(), s, 4)
	})
}

// Steady changes postpone no save: at any moment the store has all that was
// acknowledged a Debounce earlier, in about one write for each Debounce, which
// is also what a process that is killed leaves (A14, A3).
func TestA14DebounceSteadyChanges(t *testing.T) {
	inBubbles(t, stay.Options{}, func(t *testing.T, app *stay.App, st *storefault.Store, mem store.Store) {
		const changes = 1000 // one each millisecond
		s := debounced(app)
		for i := 1; i <= changes; i++ {
			mustUpdate(t, t.Context(), s)
			sleep(time.Millisecond)
			if c, _ := stored(t, mem, "s"); c.Count < i-int(debounce/time.Millisecond) {
				t.Fatalf("%d is stored after %d changes", c.Count, i)
			}
		}
		if n := st.Count(storefault.Commit); n < 19 || n > 21 {
			t.Errorf("%d saves in a second, want about 20", n)
		}
		killed := stay.New(unclosed{mem}, nil) // the first app has not noticed its end
		defer killed.Close(context.Background())
		c, err := debounced(killed).Get(t.Context())
		if err != nil || c.Count < changes-int(debounce/time.Millisecond) {
			t.Errorf("%+v is left of %d changes, %v", c, changes, err)
		}
	})
}

// Changes that cancel out are not saved, and nor is an update that changes
// nothing; but a record that was created and changed back exists (A14, A16).
func TestA14A16DebounceUnchanged(t *testing.T) {
	inBubbles(t, stay.Options{}, func(t *testing.T, app *stay.App, st *storefault.Store, mem store.Store) {
		s := debounced(app)
		add := func(n int) {
			change(t, t.Context(), s, func(c *counter) error { c.Count += n; return nil })
		}
		add(1)
		add(-1)
		sleep(debounce)
		wantStored(t, mem, 0)
		before := st.Count(storefault.Commit)
		add(5)
		add(-5)
		add(0)
		sleep(time.Second)
		if n := st.Count(storefault.Commit); n != before {
			t.Errorf("%d commits of what did not change", n-before)
		}
		add(1)
		sleep(debounce)
		wantStored(t, mem, 1)
	})
}

// Close stores what was not stored yet, also while the store fails for a
// while; what it cannot store is its error and told to OnError. Nothing goes
// on after it (E7, E8, A14, A21).
func TestE7A14DebounceClose(t *testing.T) {
	t.Run("stored", func(t *testing.T) {
		inBubbles(t, stay.Options{}, func(t *testing.T, app *stay.App, st *storefault.Store, mem store.Store) {
			s := debounced(app)
			mustUpdate(t, t.Context(), s)
			if err := app.Close(t.Context()); err != nil {
				t.Error(err)
			}
			wantStored(t, mem, 1)
			before := st.Count(storefault.Commit)
			sleep(time.Hour)
			if n := st.Count(storefault.Commit); n != before {
				t.Errorf("%d commits after Close", n-before)
			}
		})
	})
	t.Run("while others are busy", func(t *testing.T) {
		inBubbles(t, stay.Options{}, func(t *testing.T, app *stay.App, _ *storefault.Store, mem store.Store) {
			s := stay.Register(app, stay.Module[counter]{Name: "s", Persist: stay.Global, Debounce: time.Hour})
			slow := stay.Register(app, stay.Module[counter]{Name: "slow", Persist: stay.Global})
			goOn := make(chan struct{})
			defer close(goOn)
			go func() { _, _ = slow.Update(context.Background(), func(*counter) error { <-goOn; return nil }) }()
			synctest.Wait()
			mustUpdate(t, t.Context(), s)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if err := app.Close(ctx); !errors.Is(err, context.DeadlineExceeded) || stay.CodeOf(err) == stay.ErrUnavailable {
				t.Errorf("close: %v", err)
			}
			wantStored(t, mem, 1)
		})
	})
	t.Run("recovered", func(t *testing.T) {
		withSaveFaults(t, stay.Options{OnError: quiet}, func(t *testing.T, app *stay.App, _ *storefault.Store, mem store.Store, start func() *storefault.Added) {
			s := debounced(app)
			mustUpdate(t, t.Context(), s)
			rule := start()
			sleep(4 * time.Second)
			mustUpdate(t, t.Context(), s)
			result := make(chan error)
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Hour)
			defer cancel()
			go func() { result <- app.Close(ctx) }()
			sleep(3 * time.Second)
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
			s := debounced(app)
			mustUpdate(t, t.Context(), s)
			sleep(debounce)
			mustUpdate(t, t.Context(), s)
			start()
			began := time.Now()
			wantCode(t, app.Close(context.Background()), stay.ErrUnavailable)
			if d := time.Since(began); d > 11*time.Second {
				t.Errorf("Close took %v", d)
			}
			told := log.take()
			if len(told) == 0 || told[len(told)-1].Phase != "save" || told[len(told)-1].Module != "s" {
				t.Errorf("OnError was told %v", told)
			}
			sleep(time.Hour)
			if told := log.take(); len(told) > 0 {
				t.Errorf("OnError was told %v after Close", told)
			}
		})
	})
}

// A failed save is reported, tried again with growing pauses, and kills
// nothing: the state is read and changed all the while, and stored when the
// store is well again, each change once (A14, A21, E5).
func TestA14E5DebounceRetries(t *testing.T) {
	var log faultLog
	withSaveFaults(t, stay.Options{OnError: log.hook}, func(t *testing.T, app *stay.App, _ *storefault.Store, mem store.Store, start func() *storefault.Added) {
		log.take()
		s := debounced(app)
		mustUpdate(t, t.Context(), s)
		rule := start()
		changes := 1
		for range 600 {
			sleep(time.Second)
			mustUpdate(t, t.Context(), s)
			changes++
			wantCount(t, t.Context(), s, changes)
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
		sleep(time.Minute) // the longest pause, and an attempt that hangs
		wantStored(t, mem, changes)
		mustUpdate(t, t.Context(), s)
		sleep(debounce)
		wantStored(t, mem, changes+1)
	})
}

// Deleting a state drops what is not stored of it, whether a save is under
// way or nothing was stored yet, and a delete that fails drops nothing (A14).
func TestA14DebounceDelete(t *testing.T) {
	inBubbles(t, stay.Options{OnError: quiet}, func(t *testing.T, app *stay.App, st *storefault.Store, mem store.Store) {
		s := debounced(app)
		gone := func() {
			t.Helper()
			wantCount(t, t.Context(), s, 0)
			sleep(time.Minute)
			if _, found := stored(t, mem, "s"); found {
				t.Error("it is stored")
			}
		}
		mustUpdate(t, t.Context(), s)
		if err := s.Delete(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := st.Count(storefault.Commit); n != 0 {
			t.Errorf("%d commits for what was never stored", n)
		}
		gone()

		// While the save is at the store.
		for _, fault := range []func(*storefault.Gate) storefault.Fault{storefault.Stop, storefault.StopAfter} {
			mustUpdate(t, t.Context(), s)
			gate := storefault.NewGate()
			rule := st.Add(storefault.Rule{Op: storefault.Commit, Times: 1, Fault: fault(gate)})
			sleep(debounce)
			mustUpdate(t, t.Context(), s)
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

		mustUpdate(t, t.Context(), s)
		sleep(debounce)
		mustUpdate(t, t.Context(), s)
		rule := st.Add(storefault.Rule{Op: storefault.Commit, Fault: storefault.Fail(nil)})
		wantCode(t, s.Delete(t.Context()), stay.ErrUnavailable)
		wantCount(t, t.Context(), s, 2)
		rule.Remove()
		sleep(debounce)
		wantStored(t, mem, 2)
		if err := s.Delete(t.Context()); err != nil {
			t.Fatal(err)
		}
		gone()
	})
}

// A record that somebody removes from the store behind its owner's back takes
// the changes with it that were not stored, which is reported; the key goes on
// with the initial state (A14, A21).
func TestA14A21DebounceRemovedOutside(t *testing.T) {
	var log faultLog
	inBubbles(t, stay.Options{OnError: log.hook}, func(t *testing.T, app *stay.App, _ *storefault.Store, mem store.Store) {
		s := debounced(app)
		mustUpdate(t, t.Context(), s)
		sleep(debounce)
		recs, err := mem.Load(t.Context(), time.Now(), []store.Read{{Key: "global/s/"}})
		if err != nil {
			t.Fatal(err)
		}
		mem.Commit(t.Context(), time.Now(), []store.Group{{{Op: store.Delete, Key: "global/s/", Base: recs[0].Revision}}})
		mustUpdate(t, t.Context(), s)
		sleep(debounce)
		if told := log.take(); len(told) != 1 || told[0].Code != stay.ErrConflict || told[0].Phase != "save" || told[0].Module != "s" {
			t.Errorf("OnError was told %v", told)
		}
		wantCount(t, t.Context(), s, 0)
		mustUpdate(t, t.Context(), s)
		sleep(debounce)
		wantStored(t, mem, 1)
	})
}

// A change that the store could never take is refused when it is made (A14,
// E9).
func TestA14E9DebounceTooLarge(t *testing.T) {
	st := storefault.Wrap(memstore.New(), &storefault.Options{Features: func(f store.Features) store.Features {
		f.MaxValue = 30
		return f
	}})
	s := debounced(newApp(t, st, nil))
	mustUpdate(t, t.Context(), s)
	_, err := s.Update(t.Context(), func(c *counter) error { c.Label = "longer than the store takes"; return nil })
	wantCode(t, err, stay.ErrTooLarge)
	wantCount(t, t.Context(), s, 1)
}

// Debounce needs a store with a sole owner (A14, C5).
func TestA14C5DebounceNeedsSoleOwner(t *testing.T) {
	shared := storefault.Wrap(memstore.New(), &storefault.Options{Features: func(f store.Features) store.Features {
		f.SoleOwner = false
		return f
	}})
	app := newApp(t, memstore.New(), nil)
	wantPanic(t, func() {
		stay.Register(app, stay.Module[counter]{Name: "mine", Persist: stay.PerSession, Debounce: time.Second, Store: shared})
	}, `"mine"`, "Debounce", "SoleOwner", "remove Debounce")
	if err := shared.Close(); err != nil {
		t.Error(err)
	}
}
