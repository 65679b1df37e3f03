package stay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"
)

// A Session is one browser's identity, as one request sees it. The browser
// holds it in a signed cookie; only a hash of the id in the cookie is ever
// stored or logged. Package web makes the sessions of requests. Its methods may
// be called concurrently. A nil Session is not a session: its changes are
// ErrNoSession, and its other methods return zero values.
//
// When a session is ended, logged in, logged out or renewed, its earlier
// cookies become invalid. For a minute requests with such a cookie get the
// initial states, their changes are ErrEnded, and no cookie is set, because it
// might replace the new one in the browser. Only a Login begins a new session.
// After that minute every request with such a cookie does.
//
// ID, User, Device and the times may have to read the session's record from the
// store, on a store with other owners each time. They wait for it at most for
// Options.MaxWait, whatever the request's context is. Their results depend on
// the cookie, so they mark the response as private.
//
// Printed or logged, a Session shows a hash of its ID and nothing of the
// cookie.
type Session struct {
	app *base
	guise
}

// A guise implements a Session: the visit of a request, or a listing.
type guise interface {
	// text is Session.String.
	text() string
	// id is Session.ID.
	id() string
	// name is the key of the session's states, whether the session is valid or
	// not.
	name() string
	// look returns the session's record without using the session: no cookie is
	// set, nothing slides. It is nil if nothing is stored, the session has ended,
	// or the record cannot be read.
	look() (rec *sessionRecord, created time.Time)
	// setUser is Session.Login and, for "", Session.Logout.
	setUser(ctx context.Context, user string, terms loginTerms) error
	// renew is Session.Renew, and Session.Confirm if it confirms.
	renew(ctx context.Context, confirms bool) error
	// destroy is Session.Destroy.
	destroy(ctx context.Context) error
}

// sessionKey finds the session in a context: that of the given App, or of any.
type sessionKey struct{ app *base }

// SessionFrom returns the session that ctx carries, or nil. If ctx carries
// sessions of several Apps, it returns the one that was put in last. Behind
// web.Sessions there is always one.
func SessionFrom(ctx context.Context) *Session {
	s := sessionOf(ctx, nil)
	if s == nil {
		if app, ok := ctx.Value(withoutSessionKey{}).(*base); ok {
			app.logger().Warn("stay: SessionFrom returned nil, because this request did not come through web.Sessions: wrap the handler, or the router, in it")
		}
	}
	return s
}

// withoutSessionKey finds, in development, the App of a handler that stands
// outside of web.Sessions.
type withoutSessionKey struct{}

func sessionOf(ctx context.Context, app *base) *Session {
	s, _ := ctx.Value(sessionKey{app}).(*Session)
	return s
}

// WithSession returns a context that carries the session. A nil session changes
// nothing.
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
// It is "" if the cookie is no longer valid, because the session has ended or
// has a newer cookie, and if that cannot be found out: only the valid cookie
// gives access to what a program keeps under the ID. Check for "" before you
// keep something.
//
// If there is no cookie, no valid one, or one that was replaced more than a
// minute ago, a new session begins, as with the first use of state: the
// response sets its cookie. If the response's header was written before, the ID
// is "".
func (s *Session) ID() string {
	if s == nil {
		return ""
	}
	return s.id()
}

// String names the session for logs: by the first 12 digits of the SHA-256 of
// its ID, as Error.KeyHash does. It reads nothing, so a session that its
// request has not used yet has no name.
func (s *Session) String() string {
	if s == nil {
		return "no session"
	}
	return s.text()
}

// Format implements fmt.Formatter: a Session is printed as [Session.String] says,
// by every verb.
func (s *Session) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// LogValue implements slog.LogValuer: a Session is logged as [Session.String] says.
func (s *Session) LogValue() slog.Value { return slog.StringValue(s.String()) }

// User is the user who is logged in, or "" for a guest, for a session that has
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

// LastSeen is roughly when the session was last used: it is noted once in a
// tenth of Options.IdleTimeout. It is the zero time for a session that is not
// stored or has ended, and if its record cannot be read.
func (s *Session) LastSeen() time.Time {
	if rec, _ := s.look(); rec != nil {
		return time.UnixMilli(rec.Seen)
	}
	return time.Time{}
}

