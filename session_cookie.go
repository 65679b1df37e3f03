package stay

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/stay-go/stay/internal/access"
	"github.com/stay-go/stay/internal/engine"
	"github.com/stay-go/stay/internal/signing"
)

// read returns the content of the browser's cookie, nil without a valid one. Of
// several with our name the valid one counts, and of several valid ones of one
// session the latest. If they are of several sessions, someone may have planted
// one, and which one is the visitor's is unknown: then it sets v.several.
func (v *visit) read(ctx context.Context, now time.Time) (good *signing.Token, err error) {
	n, foreign := 0, false
	for value, more := v.token, true; more && value != ""; n++ {
		var first string
		first, value, more = strings.Cut(value, ";")
		t, err := v.ring.Verify(ctx, first)
		switch {
		case err != nil:
			return nil, err
		case t == nil:
			foreign = foreign || !v.ss.foreignSent.Load() && v.ring.Foreign(first, now)
		case !t.IdleEnd.After(now):
		default:
			ok := true
			if !t.Created.Add(v.ss.app.opts.Lifetime).After(now) {
				if ok, err = v.ss.outlives(ctx, t.Key, now); err != nil {
					return nil, err
				}
			}
			switch {
			case !ok:
			case good == nil:
				good = t
			case t.Key != good.Key:
				v.several = true
			case later(t, good):
				good = t
			}
		}
	}
	v.several = v.several || n > access.MaxCookies
	if v.several && v.ss.severalSent.CompareAndSwap(false, true) {
		v.ss.app.logger().Warn("stay: a browser has sent several session cookies that are valid, or very many, so none of them counts: " +
			"if programs with the same keys run on one host or below one domain, give each its own cookie name with web.Options.Cookie; " +
			"if not, someone plants cookies, which https prevents")
	}
	if foreign && good == nil && !v.several {
		v.ss.reportForeign()
	}
	return good, nil
}

// later reports whether the session's cookie t was issued after u.
func later(t, u *signing.Token) bool {
	return t.Gen > u.Gen || t.Gen == u.Gen && t.IdleEnd.After(u.IdleEnd)
}

// reportForeign logs, once, that a browser has a cookie that another program may
// have set: the two programs replace each other's cookie again and again.
func (ss *sessions) reportForeign() {
	if !ss.foreignSent.CompareAndSwap(false, true) {
		return
	}
	ss.app.logger().Warn("stay: a browser has sent a session cookie that was signed with another key, so it begins a new session: " +
		"if another program runs on this host, on any port or path, give each its own cookie name with web.Options.Cookie; " +
		"if processes serve the same site, give them one store or the same web.Options.Keys; " +
		"after a change of the store or of the keys this is expected")
}

// outlives reports whether the session goes on although its Lifetime is over,
// because a login has set another end.
func (ss *sessions) outlives(ctx context.Context, key string, now time.Time) (bool, error) {
	is, _, err := ss.fresh(ctx, key, now)
	if errors.Is(err, ErrCorrupt) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	rec := is.Value.(*sessionRecord)
	over, _ := rec.over(now)
	return rec.past().Until != 0 && !over, nil
}

// over is the error of a session that is not to be used.
func (v *visit) over() error {
	if !v.several {
		return ended()
	}
	return &Error{
		Code: ErrEnded, Phase: "resolve", Message: "this browser sends several cookies of this site that are valid: delete them, and load the page again",
	}
}

