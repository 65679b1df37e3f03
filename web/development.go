package web

import (
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"

	"github.com/stay-go/stay"
)

// causes returns the lines about an error that only a developer sees: what a
// client must not learn about a failure of the program.
func (s *settings) causes(status int, err error) []string {
	if status < http.StatusInternalServerError || !s.development() {
		return nil
	}
	return []string{"Only with stay.Options.Development: " + err.Error()}
}

// warnCommitted tells a developer that a change was committed although the answer
// says that the request failed.
func (s *settings) warnCommitted(r *http.Request, module string, status int) {
	if status < http.StatusBadRequest || !s.development() {
		return
	}
	s.logger().Warn("stay: a function of web.Update answered with an error status and returned nil, so its change is committed: "+
		"return an error to undo the change, such as stay.ErrNotFound",
		"module", module, "status", status, "route", r.Pattern)
}

// inDevelopment returns r with a context that warns if the handler asks for a
// session although the request did not come through Sessions.
func (s *settings) inDevelopment(r *http.Request) *http.Request {
	if !s.development() || exchangeOf(r.Context()) != nil {
		return r
	}
	return r.WithContext(s.core.WithoutSession(r.Context()))
}

// answerPanic is deferred by handlers. In development it answers a panic with its
// cause, and logs it with its stack, as net/http does, where the browser of a
// developer would only say that the connection was cut. In production the panic goes on as it is. So
// does one after which no answer can be sent, and http.ErrAbortHandler, with which
// a handler gives up its answer.
func (s *settings) answerPanic(w http.ResponseWriter, r *http.Request) {
	if !s.development() {
		return
	}
	if x := exchangeOf(r.Context()); x != nil && x.sent.Load() {
		return
	}
	switch p := recover(); p {
	case nil:
	case http.ErrAbortHandler:
		panic(p)
	default:
		s.logger().LogAttrs(r.Context(), slog.LevelError, fmt.Sprintf("stay: a handler panicked: %v\n\n%s", p, debug.Stack()),
			slog.String("method", r.Method), slog.String("route", r.Pattern))
		answer(s, w, r, http.StatusInternalServerError, &stay.Error{Code: stay.ErrInternal, Err: fmt.Errorf("panic: %v", p)})
	}
}
