package stay

import (
	"context"
	"iter"

	"github.com/stay-go/stay/internal/engine"
)

// A State is a registered module: handlers use it to read and change the state
// of their context's session, or the state that all share. Its methods may be
// called concurrently.
//
// Every method that takes a context fails with ErrNoSession when the module's
// state belongs to a session and the context carries none, with
// ErrUnavailable when the store fails, with ErrCorrupt when the stored record
// cannot be read, with ErrBusy when memory has no room, and with ErrClosed after
// App.Close. With a session that was ended or renewed, Get returns the initial
// state, and changes are ErrEnded; see [Session].
//
// A change also fails with ErrBusy when too many others wait for the same state
// or too many sessions begin (Options.MaxWaiters, MaxWait, MaxNewSessions),
// with ErrConflict when others kept changing it until the deadline, with
// ErrTooLarge beyond Options.MaxState, with ErrInvalid when it leaves a value
// that cannot be stored, with ErrNested inside another change, with ErrInternal
// when the session needs a cookie and the response's header was written
// already, and with ErrUnknown when nobody knows whether it happened. If a
// context ends while a change waits, the error has one of these codes and wraps
// the context's error.
type State[S any] struct{ untyped }

// AnyState is a *State of any type.
type AnyState interface {
	// Name returns the module's name.
	Name() string
	// App returns the App that the module is registered with.
	App() *App

	bare() untyped
}

// Name returns the module's name.
func (s *State[S]) Name() string { return s.module.name }

// App returns the App that the module is registered with.
func (s *State[S]) App() *App { return s.app }

// Get returns a copy of the committed state, which the caller owns. It does
// not wait for changes that are under way.
func (s *State[S]) Get(ctx context.Context) (*S, error) {
	v, err := s.read(ctx)
	if err != nil {
		return nil, err
	}
	if s.module.schema.Flat() {
		own := *v.(*S)
		return &own, nil
	}
	return s.module.schema.Clone(v).(*S), nil
}

// Update changes the state as one transaction: it calls fn with a copy, alone
// for its key, and returns the changed copy once it is durable. State that is
// kept in memory is never durable, and the state of a module with Debounce
// becomes durable later. If fn returns an error, panics, or changes nothing,
// nothing is stored. The error is returned as it is, unless fn has seen other
// callers' changes that then could not be stored. A panic goes on.
//
// fn may be called more than once, when others changed the state meanwhile, and
// must have no side effects. It must not wait long, because all other changes
// of the same state wait for it, and must not change other state.
//
// ErrUnknown means that the change may or may not have happened, also when ctx
// ended while it was being stored; any other error means that it has not.
func (s *State[S]) Update(ctx context.Context, fn func(*S) error) (*S, error) {
	o := s.module.app.newOp()
	o.fn = function[S](fn)
	v, err := s.update(ctx, o)
	if v, err = s.module.app.finish(o, v, err); err != nil {
		return nil, err
	}
	return v.(*S), nil
}

// Do runs an action of the module, as Update runs its function, and returns the
// changed state. The payload is what the action binds: nil, a Go value of the
// type that it wants, JSON as json.RawMessage or []byte, url.Values, or
// web.Payload. An unknown action is ErrNotFound.
func (s *State[S]) Do(ctx context.Context, action string, payload any) (*S, error) {
	v, err := s.do(ctx, action, payload)
	if err != nil {
		return nil, err
	}
	return v.(*S), nil
}

// Reset puts every field back to its initial value, except those tagged
// `stay:"preserve"`.
func (s *State[S]) Reset(ctx context.Context) (*S, error) {
	v, err := s.update(ctx, &op{fn: replacement(func(v any) engine.Result { return engine.Result{Value: s.module.schema.Reset(v)} })})
	if err != nil {
		return nil, err
	}
	return v.(*S), nil
}

// ResetAll puts every field back to its initial value, and drops fields that
// the stored record has and S has not.
func (s *State[S]) ResetAll(ctx context.Context) (*S, error) {
	v, err := s.update(ctx, &op{fn: replacement(func(v any) engine.Result {
		return engine.Result{Value: s.module.schema.ResetAll(v), Fresh: true}
	})})
	if err != nil {
		return nil, err
	}
	return v.(*S), nil
}

