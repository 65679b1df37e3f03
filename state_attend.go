package stay

import (
	"time"

	"github.com/stay-go/stay/internal/streaming"
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
			ctx = f.remembering()
		}
		if !a.begun {
			if err := request.keep(ctx); err != nil {
				return err
			}
		}
		now := f.app.opts.Clock()
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
		if f.watch.Stream != nil {
			f.watch.Stream.Is(streaming.Who(is))
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
		f.expect(a.followed, now, time.Time{}, ends...)
		return nil
	}
}
