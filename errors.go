package stay

import (
	"errors"
	"maps"
	"strings"

	"github.com/stay-go/stay/internal/engine"
	"github.com/stay-go/stay/internal/keyspace"
	"github.com/stay-go/stay/internal/signing"
	"github.com/stay-go/stay/store"
)

// A Code is a class of errors. Each Code is an error itself, so that
// errors.Is(err, stay.ErrBusy) tells whether err is of that class, and a
// handler can return one as it is.
type Code string

// The codes. Package web answers each with the HTTP status named. Every code
// except ErrUnknown means that nothing was changed.
const (
	// ErrUnknown: the change may or may not have happened (503). The store did not
	// say, or the caller's context was done before it did.
	ErrUnknown Code = "unknown"
	// ErrNested: a change was made inside a change (500). Do it after the
	// outer one has returned, or with Call.After.
	ErrNested Code = "nested"
	// ErrMalformed: a payload that cannot be parsed (400).
	ErrMalformed Code = "malformed"
	// ErrInvalid: a value that is refused (422); see [FieldErrors].
	ErrInvalid Code = "invalid"
	// ErrReused: a request has the id of an earlier one, and another content (422).
	// It names a change that was made; see [Once].
	ErrReused Code = "reused"
	// ErrNotFound: no such module, action or key (404).
	ErrNotFound Code = "not_found"
	// ErrDenied: the caller may not do this (403).
	ErrDenied Code = "denied"
	// ErrNoSession: the context carries no session (500). Wrap the handler in
	// web.Sessions, or use State.At.
	ErrNoSession Code = "no_session"
	// ErrEnded: the session was ended or renewed while the request ran, or less
	// than a minute before (401). See [Session].
	ErrEnded Code = "ended"
	// ErrConflict: other callers kept changing the state until the caller's
	// deadline, or a form came from a page of another login (409).
	ErrConflict Code = "conflict"
	// ErrBusy: the limits do not allow so much work at once, or the change did not
	// get its turn in time (503).
	ErrBusy Code = "busy"
	// ErrUnavailable: the store failed (503). The state is as it was before.
	ErrUnavailable Code = "unavailable"
	// ErrTooLarge: a state or request beyond its limit (413).
	ErrTooLarge Code = "too_large"
	// ErrCorrupt: a stored record cannot be read, or the store is damaged (500).
	// What is stored stays as it is, for repair.
	ErrCorrupt Code = "corrupt"
	// ErrClosed: the App is closed (503).
	ErrClosed Code = "closed"
	// ErrInternal: everything else (500).
	ErrInternal Code = "internal"
)

// Error returns the code's name, such as "not_found".
func (c Code) Error() string { return string(c) }

// An Error is a failure with its class, its place and the text that clients may
// see.
type Error struct {
	Code   Code
	Module string // "" when no module was concerned
	Action string // "" when it was not one of the module's actions
	// Phase is the step that failed: "resolve", "load", "decode", "onCreated",
	// "run", "save", "expire", "onExpire", "onDestroyed", "onConnect",
	// "onReconnect", "onDisconnect", "presence", "after", "destroy", "sign" or "".
	Phase string
	// KeyHash names the instance without telling its key: the first 12 digits
	// of its SHA-256. Anybody who can guess the key can check the guess.
	KeyHash string
	// Message is for the client. It never holds anything secret.
	Message string
	// Fields holds messages for the client by field name.
	Fields map[string]string
	// Err is the cause. It is logged and not shown to clients, unless Message
	// and Fields are empty and it is an Error itself, or wraps one.
	Err error
}

// Error describes the failure for logs, cause included unless Message has its
// text.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("stay")
	if e.Module != "" {
		b.WriteString(": ")
		b.WriteString(e.Module)
		if e.Action != "" {
			b.WriteString("." + e.Action)
		}
	}
	if e.Phase != "" {
		b.WriteString(": " + e.Phase)
	}
	b.WriteString(": " + string(e.Code))
	if e.Message != "" {
		b.WriteString(": " + e.Message)
	}
	if e.Err != nil {
		if cause := e.Err.Error(); !strings.Contains(e.Message, cause) { // else it has been said
			b.WriteString(": " + cause)
		}
	}
	return b.String()
}

// Unwrap returns the code and the cause, so that errors.Is finds both.
func (e *Error) Unwrap() []error {
	if e.Err == nil {
		return []error{e.Code}
	}
	return []error{e.Code, e.Err}
}