// At returns the state of one key, for any caller: for background work,
// administration, export. The key of a PerSession module is [Session.ID], and
// that of a session that is not known or has ended is ErrNotFound; the key of a
// PerUser module is the user. A Global or ephemeral state has no keys: calls on
// the State that At returns are ErrInvalid. They are also ErrInvalid for an
// empty key, and for one of more than 512 bytes.
//
// Get of a key that has no state is ErrNotFound; Update creates it. The key of
// a WithKey state cannot be changed through At: an Update that leaves a state
// of another key is ErrInvalid.
func (s *State[S]) At(key string) *State[S] {
	at := &struct { // one allocation for both
		state State[S]
		key   string
	}{State[S]{s.untyped}, key}
	at.state.key, at.state.at = &at.key, true
	return &at.state
}

// Delete removes the stored state; the next read returns the initial one.
// Deleting a state that is not stored does nothing.
func (s *State[S]) Delete(ctx context.Context) error {
	_, err := s.update(ctx, &op{fn: replacement(func(any) engine.Result { return engine.Result{Delete: true} })})
	return err
}

// Keys yields the keys that have a stored state, in ascending order, while
// others may come and go; for a Global state it is "" if it is stored. It ends
// with the first error. On a store that cannot list, and for ephemeral state,
// that is ErrInvalid.
func (s *State[S]) Keys(ctx context.Context) iter.Seq2[string, error] {
	return s.KeysFrom(ctx, "", "")
}

// KeysFrom yields those of the [State.Keys] that begin with a prefix and come
// after the key given: a page of a list goes on where the last one ended. "" is
// every key, and the beginning.
func (s *State[S]) KeysFrom(ctx context.Context, prefix, after string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) { s.keys(ctx, prefix, after, yield) }
}

// untyped is a State without its type.
type untyped struct {
	app    *App
	module *module
	key    *string // the key that At got; behind a pointer, as secrets are: it names a user
	at     bool
}

// of returns the key that At got.
func (c untyped) of() string {
	if c.key == nil {
		return ""
	}
	return *c.key
}

func (c untyped) bare() untyped { return c }

// Register adds a module to the app and returns its state, which handlers
// use. Mistakes in the definition panic, naming the module and the fix.
// Register may be called at any time; it does no I/O.
func Register[S any](app *App, m Module[S]) *State[S] {
	if app == nil {
		panic("stay.Register: the App is nil: make one with stay.New")
	}
	d := definition{
		name: m.Name, formerly: m.Formerly, initial: &m.Initial, assign: assign[S], persist: m.Persist, onError: m.OnError,
		actions: make(map[string]func(*Call, any) error, len(m.Actions)), pageReset: m.ResetOnPageLoad,
		presence: m.Presence,
		debounce: m.Debounce, expiry: m.Expiry, version: m.Version, migrate: m.Migrate, store: m.Store,
	}
	for name, action := range m.Actions {
		d.actions[name] = nil
		if action != nil {
			d.actions[name] = func(c *Call, v any) error { return action(c, v.(*S)) }
		}
	}
	if fn := m.OnCreated; fn != nil {
		d.created = func(c *Call, v any) error { return fn(c, v.(*S)) }
	}
	d.destroyed, d.expired = hook(m.OnDestroyed), hook(m.OnExpire)
	d.visits = visitHooks{hook(m.OnConnect), hook(m.OnReconnect), hook(m.OnDisconnect)}
	if fn := m.Adopt; fn != nil {
		d.adopt = func(stored, result any) error { return fn(stored.(*S), result.(*S)) }
	}
	return &State[S]{untyped: untyped{app: app, module: app.register(d)}}
}

// hook returns a hook without its type; nil if it is nil.
func hook[S any](fn func(*Call, *S)) func(*Call, any) {
	if fn == nil {
		return nil
	}
	return func(c *Call, v any) { fn(c, v.(*S)) }
}

func assign[S any](v any) any {
	s := *v.(*S)
	return &s
}
