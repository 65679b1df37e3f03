package stay

import (
	"context"
	"crypto/rand"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stay-go/stay/internal/bridge"
	"github.com/stay-go/stay/internal/engine"
	"github.com/stay-go/stay/internal/keyspace"
	"github.com/stay-go/stay/internal/signing"
)

// grace is how long the answers to a cookie that was ended or renewed set no new
// one: a request that was under way with the old cookie must not replace the
// new one in the browser.
const grace = time.Minute

// A visit is a session as one request sees it: the cookie that the browser has
// sent, and the one that it is going to get.
type visit struct {
	ss      *sessions
	ring    keyring
	carrier bridge.Carrier
	*secrets

	counted atomic.Bool // as one of MaxNewSessions

	mu      sync.Mutex
	opened  bool // the fields below are set
	drawn   bool // the id was drawn for this request
	carried bool // it was made sure that the browser has a fitting cookie
	changed bool // something may be stored for it
	gone    bool // destroyed before anybody could know it
	key     string
	gen     uint32
	created time.Time
	idleEnd time.Time // of the browser's cookie
}

// secrets is what nobody may see of a visit. From a Session it is behind two
// pointers because package fmt follows one, for verbs that do not fit, however
// deep it is in what it prints.
type secrets struct {
	token  string   // as the browser sent it
	cookie [16]byte // the id that the token names
	asked  string   // the user whose record was brought up to date for this use
}

// newVisit returns a context with the session of a request, as one allocation.
func newVisit(ctx context.Context, ss *sessions, ring keyring, token string, c bridge.Carrier) context.Context {
	r := &struct {
		context sessionContext
		session Session
		visit   visit
		secrets secrets
	}{visit: visit{ss: ss, ring: ring, carrier: c}, secrets: secrets{token: token}}
	r.visit.secrets = &r.secrets
	r.session = Session{app: ss.app.base, presence: &r.visit}
	r.context = sessionContext{ctx, &r.session}
	return &r.context
}

func (v *visit) lock()   { v.mu.Lock() }
func (v *visit) unlock() { v.mu.Unlock() }

func (v *visit) text() string {
	if !v.mu.TryLock() { // its holder may be waiting for the store
		return "session (in use)"
	}
	defer v.unlock()
	if v.key == "" {
		return "session (not used)"
	}
	return "session " + keyHash(v.key)
}

func (v *visit) id() string {
	v.lock()
	defer v.unlock()
	ctx, now := v.ss.app.engine.Context(), v.ss.app.opts.Clock()
	if _, err := v.sync(ctx, nil, now); err != nil {
		return ""
	}
	rec, err := v.standing(ctx, now)
	if err == nil && v.drawn && !v.carried {
		_, err = v.carry(ctx, rec, now)
	}
	if err != nil {
		return ""
	}
	return v.key
}

func (v *visit) name() string {
	v.lock()
	defer v.unlock()
	return v.key
}

func (v *visit) look() (rec *sessionRecord, created time.Time) {
	v.lock()
	defer v.unlock()
	v.use()
	ctx := v.ss.app.engine.Context()
	if err := v.open(ctx); err != nil || v.gone {
		return nil, time.Time{}
	}
	if v.unknown() {
		return nil, v.created
	}
	switch rec, ok, err := v.fresh(ctx); {
	case err != nil:
		return nil, v.created
	case !ok:
		return nil, time.Time{}
	default:
		return rec, v.created
	}
}

// fresh returns the session's record after asking a store with other owners, and
// whether the session stands.
func (v *visit) fresh(ctx context.Context) (rec *sessionRecord, ok bool, err error) {
	now := v.ss.app.opts.Clock()
	is, asked, err := v.ss.fresh(ctx, v.key, now)
	if err != nil {
		return nil, false, err
	}
	v.asked = asked
	rec = is.Value.(*sessionRecord)
	ok, _, err = v.stands(ctx, rec, now)
	return rec, ok, err
}

func (v *visit) known(ctx context.Context) (bool, error) {
	v.lock()
	defer v.unlock()
	if err := v.open(ctx); err != nil {
		return false, err
	}
	if v.drawn || v.gone {
		return false, nil
	}
	_, ok, err := v.fresh(ctx)
	return ok, err
}

func (v *visit) use() { v.carrier.Used() }

// open reads the cookie, or draws an id if there is none that is valid.
func (v *visit) open(ctx context.Context) error {
	if v.opened {
		return nil
	}
	return v.openAt(ctx, v.ss.app.opts.Clock())
}

// openAt is open for a caller that has looked at the clock already.
func (v *visit) openAt(ctx context.Context, now time.Time) error {
	if v.opened {
		return nil
	}
	if v.token != "" {
		t, err := v.ring.Verify(ctx, v.token)
		if err != nil {
			return err
		}
		if t != nil && v.take(t, now) {
			v.opened = true
			return nil
		}
	}
	v.draw(now)
	v.opened = true
	return nil
}

func (v *visit) draw(now time.Time) {
	rand.Read(v.cookie[:])
	v.drawn, v.changed = true, false
	v.gen = 0
	v.created = now.Truncate(time.Second)
	v.idleEnd = time.Time{}
	v.key = keyspace.SessionID(v.cookie)
}

// take makes the session the one that a token names, unless it is over.
func (v *visit) take(t *signing.Token, now time.Time) bool {
	if !t.IdleEnd.After(now) || !t.Created.Add(v.ss.app.opts.Lifetime).After(now) {
		return false
	}
	v.cookie, v.key, v.gen, v.created, v.idleEnd = t.ID, t.Key, t.Gen, t.Created, t.IdleEnd
	return true
}

