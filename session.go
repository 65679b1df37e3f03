package stay

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"sync"
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
// may be called concurrently.
type Session struct {
	app     *App
	ring    bridge.Keyring
	carrier bridge.Carrier
	token   string // as the browser sent it

	mu      sync.Mutex
	opened  bool // the fields below are set
	drawn   bool // the id was drawn for this request
	carried bool // it was made sure that the browser has a fitting cookie
	changed bool // something may be stored for it
	gone    bool // destroyed before anybody could know it
	id      [16]byte
	key     string
	gen     uint32
	created time.Time
	idleEnd time.Time // of the browser's cookie
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

var idEncoding = base32.NewEncoding("0123456789abcdefghijklmnopqrstuv").WithPadding(base32.NoPadding)

// ID names the session: 32 characters made of a hash of the id in the cookie,
// safe to store and to log, and the key of the session's states. It stays the
// same when the session is renewed. It is "" if the keys that sign cookies
// cannot be read. When the request's cookie turns out, at the first use of
// state, to name a session that ended a while ago, a new session begins and
// the ID changes.
func (s *Session) ID() string {
	if s == nil {
		return ""
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.open(s.app.engine.Context()); err != nil {
		return ""
	}
	return s.key
}

// Renew gives the session a new cookie and refuses the old one from now on,
// as must be done whenever the rights of a session change. The state stays.
// It fails with ErrEnded when the session was ended or renewed meanwhile, with
// ErrInternal when the response's header was already written, and with
// ErrNested inside a change of state.
func (s *Session) Renew(ctx context.Context) error {
	if err := s.verb(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.open(ctx); err != nil {
		return err
	}
	if s.carrier != nil && !s.carrier.Open() {
		return headerSent()
	}
	if s.gone {
		return ended()
	}
	if s.drawn && !s.carried {
		return nil // nobody knows the id yet
	}
	s.changed = true
	rec, err := s.app.sessions.change(ctx, s.key, func(rec *sessionRecord, now time.Time) (*sessionRecord, error) {
		if rec == nil {
			rec = s.app.sessions.record(s.created, now)
			rec.Gen = s.gen
		}
		if rec.Ended != 0 || rec.Gen != s.gen {
			return nil, ended()
		}
		rec.Gen++
		rec.Renewed = now.UnixMilli()
		rec.Expires = max(rec.Expires, s.idleEnd.UnixMilli())
		s.app.sessions.slide(rec, now)
		return rec, nil
	})
	if err != nil {
		return err
	}
	s.gen = rec.Gen
	s.carried = true
	return s.issue(ctx, time.UnixMilli(rec.Expires))
}

// Destroy ends the session: no request that begins afterwards reads or changes
// anything through it, its states are deleted, and the browser's cookie is
// cleared. A request that is under way may finish on states that exist, but
// creates none. A state that cannot be deleted before ctx ends is out of reach
// all the same and goes a while later. Destroying a session twice does nothing.
// It fails with ErrNested inside a change of state.
func (s *Session) Destroy(ctx context.Context) error {
	if err := s.verb(ctx); err != nil {
		return err
	}
	key, err := s.end(ctx)
	if key != "" {
		s.app.sessions.deleteStates(ctx, key)
	}
	return err
}

// end makes the session one that has ended. It returns the key of the states
// that are left to be deleted, "" if there can be none.
func (s *Session) end(ctx context.Context) (key string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.open(ctx); err != nil {
		return "", err
	}
	if s.unknown() && (s.carrier == nil || s.carrier.Open()) || s.gone {
		s.gone = true
		if s.carried && s.carrier != nil {
			s.carrier.Issue("", time.Time{}) // in place of the one that was not sent yet
		}
		return "", nil
	}
	s.changed = true
	already := false
	_, err = s.app.sessions.change(ctx, s.key, func(rec *sessionRecord, now time.Time) (*sessionRecord, error) {
		if rec == nil {
			rec = s.app.sessions.record(s.created, now)
			rec.Gen = s.gen
		}
		if already = rec.Ended != 0; already {
			return rec, nil
		}
		if rec.Gen != s.gen {
			return nil, ended()
		}
		// The tombstone stays until no cookie of the session can be valid,
		// those included that are issued at this moment.
		rec.Ended = now.UnixMilli()
		rec.Expires = max(rec.Expires, s.idleEnd.UnixMilli(), now.Add(s.app.opts.IdleTimeout+quietFor).UnixMilli())
		return rec, nil
	})
	if err != nil {
		return "", err
	}
	s.carried = true
	// Where it had ended before, the browser may have another session by now.
	if s.carrier != nil && !already {
		s.carrier.Issue("", time.Time{})
	}
	return s.key, nil
}

// verb checks what all changes of a session have in common.
func (s *Session) verb(ctx context.Context) error {
	if s == nil {
		return &Error{Code: ErrNoSession, Phase: "resolve"}
	}
	if nested(ctx) {
		return nestedError("")
	}
	return nil
}

func ended() error {
	return &Error{Code: ErrEnded, Phase: "resolve", Message: "the session has ended"}
}

func headerSent() error {
	return &Error{Code: ErrInternal, Phase: "resolve", Err: errHeaderSent}
}

// resolve names the instance of a module's state for this session. A change
// also needs r, which watches over the resolution.
func (s *Session) resolve(ctx context.Context, m *module, r *resolution) (engine.Ref, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.app.opts.Clock()
	v, err := s.current(ctx, now)
	if err != nil {
		return engine.Ref{}, err
	}
	ref := engine.Ref{
		Now:  now,
		Kind: m.kind, Key: s.key, New: s.unknown(),
		Expires: s.created.Add(s.app.opts.Lifetime),
	}
	if r != nil {
		s.changed = true
		*r = resolution{sessions: &s.app.sessions, key: s.key, gen: s.gen, created: s.created, version: v}
		ref.Guard = r
	}
	return ref, nil
}

// current returns the session's record as it stands, or ErrEnded. At the
// first use it sees to the cookie.
func (s *Session) current(ctx context.Context, now time.Time) (*engine.Version, error) {
	if err := s.open(ctx); err != nil {
		return nil, err
	}
	if s.carrier != nil {
		s.carrier.Used()
	}
	if s.gone {
		return nil, ended()
	}
	v, err := s.app.sessions.get(ctx, s.key, s.unknown(), now)
	if err != nil {
		return nil, err
	}
	if ok, since := s.matches(v.Value.(*sessionRecord)); !ok {
		if s.carried || now.Sub(since) < quietFor {
			return nil, ended()
		}
		s.draw()
		if v, err = s.app.sessions.get(ctx, s.key, true, now); err != nil {
			return nil, err
		}
	}
	if s.carried {
		return v, nil
	}
	return s.carry(ctx, v, now)
}

// matches reports whether the cookie is the one that the record asks for; if
// not, since when.
func (s *Session) matches(rec *sessionRecord) (ok bool, since time.Time) {
	switch {
	case rec == nil:
		return s.gen == 0, time.Time{}
	case rec.Ended != 0:
		return false, time.UnixMilli(rec.Ended)
	case s.gen < rec.Gen:
		return false, time.UnixMilli(rec.Renewed)
	}
	return s.gen == rec.Gen, time.Time{}
}

// carry sees to it that the browser has a cookie that lasts: a new session
// needs one, and an old one slides once in a tenth of the idle time, together
// with the session's record.
func (s *Session) carry(ctx context.Context, v *engine.Version, now time.Time) (*engine.Version, error) {
	open := s.carrier == nil || s.carrier.Open()
	idle := s.app.opts.IdleTimeout
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
			if v, err = s.app.sessions.get(ctx, s.key, false, now); err != nil {
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

// open reads the cookie, or draws an id if there is none that is valid.
func (s *Session) open(ctx context.Context) error {
	if s.opened {
		return nil
	}
	if s.token != "" {
		payload, ok, err := s.ring.Verify(ctx, s.token)
		if err != nil {
			return err
		}
		if ok && s.read(payload) {
			s.opened = true
			return nil
		}
	}
	s.draw()
	s.opened = true
	return nil
}

func (s *Session) draw() {
	rand.Read(s.id[:])
	s.drawn, s.changed = true, false
	s.gen = 0
	s.created = s.app.opts.Clock().Truncate(time.Second)
	s.idleEnd = time.Time{}
	s.setKey()
}

// unknown reports whether nothing can be stored for the session.
func (s *Session) unknown() bool { return s.drawn && !s.changed }

func (s *Session) setKey() {
	sum := sha256.Sum256(s.id[:])
	s.key = idEncoding.EncodeToString(sum[:20])
}

// The payload of a token: a format byte, the id, the generation, and in Unix
// seconds when the session began and when the token's idle time ends.
const (
	tokenFormat = 1
	tokenSize   = 1 + 16 + 4 + 8 + 8
)

// read takes over what a signed token says, unless it is over.
func (s *Session) read(payload []byte) bool {
	if len(payload) != tokenSize || payload[0] != tokenFormat {
		return false
	}
	copy(s.id[:], payload[1:])
	s.gen = binary.BigEndian.Uint32(payload[17:])
	s.created = time.Unix(int64(binary.BigEndian.Uint64(payload[21:])), 0)
	s.idleEnd = time.Unix(int64(binary.BigEndian.Uint64(payload[29:])), 0)
	now := s.app.opts.Clock()
	if !s.idleEnd.After(now) || !s.created.Add(s.app.opts.Lifetime).After(now) {
		return false
	}
	s.setKey()
	return true
}

// issue has the response carry a token that is good until the time given.
func (s *Session) issue(ctx context.Context, until time.Time) error {
	until = until.Truncate(time.Second)
	if s.carrier != nil {
		b := make([]byte, 0, tokenSize)
		b = append(b, tokenFormat)
		b = append(b, s.id[:]...)
		b = binary.BigEndian.AppendUint32(b, s.gen)
		b = binary.BigEndian.AppendUint64(b, uint64(s.created.Unix()))
		b = binary.BigEndian.AppendUint64(b, uint64(until.Unix()))
		token, err := s.ring.Sign(ctx, b)
		if err != nil {
			return err
		}
		if !s.carrier.Issue(token, until) {
			return headerSent()
		}
	}
	s.idleEnd = until
	return nil
}
