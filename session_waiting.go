package stay

import (
	"context"
	"errors"
	"time"

	"github.com/stay-go/stay/internal/engine"
)

// errGuestWaits tells the caller to take a guest's state over first.
var errGuestWaits = errors.New("a guest's state has to be taken over first")

// takeAlong makes the user adopt the oldest guest's state that another
// program's login has left for the module, as that login would have done. If
// the state cannot be adopted, it is left, and OnError gets the failure: the
// login is over.
func (ss *sessions) takeAlong(ctx context.Context, s bearer, m *module) error {
	var retry engine.Retry
	for {
		again, err := ss.tryTakeAlong(ctx, s, m)
		if !again || err != nil {
			return err
		}
		if err := m.app.engine.Pause(ctx, &retry); err != nil {
			return m.error(err, "", s.name())
		}
	}
}

func (ss *sessions) tryTakeAlong(ctx context.Context, s bearer, m *module) (again bool, err error) {
	now := m.app.opts.Clock()
	s.lock()
	is, _, err := s.current(ctx, now)
	s.unlock()
	if err != nil {
		return false, err
	}
	if !m.guestWaits(is.record()) {
		return false, nil
	}
	t := &arrival{ss: ss, m: m, version: is.version, guest: -1, target: -1}
	refs, err := t.parts(ctx, is.session, now)
	if err != nil {
		return false, err
	}
	_, again, err = m.app.engine.UpdateGroup(ctx, refs, t)
	switch {
	case err != nil:
		return false, m.error(err, "", s.name())
	case !again && t.failed != nil:
		m.app.report(m.onError, m.app.newCall(m.app.engine.Context(), m.name, ""), t.failed)
	}
	return again, nil
}

// An arrival is the part of a login that the login's program could not do.
type arrival struct {
	ss            *sessions
	m             *module
	version       *engine.Version // of the session's record
	guest, target int             // indexes among the parts; -1 = no part
	own           int
	drop          bool   // the guest has no key, and its user has left
	failed        *Error // why the guest's state was not adopted
}

// parts returns the instances that take part.
func (t *arrival) parts(ctx context.Context, id string, now time.Time) ([]engine.Ref, error) {
	m, rec := t.m, t.version.Value.(*sessionRecord)
	w := rec.events.Keys[m.name].Waiting[0]
	then := rec.clone()
	then.event().User = w.User
	var refs []engine.Ref
	part := func(ref engine.Ref) int {
		ref.Now = now
		refs = append(refs, ref)
		return len(refs) - 1
	}
	from := m.keyed("", id, w.Moves)
	guestRef := engine.Ref{Kind: from.kind, Key: from.id, Now: now, Expires: t.ss.keepsUntil(time.UnixMilli(rec.Created), rec), Last: true}
	// Memory may take it for absent.
	if err := m.app.sync(ctx, guestRef); err != nil && !errors.Is(err, ErrCorrupt) {
		return nil, m.error(err, "", from.id)
	}
	guest, err := m.app.engine.Get(ctx, &guestRef)
	switch to := m.sessionKey(id, then); {
	case errors.Is(err, ErrCorrupt): // it stays stored for repair
	case err != nil:
		return nil, m.error(err, "", from.id)
	case !guest.Exists():
	case to == "":
		if t.drop = w.Moves != m.moves(rec); t.drop {
			t.guest = part(guestRef)
		}
	default:
		_, err := m.app.engine.Get(ctx, &engine.Ref{Kind: m.kind, Key: to, Now: now})
		if errors.Is(err, ErrCorrupt) {
			break
		}
		if err != nil {
			return nil, m.error(err, "", to)
		}
		t.guest = part(guestRef)
		t.target = part(engine.Ref{Kind: m.kind, Key: to})
	}
	t.own = part(engine.Ref{Kind: t.ss.kind, Key: id})
	return refs, nil
}

// Run implements engine.GroupOp.
func (t *arrival) Run(now []*engine.Version, _ engine.Birth) ([]engine.Result, error) {
	if now[t.own].Revision != t.version.Revision {
		return nil, engine.ErrRestart
	}
	out := make([]engine.Result, len(now))
	rec := t.version.Value.(*sessionRecord).clone()
	rec.arrived(t.m.name)
	out[t.own] = engine.Result{Value: rec}
	t.failed = nil
	switch {
	case t.guest < 0 || now[t.guest].Revision == 0:
	case t.drop:
		out[t.guest] = engine.Result{Delete: true}
	default:
		var tooLarge bool
		var err error
		if failure := isolated(func() { out[t.target], tooLarge, err = t.m.bring(now[t.guest], now[t.target]) }); failure != nil {
			err = failure
		}
		switch {
		case err != nil:
			t.failed = &Error{Code: CodeOf(err), Module: t.m.name, Phase: "adopt", Err: err}
		case tooLarge:
			t.failed = t.m.tooLargeToAdopt("", "")
		default:
			out[t.guest] = engine.Result{Delete: true}
		}
	}
	return out, nil
}

// Committed implements engine.GroupOp.
func (t *arrival) Committed(context.Context) {}
