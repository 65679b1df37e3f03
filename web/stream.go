package web

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/access"
	"github.com/stay-go/stay/internal/sse"
	"github.com/stay-go/stay/internal/streaming"
)

// A stream keeps the parts of one page up to date. It has the goroutine of its
// request and no other, and no queue: it is woken, looks at the states, and sends
// what is different from what its page has.
type stream struct {
	live     *live
	settings *settings
	w        http.ResponseWriter
	conn     *http.ResponseController
	r        *http.Request
	dialect  sse.Dialect
	follower access.Follower
	told     *streaming.Stream // what others are told of it; nil: nothing
	parts    []followedPart
	have     sse.ID // what the page has
	keys     string // of the parts that have one
	asks     bool   // a part is of PartOf
	attends  bool   // they were allowed to a session, and the stream ends with it
	opened   bool   // the header has been sent
	retry    bool   // a part could not be read or rendered: try again at the next heartbeat
	kept     bool   // more may be followed than the parts show

	down    context.Context // ends when the server shuts down
	seat    *seat
	browser string // by which its streams are counted; "" = they are not

	timer *time.Timer    // pokes
	armed time.Time      // when it does, at the latest
	pokes [3]func() bool // ends that of the request, the server and the App
	until time.Time      // the deadline of writes; zero = none
	beat  time.Time      // when the next heartbeat is due
	end   time.Time      // when the stream is old
	wrote time.Time      // when the last write began
	sent  time.Time      // the same, of something that had changed
}

// A followedPart is the state that a stream follows for a part.
type followedPart struct {
	core   access.State
	looks  *looks // in place of core, of PartOf
	seen   access.Version
	failed bool // it could not be read, which is in the log

	broken access.Version // that could not be rendered for this stream alone
	again  time.Time      // when that is tried again
}

// private reports whether the part shows a state of a session.
func (p *followedPart) private() bool {
	if p.looks != nil {
		return p.looks.private()
	}
	return !p.core.Shared()
}

// ServeHTTP implements http.Handler. It is small, and so are the functions that
// wait: their frames are all that the stack of an idle stream needs.
func (l *live) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s := l.begin(w, r)
	if s == nil {
		return
	}
	defer s.close()
	for s.send() && s.wait() {
	}
}

// begin returns a stream, or answers r and returns nil.
func (l *live) begin(w http.ResponseWriter, r *http.Request) *stream {
	w = through(w, r)
	cfg := settingsOf(r, l.outside)
	s := &stream{
		live: l, settings: cfg, w: w, conn: http.NewResponseController(w), r: r,
		dialect: sse.DialectOf(r.Header), parts: make([]followedPart, len(l.parts)), have: make(sse.ID, len(l.parts)),
	}
	switch id := r.Header.Get("Last-Event-ID"); {
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		refuseMethod(cfg, w, r, "GET, HEAD")
		return nil
	case id == sse.Stop:
		w.WriteHeader(s.dialect.StopStatus())
		return nil
	default:
		s.have.Parse(id)
	}
	if err := s.locate(); err != nil {
		fail(cfg, w, r, 0, err)
		return nil
	}
	if r.Method == http.MethodHead {
		s.sendHeader()
		return nil
	}
	if s.down = cfg.streams.servers.Down(r); s.closing() {
		s.soon() // before it asks a store, which may take long
		return nil
	}
	if !cfg.streams.enter(cfg.live.Max) {
		s.later(10*time.Second, 30*time.Second)
		return nil
	}
	s.told = streaming.New()
	s.follower = l.app.Follow(r.Context(), s.told)
	s.seat = newSeat(s.follower.Poke)
	if !s.alone() {
		s.close()
		s.stop()
		return nil
	}
	return s
}

// closing reports whether the server shuts down, or the App is closed.
func (s *stream) closing() bool { return s.down.Err() != nil || s.live.app.Ending().Err() != nil }