// join answers a Login with a refused cookie if the same Login, sent twice, has
// replaced that cookie. A browser sends it twice when a button is clicked
// twice, and keeps only one answer, often the second. Without the new cookie
// the visitor would get ErrEnded for a minute, although the program has just
// checked the password.
func (v *visit) join(ctx context.Context, user string, now time.Time) (joined bool, err error) {
	if v.gone || v.drawn {
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
	if revoked, _, err := ss.revoked(ctx, rec, &purpose{asked: asked}, now); revoked || err != nil {
		return false, err
	}
	if !v.carrier.Open() {
		return false, headerSent()
	}
	return true, v.follow(ctx, v.gen, nil, rec)
}

// anew begins a new session for a login in place of one that is over: the
// program has just checked who the visitor is, so the visitor need not wait
// until the old cookie is forgotten. The browser gets the cookie with the
// login, so if that fails, it keeps the old cookie. A session that this request
// has used before, and that another request has ended or renewed meanwhile,
// stays over: what the request has read and changed belongs to it.
func (v *visit) anew(now time.Time) bool {
	if v.several || v.carried && !v.destroyed {
		return false
	}
	v.draw(now)
	v.gone, v.destroyed, v.begins = false, false, true
	return true
}

func (v *visit) setUser(ctx context.Context, user string, terms loginTerms) error {
	err := v.ss.setUser(ctx, v, user, terms)
	if err == nil {
		return nil
	}
	v.lock()
	defer v.unlock()
	if v.begins {
		v.begins, v.gone = false, true // no client knows the session that began
	}
	return err
}

func (v *visit) outlast(ctx context.Context, d time.Duration) error { return v.ring.Outlast(ctx, d) }

func (v *visit) renew(ctx context.Context, confirms bool) error {
	unsigned, err := v.tryRenew(ctx, confirms)
	v.ss.reportUnsigned(ctx, unsigned)
	return err
}

// tryRenew is renew; unsigned says why the new cookie could not be issued.
func (v *visit) tryRenew(ctx context.Context, confirms bool) (unsigned, err error) {
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
		return nil, v.over()
	}
	if v.drawn && !v.carried {
		if confirms {
			return nil, nobodyToConfirm()
		}
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
		if confirms {
			if rec.user() == "" {
				return nil, nobodyToConfirm()
			}
			rec.event().Confirmed = now.UnixMilli()
		}
		rec.describe(v.carrier)
		rec.Gen++
		rec.event().Renewed = now.UnixMilli()
		rec.Expires = max(rec.Expires, v.idleEnd.UnixMilli())
		v.ss.slide(rec, now)
		return rec, nil
	})
	if err != nil {
		return nil, err
	}
	return v.follow(ctx, v.gen, nil, rec), nil
}

func nobodyToConfirm() error {
	return &Error{Code: ErrDenied, Phase: "resolve", Message: "no user is logged in"}
}

// takesCookie fails if the response's header was written.
func (v *visit) takesCookie(bool) error {
	if !v.carrier.Open() {
		return headerSent()
	}
	return nil
}

func (v *visit) follow(ctx context.Context, gen uint32, before, rec *sessionRecord) error {
	v.changes()
	ends := before.hasTerms() && v.carrier.Open() // the browser's cookie stays good without a new one
	if v.gen != gen || rec.Gen == gen && !rec.hasTerms() && !ends {
		return nil
	}
	v.gen, v.carried, v.begins = rec.Gen, true, false
	v.ss.app.keepGuests(v.key, rec, v.ss.app.opts.Clock())
	return v.issue(ctx, rec, rec.ends())
}

