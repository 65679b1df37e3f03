package web

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/once"
)

// An exchange is one request behind Sessions: the ResponseWriter that its
// handler gets, and the access.Carrier that takes the session's token to the
// browser. One value is both, and stands beside the handler's request, so that a
// request costs one allocation.
//
// The ResponseWriter methods are called by one goroutine at a time, as for any
// ResponseWriter; those of the Carrier may be called concurrently with them. It
// is also a link in the chain of the request's contexts.
type exchange struct {
	context.Context // of the request; the exchange is found in it

	next     http.ResponseWriter
	request  *http.Request // the handler's; nil: of a Visit
	settings *settings
	https    bool
	known    bool // the browser has sent a cookie
	switched bool // with the name that it had before Embedded was switched

	device  string // as the browser describes itself
	strange bool   // a form of another site, without a cookie; in development mode

	mu      sync.Mutex
	sealed  bool // the header is complete: it has gone out, or is about to
	used    bool
	issued  bool
	flashes bool    // the header has a cookie of messages
	token   *string // issued; apart, since package fmt follows no pointer to a string
	expires time.Time

	// sent is set when something has been sent. A handler that a timeout has
	// left behind may read it while others write the response.
	sent atomic.Bool

	// before are the headers that describe a body and were set before the
	// handler asked for the header; asked says whether it has asked.
	before     http.Header
	asked      bool
	askedSince bool // since a token was issued
	hints      bool // informational answers were sent
	unanswered bool // the connection was taken over, and the cookie waits

	once *once.Request // names the changes of the request; nil: nothing does

	// values are the values of Cache-Control and Vary in the header.
	values [2]string
}

// An exchanging is an exchange together with the values that it hides, in one
// allocation.
type exchanging struct {
	exchange exchange
	token    string
	request  http.Request // the handler's
	returned bool         // the handler has returned, without a panic
}

// exchangeKey finds the exchange in a context: that of the given App, or of any.
type exchangeKey struct{ app *stay.App }

// exchangeOf returns what Sessions knows about the request, nil outside of it.
// Behind that of several Apps, the inner one counts.
func exchangeOf(ctx context.Context) *exchange {
	x, _ := ctx.Value(exchangeKey{}).(*exchange)
	return x
}

// exchange returns the exchange of the App that ctx has already, nil if it has
// none.
func (s *settings) exchange(ctx context.Context) *exchange {
	x, _ := ctx.Value(exchangeKey{s.app}).(*exchange)
	return x
}

// Value implements context.Context.
func (x *exchange) Value(key any) any {
	if x.is(key) {
		return x
	}
	if x.once != nil && key == (once.Key{}) {
		return x.once
	}
	return x.Context.Value(key)
}

func (x *exchange) is(key any) bool {
	k, ok := key.(exchangeKey)
	return ok && (k.app == nil || k.app == x.settings.app)
}

// again returns ctx, in which x is, with x and its session in front of those of
// other Apps that came in between.
func (x *exchange) again(ctx context.Context) context.Context {
	if exchangeOf(ctx) == x {
		return ctx
	}
	return x.settings.core.Again(&inFront{ctx, x})
}

// inFront is a context with an exchange in front of others.
type inFront struct {
	context.Context
	x *exchange
}

// Value implements context.Context.
func (c *inFront) Value(key any) any {
	if c.x.is(key) {
		return c.x
	}
	return c.Context.Value(key)
}

// Format implements fmt.Formatter. An exchange is printed as a ResponseWriter:
// it shows neither the token nor the request, which has the token too.
func (x *exchange) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "response of web.Sessions") }

// Issue implements access.Carrier. The last token before the header goes out
// is the one that the browser gets.
func (x *exchange) Issue(token string, expires time.Time) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.sealed || x.passed() {
		return false
	}
	x.issued, *x.token, x.expires = true, token, expires
	return true
}

// Used implements access.Carrier.
func (x *exchange) Used() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.used = true
}

// hasUsed reports whether anything has used the session.
func (x *exchange) hasUsed() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.used
}

// Open implements access.Carrier.
func (x *exchange) Open() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return !x.sealed && !x.passed()
}

// maxDevice is the most bytes that are kept of a browser's description.
const maxDevice = 200

// Device implements access.Describer.
func (x *exchange) Device() string {
	text := x.device
	if len(text) > maxDevice {
		text = text[:maxDevice]
	}
	return strings.Clone(strings.ToValidUTF8(text, "")) // it may share memory with all headers
}

// seal adds the session's headers. It is called when the header is about to be
// sent; later calls do nothing.
func (x *exchange) seal() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.sealed {
		return
	}
	x.sealed = true
	if x.once != nil && x.once.Replayed() {
		markReplayed(x.next.Header(), x.once)
	}
	if !x.used && !x.issued {
		return
	}
	h := x.next.Header()
	if x.issued {
		s := x.settings
		if x.strange {
			s.warnOfStranger()
		}
		if x.switched {
			h.Add("Set-Cookie", s.clearOther())
		}
		h.Add("Set-Cookie", s.setCookie(*x.token, x.expires, s.core.Now(), x.https))
	}
	x.mark(h)
}

// end seals the header when the handler has returned: afterwards nothing is
// issued. Something may still be sent: some frameworks answer a failed request
// only now. The handler's request is a copy; outer is the request that it was
// copied from.
func (all *exchanging) end(outer *http.Request) {
	all.exchange.seal()
	all.exchange.checkSent(all.returned)
	handBack(&all.request, outer)
}

// Header implements http.ResponseWriter.
func (x *exchange) Header() http.Header {
	h := x.next.Header()
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.asked {
		x.asked, x.before = true, describing(h)
	}
	x.askedSince = x.issued
	return h
}

// WriteHeader implements http.ResponseWriter. Informational answers come before
// the header and are not the header.
func (x *exchange) WriteHeader(status int) {
	if status < 100 || status > 199 || status == http.StatusSwitchingProtocols {
		x.seal()
		x.sent.Store(true)
	} else {
		x.mu.Lock()
		x.hints = true
		x.mu.Unlock()
	}
	x.next.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (x *exchange) Write(b []byte) (int, error) {
	x.seal()
	x.sent.Store(true)
	return x.next.Write(b)
}

// WriteString implements io.StringWriter.
func (x *exchange) WriteString(s string) (int, error) {
	x.seal()
	x.sent.Store(true)
	return io.WriteString(x.next, s)
}

// ReadFrom implements io.ReaderFrom, with which files reach a socket without a
// copy.
func (x *exchange) ReadFrom(r io.Reader) (int64, error) {
	x.seal()
	x.sent.Store(true)
	return io.Copy(x.next, r)
}

// Flush implements http.Flusher. It does nothing if the server cannot flush.
func (x *exchange) Flush() { _ = x.FlushError() }

// FlushError is what http.ResponseController calls.
func (x *exchange) FlushError() error {
	x.seal()
	err := http.NewResponseController(x.next).Flush()
	if !errors.Is(err, http.ErrNotSupported) {
		x.sent.Store(true)
	}
	return err
}

// Hijack implements http.Hijacker. The error is http.ErrNotSupported if the
// connection cannot be taken over, as with HTTP/2. A cookie that was not sent
// is then in the header, for the code that answers.
func (x *exchange) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	x.seal()
	conn, buf, err := http.NewResponseController(x.next).Hijack()
	if err == nil && !x.sent.Swap(true) {
		conn, buf = x.hijacked(conn, buf)
	}
	return conn, buf, err
}

// Unwrap lets http.ResponseController reach the deadlines of the connection.
func (x *exchange) Unwrap() http.ResponseWriter { return x.next }
