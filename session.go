package stay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stay-go/stay/internal/bridge"
	"github.com/stay-go/stay/internal/engine"
)

// quietFor is how long the answers to a cookie that was ended or renewed set
// no new one: a request that was under way with the old cookie must not
// replace the new one in the browser.
const quietFor = time.Minute

// A Session is one browser's identity, as one request sees it. The browser
// holds it in a signed cookie; only a hash of the id in the cookie is ever
// stored or logged. Package web makes the sessions of requests. Its methods
// may be called concurrently. A nil Session is none: its changes are
// ErrNoSession, and of the rest it knows nothing.
//
// A session is over for the cookies that it had before it was ended, logged in,
// logged out or renewed. For a minute they are answered quietly: states are the
// initial ones, changes and logins are ErrEnded, and no new cookie is set, which
// might replace the new one in the browser. After that a request with such a
// cookie begins a new session.
//
// ID, User, Created, LastSeen and Expires may have to read the session's record
// from the store, on a store with other owners each time. They wait for it for
// Options.MaxWait at most, whatever becomes of the request. What they say depends
// on the cookie, so they mark the response as private.
//
// Printed and logged it shows a hash of its ID, and nothing of the cookie.
type Session struct {
	app     *App
	ring    keyring
	carrier bridge.Carrier // nil: there is no browser that a cookie could be sent to
	*hidden

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

	// fixed: the session is not that of a request but what a record says.
	fixed bool
	rec   *sessionRecord
}

// secrets is what nobody may see of a session. It is behind two pointers because
// package fmt follows one, for verbs that do not fit, however deep it is in what
// it prints.
type secrets struct {
	token string   // as the browser sent it
	id    [16]byte // that the token names
	asked string   // the user whose record was brought up to date for this use
}

type hidden struct{ *secrets }

// A secretSession is a session with its secrets, as one allocation.
type secretSession struct {
	session Session
	hidden  hidden
	secrets secrets
}

func (s *secretSession) join() *Session {
	s.session.hidden, s.hidden.secrets = &s.hidden, &s.secrets
	return &s.session
}

// sessionKey finds the session in a context: of the App named, or of any.
type sessionKey struct{ app *App }

// SessionFrom returns the session that ctx carries, nil if it carries none;
// of the sessions of several Apps, the one that was put in last. Behind
// web.Sessions there is always one.
func SessionFrom(ctx context.Context) *Session { return sessionOf(ctx, nil) }

func sessionOf(ctx context.Context, app *App) *Session {
	s, _ := ctx.Value(sessionKey{app}).(*Session)
	return s
}

// WithSession returns a context that carries the session. A nil session is
// none.
func WithSession(ctx context.Context, s *Session) context.Context {
	return &sessionContext{ctx, s}
}

// A sessionContext is a context that carries a session.
type sessionContext struct {
	context.Context
	session *Session
}

// Value implements context.Context.
func (c *sessionContext) Value(key any) any {
	if key, ok := key.(sessionKey); ok && (key.app == nil || c.session == nil || key.app == c.session.app) {
		return c.session
	}
	return c.Context.Value(key)
}

