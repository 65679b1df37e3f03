package inspect

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/access"
	"github.com/stay-go/stay/internal/origin"
	"github.com/stay-go/stay/internal/sse"
)

// The bounds of streams.
const (
	mostStreams  = 32
	maxAge       = 10 * time.Minute
	heartbeat    = 15 * time.Second
	writeTimeout = 10 * time.Second
	// leastPause is how long a stream waits between two looks, however often the
	// state changes that it is about.
	leastPause = 200 * time.Millisecond
)

// A stream keeps one page up to date: it makes the page again at its pace, and when
// the state that it shows may have changed, and sends the parts that are different.
// So it shows what the page shows. It has the goroutine of its request and no other.
// Before each look it asks whether the visitor may still see the page.
type stream struct {
	h    *handler
	w    http.ResponseWriter
	conn *http.ResponseController
	r    *http.Request
	kind pageKind
	name string

	session access.Follower // wakes when the session of the request may be over
	attends bool            // somebody has asked for that session
	wake    <-chan struct{} // of the state; nil: the page is about more than one
	down    <-chan struct{} // closed when the server shuts down

	end, beat, looked time.Time
	sent              map[string]sse.Print
	trouble           string
	opened            bool
}

// stream answers a request for the stream of a page.
func (h *handler) stream(w http.ResponseWriter, r *http.Request, name string) {
	kind := pages[name]
	if kind.pace == 0 || r.URL.Query().Get("q") != "" { // a search is an answer, and looks at many keys
		http.NotFound(w, r)
		return
	}
	if err := origin.CheckAny(h.origins, r); err != nil { // it could take all places
		http.Error(w, "403 this request came from another site", http.StatusForbidden)
		return
	}
	s := &stream{h: h, w: w, conn: http.NewResponseController(w), r: r, kind: kind, name: name, sent: map[string]sse.Print{}}
	select {
	case h.places <- struct{}{}:
		defer func() { <-h.places }()
	default:
		s.later(10*time.Second, 20*time.Second)
		return
	}
	s.down = h.servers.Down(r).Done()
	s.attends = h.door.Asked(r.Context())
	s.session = h.door.Follow(r.Context(), nil)
	defer s.session.Close()
	if place, ok := h.refs.openState(r.URL.Query().Get("at")); ok && name == "state" {
		if wake, stop, err := h.core.Wake(place); err == nil {
			s.wake = wake
			defer stop()
		}
	}
	for s.look() && s.wait() {
	}
}

// look sends what is different. It reports false when the stream is over.
func (s *stream) look() bool {
	s.looked = time.Now()
	s.session.Take()
	switch err := s.may(); {
	case errors.Is(err, errOver):
		return s.later(300*time.Millisecond, 600*time.Millisecond)
	case err != nil: // nobody knows whether the page may have what is new
		return s.send(nil, problem(err))
	}
	ctx, cancel := context.WithTimeout(s.r.Context(), timeout)
	defer cancel()
	seen := s.h.look(ctx, s.r, s.name, s.kind)
	gone := seen.status >= 400 && seen.status < 500
	switch {
	case s.r.Context().Err() != nil:
		return false
	case gone && !s.opened:
		http.NotFound(s.w, s.r)
		return false
	case gone: // the page has no such part, and so it is loaded again
		s.send(seen.parts, "")
		return s.later(time.Second, 2*time.Second)
	case seen.trouble != "":
		return s.send(nil, seen.trouble)
	}
	return s.send(seen.parts, "")
}

var errOver = errors.New("inspect: the visitor may not see the page any more")

// may returns errOver if the visitor must not see more, and another error if that
// cannot be found out now.
func (s *stream) may() error {
	if s.attends {
		switch err := s.session.Attend(); {
		case errors.Is(err, stay.ErrEnded) && s.end.IsZero(): // allow has seen that, and is asked again
			s.attends = false
		case errors.Is(err, stay.ErrEnded), stay.CodeOf(err) == stay.ErrClosed:
			return errOver
		case err != nil && s.r.Context().Err() == nil:
			s.begin()
			return err
		}
	}
	s.begin()
	if s.h.allow(s.r) {
		return nil
	}
	if s.attends { // for allow, a session that cannot be read has no user
		switch _, err := s.h.door.User(s.r.Context()); stay.CodeOf(err) {
		case stay.ErrUnavailable, stay.ErrBusy:
			return err
		}
	}
	return errOver
}

// begin decides how long the stream lasts, once: also not longer than its session
// would without another request, such as that with which the client comes back.
func (s *stream) begin() {
	if !s.end.IsZero() {
		return
	}
	s.end = time.Now().Add(maxAge - rand.N(maxAge/8))
	if until := s.session.Until(); !until.IsZero() {
		left := until.Sub(s.h.now()) / 10 * 9
		if at := time.Now().Add(max(left, 10*time.Second)); at.Before(s.end) {
			s.end = at
		}
	}
}

