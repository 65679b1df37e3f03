package stay

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/stay-go/stay/internal/access"
	"github.com/stay-go/stay/internal/engine"
	"github.com/stay-go/stay/internal/once"
)

// op is one change that the engine runs: a function of the value alone, an
// action, which gets a Call, or a change of package web, which gets the context
// of a Call.
type op struct {
	untyped
	ref engine.Ref // what was resolved last
	res resolution

	fn interface {
		apply(v any) (engine.Result, error)
	}

	act      func(c *Call, v any) error
	change   access.Change
	ctx      context.Context
	action   string
	payload  any
	call     *Call     // of the last run; each run has its own
	measured *measured // nil: not measured
	naming   naming
}

// newOp returns an op to be completed.
func (a *base) newOp() *op {
	o, _ := a.ops.Get().(*op)
	if o == nil {
		o = new(op)
	}
	return o
}

// finish recycles o after a successful change and returns the result. After a
// failure, the caller may have returned while other goroutines still use o.
func (a *base) finish(o *op, v any, err error) (any, error) {
	if err == nil {
		*o = op{}
		a.ops.Put(o)
	}
	return v, err
}

// A function is the argument of State.Update. It needs no closure.
type function[S any] func(*S) error

func (fn function[S]) apply(v any) (engine.Result, error) {
	return engine.Result{Value: v}, fn(v.(*S))
}

// A replacement makes a new value from the state's.
type replacement func(v any) engine.Result

func (fn replacement) apply(v any) (engine.Result, error) { return fn(v), nil }

// Resolve implements engine.Op.
func (o *op) Resolve(ctx context.Context, ask bool) (*engine.Ref, error) {
	if o.ref = (engine.Ref{}); ask || !o.recall(ctx, &o.ref, &o.res) {
		o.ref = engine.Ref{}
		if err := o.resolve(ctx, &o.ref, &o.res); err != nil {
			o.ref = engine.Ref{}
			return nil, err
		}
	}
	o.ref.Name = o.naming.of(o.res.session, o.module.name, o.action)
	return &o.ref, nil
}

// recall is resolve for a change of a state that is in memory, without a
// question to the store: the commit checks what memory has. It reports false
// where that is not enough. A state that does not exist yet may have been made
// by others; a delayed change is not checked by a commit; and a function that
// makes the key from a Call may ask for anything.
func (c untyped) recall(ctx context.Context, ref *engine.Ref, r *resolution) bool {
	m := c.module
	if !m.app.manyOwners.Load() || m.debounce > 0 || m.kind == nil && m.guest == nil {
		return false
	}
	now := m.app.opts.Clock()
	switch {
	case m.scope == scopeGlobal && !c.at:
		ref.Kind = m.kind
	case c.at && m.keyedScope() && c.of() != "":
		ref.Kind, ref.Key = m.kind, c.of()
	case c.at || m.key != nil && m.key.calls:
		return false
	default:
		s := sessionOf(ctx, m.app.base)
		if s == nil {
			return false
		}
		return c.app.sessions.recall(ctx, s.guise.(bearer), m, now, ref, r)
	}
	ref.Now, ref.Unasked = now, true
	return recalls(m.app.engine, ref) != nil
}

// recalls returns the state of ref if memory has it, and others may change it.
func recalls(e *engine.Engine, ref *engine.Ref) *engine.Version {
	if b := ref.Kind.Backend; b == nil || b.Features().SoleOwner {
		return nil
	}
	return e.Recall(ref)
}

func (ss *sessions) recall(ctx context.Context, s bearer, m *module, now time.Time, ref *engine.Ref, r *resolution) bool {
	s.lock()
	defer s.unlock()
	is, ok := s.recall(ctx, now)
	if !ok {
		return false
	}
	rec := is.record()
	if user := rec.user(); user != "" {
		u := ss.app.engine.Recall(&engine.Ref{Kind: ss.users, Key: user, Now: now})
		if u == nil || revoked(rec, u) {
			return false
		}
	}
	t := m.locate(is.session, rec)
	if m.guestWaits(rec) || t.kind.Backend != ss.kind.Backend {
		return false
	}
	ref.Kind, ref.Key, ref.Now, ref.Unasked = t.kind, t.id, now, true
	if v := recalls(ss.app.engine, ref); v == nil || !t.holds(v) {
		return false
	}
	if t.key == "" {
		ref.Expires = ss.keepsUntil(is.created, rec)
	}
	r.set(ss, m, s, &t, &is)
	r.recalled = true
	s.changes()
	ref.Guard = r
	return true
}

// Run implements engine.Op.
func (o *op) Run(v any, from *engine.Version) (engine.Result, error) {
	o.naming.known = false
	res, err := o.invoke(v)
	if err == nil {
		err = o.checkKey(res, from)
	}
	if err == nil {
		err = o.ready(res, from)
	}
	return res, err
}

