package stay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/stay-go/stay/internal/engine"
)

// A keyChange is the error of a run whose state has another key afterwards. The
// instance that it ran on does not keep the result: see move.
type keyChange struct {
	result any             // its result
	key    string          // of the result
	from   *engine.Version // version that it began with
}

func (*keyChange) Error() string { return "the key of the state has changed" }

// A move is a change of the key by a change of state: login, logout and switch.
// The run that caused it has ended, and its instance is unchanged. The move
// takes the turns of all instances that it touches and writes them in one
// group. If one of them is not as the run has seen it, everything starts again.
// Single writes would not do, in any order: a crash or a parallel request
// between two of them loses the guest's work, adopts it twice, or leaves a
// session half logged in.
//
// Every caller takes turns in the same order: guests first, then states under
// keys, by module name and key, then users, and the session last. So callers
// never wait in a circle, and a state that several devices share is not held
// while a guest's change ends. The guests' turns are given back last: a caller
// that waits for a guest must find the session at its new key.
type move struct {
	*op
	left    *keyChange
	session bearer

	target, guest, user, own int // indexes among the parts; -1 = no part
	rec                      *sessionRecord
	foreign                  *Error // the state stored under the key belongs to another key
	tooLarge                 bool   // both states together exceed MaxState, so the guest's is dropped
	unwritable               bool   // the state alone does, so it cannot even get the guest's names
}

// carryOut moves the session to the key of the result. It returns the state
// after the move; again means that the change has to start again.
func (mv *move) carryOut(ctx context.Context) (v any, again bool, err error) {
	m, r := mv.module, &mv.res
	if len(mv.left.key) > maxKey {
		return nil, false, m.longKey(mv.left.key)
	}
	if m.renewsCookie() {
		if err := mv.session.takesCookie(true); err != nil {
			return nil, false, err
		}
	}
	now := m.app.opts.Clock()
	var refs []engine.Ref
	part := func(ref engine.Ref) int {
		ref.Now = now
		refs = append(refs, ref)
		return len(refs) - 1
	}
	mv.target, mv.guest, mv.user = -1, -1, -1
	expires := r.ss.keepsUntil(r.created, r.record())
	switch mv.left.key {
	case "":
		next := m.keyed("", r.session, m.moves(r.record())+1)
		mv.target = part(engine.Ref{Kind: next.kind, Key: next.id, New: true, Expires: expires})
	default:
		if r.key == "" {
			mv.guest = part(engine.Ref{Kind: r.kind, Key: r.id, Expires: expires, Last: true})
		}
		mv.target = part(engine.Ref{Kind: m.kind, Key: mv.left.key})
	}
	if user := r.record().user(); user != "" {
		mv.user = part(engine.Ref{Kind: r.ss.users, Key: user})
	}
	mv.own = part(engine.Ref{Kind: r.ss.kind, Key: r.session})
	if mv.guest < 0 { // changes before the change of the key are kept
		if err := m.app.engine.Flush(ctx, engine.Ref{Kind: r.kind, Key: r.id}); err != nil {
			return nil, false, err
		}
	}
	left, again, err := m.app.engine.UpdateGroup(ctx, refs, mv)
	if mv.foreign != nil && err != nil {
		m.app.report(m.onError, m.app.newCall(m.app.engine.Context(), m.name, mv.action), mv.foreign)
	}
	if again || err != nil {
		return nil, again, err
	}
	r.ss.moved(ctx, mv.session, &r.seen, mv.rec)
	if mv.tooLarge {
		m.reportTooLarge(mv.left.key, mv.action)
	}
	return m.schema.Clone(left[mv.target].Value), false, nil
}

// Run implements engine.GroupOp.
func (mv *move) Run(now []*engine.Version, birth engine.Birth) ([]engine.Result, error) {
	m, r := mv.module, &mv.res
	if now[mv.own].Revision != r.version.Revision || !r.Valid(mv.left.from) {
		return nil, engine.ErrRestart
	}
	if mv.user >= 0 && revoked(r.record(), now[mv.user]) {
		return nil, engine.ErrRestart
	}
	if mv.guest >= 0 && !sameGuest(now[mv.guest], mv.left.from) {
		return nil, engine.ErrRestart // another request has changed the guest's state meanwhile
	}
	out := make([]engine.Result, len(now))
	var err error
	if out[mv.target], err = mv.land(now[mv.target]); err != nil {
		return nil, err
	}
	if !out[mv.target].None() && !mv.unwritable { // what made the guest's state goes with it
		out[mv.target].Name = mv.naming.name
	}
	if mv.guest >= 0 {
		if !mv.unwritable {
			out[mv.target].From = now[mv.guest]
		}
		out[mv.guest] = engine.Result{Delete: true}
	}
	if mv.left.key != "" && now[mv.target].Revision != 0 {
		birth = now[mv.target].Birth()
	}
	clock := m.app.opts.Clock()
	if mv.rec, err = r.ss.moving(&r.seen, clock); err != nil {
		return nil, err
	}
	mv.rec.attach(m.name, mv.left.key, birth)
	out[mv.own] = engine.Result{Value: mv.rec}
	return out, nil
}