// wait waits until there may be something to send. It reports false when the stream
// is over.
func (s *stream) wait() bool {
	wake, next := s.wake, s.looked.Add(s.kind.pace)
	for {
		timer := time.NewTimer(time.Until(next))
		select {
		case <-wake:
			wake, next = nil, s.looked.Add(leastPause)
			timer.Stop()
			continue
		case <-s.session.Wake():
		case <-timer.C:
		case <-s.down:
			s.end = time.Time{}
		case <-s.h.door.Ending().Done():
			s.end = time.Time{}
		case <-s.r.Context().Done():
			s.end = time.Time{}
		}
		timer.Stop()
		if !s.end.After(time.Now()) {
			return s.later(100*time.Millisecond, 1100*time.Millisecond)
		}
		return true
	}
}

// send sends the parts that are not what was sent last, and what is wrong, if
// anything. It reports false when the client is gone.
func (s *stream) send(parts []rendered, trouble string) bool {
	var b []byte
	if !s.opened {
		b = sse.Plain.AppendRetry(b, time.Second)
	}
	for _, p := range parts {
		if s.sent[p.id] != p.print {
			s.sent[p.id] = p.print
			b = sse.AppendEvent(b, "part", append([]byte(p.id+"\n"), p.html...))
		}
	}
	if !s.opened || trouble != s.trouble {
		s.trouble = trouble
		b = sse.AppendEvent(b, "live", []byte(trouble))
	}
	if b == nil {
		if time.Since(s.beat) < heartbeat {
			return true
		}
		b = []byte(sse.Heartbeat)
	}
	return s.write(b)
}

// later ends the stream, and has the client come back after a time between the two.
// It returns false.
func (s *stream) later(least, most time.Duration) bool {
	s.write(sse.Plain.AppendRetry(nil, least+rand.N(most-least)))
	return false
}

func (s *stream) write(b []byte) bool {
	_ = s.conn.SetWriteDeadline(time.Now().Add(writeTimeout)) // in place of the server's
	if !s.opened {
		head := s.w.Header()
		head.Set("Content-Type", "text/event-stream")
		head.Set("Cache-Control", "private, no-store, no-transform")
		head.Set("X-Accel-Buffering", "no") // for nginx
		s.w.WriteHeader(http.StatusOK)
		s.opened = true
	}
	if _, err := s.w.Write(b); err != nil {
		return false
	}
	if err := s.conn.Flush(); err != nil {
		if errors.Is(err, http.ErrNotSupported) {
			if ok, _ := s.h.refusals.Take(time.Now()); ok {
				s.h.log.LogAttrs(s.r.Context(), slog.LevelWarn, "stay: pages of the inspector are not live, because a middleware holds the response back: "+
					"its ResponseWriter needs a method Flush or Unwrap")
			}
			_, _ = s.w.Write(sse.Plain.AppendRetry(nil, 30*time.Second))
		}
		return false
	}
	_ = s.conn.SetWriteDeadline(time.Time{}) // on HTTP/2 it would end the stream although nothing is written
	s.beat = time.Now()
	return true
}

// A rendered part is what one section of a page has.
type rendered struct {
	id    string
	html  []byte
	print sse.Print
}

// A sight is a page as a stream sends it.
type sight struct {
	parts   []rendered
	status  int    // 0 = 200
	trouble string // why there are no parts
	when    time.Time
}

// look makes a page. Those that are the same for all visitors are made once for
// all streams that look at about the same time.
func (h *handler) look(ctx context.Context, r *http.Request, name string, kind pageKind) sight {
	if !kind.shared {
		return see(kind.show(h, r.WithContext(ctx)))
	}
	select {
	case h.sharing <- struct{}{}:
		defer func() { <-h.sharing }()
	case <-ctx.Done():
		return sight{trouble: problem(ctx.Err())}
	}
	if s, ok := h.shared[name]; ok && time.Since(s.when) < kind.pace/2 {
		return s
	}
	s := see(kind.show(h, r.WithContext(ctx)))
	if r.Context().Err() == nil { // else it says that its visitor has left
		s.when = time.Now()
		h.shared[name] = s
	}
	return s
}

func see(p *page) sight {
	s := sight{status: p.status, trouble: p.trouble}
	for _, one := range p.Parts {
		var b bytes.Buffer
		if err := one.render(&b); err != nil { // a mistake in a template
			return sight{trouble: "The page cannot be rendered."}
		}
		s.parts = append(s.parts, rendered{one.ID, b.Bytes(), sse.PrintOf(one.ID, b.Bytes())})
	}
	return s
}
