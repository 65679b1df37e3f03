package stay

import (
	"context"
	"errors"
	"time"

	"github.com/stay-go/stay/internal/engine"
)

// sync brings what memory holds of the instances up to date with stores that
// have other owners, with one call for each store (N1). On a store with a sole
// owner memory is the truth, and nothing is asked.
func (a *base) sync(ctx context.Context, refs ...engine.Ref) error {
	for _, err := range a.syncEach(ctx, refs) {
		if err != nil {
			return err
		}
	}
	return nil
}

// syncEach is sync, with an error for each instance; nil if nothing was asked.
func (a *base) syncEach(ctx context.Context, refs []engine.Ref) []error {
	shared := refs[:0:0]
	var of []int
	for i, ref := range refs {
		if b := ref.Kind.Backend; b != nil && !b.Features().SoleOwner && !ref.New {
			ref.First = true // what counts is the use that follows
			shared, of = append(shared, ref), append(of, i)
		}
	}
	if len(shared) == 0 {
		return nil
	}
	errs, release := a.engine.Prefetch(ctx, shared)
	release()
	all := make([]error, len(refs))
	for i, err := range errs {
		all[of[i]] = err
	}
	return all
}

// sync brings up to date what says whether a session is valid, as far as is
// known, and more. It returns the user whose record was among it.
func (ss *sessions) sync(ctx context.Context, id string, now time.Time, more ...engine.Ref) (asked string, err error) {
	if !ss.app.manyOwners.Load() {
		return "", nil
	}
	refs := append(more[:len(more):len(more)], engine.Ref{Kind: ss.kind, Key: id, Now: now})
	if v := ss.app.engine.Peek(ss.kind, id); v != nil {
		if asked = v.Value.(*sessionRecord).user(); asked != "" {
			refs = append(refs, engine.Ref{Kind: ss.users, Key: asked, Now: now})
		}
	}
	if err := ss.app.sync(ctx, refs...); err != nil {
		return "", ss.error(err, id)
	}
	return asked, nil
}

// syncWith brings up to date what says whether a session is valid, and if m is
// not nil the state of m that the session has as far as is known. It returns
// which that was, the zero target if none, and what sync does.
func (ss *sessions) syncWith(ctx context.Context, id string, m *module, now time.Time) (t target, asked string, err error) {
	var more []engine.Ref
	if m != nil {
		var rec *sessionRecord
		if v := ss.app.engine.Peek(ss.kind, id); v != nil {
			rec = v.Value.(*sessionRecord)
		}
		t = m.locate(id, rec)
		more = append(more, engine.Ref{Kind: t.kind, Key: t.id, Now: now})
	}
	asked, err = ss.sync(ctx, id, now, more...)
	if err != nil && m != nil && !errors.Is(err, ErrUnavailable) {
		// What cannot be read may be a state that the session has left behind:
		// its record says, and whoever uses the state asks again.
		t = target{}
		asked, err = ss.sync(ctx, id, now)
	}
	return t, asked, err
}
