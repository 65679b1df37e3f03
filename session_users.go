package stay

import (
	"context"
	"iter"
	"math/rand/v2"

	"github.com/stay-go/stay/internal/engine"
)

// Sessions yields the sessions in which the user is logged in, as they are
// stored, the one that logged in first first; of more than 1000 the latest.
// What it yields tells about a session and can end it; a context with it
// (see [WithSession]) reaches its states. It ends with the first error.
//
// Nothing takes a new cookie to the browser of such a session, so it keeps the one
// that it has: Renew, and Login but with Options.KeepCookieOnKeyChange, are
// ErrInternal. A Logout, and a change of a WithKey state's key, leave the cookie
// valid, which is a guest's after the Logout; the next login renews it. Use Destroy
// or [App.Revoke] where whoever has the cookie must be shut out.
func (a *App) Sessions(ctx context.Context, user string) iter.Seq2[*Session, error] {
	return func(yield func(*Session, error) bool) {
		ss, now := &a.sessions, a.opts.Clock()
		err := a.sync(ctx, engine.Ref{Kind: ss.users, Key: user, Now: now})
		var u *userRecord
		if err == nil {
			u, err = ss.user(ctx, user, now)
		}
		if err != nil {
			err = ss.error(err, user)
			yield(nil, err)
			return
		}
		if u == nil {
			return
		}
		for _, listed := range u.Sessions {
			v, _, err := ss.fresh(ctx, listed.ID, now)
			if err != nil {
				yield(nil, err)
				return
			}
			rec := v.Value.(*sessionRecord)
			if rec == nil || rec.past().Ended != 0 || rec.user() != user || rec.past().Epoch != u.Epoch {
				continue
			}
			if !yield(ss.listed(listed.ID, rec), nil) {
				return
			}
		}
	}
}

// Revoke ends every session in which the user is logged in, in one step and
// however many there are: no request that begins afterwards reads or changes
// anything through them, except that one that is under way may finish on
// states that exist. The user's states stay, and the user may log in again.
// It fails with ErrNested inside a change of state.
func (a *App) Revoke(ctx context.Context, user string) error {
	return a.observer.verb(ctx, "revoke", func(ctx context.Context) error { return a.revoke(ctx, user) })
}

func (a *App) revoke(ctx context.Context, user string) error {
	if nested(ctx) {
		return nestedError("")
	}
	ref := engine.Ref{Kind: a.sessions.users, Key: user, Now: a.opts.Clock()}
	// Where memory says that there is nothing to revoke, another process may
	// have logged the user in since.
	if err := a.sync(ctx, ref); err != nil {
		return a.sessions.error(err, user)
	}
	_, err := a.engine.Update(ctx, &systemOp{
		app: a.base,
		ref: ref,
		fn: func(v any) (engine.Result, error) {
			u := v.(*userRecord)
			if u != nil {
				u.Epoch = newEpoch(u.Epoch)
				u.Revoked = a.opts.Clock().UnixMilli()
				u.Sessions = nil
			}
			return engine.Result{Value: u}, nil
		},
	})
	if err != nil {
		return a.sessions.error(err, user)
	}
	return nil
}

// newEpoch draws one that is not 0 and not the old one.
func newEpoch(old uint64) uint64 {
	for {
		if n := rand.Uint64() >> 11; n != 0 && n != old { // JSON readers keep 53 bits
			return n
		}
	}
}
