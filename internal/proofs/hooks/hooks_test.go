package hooks_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

// A slow hook holds up only the caller whose failure it gets: not other keys,
// nor the next change of the same key.
//
// Proves A21, E8.
func TestSlowOnErrorHoldsUpNobodyElse(t *testing.T) {
	for name, st := range map[string]*storefault.Store{
		"immediate": storefault.Wrap(memstore.New(), nil),
		"committer": testkit.BehindCommitter(memstore.New()),
	} {
		t.Run(name, func(t *testing.T) {
			inHook, goOn := make(chan struct{}), make(chan struct{})
			leave := sync.OnceFunc(func() { close(goOn) })
			defer leave()
			app := testkit.NewApp(t, st, &stay.Options{OnError: func(*stay.Call, *stay.Error) { close(inHook); <-goOn }})
			failing := stay.Register(app, stay.Module[testkit.Counter]{Name: "failing", Persist: stay.Global})
			other := stay.Register(app, stay.Module[testkit.Counter]{Name: "other", Persist: stay.Global})
			st.Add(storefault.Rule{Op: storefault.Commit, Key: "global/failing/", Times: 1, Fault: storefault.Fail(nil)})
			result := make(chan error, 1)
			go func() {
				_, err := failing.Update(t.Context(), testkit.Increment)
				result <- err
			}()
			<-inHook
			testkit.MustUpdate(t, testkit.Soon(t), other)
			testkit.MustUpdate(t, testkit.Soon(t), failing)
			select {
			case err := <-result:
				t.Errorf("the caller got %v before the hook was told of it", err)
			default:
			}
			leave()
			testkit.WantCode(t, <-result, stay.ErrUnavailable)
			testkit.WantCount(t, t.Context(), failing, 1)
		})
	}
}

// A hook that changes state with its own context is refused at once; it may
// read, and with a context from outside it may change even the state whose
// failure it gets.
//
// Proves A21, E10.
func TestOnErrorChangesStateWithAnotherContextOnly(t *testing.T) {
	for name, st := range map[string]*storefault.Store{
		"immediate": storefault.Wrap(memstore.New(), nil),
		"committer": testkit.BehindCommitter(memstore.New()),
	} {
		t.Run(name, func(t *testing.T) {
			var s, failures *stay.State[testkit.Counter]
			var told atomic.Int32
			var late context.Context
			var app *stay.App
			app = testkit.NewApp(t, st, &stay.Options{OnError: func(c *stay.Call, e *stay.Error) {
				if told.Add(1) > 1 {
					t.Errorf("told of %v as well", e)
					return
				}
				late = testkit.SoonIn(t, c.Context())
				for _, state := range []*stay.State[testkit.Counter]{s, failures} {
					_, err := state.Update(late, testkit.Increment)
					testkit.WantCode(t, err, stay.ErrNested)
					testkit.WantCode(t, state.Delete(late), stay.ErrNested)
					testkit.WantCount(t, late, state, 0)
				}
				testkit.WantCode(t, app.Close(late), stay.ErrNested)
				testkit.TryUpdate(t, testkit.Soon(t), s)
				testkit.TryUpdate(t, testkit.Soon(t), failures)
			}})
			s = stay.Register(app, stay.Module[testkit.Counter]{Name: "s", Persist: stay.Global})
			failures = stay.Register(app, stay.Module[testkit.Counter]{Name: "failures", Persist: stay.Global})
			st.Add(storefault.Rule{Op: storefault.Commit, Key: "global/s/", Times: 1, Fault: storefault.Fail(nil)})
			_, err := s.Update(testkit.Soon(t), testkit.Increment)
			testkit.WantCode(t, err, stay.ErrUnavailable)
			if n := told.Load(); n != 1 {
				t.Fatalf("the hook was told %d times, want once", n)
			}
			testkit.MustUpdate(t, late, failures) // the hook is over, so its context is free
			testkit.WantCount(t, t.Context(), s, 1)
			testkit.WantCount(t, t.Context(), failures, 2)
		})
	}
}