// Expires is when the session ends if it is no longer used. It is the zero time
// for a session that is not stored or has ended, and if its record cannot be
// read.
func (s *Session) Expires() time.Time {
	if rec, _ := s.look(); rec != nil {
		return rec.ends()
	}
	return time.Time{}
}

// LoggedIn is when the user logged in. It is the zero time for a guest, for a
// session that has ended, if its record cannot be read, and if an older
// program, which did not store the time, has stored the login.
func (s *Session) LoggedIn() time.Time {
	rec, _ := s.look()
	return timeOf(rec.past().LoggedIn)
}

// Confirmed is when the user last proved who they are: at the login, or at
// [Session.Confirm] if that was later. If neither is known it is the zero time,
// as with LoggedIn. Before something important, ask for the password again if
// it is too long ago.
func (s *Session) Confirmed() time.Time {
	rec, _ := s.look()
	past := rec.past()
	return timeOf(max(past.LoggedIn, past.Confirmed))
}

// Device is the browser's description of itself, for people who look for their
// sessions in a list: at most 200 bytes of its header User-Agent, which package
// web stores with the session and again at each login, renewal and slide.
// Clients can send any text: show it, but decide nothing by it. It is "" if
// nothing is stored, for a session that has ended, and if its record cannot be
// read.
func (s *Session) Device() string {
	if rec, _ := s.look(); rec != nil {
		return rec.device.String()
	}
	return ""
}

// timeOf returns a stored time, the zero time if there is none.
func timeOf(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}

// A LoginOption says how long a login lasts. See [For] and [UntilBrowserCloses].
type LoginOption func(*loginTerms)

// For makes a login last that long, however little or much the session is used,
// in place of Options.IdleTimeout and Lifetime: 30 days to remember a user, an
// hour for an office. Then the session ends. The next Login replaces it. Below
// two seconds it is a mistake, and the Login is ErrInternal.
//
// States of the session itself that were stored before the login end with
// Options.Lifetime at first, and with the session once they are changed; those
// that are only in memory go if the session is not used for Options.IdleTimeout.
func For(d time.Duration) LoginOption {
	return func(t *loginTerms) { t.lasts, t.wrong = d, d < 2*time.Second }
}

// UntilBrowserCloses makes the browser forget the cookie when it is closed, as
// on a computer that others use too. Many browsers keep such cookies if they
// open the tabs of the last time again, so the session also ends like every
// session, or when [For] says. The option holds until the next Login or Logout.
func UntilBrowserCloses() LoginOption { return func(t *loginTerms) { t.closes = true } }

// look calls look of the guise; a nil Session has no record.
func (s *Session) look() (rec *sessionRecord, created time.Time) {
	if s == nil {
		return nil, time.Time{}
	}
	return s.guise.look()
}

// Login attaches the session to a user and gives it a new cookie: the old one
// is refused, unless Options.KeepCookieOnKeyChange leaves it as it is. All
// PerUser modules switch from the guest's states to the user's in one step. If
// the user has no state yet, the guest's state becomes the user's, otherwise
// Module.Adopt decides. The session's own states stay. A session of another
// user is switched without adopting anything, and the states that the other
// user left without a key are dropped; a session of the same user gets a new
// cookie. If the guest's state and the user's together exceed Options.MaxState,
// the user's stays as it is and OnError gets the failure.
//
// The login lasts as long as the session, unless the options say otherwise: see
// [For] and [UntilBrowserCloses].
//
// Check the password before; Stay does not know users. An empty user, or one of
// more than 512 bytes, is ErrInvalid. Login fails with ErrInternal when the
// response's header was already written or the session is one of
// [App.Sessions], with the error of an Adopt that refuses, and with ErrNested
// inside a change of state. If it fails, nothing has changed, except perhaps
// after ErrUnknown.
//
// A session that was ended, renewed or revoked before the request used it does
// not prevent a login: the login begins a new one, without the states of the
// old. Login fails with ErrEnded if that happened after the request had used
// the session.
//
// The same login once more, as after a double click, comes with the cookie that
// the first has replaced. It joins the first: the browser gets that one's cookie.
func (s *Session) Login(ctx context.Context, user string, opts ...LoginOption) error {
	var terms loginTerms
	for _, o := range opts {
		o(&terms)
	}
	return s.observer().change(ctx, "login", func(ctx context.Context) error {
		if user == "" || len(user) > maxKey {
			return &Error{
				Code: ErrInvalid, Phase: "resolve", Message: "this user name cannot be used",
				Err: fmt.Errorf("the user name has %d bytes, 1 to %d are allowed", len(user), maxKey),
			}
		}
		if terms.wrong {
			return &Error{Code: ErrInternal, Phase: "resolve", Err: fmt.Errorf("the login is For %v: at least 2 s are needed: is the unit missing, as in 24*time.Hour?", terms.lasts)}
		}
		if err := s.refusal(ctx); err != nil {
			return err
		}
		return s.setUser(ctx, user, terms)
	})
}