// sameGuest reports whether a guest's state was not changed in between.
// Revisions alone are not enough: in memory they begin again after a state was
// deleted. A state that was never changed may differ each time that OnCreated
// makes it.
func sameGuest(now, then *engine.Version) bool {
	return !now.Exists() && !then.Exists() || now.Same(then)
}

// land returns the new state of the instance that the session moves to; none if
// it stays as it is.
func (mv *move) land(there *engine.Version) (engine.Result, error) {
	m := mv.module
	mv.tooLarge, mv.unwritable = false, false
	login := mv.guest >= 0
	if login && there.Revision == 0 { // K2: nothing is stored, the guest's state is adopted whole
		return engine.Result{Value: mv.left.result, Fresh: true}, nil
	}
	v := m.schema.Clone(there.Value)
	if err := mv.checkOwner(there, v); err != nil {
		return engine.Result{}, err
	}
	m.schema.CopyKeyFields(v, mv.left.result)
	if login {
		stored := m.schema.Clone(v)
		if err := m.adoptInto(v, m.schema.Clone(mv.left.result)); err != nil {
			return engine.Result{}, err
		}
		fits, err := m.fits(v)
		if err != nil {
			return engine.Result{}, err
		}
		if mv.tooLarge = !fits; mv.tooLarge {
			v = stored
			if fits, err = m.fits(v); err != nil {
				return engine.Result{}, err
			}
			mv.unwritable = !fits
		}
	} else if m.app.opts.Development {
		mv.reportDropped()
	}
	if key := m.stateKey(mv.res.session, mv.res.record(), v); key != mv.left.key {
		return engine.Result{}, &Error{
			Code: ErrInternal, Module: m.name, Phase: "run", Err: fmt.Errorf(
				"the state stored under the key has another key: %s must read only fields tagged stay:\"key\", and Adopt must not change them", m.key.name),
		}
	}
	if there.Revision == 0 && mv.left.key == "" && mv.naming.request == nil {
		encoded, err := m.schema.Encode(v, nil)
		if err == nil && m.app.engine.Encodes(there, encoded) {
			return engine.Result{}, nil // a guest with the initial state needs no instance, unless for a name
		}
	}
	return engine.Result{Value: v}, nil
}

// checkOwner refuses a record of another key, for a key function that needs the
// session and could not be called when the record was loaded (K7). A record
// with the initial key fields does not name its owner.
func (mv *move) checkOwner(there *engine.Version, v any) error {
	m := mv.module
	if there.Revision == 0 || mv.left.key == "" || !m.key.calls {
		return nil
	}
	owner := func(v any) string { return m.stateKey(mv.res.session, mv.res.record(), v) }
	switch owner(v) {
	case "", mv.left.key, owner(m.schema.Initial()):
		return nil
	}
	mv.foreign = m.corrupt(mv.left.key, errors.New("the state belongs to another key"))
	mv.foreign.Action = mv.action
	return mv.foreign
}

// reportDropped logs, for developers, that a logout or switch has dropped
// changes.
func (mv *move) reportDropped() {
	m := mv.module
	before, after := m.schema.Clone(mv.left.from.Value), mv.left.result
	m.schema.CopyKeyFields(before, after)
	b, err1 := m.schema.Encode(before, nil)
	a, err2 := m.schema.Encode(after, nil)
	if err1 == nil && err2 == nil && !bytes.Equal(a, b) {
		m.app.logCrowd(slog.LevelWarn, logDropped, "stay: a change that removed or replaced the state's key also changed other fields, and those changes were dropped: make them in a separate change first",
			slog.String("module", m.name), slog.String("action", mv.action))
	}
}

// Committed implements engine.GroupOp.
func (mv *move) Committed(ctx context.Context) { mv.op.Committed(ctx) }

// checkKey compares the key of a run's result with the key that it ran under.
func (o *op) checkKey(res engine.Result, from *engine.Version) error {
	m, v := o.module, res.Value
	switch {
	case m.key == nil || res.Delete:
		return nil
	case !o.at && m.byState():
		if key := m.stateKey(o.res.session, o.res.record(), v); key != o.res.key {
			return o.leave(v, key, from)
		}
	case o.at && !m.key.calls:
		if key := m.key.key(nil, v); key != o.of() {
			return &Error{
				Code: ErrInvalid, Module: m.name, Phase: "run", KeyHash: keyHash(o.of()),
				Message: "the state would belong to another key",
				Err:     errors.New("a change through At cannot change the key: for a key that has no state yet, set the fields tagged stay:\"key\" to that key first"),
			}
		}
	}
	return nil
}

// leave ends a run that changed the key. It refuses a key that JSON changes:
// two keys must not become one.
func (o *op) leave(v any, key string, from *engine.Version) error {
	m := o.module
	encoded, err := m.Encode(v, nil)
	if err != nil {
		return err
	}
	settled, _, _, err := m.Settle(v, from.Value, nil, encoded)
	if err != nil {
		return err
	}
	if m.stateKey(o.res.session, o.res.record(), settled) != key {
		return &Error{
			Code: ErrInvalid, Module: m.name, Phase: "run", KeyHash: keyHash(key), Message: "the key cannot be stored",
			Err: errors.New("the fields tagged stay:\"key\" change when they are written as JSON, for example because of invalid UTF-8"),
		}
	}
	return &keyChange{result: settled, key: key, from: from}
}