// OnCreated may end its goroutine: the load fails, nobody hangs, and the next
// load works.
//
// Proves A11, E10.
func TestOnCreatedMayEndItsGoroutine(t *testing.T) {
	for name, open := range testkit.Stores {
		t.Run(name, func(t *testing.T) {
			var told atomic.Int32
			app := testkit.NewApp(t, open(), &stay.Options{OnError: func(*stay.Call, *stay.Error) { told.Add(1) }})
			exit := true
			s := stay.Register(app, stay.Module[testkit.Counter]{
				Name: "s", Persist: stay.Global,
				OnCreated: func(*stay.Call, *testkit.Counter) error {
					if exit {
						testkit.Goexit()
					}
					return nil
				},
			})
			_, err := s.Update(testkit.Soon(t), testkit.Increment)
			testkit.WantCode(t, err, stay.ErrInternal)
			exit = false
			testkit.MustUpdate(t, testkit.Soon(t), s)
			if err := app.Close(testkit.Soon(t)); err != nil {
				t.Errorf("close: %v", err)
			}
			if n := told.Load(); n != 1 {
				t.Errorf("OnError was told %d times of the load that failed, want once", n)
			}
		})
	}
}

// OnCreated changes its own state through its argument only: with the context
// it got that is refused at once, with a foreign one after MaxWait, and neither
// makes the load hang.
//
// Proves A11, E10.
func TestOnCreatedChangesItsStateThroughItsArgumentOnly(t *testing.T) {
	for name, open := range testkit.Stores {
		t.Run(name, func(t *testing.T) {
			app := testkit.NewApp(t, open(), &stay.Options{MaxWait: 50 * time.Millisecond, OnError: testkit.Quiet})
			var s *stay.State[testkit.Counter]
			nested := make(chan error, 1)
			s = stay.Register(app, stay.Module[testkit.Counter]{
				Name: "s", Persist: stay.Global,
				OnCreated: func(c *stay.Call, _ *testkit.Counter) error {
					_, err := s.Update(testkit.SoonIn(t, c.Context()), testkit.Increment)
					nested <- err
					return nil
				},
			})
			testkit.MustUpdate(t, testkit.Soon(t), s)
			testkit.WantCode(t, <-nested, stay.ErrNested)

			var foreign *stay.State[testkit.Counter]
			foreign = stay.Register(app, stay.Module[testkit.Counter]{
				Name: "foreign", Persist: stay.Global,
				OnCreated: func(*stay.Call, *testkit.Counter) error {
					_, err := foreign.Update(context.Background(), testkit.Increment)
					return err
				},
			})
			_, err := foreign.Update(testkit.Soon(t), testkit.Increment)
			testkit.WantCode(t, err, stay.ErrUnavailable)
		})
	}
}

// An action cannot close the App that waits for it.
//
// Proves E7, E10.
func TestCloseInsideAChangeIsRefused(t *testing.T) {
	testkit.OnEachApp(t, func(t *testing.T, app *stay.App) {
		s := stay.Register(app, stay.Module[testkit.Counter]{
			Name: "s", Persist: stay.Global,
			Actions: stay.Actions[testkit.Counter]{
				"close": func(c *stay.Call, _ *testkit.Counter) error { return app.Close(c.Context()) },
			},
		})
		_, err := s.Do(testkit.Soon(t), "close", nil)
		testkit.WantCode(t, err, stay.ErrNested)
		testkit.MustUpdate(t, testkit.Soon(t), s)
	})
}

// Keys of a closed App are ErrClosed, however the store answers.
//
// Proves E7.
func TestKeysOfAClosedAppAreErrClosed(t *testing.T) {
	for name, open := range testkit.Stores {
		t.Run(name, func(t *testing.T) {
			app := stay.New(open(), nil)
			s := stay.Register(app, stay.Module[testkit.Counter]{Name: "s", Persist: stay.PerSession})
			testkit.MustUpdate(t, testkit.NewBrowser(app).Ctx(), s)
			if err := app.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			yielded := 0
			for key, err := range s.Keys(context.Background()) {
				yielded++
				if key != "" {
					t.Errorf("a closed App yields the key %q", key)
				}
				testkit.WantCode(t, err, stay.ErrClosed)
			}
			if yielded != 1 {
				t.Errorf("Keys yielded %d times, want one error", yielded)
			}
		})
	}
}

