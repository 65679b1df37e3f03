// Package stay gives web applications typed server-side state: a module
// declares a struct, its initial value and whom it belongs to, and handlers
// read and change it in place.
//
//	store, err := sqlitestore.Open("app.db")
//	...
//	app := stay.New(store, nil)
//	counter := stay.Register(app, stay.Module[Counter]{
//		Name:    "counter",
//		Persist: stay.PerSession,
//	})
//
// A [State] is used from handlers behind web.Sessions, with the request's
// context, or through the handlers of package web. Every change runs as an
// all-or-nothing, serial transaction on a copy; what [State.Update] and
// [State.Do] return is durable. State is restored before anybody sees it.
//
// # Whom state belongs to
//
// With [PerSession] each browser has a state of its own, with [Global] all
// share one. A module without a strategy is ephemeral: one state for each
// session, in memory only.
//
// # What a state can be
//
// A struct of exported fields that JSON can write and read again. Register
// refuses the others: unexported fields and those tagged `json:"-"`, channels,
// functions, interfaces other than any, `omitempty` where the initial value is
// not zero, structs that contain themselves through pointers. Values that only
// then turn out not to fit, such as NaN, are ErrInvalid in the change that
// brought them; an int in an any becomes what JSON makes of it, and so does a
// string that is not valid UTF-8. Stored values are laid over the initial
// value: a field that is absent in the store has its initial value, at any
// depth of structs, while maps, slices and arrays are replaced whole.
//
// The tag `stay:"preserve"` keeps a field through [State.Reset], and
// `stay:"private"` keeps it from web.Actions and from payloads.
//
// # Errors
//
// Every error has a [Code], see [CodeOf]. [ErrUnknown] means that a change may
// have happened; every other error, that it has not.
package stay
