// Package stay gives web applications typed server-side state: a module
// declares a struct, its initial value and who owns it, and handlers read and
// change it in place.
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
// change, [State.Watch] waits for changes. Every change runs as an
// all-or-nothing, serial transaction on a copy; what a change returns is
// durable, unless the module sets Debounce or the state is kept in memory. State
// is restored before anybody sees it.
//
// # Who owns the state
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
// replaces the cookie, [Session.Confirm] notes that the user has proved again
// who they are, and [Session.Destroy] ends the session. [App.Sessions] lists
// where a user is logged in, [App.Revoke] ends all of them. [App.AllSessions]
// and [App.Users] are for administrators. Module.Adopt decides about a guest's
// state when a login finds that the user has one already.
//
// # What a state can be
//
// A struct of exported fields that JSON can write and read again. Register
// refuses the others: unexported fields and those tagged `json:"-"`, channels,
// functions, interfaces other than any, `omitempty` where the initial value is
// not zero, structs that contain themselves through pointers. Values that JSON
// cannot hold, such as NaN, are ErrInvalid in the change that sets them. An int
// in an any becomes the float64 that JSON makes of it, and invalid UTF-8 in a
// string is replaced as JSON does. Stored values are merged over the initial
// value: a field that is absent in the store has its initial value, at any
// depth of structs, while maps, slices and arrays are replaced whole. For other
// changes use Module.Version and Module.Migrate.
//
// The tag `stay:"key"` marks fields that say who the owner is: payloads, resets
// and migrations leave them alone. `stay:"preserve"` keeps a field through
// [State.Reset] and, with Module.ResetOnPageLoad, through page loads.
// `stay:"private"` keeps it from web.Actions and from payloads.
//
// # Actions and hooks
//
// An [Action] is a change that clients make by name, with a payload: see
// [WithPayload], and [Call.After] for work that follows once the change is
// durable. Module.OnCreated, OnDestroyed and OnExpire follow a state through
// its life in memory and in the store; OnError gets the failures that do not
// belong to one caller.
//
// # Errors
//
// Every error has a [Code], see [CodeOf]. [ErrUnknown] means that a change may
// have happened; every other error, that it has not. Mistakes in definitions
// panic in New and Register, with a text that says the fix.
package stay

// The map of this package, from files that use no others to those that use all.
// Files in one line use each other; a file uses none of the lines below its
// own.
//
//	errors session_record                      codes, and what is stored of sessions and users
//	options call session module metrics trace base
//	                                           what users name, and what every part needs
//	module_register _registry _type _hooks _catalog
//	                                           what is registered: its checks, whose states they are, its
//	                                           form in the store, every call of a hook, the list in the store
//	session_store _visit _cookie _listed _login _waiting
//	                                           who: records, a request's session, its cookie, App.Sessions,
//	                                           logins, guests that wait for a program
//	app sweep                                  New, Close, Check, Revoke; what is done each minute
//	state state_read _change _move _follow _resolve
//	                                           the typed face; reading, changing, changing the key, seeing
//	                                           changes; which instance a call is about
//	access access_inspect                      the door of packages web, inspect, staytest and others
//
// Below it are internal/keyspace (the keys in a store), signing (cookies), sweep
// (what has expired), rename (states under former names of modules), hiding
// (owners in the errors of stores), loglimit, engine (instances in memory),
// schema, clone and bind.
