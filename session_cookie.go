package stay

import (
	"context"
	"errors"
	"time"

	"github.com/stay-go/stay/internal/engine"
	"github.com/stay-go/stay/internal/signing"
)

// join answers a Login with a refused cookie if the same Login, sent twice, has
// replaced that cookie. A browser sends it twice when a button is clicked
// twice, and keeps only one answer, often the second. Without the new cookie
// the visitor would get ErrEnded for a minute, although the program has just
// checked the password.
func (v *visit) join(ctx context.Context, user string, now time.Time) (joined bool, err error) {
	if user == "" || v.gone || v.drawn {
		return false, nil
	}
	ss := v.ss
	is, asked, err := ss.fresh(ctx, v.key, now)
	if err != nil {
		return false, err
	}
	rec := is.Value.(*sessionRecord)
	past := rec.past()
	if rec.user() != user || past.Ended != 0 || rec.Gen != v.gen+1 || past.Login != rec.Gen || now.Sub(time.UnixMilli(past.Renewed)).Abs() >= grace {
		return false, nil
	}
	if revoked, _, err := ss.revoked(ctx, rec, asked, now); revoked || err != nil {
		return false, err
	}
	if !v.carrier.Open() {
		return false, headerSent()
	}
	return true, v.follow(ctx, v.gen, rec)
}

func (v *visit) renew(ctx context.Context) error {
	unsigned, err := v.tryRenew(ctx)
	v.ss.reportUnsigned(ctx, unsigned)
	return err
}

// tryRenew is renew; unsigned says why the new cookie could not be issued.
func (v *visit) tryRenew(ctx context.Context) (unsigned, err error) {
	v.lock()
	defer v.unlock()
	v.use()
	if err := v.open(ctx); err != nil {
		return nil, err
	}
	if err := v.takesCookie(false); err != nil {
		return nil, err
	}
	if v.gone {
		return nil, ended()
	}
	if v.drawn && !v.carried {
		return nil, nil // no client knows the id yet
	}
	switch _, ok, err := v.fresh(ctx); {
	case err != nil:
		return nil, err
	case !ok:
		return nil, ended()
	}
	if err := v.takesCookie(false); err != nil {
		return nil, err
	}
	v.changes()
	rec, err := v.ss.change(ctx, v.key, func(rec *sessionRecord, now time.Time) (*sessionRecord, error) {
		if rec == nil {
			rec = v.begun(now)
		}
		if ok, _ := v.matches(rec); !ok {
			return nil, ended()
		}
		rec.Gen++
		rec.event().Renewed = now.UnixMilli()
		rec.Expires = max(rec.Expires, v.idleEnd.UnixMilli())
		v.ss.slide(rec, now)
		return rec, nil
	})
	if err != nil {
		return nil, err
	}
	return v.follow(ctx, v.gen, rec), nil
}

// takesCookie fails if the response's header was written.
func (v *visit) takesCookie(bool) error {
	if !v.carrier.Open() {
		return headerSent()
	}
	return nil
}

func (v *visit) follow(ctx context.Context, gen uint32, rec *sessionRecord) error {
	v.changes()
	if v.gen != gen || rec.Gen == gen {
		return nil
	}
	v.gen, v.carried = rec.Gen, true
	v.ss.app.keepGuests(v.key, rec, v.ss.app.opts.Clock())
	return v.issue(ctx, time.UnixMilli(rec.Expires))
}

// carry makes sure that the browser has a cookie that lasts: a new session
// needs one, and an old cookie slides once in a tenth of the idle time,
// together with the session's record.
func (v *visit) carry(ctx context.Context, is *engine.Version, now time.Time) (*engine.Version, error) {
	open := v.carrier.Open()
	idle := v.ss.app.opts.IdleTimeout
	// A clock that was ahead, or a longer IdleTimeout, may have left more than
	// idle.
	if left := v.idleEnd.Sub(now); !v.drawn && (left < idle-idle/10 || left > idle) {
		v.ss.app.keepGuests(v.key, is.Value.(*sessionRecord), now)
	}
	switch {
	case v.drawn:
		if !open {
			return nil, headerSent()
		}
		if err := v.issue(ctx, v.ss.endsAt(v.created, now)); err != nil {
			return nil, err
		}
	case open && v.idleEnd.Sub(now) < idle-idle/10:
		until := v.ss.endsAt(v.created, now)
		if is.Value.(*sessionRecord) != nil {
			rec, err := v.ss.change(ctx, v.key, func(rec *sessionRecord, now time.Time) (*sessionRecord, error) {
				if ok, _ := v.matches(rec); !ok {
					return nil, ended()
				}
				if rec != nil && now.UnixMilli()-rec.Seen > int64(idle/10/time.Millisecond) {
					v.ss.slide(rec, now)
				}
				return rec, nil
			})
			if errors.Is(err, ErrEnded) {
				return nil, err
			}
			if err != nil || rec == nil {
				break // the old cookie is valid for a while; a later request tries again
			}
			until = time.UnixMilli(rec.Expires)
			if is, err = v.ss.get(ctx, v.key, false, v.drawn, now); err != nil {
				return nil, err
			}
		}
		if until.After(v.idleEnd) {
			if err := v.issue(ctx, until); err != nil {
				return nil, err
			}
		}
	}
	v.carried = true
	return is, nil
}

// issue puts a token into the response that is valid until the given time.
func (v *visit) issue(ctx context.Context, until time.Time) error {
	until = until.Truncate(time.Second)
	token, err := v.ring.Sign(ctx, &signing.Token{ID: v.cookie, Gen: v.gen, Created: v.created, IdleEnd: until})
	if err != nil {
		return err
	}
	if !v.carrier.Issue(token, until) {
		return headerSent()
	}
	v.idleEnd = until
	return nil
}

func headerSent() error {
	return &Error{Code: ErrInternal, Phase: "resolve", Err: errHeaderSent}
}
