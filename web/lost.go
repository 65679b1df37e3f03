package web

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"reflect"
	"time"
)

// A session whose cookie does not reach the browser is lost, with all that was
// stored for it. This file detects that as far as possible and logs how to fix
// it.

// through returns the ResponseWriter with which a handler of this package
// answers r. That is w, or the exchange itself if an adapter passed on the
// request of Sessions together with the ResponseWriter from in front of it.
func through(w http.ResponseWriter, r *http.Request) http.ResponseWriter {
	if _, usual := w.(*exchange); usual {
		return w
	}
	if x := exchangeOf(r.Context()); x != nil && same(w, x.next) {
		return x
	}
	return w
}

// same reports whether two writers are the same. Comparing the interfaces would
// panic on some types.
func same(a, b http.ResponseWriter) bool {
	v, w := reflect.ValueOf(a), reflect.ValueOf(b)
	return v.Kind() == reflect.Pointer && w.Kind() == reflect.Pointer && v.Type() == w.Type() && v.Pointer() == w.Pointer()
}

// passed reports whether the header has gone out past the exchange, so that no
// token can reach the browser. It costs too much for every request, and only a
// browser without a cookie loses its session. x.mu is held.
func (x *exchange) passed() bool {
	if x.known || x.hints {
		return false
	}
	yes, _ := wrote(x.next)
	return yes
}

// wrote reports whether a header has gone through w, if w or a writer inside it
// says so. If no writer does, known is false.
func wrote(w http.ResponseWriter) (yes, known bool) {
	for {
		switch t := w.(type) {
		case *recorder:
			return t.status != 0, true
		case *exchange: // of another App
			return t.sent.Load(), true
		case interface{ Written() bool }: // of gin and negroni
			return t.Written(), true
		case interface { // of chi
			Status() int
			BytesWritten() int
		}:
			return t.Status() != 0, true
		case interface{ Unwrap() http.ResponseWriter }:
			w = t.Unwrap()
		default:
			return wroteHeader(reflect.ValueOf(w))
		}
	}
}

// wroteHeader reads the field in which the writers of net/http and httptest
// keep this, because none of their methods returns it; over HTTP/2 the field is
// one step further in. It is called only if a cookie is missing. A guess
// instead would be wrong for every handler that leaves its answer to a
// framework, or answers with nothing.
func wroteHeader(v reflect.Value) (yes, known bool) {
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	if v.Kind() != reflect.Struct {
		return false, false
	}
	if f, ok := v.Type().FieldByName("wroteHeader"); ok && len(f.Index) == 1 && f.Type.Kind() == reflect.Bool {
		return v.FieldByIndex(f.Index).Bool(), true
	}
	if f, ok := v.Type().FieldByName("rws"); ok && len(f.Index) == 1 && f.Type.Kind() == reflect.Pointer {
		return wroteHeader(v.FieldByIndex(f.Index))
	}
	return false, false
}

// checkSent is called when the handler has ended and the header is sealed;
// returned says whether it has returned, without a panic.
func (x *exchange) checkSent(returned bool) {
	x.mu.Lock()
	issued, asked, hints := x.issued, x.askedSince, x.hints
	x.mu.Unlock()
	x.checkHijack() // a connection to which nothing was written
	switch {
	case !issued || hints || !returned:
		return
	case x.sent.Load():
		if errors.Is(x.Err(), context.DeadlineExceeded) {
			x.checkTimeout()
		}
		return
	}
	const fix = "pass on the ResponseWriter that web.Sessions gives to the next handler, see docs/routers.md"
	switch yes, known := wrote(x.next); {
	case yes:
		x.warn(slog.LevelError, "stay: a response was written past web.Sessions and lacks the session's cookie, so the session is lost: "+fix)
	case !known && !asked && !x.settings.unseen.Swap(true):
		x.warn(slog.LevelWarn, "stay: a session's cookie was issued, and no response was written through web.Sessions. If the handler has written one, "+fix)
	}
}

// checkTimeout finds out, by writing nothing, whether what was sent went to an
// http.TimeoutHandler that had answered before.
func (x *exchange) checkTimeout() {
	if _, err := x.next.Write(nil); errors.Is(err, http.ErrHandlerTimeout) {
		x.warn(slog.LevelError, "stay: http.TimeoutHandler has answered before the session's cookie was set, so the session is lost: put http.TimeoutHandler inside of web.Sessions, so that its answer has the cookie")
	}
}

// where names the request for logs by its route. The path may have content that
// should not be in logs.
func (x *exchange) where() []slog.Attr {
	if x.request == nil { // of a Visit
		return nil
	}
	return []slog.Attr{slog.String("method", x.request.Method), slog.String("route", x.request.Pattern)}
}

// warn logs that the session's cookie has not reached the browser, or may not
// have.
func (x *exchange) warn(level slog.Level, text string) {
	log := x.settings.logger()
	if !log.Enabled(x, level) {
		return
	}
	ok, leftOut := x.settings.crowds.Take(time.Now())
	if !ok {
		return
	}
	attrs := x.where()
	if leftOut > 0 {
		attrs = append(attrs, slog.Int("left_out", leftOut))
	}
	log.LogAttrs(x, level, text, attrs...)
}
