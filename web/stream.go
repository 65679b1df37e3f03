package web

import (
	"errors"
	"fmt"
	"log/slog"
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

	down    <-chan struct{} // closed when the server shuts down
	seat    *seat
	browser string // by which its streams are counted; "" = they are not

	timer *time.Timer
	beat  time.Time // when the next heartbeat is due
	end   time.Time // when the stream is old
	due   time.Time // when the next look is due; zero = after the next wake
	sent  time.Time // when something was sent that had changed
}

// A followedPart is the state that a stream follows for a part.
type followedPart struct {
	core   access.State
	looks  *looks // in place of core, of PartOf
	seen   any    // its version; nil = none yet
	failed bool   // it could not be read, which is in the log

	broken any       // its version that could not be rendered for this stream alone
	again  time.Time // when that is tried again
}

// private reports whether the part shows a state of a session.
func (p *followedPart) private() bool {
	if p.looks != nil {
		return p.looks.private()
	}
	return !p.core.Shared()
}

// writeTimeout is how long a client may take nothing.
const writeTimeout = 30 * time.Second

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
	s.seat = newSeat()
	if !s.alone() {
		cfg.streams.part(s.seat, "")
		cfg.streams.leave()
		s.stop()
		return nil
	}
	s.told = streaming.New()
	s.follower = l.app.Follow(r.Context(), s.told)
	return s
}

// closing reports whether the server shuts down, or the App is closed.
func (s *stream) closing() bool {
	select {
	case <-s.down:
		return true
	case <-s.live.app.Ending():
		return true
	default:
		return false
	}
}

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
	s.timer = time.NewTimer(time.Hour)
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
	if s.timer != nil {
		s.timer.Stop()
	}
}

// wait waits until there may be something to send. It reports false when the
// stream is over.
func (s *stream) wait() bool {
	for {
		wake, next := s.follower.Wake(), earlier(s.beat, s.end)
		if !s.due.IsZero() {
			wake, next = nil, earlier(next, s.due)
		}
		s.timer.Reset(time.Until(next))
		select {
		case <-wake:
			s.due = s.sent.Add(s.settings.live.Every)
		case <-s.timer.C:
		case <-s.seat.told:
			if s.seat.good {
				return s.stop()
			}
			return s.later(4*time.Second, 6*time.Second)
		case <-s.down:
			return s.soon()
		case <-s.live.app.Ending():
			return s.soon()
		case <-s.r.Context().Done():
			return false
		}
		switch now := time.Now(); {
		case !s.end.After(now):
			return s.soon()
		case !s.due.IsZero() && !s.due.After(now):
			s.due = time.Time{}
			s.drain()
			return true
		case !s.beat.After(now):
			if s.retry {
				return true
			}
			if !s.write(heartbeat) {
				return false
			}
		}
	}
}

var heartbeat = []byte(sse.Heartbeat)

// drain takes the wake that has come since the last one: the look that follows
// sees it too.
func (s *stream) drain() {
	select {
	case <-s.follower.Wake():
	default:
	}
}

// send brings the page up to date. It reports false when the stream is over.
func (s *stream) send() bool {
	var news [maxParts]*rendering
	verdict, err := s.look(&news)
	switch verdict {
	case over:
		if !s.opened {
			fail(s.settings, s.w, s.r, 0, err)
		}
		return false
	case closed:
		return s.soon()
	case ended:
		return s.later(300*time.Millisecond, 600*time.Millisecond)
	}
	var frames [maxParts + 3][]byte
	n := 0
	add := func(b []byte) { frames[n] = b; n++ }
	if !s.opened {
		add(s.dialect.AppendRetry(nil, s.settings.streams.soon()))
	}
	changed, known := false, false
	for i, r := range news {
		if r != nil {
			changed, known = true, known || s.have[i] != 0
			s.have[i] = 0
		}
	}
	switch {
	case changed:
		ids := make([]byte, 0, 2*s.have.Size())
		if known { // until the burst is through, nobody knows what the page has
			ids = s.have.Append(ids)
			add(ids)
		}
		for i, r := range news {
			if r != nil {
				s.have[i] = r.print
				add(r.frame)
			}
		}
		add(s.have.Append(ids)[len(ids):])
	case !s.opened:
	case !s.beat.After(time.Now()):
		add(heartbeat)
	default:
		return true
	}
	if !s.write(frames[:n]...) {
		return false
	}
	if changed {
		s.sent = time.Now()
	}
	if verdict == gone {
		if changed && s.dialect.Breaks() {
			s.linger()
		}
		return s.later(5*time.Second, 10*time.Second)
	}
	return true
}

// linger leaves a client the time to take what was sent: a browser throws away what
// its page has not read when the connection breaks.
func (s *stream) linger() {
	t := time.NewTimer(time.Second)
	defer t.Stop()
	select {
	case <-t.C:
	case <-s.r.Context().Done():
	case <-s.down:
	case <-s.live.app.Ending():
	}
}

// soon ends the stream, and has the client come back soon.
func (s *stream) soon() bool {
	after := s.settings.streams.soon()
	return s.later(after, after+1)
}

// later ends the stream, and has the client come back after a time between the
// two. It returns false.
func (s *stream) later(least, most time.Duration) bool {
	s.write(s.dialect.AppendRetry(nil, between(least, most)))
	if s.dialect.Breaks() {
		panic(http.ErrAbortHandler) // Datastar takes a clean end for good
	}
	return false
}

// sendHeader sends the header.
func (s *stream) sendHeader() {
	h := s.w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "private, no-store, no-transform")
	h.Set("X-Accel-Buffering", "no") // for nginx
	h.Set("X-Content-Type-Options", "nosniff")
	h.Del("Content-Length")
	s.w.WriteHeader(http.StatusOK)
	s.opened = true
}

// write sends the frames at once, after the header if it was not sent. It reports
// false when the client is gone.
func (s *stream) write(frames ...[]byte) bool {
	s.told.Writing()
	defer s.told.Written()
	_ = s.conn.SetWriteDeadline(time.Now().Add(writeTimeout)) // in place of the server's
	if !s.opened {
		s.sendHeader()
	}
	for _, b := range frames {
		if _, err := s.w.Write(b); err != nil {
			return false
		}
	}
	if err := s.conn.Flush(); err != nil {
		if errors.Is(err, http.ErrNotSupported) {
			s.settings.logger().LogAttrs(s.r.Context(), slog.LevelError, "stay: an event stream cannot be sent, because a middleware holds the response back: "+
				"its ResponseWriter needs a method Flush or Unwrap, and http.TimeoutHandler cannot stand before a stream", slog.String("route", s.r.Pattern))
			_, _ = s.w.Write(s.dialect.AppendRetry(nil, 30*time.Second))
		}
		return false
	}
	_ = s.conn.SetWriteDeadline(time.Time{}) // on HTTP/2 it would end the stream although nothing is written
	s.beat = time.Now().Add(about(s.settings.live.Heartbeat))
	return true
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
