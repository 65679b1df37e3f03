package stay

import (
	"context"
	"crypto/rand"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stay-go/stay/internal/access"
	"github.com/stay-go/stay/internal/engine"
	"github.com/stay-go/stay/internal/keyspace"
	"github.com/stay-go/stay/internal/presence"
	"github.com/stay-go/stay/internal/signing"
)

// grace is how long requests with an ended or renewed cookie get no new one: a
// request that was under way with the old cookie must not replace the new one
// in the browser.
const grace = time.Minute

// A visit is a session as one request sees it: the cookie that the browser
// sent, and the one that the response sets.
type visit struct {
	ss      *sessions
	ring    keyring
	carrier access.Carrier
	*secrets

	counted atomic.Bool // as one of MaxNewSessions

	mu        sync.Mutex
	opened    bool // the fields below are set
	drawn     bool // the id was drawn for this request
	carried   bool // the browser is known to have a fitting cookie
	changed   bool // something may be stored for it
	destroyed bool // by this request
	begins    bool // a Login begins the session: its cookie comes with the login
	gone      bool // destroyed before any client could know it, or one of several
	several   bool // the browser has sent valid cookies of several sessions, or very many
	key       string
	gen       uint32
	created   time.Time
	idleEnd   time.Time // of the browser's cookie
}

// secrets has the fields of a visit that must not be printed. A Session reaches
// them through two pointers, because package fmt follows one pointer at any
// depth for a verb that does not fit.
type secrets struct {
	token   string   // as the browser sent it, see access.App.Begin
	cookie  [16]byte // the id that the token names
	present purpose  // of the present use
}

// newVisit returns a context with the session of a request, in one allocation.
func newVisit(ctx context.Context, ss *sessions, ring keyring, token string, c access.Carrier) context.Context {
	r := &struct {
		context sessionContext
		session Session
		visit   visit
		secrets secrets
	}{visit: visit{ss: ss, ring: ring, carrier: c}, secrets: secrets{token: token}}
	r.visit.secrets = &r.secrets
	r.session = Session{app: ss.app.base, guise: &r.visit}
	r.context = sessionContext{ctx, &r.session}
	return &r.context
}

func (v *visit) lock() { v.mu.Lock() }

func (v *visit) unlock() { v.mu.Unlock() }

