package stay

import (
	"context"
	"time"

	"github.com/stay-go/stay/internal/presence"
)

// An attended session is one that a follower follows for itself: what it may see
// was decided by who it is, and is no state of it.
type attended struct {
	*followed
	user  string // at the first look
	begun bool
}

// attend implements access.Follower. Like look, it begins to watch before it reads.
func (f *follower) attend() error {
	s := sessionOf(f.ctx, f.app.base)
	if s == nil {
		return nil
	}
	request, ok := s.guise.(*visit)
	if !ok {
		return nil
	}
	if f.attended == nil {
		f.attended = &attended{followed: &followed{}}
		f.followed = append(f.followed, f.attended.followed)
	}
	a := f.attended
	for {
		ctx := f.ctx
		if a.settled {
			ctx = context.WithValue(ctx, remembered{}, true)
		}
		if !a.begun {
			if err := request.keep(ctx); err != nil {
				return err
			}
		}
		is, ends, err := request.attend(ctx)
		if err != nil || is.Session == "" {
			return err
		}
		if !a.begun {
			a.user, a.begun = is.User, true
		}
		if is.User != a.user {
			return ended()
		}
		ss := request.ss
		at := []place{{ss.kind, is.Session}}
		if is.User != "" {
			at = append(at, place{ss.users, is.User})
		}
		if f.enter(a.followed, at) {
			continue
		}
		a.settled = true
		f.expect(a.followed, time.Time{}, ends...)
		return nil
	}
}

// attend is visitor with the times after which the session may be over. It is
// ErrEnded if it is.
func (v *visit) attend(ctx context.Context) (is presence.Visitor, ends []time.Time, err error) {
	v.lock()
	defer v.unlock()
	if err := v.open(ctx); err != nil || v.gone || v.drawn && !v.carried {
		return is, nil, err
	}
	rec, ok, err := v.fresh(ctx)
	switch {
	case err != nil:
		return is, nil, err
	case !ok:
		return is, nil, ended()
	}
	ends = []time.Time{timeOf(rec.past().Until), v.idleEnd}
	if rec != nil {
		ends = append(ends, timeOf(rec.Expires))
	}
	return presence.Visitor{Session: v.key, User: rec.user()}, ends, nil
}

// keep uses a session that its browser has brought, so that it slides.
func (v *visit) keep(ctx context.Context) error {
	v.lock()
	defer v.unlock()
	if err := v.open(ctx); err != nil || v.gone || v.drawn {
		return err
	}
	_, err := v.current(ctx, v.ss.app.opts.Clock())
	return err
}
