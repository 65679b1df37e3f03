package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/access"
	"github.com/stay-go/stay/internal/sse"
)

// A rendering is one version of one part, as the clients of one dialect get it.
// Once it is done it does not change, so all streams that show this version send
// the same bytes.
type rendering struct {
	key   renderKey
	done  chan struct{}
	frame []byte
	print sse.Print
	err   error
	at    time.Time // when it failed
}

// A renderKey names a rendering.
type renderKey struct {
	part    int
	dialect sse.Dialect
	version access.Version
}

// What renderings keep for streams that come to a version later. Streams that are
// woken by a change come within milliseconds.
const (
	maxRenderings    = 1024
	maxRenderedBytes = 8 << 20
)

// renderings are the latest that were made. The oldest go first: a version is
// followed by a newer one of its state.
type renderings struct {
	// latest is the last that was made of each part: all who are woken by a change
	// want that one.
	latest [maxParts]atomic.Pointer[rendering]

	mu    sync.Mutex
	all   map[renderKey]*rendering
	order []renderKey
	bytes int
}

// get returns a rendering, which render makes if there is none yet, or if it has
// failed long ago. One caller makes it, the others wait for it. first says that
// this caller saw the version fail first.
func (rs *renderings) get(ctx context.Context, key renderKey, again time.Duration, render func(*rendering)) (r *rendering, first bool, err error) {
	if r = rs.latest[key.part].Load(); r != nil && r.key == key {
		return r, false, nil
	}
	rs.mu.Lock()
	r = rs.all[key]
	failed := r != nil && r.failedFor(again)
	if r != nil && !failed {
		rs.mu.Unlock()
		select {
		case <-r.done:
			return r, false, r.err
		case <-ctx.Done():
			return nil, false, ctx.Err()
		}
	}
	r = &rendering{key: key, done: make(chan struct{}), err: errNotRendered}
	if rs.all == nil {
		rs.all = map[renderKey]*rendering{}
	}
	rs.all[key] = r
	if !failed {
		rs.order = append(rs.order, key)
	}
	rs.mu.Unlock()
	defer rs.keep(r) // also if the function ends its goroutine
	render(r)
	return r, r.err != nil && !failed, r.err
}

// failedFor reports whether r has failed, that long ago.
func (r *rendering) failedFor(d time.Duration) bool {
	select {
	case <-r.done:
		return r.err != nil && time.Since(r.at) >= d
	default:
		return false
	}
}

// keep ends the making of a rendering, and drops the oldest ones.
func (rs *renderings) keep(r *rendering) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if r.err != nil {
		r.at = time.Now()
	}
	close(r.done)
	if rs.all[r.key] == r {
		rs.bytes += len(r.frame)
		if r.err == nil {
			rs.latest[r.key.part].Store(r)
		}
	}
	for len(rs.order) > 1 && (len(rs.order) > maxRenderings || rs.bytes > maxRenderedBytes) {
		oldest := rs.all[rs.order[0]]
		select {
		case <-oldest.done:
			rs.bytes -= len(oldest.frame)
			rs.latest[oldest.key.part].CompareAndSwap(oldest, nil)
		default: // under way; whoever makes it will not find it
		}
		delete(rs.all, rs.order[0])
		rs.order = rs.order[1:]
	}
}

var errNotRendered = errors.New("web: the function of a part ended its goroutine")

// fill renders a version of a part. A panic is an error like others: the part
// stays on the page as it is.
func (p *LivePart) fill(to *rendering, s *settings, r *http.Request, d sse.Dialect, v any) {
	w := limitedBuffer{limit: s.maxResponse}
	buffer := s.buffer()
	w.bytes = (*buffer)[:0]
	defer func() {
		if e := recover(); e != nil {
			to.frame, to.err = nil, fmt.Errorf("panic: %v\n\n%s", e, debug.Stack())
		}
		s.giveBack(buffer, w.bytes)
	}()
	if to.err = p.render(&w, r, v); w.over {
		to.err = fmt.Errorf("a part is longer than Options.MaxResponse, %d bytes", w.limit)
	}
	if to.err != nil {
		return
	}
	to.print = sse.PrintOf(p.id, w.bytes)
	to.frame = make([]byte, 0, len(w.bytes)+128)
	if p.data {
		to.frame = sse.AppendEvent(to.frame, p.id, w.bytes)
	} else {
		to.frame = d.AppendPart(to.frame, p.id, w.bytes)
	}
}

// A limitedBuffer keeps what is written to it, up to a limit.
type limitedBuffer struct {
	bytes []byte
	limit int
	over  bool
}

// Write implements io.Writer.
func (b *limitedBuffer) Write(p []byte) (int, error) {
	if b.over = b.over || len(b.bytes)+len(p) > b.limit; b.over {
		return 0, stay.ErrTooLarge
	}
	b.bytes = append(b.bytes, p...)
	return len(p), nil
}
