package engine

import (
	"errors"

	"github.com/stay-go/stay/store"
)

// A Class says what kind of failure an Error is.
type Class uint8

// The classes. All but Unknown mean that nothing was changed.
const (
	Unavailable Class = iota
	Unknown
	Busy
	Conflict
	TooLarge
	Closed
	Corrupt
	Reused
	Internal
)

// An Error is a failure of the engine itself, not an error that a run returned.
type Error struct {
	Class Class
	Phase string // "load" or "save" if the store was being asked
	Text  string // may be shown; says the fix if there is one
	Err   error  // the cause; may be nil
}

func (e *Error) Error() string {
	if e.Err == nil {
		return e.Text
	}
	return e.Text + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

func fail(c Class, text string, cause error) error { return &Error{Class: c, Text: text, Err: cause} }

func errClosed() error { return fail(Closed, "the app is closed", nil) }

var errEnded = fail(Internal, "the goroutine that loaded the state ended early (runtime.Goexit)", nil)

// The phases.
const (
	phaseLoad = "load"
	phaseSave = "save"
)

func failAt(phase string, c Class, text string, cause error) error {
	return &Error{Class: c, Phase: phase, Text: text, Err: cause}
}

// errNoRecords is the error of a Load that the store answered with too few or
// too many records.
var errNoRecords = errors.New("the store did not answer the read")

// storeError classifies an error of a store.
func storeError(phase string, err error) error {
	if errors.Is(err, errNoRecords) {
		return failAt(phase, Internal, errNoRecords.Error(), nil)
	}
	if errors.Is(err, store.ErrTooLarge) {
		return failAt(phase, TooLarge, "the state is larger than the store allows", err)
	}
	if errors.Is(err, store.ErrClosed) {
		return failAt(phase, Closed, "the store is closed", err)
	}
	if errors.Is(err, store.ErrCorrupt) {
		return failAt(phase, Corrupt, "the store is damaged", err)
	}
	return failAt(phase, Unavailable, "the store is not available", err)
}
