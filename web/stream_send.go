package web

import (
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/stay-go/stay/internal/sse"
)

const (
	// writeTimeout is how long a client may take nothing.
	writeTimeout = 30 * time.Second
	// leastTimeout is what must be left of it when a write begins: to set a deadline
	// for each of many messages costs as much as to find out what has changed.
	leastTimeout = 25 * time.Second
)

var heartbeat = []byte(sse.Heartbeat)

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
	var m message
	m.pieces = m.few[:0]
	buffer := s.settings.buffer()
	m.small = (*buffer)[:0]
	defer func() { s.settings.giveBack(buffer, m.small) }()
	if !s.opened {
		m.small = s.dialect.AppendRetry(m.small, s.settings.streams.soon())
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
		if known { // until the burst is through, nobody knows what the page has
			m.small = s.have.Append(m.small)
		}
		for i, r := range news {
			if r != nil {
				s.have[i] = r.print
				m.add(r.frame)
			}
		}
		m.small = s.have.Append(m.small)
	case !s.opened:
	case !s.beat.After(time.Now()):
		m.add(heartbeat)
	default:
		return true
	}
	m.cut()
	if !s.write(m.pieces...) {
		return false
	}
	if changed {
		s.sent = s.wrote
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
	case <-s.down.Done():
	case <-s.live.app.Ending().Done():
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
	now := time.Now()
	s.told.Writing(now)
	defer s.told.Written()
	if s.until.Sub(now) < leastTimeout {
		s.until = now.Add(writeTimeout)
		_ = s.conn.SetWriteDeadline(s.until) // in place of the server's
	}
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
	if s.timer == nil || s.r.ProtoMajor != 1 { // on HTTP/2 it would end the stream although nothing is written
		s.until = time.Time{}
		_ = s.conn.SetWriteDeadline(s.until)
	}
	s.wrote = now
	s.beat = now.Add(about(s.settings.live.Heartbeat))
	return true
}

// A message is what a stream sends at once: small pieces together, since each
// write takes its way through all ResponseWriters, and large ones as they are,
// since they are shared.
type message struct {
	small  []byte
	cutAt  int // what comes before is among the pieces
	pieces [][]byte
	few    [1][]byte // that nearly all have
}

const maxSmall = 4 << 10

func (m *message) add(piece []byte) {
	if len(piece) <= maxSmall {
		m.small = append(m.small, piece...)
		return
	}
	m.cut()
	m.pieces = append(m.pieces, piece)
}

// cut ends a piece of small ones.
func (m *message) cut() {
	if len(m.small) > m.cutAt {
		m.pieces = append(m.pieces, m.small[m.cutAt:])
		m.cutAt = len(m.small)
	}
}
