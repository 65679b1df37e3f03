package web

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/textproto"
	"strings"
	"sync"

	"github.com/stay-go/stay"
)

// A recorder is the ResponseWriter of buffered handlers. It can neither hijack
// nor set deadlines: http.ResponseController answers http.ErrNotSupported. It is
// used by one goroutine at a time.
//
// The status and the body are held back. The header is the header of the
// response itself, which is not sent meanwhile. If the recorder is not sent,
// the header is restored to what it was when the handler first asked for it.
type recorder struct {
	to       http.ResponseWriter
	limit    int
	implicit int         // the status of a handler that does not set one
	status   int         // 0 = not written yet
	before   http.Header // what header had when it was first asked for; nil = nothing
	asked    bool        // for the header
	done     bool        // sent or dropped: later writes go nowhere
	body     []byte
	over     bool // more was written than limit

	buffers *sync.Pool // where buffer goes when it is sent
	buffer  *[]byte    // what body began in
}

// keepBuffer is the largest buffer, in bytes, that is kept for the next
// response.
const keepBuffer = 64 << 10

// buffer returns one that is not used.
func (s *settings) buffer() *[]byte {
	if b, _ := s.buffers.Get().(*[]byte); b != nil {
		return b
	}
	return new([]byte)
}

// giveBack takes a buffer back, as which used has grown.
func (s *settings) giveBack(b *[]byte, used []byte) {
	if cap(used) <= keepBuffer {
		*b = used[:0]
		s.buffers.Put(b)
	}
}

func newRecorder(to http.ResponseWriter, s *settings) recorder {
	return recorder{to: to, limit: s.maxResponse, implicit: http.StatusOK, buffers: &s.buffers}
}

// Format implements fmt.Formatter: what was written stays out of logs.
func (c *recorder) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "buffered response") }

// again returns a recorder for another run, to replace this one.
func (c *recorder) again() *recorder {
	fresh := &recorder{to: c.to, limit: c.limit, implicit: c.implicit, buffers: c.buffers}
	c.drop()
	return fresh
}

// drop forgets what was recorded and returns the buffer to the pool. If a
// handler goes on writing, which it must not, it writes into its own buffer,
// and sets headers that belong to nothing, except for a header map that it
// already holds. After send, drop only returns the buffer.
func (c *recorder) drop() {
	c.restore()
	c.done = true
	b, body := c.buffer, c.body
	if b == nil {
		return
	}
	c.buffer, c.body = nil, nil
	if cap(body) <= keepBuffer {
		*b = body[:0]
		c.buffers.Put(b)
	}
}

// restore undoes the changes to the header.
func (c *recorder) restore() {
	if !c.asked {
		return
	}
	h := c.to.Header()
	clear(h)
	maps.Copy(h, c.before)
	c.before, c.asked = nil, false
}

// begin makes sure that there is a buffer.
func (c *recorder) begin() {
	if c.body != nil {
		return
	}
	b, _ := c.buffers.Get().(*[]byte)
	if b == nil {
		b = new([]byte)
		*b = make([]byte, 0, 512)
	}
	c.buffer, c.body = b, *b
}

// Header implements http.ResponseWriter. It includes what other handlers have
// set before, so those headers may be added to, read and removed.
func (c *recorder) Header() http.Header {
	if c.done {
		return make(http.Header)
	}
	h := c.to.Header()
	if !c.asked {
		c.asked = true
		if len(h) > 0 {
			c.before = h.Clone()
		}
	}
	return h
}

// WriteHeader implements http.ResponseWriter. The first status counts;
// informational ones are dropped. It panics on a status that net/http would
// panic on, because it is too late to undo anything when the response is sent.
func (c *recorder) WriteHeader(status int) {
	if status < 100 || status > 999 {
		panic(fmt.Sprintf("web: invalid WriteHeader code %d", status))
	}
	if c.status == 0 && status >= 200 {
		c.status = status
	}
}

// Flush implements http.Flusher. It sends nothing: like every part of the
// answer, what was written waits for the end. Libraries for event streams
// flush, and fail if they cannot; a few events in one answer need no stream.
func (c *recorder) Flush() {
	if c.status == 0 {
		c.status = c.implicit
	}
}

// Write implements http.ResponseWriter.
func (c *recorder) Write(b []byte) (int, error) {
	if err := c.admit(len(b)); err != nil {
		return 0, err
	}
	c.body = append(c.body, b...)
	return len(b), nil
}

// WriteString implements io.StringWriter.
func (c *recorder) WriteString(s string) (int, error) {
	if err := c.admit(len(s)); err != nil {
		return 0, err
	}
	c.body = append(c.body, s...)
	return len(s), nil
}

func (c *recorder) admit(n int) error {
	if c.status == 0 {
		c.status = c.implicit
	}
	if c.status == http.StatusNoContent || c.status == http.StatusNotModified {
		return http.ErrBodyNotAllowed
	}
	if n > c.limit-len(c.body) {
		c.over = true
		return errResponseTooLong
	}
	c.begin()
	return nil
}

var errResponseTooLong = errors.New("web: the response is longer than Options.MaxResponse")

// err returns the reason why the recorded response must not be sent, or nil. It
// does not depend on what the handler did with the errors it got.
func (c *recorder) err() error {
	if !c.over {
		return nil
	}
	return &stay.Error{
		Code: stay.ErrInternal,
		Err: fmt.Errorf("%w, which is %d bytes: raise it, or send long responses from a plain handler that uses the methods of stay.State",
			errResponseTooLong, c.limit),
	}
}

// moved returns the reason why a run that has changed the key of the state must
// not be committed, or nil: such a run has rendered a state that the state
// under the key is about to replace.
func (c *recorder) moved(module string) error {
	if len(c.body) == 0 || c.status >= 300 && c.status < 400 {
		return nil
	}
	return &stay.Error{
		Code: stay.ErrInternal, Module: module, Phase: "run",
		Err: errors.New("the function of web.Update changed the state's key, so it rendered a state that the one stored under the new key replaces: answer with a redirect, or use web.Do or State.Update and render what they return"),
	}
}

// reset forgets everything, so that an error can be written instead.
func (c *recorder) reset() {
	c.restore()
	c.status, c.over = 0, false
	c.body = c.body[:0]
}

// send writes what was recorded. If the client has gone, the response is lost,
// and no one can be told.
func (c *recorder) send() {
	if c.status == 0 {
		c.status = c.implicit
	}
	var late http.Header
	if c.asked {
		late = trailers(c.to.Header())
	}
	c.before, c.asked, c.done = nil, false, true // the header stays
	c.to.WriteHeader(c.status)
	if len(c.body) > 0 {
		_, _ = c.to.Write(c.body)
	}
	if late != nil {
		maps.Copy(c.to.Header(), late)
	}
}

// trailers removes from a header the headers that are announced to follow the
// body, and returns them: net/http would otherwise also send them before the
// body.
func trailers(h http.Header) http.Header {
	var late http.Header
	for _, line := range h["Trailer"] {
		for name := range strings.SplitSeq(line, ",") {
			name = http.CanonicalHeaderKey(textproto.TrimString(name))
			if values, ok := h[name]; ok && name != "Trailer" {
				if late == nil {
					late = make(http.Header)
				}
				late[name] = values
				delete(h, name)
			}
		}
	}
	return late
}
