package stay_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

// quiet is an OnError hook for tests whose failures are expected.
func quiet(*stay.Call, *stay.Error) {}

// soon is a context for what must not wait: it ends only when the code is
// broken.
func soon(t *testing.T) context.Context { return soonIn(t, t.Context()) }

func soonIn(t *testing.T, parent context.Context) context.Context {
	ctx, cancel := context.WithTimeout(parent, 5*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// A hook that takes its time holds up the caller whose failure it is told of,
// and nobody else: not other keys, nor the next change of the same one (E8,
// A21).
func TestE8A21SlowOnError(t *testing.T) {
	for name, st := range map[string]*storefault.Store{
		"immediate": storefault.Wrap(memstore.New(), nil),
		"committer": behindCommitter(memstore.New()),
	} {
		t.Run(name, func(t *testing.T) {
			inHook, goOn := make(chan struct{}), make(chan struct{})
			leave := sync.OnceFunc(func() { close(goOn) })
			defer leave()
			app := newApp(t, st, &stay.Options{OnError: func(*stay.Call, *stay.Error) { close(inHook); <-goOn }})
			failing := stay.Register(app, stay.Module[counter]{Name: "failing", Persist: stay.Global})
			other := stay.Register(app, stay.Module[counter]{Name: "other", Persist: stay.Global})
			st.Add(storefault.Rule{Op: storefault.Commit, Key: "global/failing/", Times: 1, Fault: storefault.Fail(nil)})
			result := make(chan error, 1)
			go func() {
				_, err := failing.Update(t.Context(), increment)
				result <- err
			}()
			<-inHook
			mustUpdate(t, soon(t), other)
			mustUpdate(t, soon(t), failing)
			select {
			case err := <-result:
				t.Errorf("the caller got %v before the hook was told of it", err)
			default:
			}
			leave()
			wantCode(t, <-result, stay.ErrUnavailable)
			wantCount(t, t.Context(), failing, 1)
		})
	}
}

// A hook that changes state with its own context is refused at once; it may
// read, and with a context from outside it may change even the state whose
// failure it is told of (A21, E10).
func TestA21E10OnErrorChangesState(t *testing.T) {
	for name, st := range map[string]*storefault.Store{
		"immediate": storefault.Wrap(memstore.New(), nil),
		"committer": behindCommitter(memstore.New()),
	} {
		t.Run(name, func(t *testing.T) {
			var s, failures *stay.State[counter]
			var told atomic.Int32
			var late context.Context
			var app *stay.App
			app = newApp(t, st, &stay.Options{OnError: func(c *stay.Call, e *stay.Error) {
				if told.Add(1) > 1 {
					t.Errorf("told of %v as well", e)
					return
				}
				late = soonIn(t, c.Context())
				for _, state := range []*stay.State[counter]{s, failures} {
					_, err := state.Update(late, increment)
					wantCode(t, err, stay.ErrNested)
					wantCode(t, state.Delete(late), stay.ErrNested)
					wantCount(t, late, state, 0)
				}
				wantCode(t, app.Close(late), stay.ErrNested)
				mustUpdateAsync(t, soon(t), s)
				mustUpdateAsync(t, soon(t), failures)
			}})
			s = stay.Register(app, stay.Module[counter]{Name: "s", Persist: stay.Global})
			failures = stay.Register(app, stay.Module[counter]{Name: "failures", Persist: stay.Global})
			st.Add(storefault.Rule{Op: storefault.Commit, Key: "global/s/", Times: 1, Fault: storefault.Fail(nil)})
			_, err := s.Update(soon(t), increment)
			wantCode(t, err, stay.ErrUnavailable)
			if n := told.Load(); n != 1 {
				t.Fatalf("the hook was told %d times, want once", n)
			}
			mustUpdate(t, late, failures) // the hook is over, so its context is free
			wantCount(t, t.Context(), s, 1)
			wantCount(t, t.Context(), failures, 2)
		})
	}
}

// OnCreated may end its goroutine: the load fails, nobody hangs, and the next
// load works (E10, A11).
func TestE10A11GoexitInOnCreated(t *testing.T) {
	for name, open := range stores {
		t.Run(name, func(t *testing.T) {
			var told atomic.Int32
			app := newApp(t, open(), &stay.Options{OnError: func(*stay.Call, *stay.Error) { told.Add(1) }})
			exit := true
			s := stay.Register(app, stay.Module[counter]{
				Name: "s", Persist: stay.Global,
				OnCreated: func(*stay.Call, *counter) error {
					if exit {
						goexit()
					}
					return nil
				},
			})
			_, err := s.Update(soon(t), increment)
			wantCode(t, err, stay.ErrInternal)
			exit = false
			mustUpdate(t, soon(t), s)
			if err := app.Close(soon(t)); err != nil {
				t.Errorf("close: %v", err)
			}
			if n := told.Load(); n != 1 {
				t.Errorf("OnError was told %d times of the load that failed, want once", n)
			}
		})
	}
}

// OnCreated changes its own state through its argument only: with the context
// it got that is refused at once, with a foreign one after MaxWait, and
// neither makes the load hang (E10, A11).
func TestE10A11OnCreatedChangesState(t *testing.T) {
	for name, open := range stores {
		t.Run(name, func(t *testing.T) {
			app := newApp(t, open(), &stay.Options{MaxWait: 50 * time.Millisecond, OnError: quiet})
			var s *stay.State[counter]
			nested := make(chan error, 1)
			s = stay.Register(app, stay.Module[counter]{
				Name: "s", Persist: stay.Global,
				OnCreated: func(c *stay.Call, _ *counter) error {
					_, err := s.Update(soonIn(t, c.Context()), increment)
					nested <- err
					return nil
				},
			})
			mustUpdate(t, soon(t), s)
			wantCode(t, <-nested, stay.ErrNested)

			var foreign *stay.State[counter]
			foreign = stay.Register(app, stay.Module[counter]{
				Name: "foreign", Persist: stay.Global,
				OnCreated: func(*stay.Call, *counter) error {
					_, err := foreign.Update(context.Background(), increment)
					return err
				},
			})
			_, err := foreign.Update(soon(t), increment)
			wantCode(t, err, stay.ErrUnavailable)
		})
	}
}

// An action cannot close the App that waits for it (E7, E10).
func TestE7E10CloseInsideAChange(t *testing.T) {
	onEachStore(t, func(t *testing.T, app *stay.App) {
		s := stay.Register(app, stay.Module[counter]{
			Name: "s", Persist: stay.Global,
			Actions: stay.Actions[counter]{
				"close": func(c *stay.Call, _ *counter) error { return app.Close(c.Context()) },
			},
		})
		_, err := s.Do(soon(t), "close", nil)
		wantCode(t, err, stay.ErrNested)
		mustUpdate(t, soon(t), s)
	})
}

// Keys of a closed App are ErrClosed, however the store answers (E7).
func TestE7KeysClosed(t *testing.T) {
	for name, open := range stores {
		t.Run(name, func(t *testing.T) {
			app := stay.New(open(), nil)
			s := stay.Register(app, stay.Module[counter]{Name: "s", Persist: stay.PerSession})
			mustUpdate(t, newBrowser(app).ctx(), s)
			if err := app.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			yielded := 0
			for key, err := range s.Keys(context.Background()) {
				yielded++
				if key != "" {
					t.Errorf("a closed App yields the key %q", key)
				}
				wantCode(t, err, stay.ErrClosed)
			}
			if yielded != 1 {
				t.Errorf("Keys yielded %d times, want one error", yielded)
			}
		})
	}
}

// What helps developers is in Err, which clients are never shown; Message is
// plain (A21).
func TestA21MessagesAreForClients(t *testing.T) {
	app := newApp(t, memstore.New(), &stay.Options{MaxWait: 20 * time.Millisecond, MaxInstances: 1})
	s := stay.Register(app, stay.Module[counter]{Name: "s", Persist: stay.Global})
	other := stay.Register(app, stay.Module[counter]{Name: "other", Persist: stay.Global})
	perSession := stay.Register(app, stay.Module[counter]{
		Name: "p", Persist: stay.PerSession,
		Actions: stay.Actions[counter]{"a": func(c *stay.Call, _ *counter) error { return nil }},
	})
	inside := func(state *stay.State[counter]) func(*testing.T) error {
		return func(t *testing.T) error {
			_, err := s.Update(t.Context(), func(*counter) error {
				_, err := state.Update(context.Background(), increment)
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
			ctx, r := newBrowser(app).request()
			r.sent = true
			_, err := perSession.Get(ctx)
			return err
		}, stay.ErrInternal, "first byte of the response"},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.fail(t)
			wantCode(t, err, c.code)
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

// A payload that is a pointer, whose Validate would be missed, is refused
// where the action is made, with the mend (M5).
func TestM5PointerPayload(t *testing.T) {
	wantPanic(t, func() {
		stay.WithPayload(func(*stay.Call, *counter, *add) error { return nil })
	}, "stay.WithPayload", "pointer", "*stay_test.add", "take a stay_test.add")
}

// A change that changes nothing returns what the one before it returned: the
// form that JSON gives (M5, A16).
func TestM5A16UnchangedIsNormalised(t *testing.T) {
	type loose struct {
		Any any `json:"any"`
	}
	onEachStore(t, func(t *testing.T, app *stay.App) {
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