// Logout detaches the session from its user and gives it a new cookie, by the
// rules of [Session.Login]. The user's states stay in the store. All PerUser
// modules go on with the initial state, and so do WithKey and ResolveKey
// modules that have no key. Logging out a guest does nothing. If the session is
// one of [App.Sessions], the cookie stays, and becomes a guest's.
func (s *Session) Logout(ctx context.Context) error {
	return s.observer().change(ctx, "logout", func(ctx context.Context) error {
		if err := s.refusal(ctx); err != nil {
			return err
		}
		return s.setUser(ctx, "", loginTerms{})
	})
}

// Renew gives the session a new cookie and refuses the old one from then on.
// Call it whenever the rights of a session change. The state stays. It fails
// with ErrEnded when the session was ended or renewed meanwhile, with
// ErrInternal when the response's header was already written or the session is
// one of [App.Sessions], and with ErrNested inside a change of state.
func (s *Session) Renew(ctx context.Context) error {
	return s.observer().change(ctx, "renew", func(ctx context.Context) error {
		if err := s.refusal(ctx); err != nil {
			return err
		}
		return s.renew(ctx, false)
	})
}

// Confirm notes that the user has proved once more who they are. The program
// checks that, as before a Login; [Session.Confirmed] returns the time. The
// session gets a new cookie by the rules of [Session.Renew]. For a guest it is
// ErrDenied.
func (s *Session) Confirm(ctx context.Context) error {
	return s.observer().change(ctx, "confirm", func(ctx context.Context) error {
		if err := s.refusal(ctx); err != nil {
			return err
		}
		return s.renew(ctx, true)
	})
}

// Destroy ends the session: no request that begins afterwards reads or changes
// anything through it, its states are deleted, and the browser's cookie is
// cleared, if s is the session of its request and the response's header is not
// written yet. A request that is under way may finish on states that exist, but
// creates none. A state that cannot be deleted before ctx ends is out of reach
// anyway, and is removed from a store with Features.Expire later. Destroying a
// session twice does nothing. It fails with ErrNested inside a change of state,
// and with ErrEnded if the browser sends cookies of several sessions, or if s is
// from [App.Sessions] and belongs to that user no more.
func (s *Session) Destroy(ctx context.Context) error {
	return s.observer().change(ctx, "destroy", func(ctx context.Context) error {
		if err := s.refusal(ctx); err != nil {
			return err
		}
		return s.destroy(ctx)
	})
}

// observer returns the App's observer; nil for a nil session, whose changes are
// refused.
func (s *Session) observer() *observer {
	if s == nil {
		return nil
	}
	return s.app.observer
}

// refusal returns why the session cannot be changed now; nil if it can.
func (s *Session) refusal(ctx context.Context) error {
	if s == nil {
		return &Error{
			Code: ErrNoSession, Phase: "resolve",
			Err: errors.New("there is no session in the context: wrap the handler in web.Sessions and use the request's context"),
		}
	}
	if nested(ctx) {
		return nestedError("")
	}
	return nil
}
