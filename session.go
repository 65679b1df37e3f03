package stay

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/stay-go/stay/internal/engine"
)

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
	app *App
	presence
}

// A presence is what stands behind a Session: the visit of a request, or a
// listing. It is behind the lock but for text, id, look and name, which take it.
type presence interface {
	// text is Session.String.
	text() string
	// id is Session.ID.
	id() string
	// name is the key of the session's states, whether it stands or not.
	name() string
	// look returns the session's record without using the session: no cookie is
	// set, nothing slides. It is nil where nothing is stored, the session has
	// ended, or the record cannot be read.
	look() (rec *sessionRecord, created time.Time)
	// known reports whether the session is one that is neither over nor renewed
	// meanwhile. It begins none.
	known(ctx context.Context) (bool, error)

	lock()
	unlock()
	// use marks the response as one that depends on the cookie.
	use()
	// sync brings the session's record up to date, and with it, if m is not nil,
	// the state of m that the session has as far as is known. It returns which
	// that was, the zero target if none.
	sync(ctx context.Context, m *module, now time.Time) (target, error)
	// current returns the session as it stands, or ErrEnded. At the first use it
	// sees to the cookie.
	current(ctx context.Context, now time.Time) (seen, error)
	// changes notes that something may be stored for the session from now on.
	changes()
	// matches reports whether the session is the one that its record tells of; if
	// not, since when.
	matches(rec *sessionRecord) (ok bool, since time.Time)
	// takesCookie fails if the session cannot be given a new cookie, which would
	// sign its browser out: the old one would be refused. A session without a
	// browser may keep the one that it has, where the change is one that keeps
	// allows.
	takesCookie(keeps bool) error
	// follow takes over the generation of the session's record, in place of gen,
	// and issues its cookie.
	follow(ctx context.Context, gen uint32, rec *sessionRecord) error
	// neverStored reports whether the session is one that was never stored,
	// without using it.
	neverStored(ctx context.Context) bool
	// join answers a login with a cookie that the same login has replaced.
	join(ctx context.Context, user string, now time.Time) (joined bool, err error)

	// renew is Session.Renew; unsigned says why the new cookie could not be
	// issued.
	renew(ctx context.Context) (unsigned, err error)
	// end makes the session one that has ended. It returns its record if there
	// may be states left to be deleted.
	end(ctx context.Context) (rec *sessionRecord, err error)
}

// A seen session is what one use of it has found.
type seen struct {
	session string // its ID
	gen     uint32
	created time.Time
	idleEnd time.Time       // of the browser's cookie
	version *engine.Version // of the session's record
	isNew   bool            // nothing can be stored for it yet: nobody else has known it
	drawn   bool            // its ID was drawn for this request
	keeps   bool            // its cookie, as no new one could be sent to the browser
	counted *atomic.Bool    // as one of MaxNewSessions; nil: each use counts
}

func (s *seen) record() *sessionRecord { return s.version.Value.(*sessionRecord) }

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
	return s.presence.id()
}

// String names the session for logs: by the first 12 digits of the SHA-256 of its
// ID, as Error.KeyHash does. It asks nobody, so a session that its request has not
// used yet has no name.
func (s *Session) String() string {
	if s == nil {
		return "no session"
	}
	return s.presence.text()
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

// look is the presence's, of any Session.
func (s *Session) look() (rec *sessionRecord, created time.Time) {
	if s == nil {
		return nil, time.Time{}
	}
	return s.presence.look()
}
