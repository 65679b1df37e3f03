package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"html"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/stay-go/stay"
)

// statusOf is the only place where a Code becomes a status.
func statusOf(code stay.Code) int {
	switch code {
	case stay.ErrMalformed:
		return http.StatusBadRequest
	case stay.ErrEnded:
		return http.StatusUnauthorized
	case stay.ErrDenied:
		return http.StatusForbidden
	case stay.ErrNotFound:
		return http.StatusNotFound
	case stay.ErrConflict:
		return http.StatusConflict
	case stay.ErrTooLarge:
		return http.StatusRequestEntityTooLarge
	case stay.ErrInvalid, stay.ErrReused:
		return http.StatusUnprocessableEntity
	case stay.ErrUnknown, stay.ErrBusy, stay.ErrUnavailable, stay.ErrClosed:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

// Status returns the status that [Error] answers err with, for adapters to other
// frameworks; 200 for nil.
func Status(err error) int {
	if err == nil {
		return http.StatusOK
	}
	return statusOf(stay.CodeOf(asRequestError(err)))
}

// Error answers a request with err, for plain handlers; View, Do, Update,
// Handle and Actions do the same with the errors they get.
//
// The status follows from stay.CodeOf(err): ErrMalformed 400, ErrEnded 401,
// ErrDenied 403, ErrNotFound 404, ErrConflict 409, ErrTooLarge 413, ErrInvalid
// and ErrReused 422, ErrBusy, ErrUnavailable and ErrClosed 503 with "Retry-After: 1",
// ErrUnknown 503 without it, all others 500. The error of http.MaxBytesReader
// is ErrTooLarge, those of r.FormFile for a file that is not there are
// ErrMalformed. The client sees the Message and Fields of a stay.Error, or
// the name of the status if there are none. The cause goes to the App's log;
// causes of 503 are logged at most ten times a second for all requests of one
// Sessions. Outside of Sessions it goes to slog.Default(), each time. The body
// is JSON for a client that prefers it, in the form of RFC 9457, an HTML
// fragment for htmx and plain text for all others, unless Options.Error writes
// it, or [Form.Again] shows a page. With the fragment htmx is told to swap
// nothing (HX-Reswap: none), unless HX-Reswap or HX-Retarget is set: listen to
// its events to show it.
//
// Headers that describe a body, such as Etag and Cache-Control, are removed if
// the handler has set them; what was there before Sessions stays, and so does
// the Content-Encoding of a middleware between Sessions and the handler. If the
// header of the response has been sent, err is only logged. Behind Sessions,
// Error knows that, also after the handler has returned; elsewhere Error writes
// in any case. A nil err does nothing.
func Error(w http.ResponseWriter, r *http.Request, err error) {
	if err == nil {
		return
	}
	w = through(w, r)
	takeBack(w, r)
	fail(settingsOf(r, unknownApp), w, r, 0, err)
}

// hasCode reports whether an error carries a code, stay.ErrInternal included.
func hasCode(err error) bool {
	return stay.CodeOf(err) != stay.ErrInternal || errors.Is(err, stay.ErrInternal)
}

// fail answers r with err, with the status of its code if status is 0.
func fail(s *settings, w http.ResponseWriter, r *http.Request, status int, err error) {
	if status == 0 {
		err = asRequestError(err)
		status = statusOf(stay.CodeOf(err))
	}
	logFailure(s, r, status, err)
	answer(s, w, r, status, err)
}

// answer writes the answer to a request that failed.
func answer(s *settings, w http.ResponseWriter, r *http.Request, status int, err error) {
	if rec, ok := w.(*recorder); ok {
		rec.reset()
	} else if x := exchangeOf(r.Context()); x != nil && x.sent.Load() {
		return
	}
	h := w.Header()
	h.Del("Content-Length") // a length that was set before is not the length of this body
	h.Set("X-Content-Type-Options", "nosniff")
	if status == http.StatusServiceUnavailable && stay.CodeOf(err) != stay.ErrUnknown { // that may have happened
		h.Set("Retry-After", "1")
	}
	h.Del("Content-Type")
	if again := (*shownAgain)(nil); errors.As(err, &again) && !asksForJSON(r) {
		s.showAgain(w, r, status, again)
		return
	}
	if s.onError != nil && s.ownError(w, r, status, err) {
		return
	}
	if preferred(r) == formatFragment {
		keepPage(h)
	}
	contentType, body := errorBody(r, status, err, s.causes(status, err))
	h.Set("Content-Type", contentType)
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// ownError calls Options.Error to write the answer. It reports false if the
// answer was longer than Options.MaxResponse.
func (s *settings) ownError(w http.ResponseWriter, r *http.Request, status int, err error) bool {
	rec := newRecorder(w, s)
	defer rec.drop()
	rec.implicit = status
	b := s.bound(r)
	defer b.end()
	s.onError(&rec, r, status, err)
	if long := rec.err(); long != nil {
		s.logger().LogAttrs(r.Context(), slog.LevelError, "stay: Options.Error wrote more than Options.MaxResponse", slog.Any("error", long))
		return false
	}
	rec.send()
	return true
}

// refuseMethod answers a request whose method the handler does not serve.
func refuseMethod(s *settings, w http.ResponseWriter, r *http.Request, allow string) {
	w.Header().Set("Allow", allow)
	fail(s, w, r, http.StatusMethodNotAllowed, malformed("this method is not allowed here: use "+allow, nil))
}

// logFailure logs what the client does not see. It logs the route and not the
// path, because the path may hold what should not be in logs. When there is no
// room or no store, many requests fail at once: only some of them are logged.
func logFailure(s *settings, r *http.Request, status int, err error) {
	level := slog.LevelDebug
	switch code := stay.CodeOf(err); {
	case r.Context().Err() != nil && errors.Is(err, context.Canceled):
		// The client has gone: nothing failed, and no one reads the answer.
	case code == stay.ErrBusy || code == stay.ErrClosed:
		level = slog.LevelWarn
	case status >= 500:
		level = slog.LevelError
	case s.development():
		level = slog.LevelInfo
	}
	log := s.logger()
	if !log.Enabled(r.Context(), level) {
		return
	}
	leftOut := 0
	if status == http.StatusServiceUnavailable && level > slog.LevelDebug {
		ok := false
		if ok, leftOut = s.crowds.Take(time.Now()); !ok {
			return
		}
	}
	attrs := []slog.Attr{
		slog.Int("status", status),
		slog.String("code", string(stay.CodeOf(err))),
		slog.String("method", r.Method),
	}
	known := func(key, value string) {
		if value != "" {
			attrs = append(attrs, slog.String(key, value))
		}
	}
	known("route", r.Pattern)
	if e := (*stay.Error)(nil); errors.As(err, &e) {
		known("module", e.Module)
		known("action", e.Action)
		known("phase", e.Phase)
		known("key_hash", e.KeyHash)
	}
	if leftOut > 0 {
		attrs = append(attrs, slog.Int("left_out", leftOut))
	}
	attrs = append(attrs, slog.Any("error", err))
	log.LogAttrs(r.Context(), level, "stay: request failed", attrs...)
}

// errorBody returns the text for the client, in a format that it can use, and
// then the causes.
func errorBody(r *http.Request, status int, err error, causes []string) (contentType string, body []byte) {
	lines := shown(nil, err)
	if len(lines) == 0 {
		lines = []string{http.StatusText(status)}
	}
	lines = append(lines, causes...)
	switch preferred(r) {
	case formatJSON:
		return problemType, errorJSON(status, stay.CodeOf(err), strings.Join(lines, "; "), stay.FieldErrors(err))
	case formatFragment:
		return "text/html; charset=utf-8", errorFragment(lines)
	default:
		return "text/plain; charset=utf-8", []byte(strings.Join(lines, "\n") + "\n")
	}
}

// shown appends what err, and all that it joins and wraps, has for the client,
// one line each. If a stay.Error has its own message, the error that it wraps
// is a cause and is not shown.
func shown(lines []string, err error) []string {
	if e, ok := err.(*stay.Error); ok {
		if e.Message != "" {
			return append(lines, e.Message)
		}
		if len(e.Fields) > 0 {
			for _, name := range slices.Sorted(maps.Keys(e.Fields)) {
				lines = append(lines, name+": "+e.Fields[name])
			}
			return lines
		}
	}
	switch u := err.(type) {
	case interface{ Unwrap() error }:
		return shown(lines, u.Unwrap())
	case interface{ Unwrap() []error }:
		for _, e := range u.Unwrap() {
			lines = shown(lines, e)
		}
	}
	return lines
}

// shownOfWhole returns the part of err's text for the client that is about no
// field.
func shownOfWhole(err error) string {
	if e, ok := err.(*stay.Error); ok && (e.Message != "" || len(e.Fields) > 0) {
		if len(e.Fields) > 0 {
			return ""
		}
		return e.Message
	}
	switch u := err.(type) {
	case interface{ Unwrap() error }:
		return shownOfWhole(u.Unwrap())
	case interface{ Unwrap() []error }:
		for _, e := range u.Unwrap() {
			if text := shownOfWhole(e); text != "" {
				return text
			}
		}
	}
	return ""
}

const (
	jsonType    = "application/json; charset=utf-8"
	problemType = "application/problem+json"
)

// errorJSON returns a problem of RFC 9457. Its member "error" has what a
// program needs: the code and the messages by field.
func errorJSON(status int, code stay.Code, message string, fields map[string]string) []byte {
	type member struct {
		Code    string            `json:"code"`
		Message string            `json:"message"`
		Fields  map[string]string `json:"fields,omitempty"`
	}
	body, _ := json.Marshal(struct { // always encodes
		Type   string `json:"type"`
		Title  string `json:"title"`
		Status int    `json:"status"`
		Detail string `json:"detail"`
		Error  member `json:"error"`
	}{"about:blank", http.StatusText(status), status, message, member{string(code), message, fields}})
	return append(body, '\n')
}

func errorFragment(lines []string) []byte {
	var b bytes.Buffer
	b.WriteString(`<div role="alert">`)
	for i, line := range lines {
		if i > 0 {
			b.WriteString("<br>")
		}
		b.WriteString(html.EscapeString(line))
	}
	b.WriteString("</div>\n")
	return b.Bytes()
}

// A format is what a client can read.
type format uint8

const (
	formatText format = iota
	formatFragment
	formatJSON
)

// preferred returns the format of errors that fits the sender of r. A request
// that asks for JSON gets it, even from htmx. A request that only sends JSON
// gets it unless it comes from htmx, which always shows HTML.
func preferred(r *http.Request) format {
	sends, _, _ := mediaType(r) // kindOther if it cannot be parsed
	switch {
	case asksForJSON(r):
		return formatJSON
	case r.Header.Get("HX-Request") == "true":
		return formatFragment
	case sends == kindJSON && !accepts(r, "text/html"):
		return formatJSON
	}
	return formatText
}

// asksForJSON reports whether the sender of r wants JSON and no page.
func asksForJSON(r *http.Request) bool {
	return (accepts(r, "application/json") || accepts(r, problemType)) && !accepts(r, "text/html")
}

// accepts reports whether the header Accept of r names a type.
func accepts(r *http.Request, name string) bool {
	return slices.ContainsFunc(r.Header["Accept"], func(line string) bool { return strings.Contains(strings.ToLower(line), name) })
}
