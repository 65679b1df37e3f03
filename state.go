package stay

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"

	"github.com/stay-go/stay/internal/engine"
	"github.com/stay-go/stay/store"
)

// A State is a registered module: what handlers hold to read and change the
// state of the session, or of everybody, that their context belongs to. Its
// methods may be called concurrently.
//
// Every method that takes a context fails with ErrNoSession when the module's
// state belongs to a session and the context carries none, with
// ErrUnavailable when the store fails, with ErrCorrupt when the stored record
// cannot be read, with ErrBusy when memory has no room, and with ErrClosed after
// App.Close. With a session that was ended or renewed, Get returns the initial
// state, and changes are ErrEnded; see [Session].
//
// A change also fails with ErrBusy when too many others wait for the same state
// or the session is one too many (Options.MaxWaiters, MaxWait, MaxNewSessions),
// with ErrConflict when others kept changing it until the deadline, with
// ErrTooLarge beyond Options.MaxState, with ErrInvalid when it leaves what
// cannot be stored, with ErrNested inside another change, with ErrInternal when
// the session needs a cookie and the response's header was written already, and
// with ErrUnknown when nobody knows whether it happened. A context that ends
// while a change waits is an error of one of these codes which wraps the
// context's.
type State[S any] struct{ core }

// AnyState is a *State of any type.
type AnyState interface {
	// Name returns the module's name.
	Name() string
	// App returns the App that the module is registered with.
	App() *App

	untyped() core
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
// for its key, and returns what fn left of it once that is durable. State that
// is kept in memory is never durable, and that of a module with Debounce later.
// If fn returns an error, panics, or changes nothing, nothing is stored. The
// error is returned as it is, unless fn has seen changes of others that could
// not be stored then; a panic goes on.
//
// fn may be called more than once, when others changed the state meanwhile,
// and must have no side effects. It must not wait long, for it keeps everybody
// else from the same state, and must not change other state.
//
// An ErrUnknown means that the change may or may not have happened, also when
// ctx ended while it was being stored; with any other error it has not.
func (s *State[S]) Update(ctx context.Context, fn func(*S) error) (*S, error) {
	o := s.module.app.newOp()
	o.fn = function[S](fn)
	v, err := s.update(ctx, o)
	if v, err = s.module.app.finish(o, v, err); err != nil {
		return nil, err
	}
	return v.(*S), nil
}

// Do runs an action of the module, as Update runs its function, and returns
// the state it left. The payload is what the action binds: nil, a Go value of
// the type that it wants, JSON as json.RawMessage or []byte, url.Values, or
// web.Payload. An unknown action is ErrNotFound.
func (s *State[S]) Do(ctx context.Context, action string, payload any) (*S, error) {
	v, err := s.do(ctx, action, payload)
	if err != nil {
		return nil, err
	}
	return v.(*S), nil
}

// Reset puts every field back to its initial value but those tagged
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

// At returns the state of one key, whoever asks: for background work,
// administration, export. The key of a PerSession module is [Session.ID], and
// that of a session that is not known or has ended is ErrNotFound; the key of a
// PerUser module is the user. A Global or ephemeral state has no keys: calls
// on what At returns are ErrInvalid, as they are for an empty key and one of
// more than 512 bytes.
//
// Get of a key that has no state is ErrNotFound; Update creates it. The key of
// a WithKey state cannot be changed through At: an Update that leaves a state
// of another key is ErrInvalid.
func (s *State[S]) At(key string) *State[S] {
	at := &struct { // one allocation for both
		state State[S]
		key   string
	}{State[S]{s.core}, key}
	at.state.key, at.state.at = &at.key, true
	return &at.state
}

// Delete removes the stored state; what is read next is the initial one.
// Deleting what is not stored does nothing.
func (s *State[S]) Delete(ctx context.Context) error {
	_, err := s.update(ctx, &op{fn: replacement(func(any) engine.Result { return engine.Result{Delete: true} })})
	return err
}

// Keys yields the keys that have a stored state, in ascending order, while
// others may come and go; for a Global state it is "" if it is stored. It ends
// with the first error. On a store that cannot list, and for ephemeral state,
// that is ErrInvalid.
func (s *State[S]) Keys(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) { s.keys(ctx, yield) }
}