// Invalid returns an error of class ErrInvalid that the client may read. A
// field of "" means the whole value. Join several with errors.Join.
func Invalid(field, message string) error {
	e := &Error{Code: ErrInvalid, Message: message}
	if field != "" {
		e.Message = field + ": " + message
		e.Fields = map[string]string{field: message}
	}
	return e
}

// FieldErrors returns the messages for the client by field name, of all errors
// joined or wrapped in err, except those inside an Error that has its own
// Message or Fields, because what it wraps is a cause. It is nil when there are
// none.
func FieldErrors(err error) map[string]string {
	var out map[string]string
	walk(err, func(e error) bool {
		se, ok := e.(*Error)
		if !ok {
			return true
		}
		if len(se.Fields) > 0 {
			if out == nil {
				out = map[string]string{}
			}
			maps.Copy(out, se.Fields)
		}
		return se.Message == "" && len(se.Fields) == 0
	})
	return out
}

// CodeOf returns the code of any error: "" for nil, ErrInternal for errors
// that carry none. Of several, the outermost counts.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	var code Code
	walk(err, func(e error) bool {
		if code != "" {
			return false
		}
		switch e := e.(type) {
		case *Error:
			code = e.Code
		case Code:
			code = e
		}
		return code == ""
	})
	if code == "" {
		return ErrInternal
	}
	return code
}

// hasCode reports whether an error carries a code, even ErrInternal.
func hasCode(err error) bool {
	return CodeOf(err) != ErrInternal || errors.Is(err, ErrInternal)
}

// walk visits err and all that it wraps, outermost first. Where visit returns
// false it goes no deeper.
func walk(err error, visit func(error) bool) {
	for err != nil {
		if !visit(err) {
			return
		}
		switch u := err.(type) {
		case interface{ Unwrap() error }:
			err = u.Unwrap()
		case interface{ Unwrap() []error }:
			for _, e := range u.Unwrap() {
				walk(e, visit)
			}
			return
		default:
			return
		}
	}
}

// closedError is the error of work that begins, or is under way, when the App
// is closed.
func closedError(module, phase string, cause error) *Error {
	return &Error{Code: ErrClosed, Module: module, Phase: phase, Message: "the app is closed", Err: cause}
}

var errHeaderSent = errors.New("the session's cookie cannot be set, because the response's header was already written: use the state before you write the response")

var errNoBrowser = errors.New("the session needs a new cookie, but a session from App.Sessions has no response that could set it: call Login and Renew on the session of a request, and end this session with Destroy, Logout or App.Revoke")

// toError gives an error of the engine its code.
func toError(err error) *Error {
	var se *Error
	if errors.As(err, &se) {
		c := *se
		return &c
	}
	var ee *engine.Error
	if !errors.As(err, &ee) {
		return &Error{Code: ErrInternal, Err: err}
	}
	e := &Error{Phase: ee.Phase, Message: ee.Text, Err: ee.Err}
	switch ee.Class {
	case engine.Unavailable:
		e.Code = ErrUnavailable
	case engine.Unknown:
		e.Code = ErrUnknown
	case engine.Busy:
		e.Code = ErrBusy
	case engine.Conflict:
		e.Code = ErrConflict
	case engine.TooLarge:
		e.Code = ErrTooLarge
	case engine.Closed:
		e.Code = ErrClosed
	case engine.Reused:
		e.Code = ErrReused
	case engine.Corrupt:
		e.Code = ErrCorrupt
	default:
		e.Code = ErrInternal
	}
	return e
}

// storeCode returns the code of a store's error.
func storeCode(err error) Code {
	switch {
	case errors.Is(err, store.ErrTooLarge):
		return ErrTooLarge
	case errors.Is(err, store.ErrClosed):
		return ErrClosed
	case errors.Is(err, store.ErrCorrupt):
		return ErrCorrupt
	}
	return ErrUnavailable
}

// keyHash names a key in logs and errors without revealing it.
func keyHash(key string) string { return keyspace.Hash(key) }

var errNewSessions = errors.New("new sessions begin faster than Options.MaxNewSessions allows: raise it if this traffic is expected")

func signingCode(err error) Code {
	switch {
	case errors.Is(err, signing.ErrUnavailable):
		return ErrUnavailable
	case errors.Is(err, signing.ErrCorrupt):
		return ErrCorrupt
	case errors.Is(err, signing.ErrClosed):
		return ErrClosed
	}
	return ErrInternal
}