// unknown reports whether nothing can be stored for the session.
func (v *visit) unknown() bool { return v.drawn && !v.changed }

func (v *visit) neverStored(ctx context.Context) bool { return v.open(ctx) == nil && v.unknown() }

func (v *visit) changes() { v.changed = true }

func (v *visit) sync(ctx context.Context, m *module, now time.Time) (t target, err error) {
	if !v.ss.app.manyOwners.Load() || v.gone {
		return target{}, nil
	}
	if err := v.openAt(ctx, now); err != nil || v.unknown() {
		return target{}, err
	}
	t, v.asked, err = v.ss.syncWith(ctx, v.key, m, now)
	return t, err
}

func (v *visit) current(ctx context.Context, now time.Time) (seen, error) {
	rec, err := v.standing(ctx, now)
	if err == nil && !v.carried {
		rec, err = v.carry(ctx, rec, now)
	}
	return seen{
		session: v.key, gen: v.gen, created: v.created, idleEnd: v.idleEnd,
		version: rec, isNew: v.unknown(), drawn: v.drawn, counted: &v.counted,
	}, err
}

// standing returns the record of the session that the cookie is good for, or
// ErrEnded. In place of one that ended a while ago a new session begins, of which
// the browser does not know yet.
func (v *visit) standing(ctx context.Context, now time.Time) (*engine.Version, error) {
	v.use()
	if err := v.openAt(ctx, now); err != nil {
		return nil, err
	}
	if v.gone {
		return nil, ended()
	}
	rec, err := v.ss.get(ctx, v.key, v.unknown(), v.drawn, now)
	if err != nil {
		return nil, err
	}
	ok, since, err := v.stands(ctx, rec.Value.(*sessionRecord), now)
	if ok || err != nil {
		return rec, err
	}
	// A clock that was set back does not make the pause longer.
	if v.carried || now.Sub(since).Abs() < grace {
		return nil, ended()
	}
	v.draw(now)
	return v.ss.get(ctx, v.key, true, v.drawn, now)
}

// stands reports whether the session may be used with its cookie; if not,
// since when.
func (v *visit) stands(ctx context.Context, rec *sessionRecord, now time.Time) (ok bool, since time.Time, err error) {
	if ok, since := v.matches(rec); !ok {
		return false, since, nil
	}
	if rec == nil && v.carried && !v.idleEnd.After(now) {
		return false, v.idleEnd, nil // the request has outlived its session
	}
	asked := v.asked
	v.asked = ""
	revoked, since, err := v.ss.revoked(ctx, rec, asked, now)
	return !revoked, since, err
}

func (v *visit) matches(rec *sessionRecord) (ok bool, since time.Time) {
	switch {
	case rec == nil:
		return v.gen == 0, time.Time{}
	case rec.past().Ended != 0:
		return false, time.UnixMilli(rec.past().Ended)
	case v.gen < rec.Gen:
		return false, time.UnixMilli(rec.past().Renewed)
	}
	return v.gen == rec.Gen, time.Time{}
}

// join answers a Login whose cookie is refused if it is the one that has
// replaced the cookie, sent twice. A browser does that when a button is clicked
// twice, and keeps the answer to one request only, often not the first: without
// its cookie the visitor would be refused for as long as an ended session is
// answered quietly, although the program has just made sure who it is.
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

func (v *visit) setUser(ctx context.Context, user string) error { return v.ss.setUser(ctx, v, user) }

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
		return nil, nil // nobody knows the id yet
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

// begun makes the record of the session, which has none.
func (v *visit) begun(now time.Time) *sessionRecord {
	rec := v.ss.record(v.created, v.idleEnd, now)
	rec.Gen = v.gen
	return rec
}

func (v *visit) destroy(ctx context.Context) error {
	rec, err := v.end(ctx)
	if rec != nil {
		v.ss.deleteStates(ctx, v.name(), rec)
	}
	return err
}

// end makes the session one that has ended, and clears the browser's cookie. It
// returns the session's record if there may be states left to be deleted.
func (v *visit) end(ctx context.Context) (rec *sessionRecord, err error) {
	v.lock()
	defer v.unlock()
	v.use()
	if err := v.open(ctx); err != nil {
		return nil, err
	}
	if v.unknown() && v.carrier.Open() || v.gone {
		v.gone = true
		if v.carried {
			v.carrier.Issue("", time.Time{}) // in place of the one that was not sent yet
		}
		return nil, nil
	}
	v.changes()
	rec, already, err := v.ss.end(ctx, v.key, v.idleEnd, v.begun, v.matches)
	if err != nil {
		return nil, err
	}
	v.carried = true
	// Where it had ended before, the browser may have another session by now.
	if !already {
		v.carrier.Issue("", time.Time{})
	}
	return rec, nil
}

// takesCookie fails if the header of the response was sent.
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

// carry sees to it that the browser has a cookie that lasts: a new session
// needs one, and an old one slides once in a tenth of the idle time, together
// with the session's record.
func (v *visit) carry(ctx context.Context, is *engine.Version, now time.Time) (*engine.Version, error) {
	open := v.carrier.Open()
	idle := v.ss.app.opts.IdleTimeout
	// More than idle is left by a clock that was ahead, or another IdleTimeout.
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
				break // the old cookie is good for a while; a later request tries again
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

// issue puts a token into the response that is good until the time given.
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