// carry makes sure that the browser has a cookie that lasts: a new session
// needs one, and an old cookie slides once in a tenth of the idle time,
// together with the session's record.
func (v *visit) carry(ctx context.Context, is *engine.Version, now time.Time) (*engine.Version, error) {
	open := v.carrier.Open()
	rec := is.Value.(*sessionRecord)
	due, late := v.due(rec, now)
	if !v.drawn && (due || late) {
		v.ss.app.keepGuests(v.key, rec, now)
	}
	switch {
	case v.drawn:
		if !open {
			return nil, headerSent()
		}
		if err := v.issue(ctx, nil, v.ss.endsAt(v.created, now)); err != nil {
			return nil, err
		}
	case open && due:
		until := v.ss.endsAt(v.created, now)
		if rec != nil {
			rec, err := v.ss.change(ctx, v.key, func(rec *sessionRecord, now time.Time) (*sessionRecord, error) {
				if ok, _ := v.matches(rec); !ok {
					return nil, ended()
				}
				if rec != nil && v.ss.dueToSlide(rec, now) {
					rec.describe(v.carrier)
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
			until = rec.ends()
			if is, err = v.ss.get(ctx, v.key, false, v.drawn, now, nil); err != nil {
				return nil, err
			}
		}
		if until.After(v.idleEnd) {
			if err := v.issue(ctx, is.Value.(*sessionRecord), until); err != nil {
				return nil, err
			}
		}
	}
	v.carried = true
	return is, nil
}

func (v *visit) recall(ctx context.Context, now time.Time) (is seen, ok bool) {
	v.use()
	if v.openAt(ctx, now) != nil || v.gone || v.drawn || v.begins {
		return seen{}, false
	}
	ver := v.ss.app.engine.Recall(&engine.Ref{Kind: v.ss.kind, Key: v.key, Now: now})
	if ver == nil {
		return seen{}, false
	}
	rec := ver.Value.(*sessionRecord)
	if ok, _ := v.matches(rec); !ok {
		return seen{}, false
	}
	if over, _ := rec.over(now); over {
		return seen{}, false
	}
	if due, late := v.due(rec, now); !v.carried && (due || late) {
		return seen{}, false // it slides
	}
	return v.seen(ver), true
}

func (v *visit) used() {
	v.lock()
	defer v.unlock()
	v.carried = true // as its cookie was good, and did not slide
}

// due reports whether the session is to slide. late says that its cookie is
// valid for longer than a new one would be: because of a clock that was ahead,
// or another IdleTimeout.
func (v *visit) due(rec *sessionRecord, now time.Time) (due, late bool) {
	if rec.past().Until != 0 {
		return v.ss.dueToSlide(rec, now) || v.idleEnd.Before(rec.ends().Truncate(time.Second)), false
	}
	idle := v.ss.app.opts.IdleTimeout
	left := time.Duration(v.idleEnd.UnixMilli()-now.UnixMilli()) * time.Millisecond
	return left < idle-idle/10, left > idle
}

// dueToSlide reports whether a tenth of the idle time has passed since the use of
// the session was noted.
func (ss *sessions) dueToSlide(rec *sessionRecord, now time.Time) bool {
	return now.UnixMilli()-rec.Seen > int64(ss.app.opts.IdleTimeout/10/time.Millisecond)
}

// issue puts a token into the response that is good until the time given.
func (v *visit) issue(ctx context.Context, rec *sessionRecord, until time.Time) error {
	past := rec.past()
	if past.Until != 0 {
		if err := v.ring.Outlast(ctx, until.Sub(v.ss.app.opts.Clock())); err != nil {
			return err
		}
	}
	until = until.Truncate(time.Second)
	token, err := v.ring.Sign(ctx, &signing.Token{ID: v.cookie, Gen: v.gen, Created: v.created, IdleEnd: until})
	if err != nil {
		return err
	}
	shown := until
	if past.Closes {
		shown = time.Time{} // the browser forgets the cookie when it is closed
	}
	if !v.carrier.Issue(token, shown) {
		return headerSent()
	}
	v.idleEnd = until
	return nil
}

func headerSent() error {
	return &Error{Code: ErrInternal, Phase: "resolve", Err: errHeaderSent}
}

// describe stores the description that the browser of a response gives of
// itself. Without one, or without a browser, the record keeps what it has.
func (r *sessionRecord) describe(c access.Carrier) {
	if text := deviceOf(c); text != "" {
		r.device = newDevice(text)
	}
}

// deviceOf returns the description that the browser of a response gives of
// itself; "" without a description or a browser.
func deviceOf(c access.Carrier) string {
	if d, ok := c.(access.Describer); ok {
		return d.Device()
	}
	return ""
}

// A described carrier carries no cookie, and knows the browser's description.
type described string

func (described) Issue(string, time.Time) bool { return false }
func (described) Used()                        {}
func (described) Open() bool                   { return false }

// Device implements access.Describer.
func (d described) Device() string { return string(d) }
