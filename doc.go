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
// A [Module] is a definition, an [App] the modules, store and limits of one
// application. [Register] brings them together in a [State], which is used from
// handlers behind web.Sessions with the request's context, or through the
// handlers of package web: [State.Get] reads, [State.Update] and [State.Do]
// change. Every change runs as an all-or-nothing, serial transaction on a copy;
// what a change returns is durable, unless the module sets Debounce or the state
// is one that is kept in memory. State is restored before anybody sees it.
//
// # Whom state belongs to
//
// Module.Persist is a [Strategy]: with [PerSession] each browser has a state of
// its own, with [PerUser] each user, on all devices, with [Global] all share
// one. With [WithKey] the key follows from fields of the state that are tagged
// `stay:"key"`, with [ResolveKey] from session and state. A module without a
// strategy is ephemeral: one state for each session, dropped when memory is
// short. Where there is no key, as before a login, the session has a guest's
// state, kept as [Options].Guests says. [State.At], [State.Keys] and
// [State.Delete] are for work without a session.
//
// # Sessions and logins
//
// A [Session] is one browser's, as the signed cookie of the request says.
// [SessionFrom] finds it in a context. [Session.Login] moves all PerUser
// modules to a user in one step and [Session.Logout] back, [Session.Renew]
// replaces the cookie, and [Session.Destroy] ends the session. [App.Sessions]
// lists where a user is logged in, [App.Revoke] ends all of them. What becomes
// of a guest's state when a login finds another one is up to Module.Adopt.
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
// depth of structs, while maps, slices and arrays are replaced whole. For
// changes that this does not cover there are Module.Version and Module.Migrate.
//
// The tag `stay:"key"` marks fields that say who the owner is: payloads, resets
// and migrations leave them alone. `stay:"preserve"` keeps a field through
// [State.Reset] and, with Module.ResetOnPageLoad, through page loads.
// `stay:"private"` keeps it from web.Actions and from payloads.
//
// # Actions and hooks
//
// An [Action] is a change that clients make by name, with a payload: see
// [WithPayload], and [Call.After] for what is to happen once the change is
// durable. Module.OnCreated, OnDestroyed and OnExpire follow a state through
// its life in memory and in the store; OnError is told of what concerns no
// caller alone.
//
// # Errors
//
// Every error has a [Code], see [CodeOf]. [ErrUnknown] means that a change may
// have happened; every other error, that it has not. Mistakes in definitions
// panic in New and Register, with the mend.
package stay