// What helps developers is in Err, which clients are never shown; Message is
// plain.
//
// Proves A21.
func TestMessagesAreForClients(t *testing.T) {
	app := testkit.NewApp(t, memstore.New(), &stay.Options{MaxWait: 20 * time.Millisecond, MaxInstances: 1})
	s := stay.Register(app, stay.Module[testkit.Counter]{Name: "s", Persist: stay.Global})
	other := stay.Register(app, stay.Module[testkit.Counter]{Name: "other", Persist: stay.Global})
	perSession := stay.Register(app, stay.Module[testkit.Counter]{
		Name: "p", Persist: stay.PerSession,
		Actions: stay.Actions[testkit.Counter]{"a": func(c *stay.Call, _ *testkit.Counter) error { return nil }},
	})
	inside := func(state *stay.State[testkit.Counter]) func(*testing.T) error {
		return func(t *testing.T) error {
			_, err := s.Update(t.Context(), func(*testkit.Counter) error {
				_, err := state.Update(context.Background(), testkit.Increment)
				return err
			})
			return err
		}
	}
	for name, c := range map[string]struct {
		fail func(*testing.T) error
		code stay.Code
		help string // for developers
	}{
		"a change inside a change": {inside(s), stay.ErrBusy, "context"},
		"everything in use":        {inside(other), stay.ErrBusy, "MaxInstances"},
		"no session": {func(t *testing.T) error {
			_, err := perSession.Get(t.Context())
			return err
		}, stay.ErrNoSession, "web.Sessions"},
		"no such action": {func(t *testing.T) error {
			_, err := perSession.Do(t.Context(), "b", nil)
			return err
		}, stay.ErrNotFound, `"b"`},
		"header sent": {func(t *testing.T) error {
			ctx, r := testkit.NewBrowser(app).Request()
			r.Sent = true
			_, err := perSession.Get(ctx)
			return err
		}, stay.ErrInternal, "before you write the response"},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.fail(t)
			testkit.WantCode(t, err, c.code)
			var e *stay.Error
			if !errors.As(err, &e) || e.Err == nil || !strings.Contains(e.Err.Error(), c.help) {
				t.Fatalf("%v does not tell developers of %q in Err", err, c.help)
			}
			if strings.Contains(e.Message, c.help) {
				t.Errorf("the client is shown %q", e.Message)
			}
		})
	}
}

// A payload that is a pointer, whose Validate would be missed, is refused where
// the action is made, with the fix.
//
// Proves M5.
func TestPayloadThatIsAPointerIsRefused(t *testing.T) {
	testkit.WantPanic(t, func() {
		stay.WithPayload(func(*stay.Call, *testkit.Counter, *testkit.Add) error { return nil })
	}, "stay.WithPayload", "pointer", "*testkit.Add", "take a testkit.Add")
}

// A change that changes nothing returns the result of the change before it: the
// form that JSON gives.
//
// Proves A16, M5.
func TestUnchangedStateIsReturnedNormalised(t *testing.T) {
	type loose struct {
		Any any `json:"any"`
	}
	testkit.OnEachApp(t, func(t *testing.T, app *stay.App) {
		s := stay.Register(app, stay.Module[loose]{Name: "l", Persist: stay.Global})
		for range 2 {
			got, err := s.Update(t.Context(), func(l *loose) error { l.Any = 5; return nil })
			if err != nil {
				t.Fatal(err)
			}
			if got.Any != 5.0 {
				t.Errorf("the change returned %T %[1]v, want float64 5", got.Any)
			}
		}
	})
}