// locate finds out whose states the stream is about, and whether the client may
// ask.
func (s *stream) locate() error {
	if err := s.settings.checkStream(s.r); err != nil {
		return err
	}
	s.keys = ""
	for i := range s.parts {
		p := &s.live.parts[i]
		s.parts[i].core = p.core
		if p.looks {
			s.parts[i].looks = s.newLooks()
			s.asks = true
			continue
		}
		if p.key == nil {
			continue
		}
		key, err := p.key(s.r)
		if err != nil {
			return err
		}
		s.parts[i].core = p.core.At(key)
		s.keys = fmt.Sprintf("%s%d:%s", s.keys, len(key), key) // no two lists give one text
	}
	if s.asks { // its address may name them
		at := *s.r.URL
		if s.r.Header.Get("Datastar-Request") != "" {
			query := at.Query()
			query.Del("datastar") // the signals
			at.RawQuery = query.Encode()
		}
		uri := at.RequestURI()
		s.keys = fmt.Sprintf("%s%d:%s", s.keys, len(uri), uri)
	}
	if x := exchangeOf(s.r.Context()); x != nil && s.keys != "" {
		s.attends = s.asks || x.hasUsed()
	}
	return nil
}

// begun does what has to be done when the first look has succeeded: until then it
// is not known whose stream this is.
func (s *stream) begun() {
	now := time.Now()
	s.end = now.Add(about(s.settings.live.MaxAge))
	if until := s.follower.Until(); !until.IsZero() {
		// The request with which the client comes back keeps the session alive, if
		// it comes in time.
		if left := until.Sub(s.live.app.Now()); left > 10*time.Second {
			s.end = earlier(s.end, now.Add(left/10*9))
		}
	}
	poke := s.seat.poke
	s.armed = s.end
	s.timer = time.AfterFunc(s.end.Sub(now), poke)
	for i, ctx := range [...]context.Context{s.r.Context(), s.down, s.live.app.Ending()} {
		s.pokes[i] = context.AfterFunc(ctx, poke)
	}
	// One that attends its session may see a state of it later.
	if s.attends || slices.ContainsFunc(s.parts, func(p followedPart) bool { return p.private() }) {
		if session := stay.SessionFrom(s.r.Context()); session != nil {
			s.browser = s.live.app.NameOf(session)
		}
	}
	if s.browser != "" {
		s.settings.streams.join(s.seat, s.browser, s.settings.perBrowser(s.r))
		s.claim(s.browser)
	}
}

// perBrowser is how many streams the browser that sent r may have. With HTTP/2 they
// share one connection.
func (s *settings) perBrowser(r *http.Request) int {
	if r.ProtoMajor >= 2 || r.TLS == nil && s.https(r) {
		return max(s.live.PerBrowser, 32)
	}
	return s.live.PerBrowser
}

func (s *stream) close() {
	s.follower.Close()
	s.settings.streams.leave()
	s.settings.streams.part(s.seat, s.browser)
	if s.timer == nil {
		return
	}
	s.timer.Stop()
	for _, stop := range s.pokes {
		stop()
	}
	if !s.until.IsZero() {
		_ = s.conn.SetWriteDeadline(time.Time{}) // the next response has none of it
	}
}

// wait waits until there may be something to send. It reports false when the
// stream is over. Whatever it waits for pokes it, so it finds out what that was: to
// wait for each by itself costs as much as a look.
func (s *stream) wait() bool {
	for {
		switch told := s.seat.told.Load(); {
		case told == goodBye:
			return s.stop()
		case told == seeYou:
			return s.later(4*time.Second, 6*time.Second)
		case s.closing():
			return s.soon()
		case s.r.Context().Err() != nil:
			return false
		}
		now, next := time.Now(), earlier(s.beat, s.end)
		due, changed := s.sent.Add(s.settings.live.Every), s.follower.Changed()
		if changed {
			next = earlier(next, due)
		}
		switch {
		case !s.end.After(now):
			return s.soon()
		case changed && !due.After(now):
			s.follower.Take()
			return true
		case !s.beat.After(now):
			if s.retry {
				return true
			}
			if !s.write(heartbeat) {
				return false
			}
			continue
		}
		s.arm(now, next)
		<-s.follower.Wake()
	}
}

// arm has the timer poke at a time, or earlier: then it is armed once more.
func (s *stream) arm(now, at time.Time) {
	if !s.armed.After(now) || s.armed.After(at) {
		s.armed = at
		s.timer.Reset(at.Sub(now))
	}
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