// errNotReady ends a run that has to wait for the session's record.
var errNotReady = errors.New("the session is not stored yet")

// ready makes sure that a state in another store than the session's record is
// created after that record: the two cannot be one group, and a state without a
// session would be out of reach.
func (o *op) ready(res engine.Result, from *engine.Version) error {
	if o.res.ss == nil || o.ref.Kind.Backend == nil || o.ref.Kind.Backend == o.res.ss.kind.Backend ||
		from.Exists() || o.res.version.Revision != 0 {
		return nil
	}
	if res.Delete {
		return nil
	}
	encoded, err := o.module.Encode(res.Value, nil)
	if err != nil || o.module.app.engine.Encodes(from, encoded) {
		return err
	}
	return errNotReady
}

func (o *op) invoke(v any) (engine.Result, error) {
	if o.measured != nil {
		o.measured.run()
	}
	if set := o.module.app.running; set != nil {
		defer set.Enter(o.module.name)()
	}
	if o.fn != nil {
		return o.fn.apply(v)
	}
	if o.change != nil { // which gets no Call
		return engine.Result{Value: v}, o.change.Run(o.ctx, v)
	}
	c := o.module.app.newCall(o.ctx, o.module.name, o.action)
	c.acting = true
	*c.payload, c.binder = o.payload, &o.module.app.binder
	defer c.run.End()
	o.call = c
	return engine.Result{Value: v}, o.act(c, v)
}

// Committed implements engine.Op: it calls the functions that the run passed to
// After.
func (o *op) Committed(ctx context.Context) {
	if o.res.recalled {
		o.res.request.used()
	}
	if o.naming.known {
		o.naming.request.Replay()
	}
	if o.call == nil {
		return
	}
	if o.naming.request != nil { // no function is called again, so what it changes needs no name
		ctx = once.With(ctx, nil)
	}
	for _, fn := range o.call.after {
		o.module.after(ctx, o.call, o.ref.Key, fn)
	}
}

// update is untyped.update, measured and traced.
func (ob *observer) update(ctx context.Context, c untyped, o *op) (any, error) {
	w := ob.follow(ctx, c.module.name, o.action)
	defer w.over()
	o.measured = w
	if o.ctx != nil {
		o.ctx = w.ctx
	}
	v, err := c.update(w.ctx, o)
	w.span.Err = err
	return v, err
}

// Batched implements engine.BatchedOp.
func (o *op) Batched(updates int) {
	if o.measured != nil {
		o.measured.batch.Store(int32(updates))
	}
}

// update runs the op as one transaction.
func (c untyped) update(ctx context.Context, o *op) (any, error) {
	m := c.module
	if ob := m.app.observer; ob != nil && o.measured == nil {
		return ob.update(ctx, c, o)
	}
	if nested(ctx) {
		return nil, nestedError(m.name)
	}
	if m.app.running != nil {
		m.warnOfForeignContext(ctx)
	}
	o.untyped = c
	if err := o.naming.begin(ctx, c.module.name, c.of()); err != nil {
		return nil, err
	}
	defer func() {
		if p := recover(); p != nil {
			m.panicked(ctx, o.action, "run", o.ref.Key, p)
		}
	}()
	v, err := c.change(ctx, o)
	m.app.recent.Load().Changed(err != nil)
	if err != nil {
		return nil, m.error(err, o.action, o.ref.Key)
	}
	return v, nil
}

// warnOfForeignContext tells a program in development that it changes one state
// inside a change of another, with a context that hides this from the check.
func (m *module) warnOfForeignContext(ctx context.Context) {
	if outer, ok := m.app.running.Within(); ok {
		m.app.logger().WarnContext(ctx, "stay: a change of state was made inside another one, with a context from outside: "+
			"the two are not one transaction, and two such changes can wait for each other. "+
			"Make it after the outer change, or use Call.After",
			"module", m.name, "inside", outer)
	}
}

// change runs the op, and moves the session if the key has changed.
func (c untyped) change(ctx context.Context, o *op) (v any, err error) {
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
		left, ok := err.(*keyChange)
		if !ok {
			return v, err
		}
		if o.change != nil {
			if err := o.change.Moving(); err != nil {
				return nil, err
			}
		}
		mv := &move{op: o, left: left, session: o.res.request}
		v, again, err := mv.carryOut(ctx)
		if !again {
			return v, err
		}
		if err := e.Pause(ctx, &retry); err != nil {
			return nil, err
		}
	}
}

func (c untyped) do(ctx context.Context, action string, payload any) (any, error) {
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

// Known implements engine.NamedOp.
func (o *op) Known() {
	o.naming.known, o.call = true, nil
	if o.change != nil {
		o.change.Replayed()
	}
}
