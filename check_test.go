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

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

// An open App whose stores answer is ready, whatever else goes on, and Check
// stores nothing.
func TestCheckReady(t *testing.T) {
	for name, open := range testkit.Stores {
		t.Run(name, func(t *testing.T) {
			s := open()
			app := testkit.NewApp(t, s, nil)
			if err := app.Check(t.Context()); err != nil {
				t.Error(err)
			}
			if got := testkit.Rows(t, s); len(got) != 0 {
				t.Errorf("a check has stored %q", got)
			}
		})
	}
}

// A store that fails makes the App not ready, with the cause, until it works
// again: the App's and those of modules.
func TestCheckStoreFails(t *testing.T) {
	main, own := storefault.Wrap(memstore.New(), nil), testkit.BehindCommitter(memstore.New())
	app := testkit.NewApp(t, main, nil)
	stay.Register(app, stay.Module[testkit.Counter]{Name: "c", Persist: stay.Global, Store: own})
	for name, s := range map[string]*storefault.Store{"the store is": main, "the store of c is": own} {
		t.Run(name, func(t *testing.T) {
			rule := s.Add(storefault.Rule{Op: storefault.Load, Fault: storefault.Fail(testkit.ErrDisk)})
			err := app.Check(t.Context())
			testkit.WantCode(t, err, stay.ErrUnavailable)
			if !errors.Is(err, testkit.ErrDisk) || !strings.Contains(err.Error(), name) {
				t.Errorf("%v does not tell the store and the cause", err)
			}
			rule.Remove()
			if err := app.Check(t.Context()); err != nil {
				t.Errorf("after the store has recovered: %v", err)
			}
		})
	}
}

// Once Close has begun the App is not ready, even while Close waits for a
// change that is under way.
func TestCheckClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app := testkit.NewApp(t, memstore.New(), nil)
		s := stay.Register(app, stay.Module[testkit.Counter]{Name: "c", Persist: stay.Global})
		running, leave := make(chan struct{}), make(chan struct{})
		go func() {
			_, err := s.Update(t.Context(), func(*testkit.Counter) error {
				close(running)
				<-leave
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		}()
		<-running
		closed := make(chan error)
		go func() { closed <- app.Close(t.Context()) }()
		synctest.Wait()
		testkit.WantCode(t, app.Check(t.Context()), stay.ErrClosed)
		close(leave)
		if err := <-closed; err != nil {
			t.Error(err)
		}
		testkit.WantCode(t, app.Check(t.Context()), stay.ErrClosed)
	})
}

// While a store hangs, many callers of Check make one read. Each caller gets an
// answer when its own time is over, at the latest after MaxWait, and the App is
// ready again when the store is.
func TestCheckOnHangingStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const maxWait = 5 * time.Second
		s := testkit.BehindCommitter(memstore.New())
		app := testkit.NewApp(t, s, &stay.Options{MaxWait: maxWait})
		rule := s.Add(storefault.Rule{Op: storefault.Load, Fault: storefault.Hang()})
		began := time.Now()
		var probes sync.WaitGroup
		for i := range 100 {
			probes.Go(func() {
				ctx, patience := t.Context(), maxWait
				if i%2 == 0 {
					patience = time.Duration(i+1) * time.Millisecond
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, patience)
					defer cancel()
				}
				err := app.Check(ctx)
				testkit.WantCode(t, err, stay.ErrUnavailable)
				if !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("%v does not tell that time was over", err)
				}
				if took := time.Since(began); took != patience {
					t.Errorf("a probe with %v was answered after %v", patience, took)
				}
			})
		}
		synctest.Wait()
		rule.Remove()
		probes.Wait()
		synctest.Wait() // the one check has ended too
		if n := s.Count(storefault.Load); n != 1 {
			t.Errorf("100 probes at once have asked the store %d times, want 1", n)
		}
		if err := app.Check(t.Context()); err != nil {
			t.Errorf("after the store has recovered: %v", err)
		}
	})
}

// A store that answers reads and takes no writes makes the App not ready while
// saves of acknowledged changes with Debounce fail.
func TestCheckWhileSavesFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := storefault.Wrap(memstore.New(), nil)
		app := testkit.NewApp(t, s, &stay.Options{OnError: testkit.Quiet})
		c := stay.Register(app, stay.Module[testkit.Counter]{Name: "c", Persist: stay.Global, Debounce: time.Second})
		rule := s.Add(storefault.Rule{Op: storefault.Commit, Fault: storefault.Fail(testkit.ErrDisk)})
		testkit.MustUpdate(t, t.Context(), c)
		if err := app.Check(t.Context()); err != nil {
			t.Errorf("before the first save: %v", err)
		}
		testkit.Sleep(time.Second)
		err := app.Check(t.Context())
		testkit.WantCode(t, err, stay.ErrUnavailable)
		var se *stay.Error
		if !errors.As(err, &se) || se.Phase != "save" {
			t.Errorf("%v is not about saving", err)
		}
		rule.Remove()
		testkit.Sleep(time.Minute) // the next attempt
		if err := app.Check(t.Context()); err != nil {
			t.Errorf("after the save: %v", err)
		}
	})
}

// A state that could not be saved and was deleted since does not make the App
// not ready.
func TestCheckAfterUnsavedWasDeleted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := storefault.Wrap(memstore.New(), nil)
		app := testkit.NewApp(t, s, &stay.Options{OnError: testkit.Quiet})
		c := stay.Register(app, stay.Module[testkit.Counter]{Name: "c", Persist: stay.Global, Debounce: time.Second})
		rule := s.Add(storefault.Rule{Op: storefault.Commit, Fault: storefault.Fail(testkit.ErrDisk)})
		testkit.MustUpdate(t, t.Context(), c)
		testkit.Sleep(time.Second)
		testkit.WantCode(t, app.Check(t.Context()), stay.ErrUnavailable)
		rule.Remove()
		if err := c.Delete(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := app.Check(t.Context()); err != nil {
			t.Errorf("with nothing left to be saved: %v", err)
		}
	})
}

// A store that returns no records is broken, not ready.
func TestCheckAnswerWithoutRecord(t *testing.T) {
	testkit.WantCode(t, testkit.NewApp(t, silent{memstore.New()}, nil).Check(t.Context()), stay.ErrUnavailable)
}

// silent answers reads with nothing.
type silent struct{ *memstore.Store }

func (silent) Load(context.Context, []store.Read) ([]store.Record, error) { return nil, nil }

// Check and Close may come together with each other and with Register.
func TestCheckConcurrently(t *testing.T) {
	for range 20 {
		app := testkit.NewApp(t, testkit.BehindCommitter(memstore.New()), nil)
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				stay.Register(app, stay.Module[testkit.Counter]{Name: fmt.Sprint("c", i), Persist: stay.Global, Store: memstore.New()})
			})
			all.Go(func() {
				if err := app.Check(t.Context()); err != nil && !errors.Is(err, stay.ErrClosed) {
					t.Error(err)
				}
			})
		}
		all.Go(func() {
			if err := app.Close(t.Context()); err != nil {
				t.Error(err)
			}
		})
		all.Wait()
	}
}