// core is a State without its type.
type core struct {
	app    *App
	module *module
	key    *string // of At; apart, as secrets are: it names a user
	at     bool
}

// of returns the key of At.
func (c core) of() string {
	if c.key == nil {
		return ""
	}
	return *c.key
}

func (c core) untyped() core { return c }

// get returns a copy of the committed state.
func (c core) get(ctx context.Context) (any, error) {
	v, err := c.read(ctx)
	if err != nil {
		return nil, err
	}
	return c.module.schema.Clone(v), nil
}

// read returns the committed state, which must not be changed.
func (c core) read(ctx context.Context) (any, error) {
	m := c.module
	if m.scope == scopeGlobal && !c.at && !m.app.manyOwners.Load() {
		if v := m.app.engine.Latest(m.kind); v != nil {
			return v.Value, nil
		}
	}
	if m.key != nil { // its function is the user's code
		defer func() {
			if p := recover(); p != nil {
				m.panicked(ctx, "", "resolve", "", p)
			}
		}()
	}
	ref, err := c.resolve(ctx, nil)
	if err != nil {
		if errors.Is(err, ErrEnded) && !c.at {
			return c.initial(ctx)
		}
		return nil, err
	}
	v := ref.Seen
	if v == nil {
		if v, err = m.app.engine.Get(ctx, &ref); err != nil {
			return nil, m.error(err, "", ref.Key)
		}
	}
	if c.at && !v.Exists() {
		return nil, &Error{Code: ErrNotFound, Module: m.name, KeyHash: keyHash(ref.Key), Message: "no state is stored for this key"}
	}
	return v.Value, nil
}

// initial is what a request of an ended session reads.
func (c core) initial(ctx context.Context) (any, error) {
	l, err := moduleType{module: c.module, guest: true}.Load(ctx, "", &store.Record{})
	return l.Value, err
}

// resolve names the instance that a call is about.
func (c core) resolve(ctx context.Context, r *resolution) (engine.Ref, error) {
	m := c.module
	switch {
	case m.scope == scopeGlobal && !c.at:
		return c.shared(ctx, "")
	case m.scope == scopeSession && c.at:
		return c.app.sessions.resolveID(ctx, m, c.of(), r)
	case c.at && (m.scope == scopeGlobal || m.scope == scopeEphemeral):
		return engine.Ref{}, &Error{Code: ErrInvalid, Module: m.name, Phase: "resolve", Message: "this state has no keys: call it without At"}
	case c.at && c.of() == "":
		return engine.Ref{}, &Error{Code: ErrInvalid, Module: m.name, Phase: "resolve", Message: "the key is empty"}
	case c.at && len(c.of()) > maxKey:
		return engine.Ref{}, m.longKey(c.of())
	case c.at:
		return c.shared(ctx, c.of())
	}
	s := sessionOf(ctx, m.app.base)
	if s == nil {
		return engine.Ref{}, &Error{
			Code: ErrNoSession, Module: m.name, Phase: "resolve",
			Err: errors.New("the context carries no session of this App: wrap the handler in web.Sessions and use the request's context, or name the key with At"),
		}
	}
	b := s.presence.(bearer)
	for {
		ref, err := c.app.sessions.resolve(ctx, b, m, r)
		if !errors.Is(err, errGuestWaits) {
			return ref, err
		}
		if err := c.app.sessions.takeAlong(ctx, b, m); err != nil {
			return engine.Ref{}, err
		}
	}
}

// shared names an instance that belongs to no session.
func (c core) shared(ctx context.Context, key string) (engine.Ref, error) {
	m := c.module
	ref := engine.Ref{Kind: m.kind, Key: key}
	if !m.app.manyOwners.Load() {
		return ref, nil
	}
	ref.Now = m.app.opts.Clock()
	if err := m.app.sync(ctx, ref); err != nil {
		return engine.Ref{}, m.error(err, "", key)
	}
	return ref, nil
}