// ID names the session: 32 characters made of a hash of the id in the cookie,
// safe to store and to log, and the key of the session's states. It stays the
// same when the session is renewed, logged in and logged out.
//
// It is "" where the cookie is not good any more, because the session has ended
// or has a newer one, and where that cannot be found out: what a program keeps
// under the ID is open to the cookie that is valid only. Check for "" before you
// keep something.
//
// Where no session is known, because there is no cookie, none that is valid or
// one that was replaced more than a minute ago, a new session begins, as with the
// first use of state: the response sets its cookie. If the response's header was
// written before, the ID is "".
func (s *Session) ID() string {
	if s == nil {
		return ""
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fixed {
		return s.key
	}
	ctx, now := s.app.engine.Context(), s.app.opts.Clock()
	if _, err := s.sync(ctx, nil, now); err != nil {
		return ""
	}
	v, err := s.standing(ctx, now)
	if err == nil && s.drawn && !s.carried {
		_, err = s.carry(ctx, v, now)
	}
	if err != nil {
		return ""
	}
	return s.key
}

// String names the session for logs: by the first 12 digits of the SHA-256 of its
// ID, as Error.KeyHash does. It asks nobody, so a session that its request has not
// used yet has no name.
func (s *Session) String() string {
	if s == nil {
		return "no session"
	}
	if !s.fixed { // which never changes
		if !s.mu.TryLock() { // its holder may be waiting for the store
			return "session (in use)"
		}
		defer s.mu.Unlock()
	}
	if s.key == "" {
		return "session (not used)"
	}
	return "session " + keyHash(s.key)
}

// Format implements fmt.Formatter: a Session is printed as [Session.String] says,
// by every verb.
func (s *Session) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// LogValue implements slog.LogValuer: a Session is logged as [Session.String] says.
func (s *Session) LogValue() slog.Value { return slog.StringValue(s.String()) }

// User is the user who is logged in, "" for a guest, for a session that has
// ended, and if the session's record cannot be read.
func (s *Session) User() string {
	rec, _ := s.look()
	return rec.user()
}

// Created is when the session began; the zero time if that is not known, and for
// a session that has ended.
func (s *Session) Created() time.Time {
	rec, created := s.look()
	if rec != nil {
		return time.UnixMilli(rec.Created)
	}
	return created
}

// LastSeen is about when the session was last used: it is noted once in a
// tenth of Options.IdleTimeout. It is the zero time for a session that nothing
// is stored for, that has ended, and if its record cannot be read.
func (s *Session) LastSeen() time.Time {
	if rec, _ := s.look(); rec != nil {
		return time.UnixMilli(rec.Seen)
	}
	return time.Time{}
}

// Expires is when the session ends if it is not used any more. It is the zero
// time for a session that nothing is stored for, that has ended, and if its
// record cannot be read.
func (s *Session) Expires() time.Time {
	if rec, _ := s.look(); rec != nil {
		return time.UnixMilli(rec.Expires)
	}
	return time.Time{}
}

// look returns the session's record without using the session: no cookie is
// set, nothing slides. It is nil where nothing is stored, the session has
// ended, or the record cannot be read.
func (s *Session) look() (rec *sessionRecord, created time.Time) {
	if s == nil {
		return nil, time.Time{}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fixed {
		return s.rec, s.created
	}
	s.use()
	ctx := s.app.engine.Context()
	if err := s.open(ctx); err != nil || s.gone {
		return nil, time.Time{}
	}
	if s.unknown() {
		return nil, s.created
	}
	now := s.app.opts.Clock()
	v, asked, err := s.app.sessions.fresh(ctx, s.key, now)
	if err != nil {
		return nil, s.created
	}
	s.asked = asked
	rec = v.Value.(*sessionRecord)
	switch ok, _, err := s.stands(ctx, rec, now); {
	case err != nil:
		return nil, s.created
	case !ok:
		return nil, time.Time{}
	}
	return rec, s.created
}

// use has the response marked as one that depends on the cookie.
func (s *Session) use() {
	if s.carrier != nil {
		s.carrier.Used()
	}
}

// view is the session with this ID as its record says.
func (ss *sessions) view(id string, rec *sessionRecord) *Session {
	s := (&secretSession{session: Session{app: ss.app, fixed: true, opened: true, carried: true, key: id, rec: rec}}).join()
	if rec != nil {
		s.gen, s.created = rec.Gen, time.UnixMilli(rec.Created)
	}
	return s
}

// current returns the session's record as it stands, or ErrEnded. At the
// first use it sees to the cookie.
func (s *Session) current(ctx context.Context, now time.Time) (*engine.Version, error) {
	v, err := s.standing(ctx, now)
	if err != nil || s.carried {
		return v, err
	}
	return s.carry(ctx, v, now)
}

// standing returns the record of the session that the cookie is good for, or
// ErrEnded. In place of one that ended a while ago a new session begins, of which
// the browser does not know yet.
func (s *Session) standing(ctx context.Context, now time.Time) (*engine.Version, error) {
	s.use()
	if err := s.openAt(ctx, now); err != nil {
		return nil, err
	}
	if s.gone {
		return nil, ended()
	}
	v, err := s.app.sessions.get(ctx, s.key, s.unknown(), s.drawn, now)
	if err != nil {
		return nil, err
	}
	ok, since, err := s.stands(ctx, v.Value.(*sessionRecord), now)
	if ok || err != nil {
		return v, err
	}
	// A clock that was set back does not make the pause longer.
	if s.carried || now.Sub(since).Abs() < quietFor {
		return nil, ended()
	}
	s.draw(now)
	return s.app.sessions.get(ctx, s.key, true, s.drawn, now)
}

// stands reports whether the session may be used with its cookie; if not,
// since when.
func (s *Session) stands(ctx context.Context, rec *sessionRecord, now time.Time) (ok bool, since time.Time, err error) {
	if ok, since := s.matches(rec); !ok {
		return false, since, nil
	}
	if rec == nil && s.carried && !s.idleEnd.After(now) {
		return false, s.idleEnd, nil // the request has outlived its session
	}
	asked := s.asked
	s.asked = ""
	revoked, since, err := s.app.sessions.revoked(ctx, rec, asked, now)
	return !revoked, since, err
}

// matches reports whether the cookie is the one that the record asks for; if
// not, since when.
func (s *Session) matches(rec *sessionRecord) (ok bool, since time.Time) {
	if s.fixed {
		// It has no cookie, so it follows its record, but not to another user.
		switch {
		case rec == nil:
			return false, time.Time{}
		case rec.user() != s.rec.user():
			return false, time.UnixMilli(rec.past().Renewed)
		}
		s.gen = rec.Gen
	}
	switch {
	case rec == nil:
		return s.gen == 0, time.Time{}
	case rec.past().Ended != 0:
		return false, time.UnixMilli(rec.past().Ended)
	case s.gen < rec.Gen:
		return false, time.UnixMilli(rec.past().Renewed)
	}
	return s.gen == rec.Gen, time.Time{}
}

// carry sees to it that the browser has a cookie that lasts: a new session
// needs one, and an old one slides once in a tenth of the idle time, together
// with the session's record.
func (s *Session) carry(ctx context.Context, v *engine.Version, now time.Time) (*engine.Version, error) {
	open := s.carrier == nil || s.carrier.Open()
	idle := s.app.opts.IdleTimeout
	// More than idle is left by a clock that was ahead, or another IdleTimeout.
	if left := s.idleEnd.Sub(now); !s.drawn && (left < idle-idle/10 || left > idle) {
		s.app.keepGuests(s.key, v.Value.(*sessionRecord), now)
	}
	switch {
	case s.drawn:
		if !open {
			return nil, headerSent()
		}
		if err := s.issue(ctx, s.app.sessions.end(s.created, now)); err != nil {
			return nil, err
		}
	case open && s.idleEnd.Sub(now) < idle-idle/10:
		until := s.app.sessions.end(s.created, now)
		if v.Value.(*sessionRecord) != nil {
			rec, err := s.app.sessions.change(ctx, s.key, func(rec *sessionRecord, now time.Time) (*sessionRecord, error) {
				if ok, _ := s.matches(rec); !ok {
					return nil, ended()
				}
				if rec != nil && now.UnixMilli()-rec.Seen > int64(idle/10/time.Millisecond) {
					s.app.sessions.slide(rec, now)
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
			if v, err = s.app.sessions.get(ctx, s.key, false, s.drawn, now); err != nil {
				return nil, err
			}
		}
		if until.After(s.idleEnd) {
			if err := s.issue(ctx, until); err != nil {
				return nil, err
			}
		}
	}
	s.carried = true
	return v, nil
}