func (v *visit) text() string {
	if !v.mu.TryLock() { // the lock's holder may be waiting for the store
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
	if err := v.sync(ctx, nil, now); err != nil {
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

// fresh returns the session's record after asking a store with other owners,
// and whether the session is valid.
func (v *visit) fresh(ctx context.Context) (rec *sessionRecord, ok bool, err error) {
	now := v.ss.app.opts.Clock()
	is, asked, err := v.ss.fresh(ctx, v.key, now)
	if err != nil {
		return nil, false, err
	}
	v.present = purpose{asked: asked}
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

func (v *visit) who(ctx context.Context) (user string, err error) {
	v.lock()
	defer v.unlock()
	v.use()
	switch err := v.open(ctx); {
	case err != nil:
		return "", err
	case v.gone:
		return "", v.over()
	case v.unknown():
		return "", nil
	}
	rec, ok, err := v.fresh(ctx)
	if err == nil && !ok {
		err = ended()
	}
	return rec.user(), err
}

// visitor returns the session and the user of the request, without using the
// session. One that nobody has used yet is none, and so is one that is over.
func (v *visit) visitor(ctx context.Context) (presence.Visitor, error) {
	is, _, err := v.attend(ctx)
	if errors.Is(err, ErrEnded) {
		err = nil
	}
	return is, err
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
	_, _, err := v.current(ctx, v.ss.app.opts.Clock())
	return err
}

func (v *visit) use() { v.carrier.Used() }

// open reads the cookie, or draws an id if there is no valid cookie.
func (v *visit) open(ctx context.Context) error {
	if v.opened {
		return nil
	}
	return v.openAt(ctx, v.ss.app.opts.Clock())
}

// openAt is open for a caller that has read the clock already.
func (v *visit) openAt(ctx context.Context, now time.Time) error {
	if v.opened {
		return nil
	}
	t, err := v.read(ctx, now)
	if err != nil {
		return err
	}
	switch {
	case v.several:
		v.gone = true
	case t != nil:
		v.cookie, v.key, v.gen, v.created, v.idleEnd = t.ID, t.Key, t.Gen, t.Created, t.IdleEnd
	default:
		v.draw(now)
	}
	v.opened = true
	return nil
}

func (v *visit) draw(now time.Time) {
	rand.Read(v.cookie[:])
	v.drawn, v.carried, v.changed = true, false, false
	v.gen = 0
	v.created = now.Truncate(time.Second)
	v.idleEnd = time.Time{}
	v.key = keyspace.SessionID(v.cookie)
}

// unknown reports whether nothing can be stored for the session.
func (v *visit) unknown() bool { return v.drawn && !v.changed }

func (v *visit) neverStored(ctx context.Context) bool { return v.open(ctx) == nil && v.unknown() }

func (v *visit) changes() { v.changed = true }

func (v *visit) sync(ctx context.Context, m *module, now time.Time) (err error) {
	v.present = purpose{next: m}
	if !v.ss.app.manyOwners.Load() || v.gone {
		return nil
	}
	if err := v.openAt(ctx, now); err != nil || v.gone || v.unknown() {
		return err
	}
	v.present, err = v.ss.syncWith(ctx, v.key, m, now)
	return err
}

func (v *visit) current(ctx context.Context, now time.Time) (seen, *target, error) {
	rec, err := v.standing(ctx, now)
	synced := v.present.synced
	v.present = purpose{}
	if err == nil && !v.carried && !v.begins {
		rec, err = v.carry(ctx, rec, now)
	}
	return v.seen(rec), synced, err
}

// seen returns the session as the request sees it, with this version of its
// record.
func (v *visit) seen(rec *engine.Version) seen {
	return seen{
		session: v.key, gen: v.gen, created: v.created, idleEnd: v.idleEnd,
		version: rec, isNew: v.unknown(), drawn: v.drawn, anew: v.begins, counted: &v.counted, carrier: v.carrier,
	}
}

// standing returns the record of the session for which the cookie is valid, or
// ErrEnded. A session that ended more than a minute ago is replaced by a new
// one, which the browser does not know yet.
func (v *visit) standing(ctx context.Context, now time.Time) (*engine.Version, error) {
	v.use()
	if err := v.openAt(ctx, now); err != nil {
		return nil, err
	}
	if v.gone {
		return nil, v.over()
	}
	rec, err := v.ss.get(ctx, v.key, v.unknown(), v.drawn, now, v.present.next)
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
	return v.ss.get(ctx, v.key, true, v.drawn, now, nil)
}

// stands reports whether the session's cookie is valid; if not, since when.
func (v *visit) stands(ctx context.Context, rec *sessionRecord, now time.Time) (ok bool, since time.Time, err error) {
	if ok, since := v.matches(rec); !ok {
		return false, since, nil
	}
	if rec == nil && v.carried && !v.idleEnd.After(now) {
		return false, v.idleEnd, nil // the request has outlived its session
	}
	if over, since := rec.over(now); over {
		return false, since, nil
	}
	revoked, since, err := v.ss.revoked(ctx, rec, &v.present, now)
	v.present.asked = ""
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

// begun makes the record of the session, which has none.
func (v *visit) begun(now time.Time) *sessionRecord {
	rec := v.ss.record(v.created, v.idleEnd, now)
	rec.Gen = v.gen
	rec.describe(v.carrier)
	return rec
}

func (v *visit) destroy(ctx context.Context) error {
	rec, err := v.end(ctx)
	if rec != nil {
		v.ss.deleteStates(ctx, v.name(), rec)
	}
	return err
}

// end ends the session and clears the browser's cookie. It returns the
// session's record if there may be states to delete.
func (v *visit) end(ctx context.Context) (rec *sessionRecord, err error) {
	v.lock()
	defer v.unlock()
	v.use()
	if err := v.open(ctx); err != nil {
		return nil, err
	}
	if v.several {
		return nil, v.over() // one of them may be the visitor's, and goes on
	}
	if v.unknown() && v.carrier.Open() || v.gone {
		v.gone, v.destroyed = true, true
		if v.carried {
			v.carrier.Issue("", time.Time{}) // replaces the cookie that was not sent yet
		}
		return nil, nil
	}
	v.changes()
	rec, already, err := v.ss.end(ctx, v.key, v.idleEnd, v.begun, v.matches)
	if err != nil {
		return nil, err
	}
	v.carried, v.destroyed = true, true
	// If it had ended before, the browser may have another session by now.
	if !already {
		v.carrier.Issue("", time.Time{})
	}
	return rec, nil
}

// A keyring signs the cookies of sessions and verifies them: a signing.Ring.
type keyring interface {
	Sign(ctx context.Context, t *signing.Token) (string, error)
	Verify(ctx context.Context, value string) (*signing.Token, error)
	Outlast(ctx context.Context, d time.Duration) error
	Foreign(value string, now time.Time) bool
}

// A bearer is a guise for code that changes the session. The methods of a
// guise and known take the lock; callers of the others hold it.
type bearer interface {
	guise
	// known reports whether the session exists and has neither ended nor been
	// renewed meanwhile. It begins no session.
	known(ctx context.Context) (bool, error)
	// who returns the user of the session, "" for a guest. It begins none.
	who(ctx context.Context) (user string, err error)

	lock()
	unlock()
	// use marks the response as dependent on the cookie.
	use()
	// sync begins a use of the session for the state of m, nil for none. It brings
	// the session's record up to date, and with it the state of m that the session
	// is known to have.
	sync(ctx context.Context, m *module, now time.Time) error
	// current returns the valid session, or ErrEnded, and the state that was
	// brought up to date for this use, nil if none. At the first use it makes sure
	// that the browser has a cookie.
	current(ctx context.Context, now time.Time) (seen, *target, error)
	// recall is current without a question to the store and without a cookie. It
	// reports false if memory does not have the session, or if it would take more
	// than that.
	recall(ctx context.Context, now time.Time) (is seen, ok bool)
	// used notes that the session was used after all as recall has seen it. It
	// takes the lock.
	used()
	// changes notes that something may be stored for the session from now on.
	changes()
	// matches reports whether the record is that of this session; if not, since
	// when.
	matches(rec *sessionRecord) (ok bool, since time.Time)
	// takesCookie fails if the response cannot set a new cookie, because the
	// browser would be signed out: its old cookie would be refused. A session
	// without a response may keep its cookie if keeps allows that for the change.
	takesCookie(keeps bool) error
	// follow replaces gen by the generation of the session's record and issues the
	// cookie, unless the browser's cookie says the same. before is the record that
	// the browser's cookie follows; nil if the generation changes.
	follow(ctx context.Context, gen uint32, before, rec *sessionRecord) error
	// outlast makes sure that a cookie which lasts that long can be verified.
	outlast(ctx context.Context, d time.Duration) error
	// neverStored reports whether the session is one that was never stored,
	// without using it.
	neverStored(ctx context.Context) bool
	// join answers a login with a cookie that the same login has replaced.
	join(ctx context.Context, user string, now time.Time) (joined bool, err error)
	// anew begins another session in place of one that is over, for a login. It
	// reports false if there is no browser that could get its cookie.
	anew(now time.Time) bool
}

// A seen session is the result of one use of a session.
type seen struct {
	session string // its ID
	gen     uint32
	created time.Time
	idleEnd time.Time       // of the browser's cookie
	version *engine.Version // of the session's record
	isNew   bool            // nothing can be stored for it yet: no other request has its ID
	drawn   bool            // its ID was drawn for this request
	keeps   bool            // its cookie, as no new one could be sent to the browser
	anew    bool            // a Login begins it, in place of one that is over
	counted *atomic.Bool    // as one of MaxNewSessions; nil: each use counts
	carrier access.Carrier  // of its response; nil: it has no browser
}

// begun makes the record of the session, which has none.
func (s *seen) begun(ss *sessions, now time.Time) *sessionRecord {
	rec := ss.record(s.created, s.idleEnd, now)
	rec.Gen = s.gen
	rec.describe(s.carrier)
	return rec
}

func (s *seen) record() *sessionRecord { return s.version.Value.(*sessionRecord) }