// update runs the op as one transaction.
func (c core) update(ctx context.Context, o *op) (any, error) {
	m := c.module
	if ob := m.app.observer; ob != nil && o.watch == nil {
		return ob.update(ctx, c, o)
	}
	if nested(ctx) {
		return nil, nestedError(m.name)
	}
	o.core = c
	defer func() {
		if p := recover(); p != nil {
			m.panicked(ctx, o.action, "run", o.id, p)
		}
	}()
	v, err := c.change(ctx, o)
	if err != nil {
		return nil, m.error(err, o.action, o.id)
	}
	return v, nil
}

// panicked tells OnError of a panic of the user's code, and goes on with it.
func (m *module) panicked(ctx context.Context, action, phase, key string, p any) {
	m.app.report(m.onError, m.app.newCall(ctx, m.name, action),
		&Error{Code: ErrInternal, Module: m.name, Action: action, Phase: phase, KeyHash: keyHash(key), Err: panicError{p}})
	panic(p)
}

// change runs the op, and moves the session if the key has changed.
func (c core) change(ctx context.Context, o *op) (v any, err error) {
	e := c.module.app.engine
	var retry engine.Retry
	for {
		if v, err = e.Update(ctx, o); err == nil {
			return v, nil
		}
		if errors.Is(err, errNotReady) {
			if err := o.res.ss.store(ctx, &o.res.seen); err != nil {
				return nil, err
			}
			continue
		}
		left, ok := err.(*moved)
		if !ok {
			return v, err
		}
		if o.change != nil {
			if err := o.change.Moving(); err != nil {
				return nil, err
			}
		}
		mv := &move{op: o, left: left, session: o.res.request}
		v, again, err := mv.run(ctx)
		if !again {
			return v, err
		}
		if err := e.Pause(ctx, &retry); err != nil {
			return nil, err
		}
	}
}

func (c core) do(ctx context.Context, action string, payload any) (any, error) {
	fn := c.module.actions[action]
	if fn == nil {
		return nil, &Error{
			Code: ErrNotFound, Module: c.module.name, Phase: "resolve",
			Message: "no such action", Err: fmt.Errorf("module %q has no action %q", c.module.name, action),
		}
	}
	o := c.module.app.newOp()
	o.ctx, o.act, o.action, o.payload = ctx, fn, action, payload
	v, err := c.update(ctx, o)
	return c.module.app.finish(o, v, err)
}

// error completes what the engine returned. Errors of actions stay as they
// are.
func (m *module) error(err error, action, key string) error {
	var ee *engine.Error
	if se, ok := err.(*Error); ok || !errors.As(err, &ee) {
		if ok && se.Module == m.name && se.Action == "" && action != "" && se.Phase == "run" {
			c := *se
			c.Action = action
			return &c
		}
		return err
	}
	e := toError(ee)
	e.Module, e.Action, e.KeyHash = m.name, action, keyHash(key)
	return e
}

// toError gives an error of the engine's its code.
func toError(err error) *Error {
	var se *Error
	if errors.As(err, &se) {
		c := *se
		return &c
	}
	var ee *engine.Error
	if !errors.As(err, &ee) {
		return &Error{Code: ErrInternal, Err: err}
	}
	e := &Error{Phase: ee.Phase, Message: ee.Text, Err: ee.Err}
	switch ee.Class {
	case engine.Unavailable:
		e.Code = ErrUnavailable
	case engine.Unknown:
		e.Code = ErrUnknown
	case engine.Busy:
		e.Code = ErrBusy
	case engine.Conflict:
		e.Code = ErrConflict
	case engine.TooLarge:
		e.Code = ErrTooLarge
	case engine.Closed:
		e.Code = ErrClosed
	default:
		e.Code = ErrInternal
	}
	return e
}

// keyHash names a key in logs and errors without telling it.
func keyHash(key string) string {
	if key == "" {
		return ""
	}
	h := sha256.Sum256([]byte(key))
	return hex.EncodeToString(h[:6])
}
