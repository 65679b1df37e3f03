package stay

import (
	"encoding/json"
	"reflect"
	"time"

	"github.com/stay-go/stay/internal/keyspace"
	"github.com/stay-go/stay/store"
)

// A Module defines one piece of state: plain data, which may be registered
// with several Apps. S is a struct whose exported fields are what is kept, as
// JSON.
type Module[S any] struct {
	// Name identifies the module in an App; it is part of keys in the store and of
	// paths in web.Actions. 1 to 64 letters, digits, '-', '_' and '.', not
	// beginning with a dot.
	Name string
	// Formerly are the names that the module had before, the oldest first, at
	// most three. A state that is stored under one of them is found, and moves
	// to Name with its next change, in the same step; reading moves nothing.
	// Before it moves, the module's options hold for it too, Expiry and
	// OnExpire included.
	//
	// A program that has only a former name of the module does not find a state
	// that has moved. So if processes of two releases share a store, make a
	// release with the future name among the former ones before the release
	// with the new Name: the two find each other's states.
	//
	// If a key has states under several names, the one under the newest counts.
	// The first such key is logged and passed to OnError, with ErrConflict and
	// the phase "load". The others stay, unseen, until the state is deleted or
	// has expired. Clients use Name: web.Actions has no paths with former
	// names.
	Formerly []string
	// Initial is the state of a key that has none stored. It is copied.
	Initial S
	// Persist says who owns a state, and makes it stored. Nil means ephemeral: one
	// state for each session, kept like the states of guests: Options.Guests says
	// where, GuestMode how long.
	Persist Strategy
	// Actions are what clients may do by name. The names follow the rule of
	// Name.
	Actions Actions[S]
	// OnCreated runs after each load of a state into memory, before any caller
	// sees it; Call.Restored tells a stored state from a fresh one. Its changes
	// are seen by readers and stored with the first action's. It may run many
	// times and on several machines, so it must be idempotent. After an error
	// or a panic the load fails. Changing state with its context is ErrNested.
	OnCreated func(*Call, *S) error
	// OnDestroyed gets a copy of the committed state when it leaves memory: by
	// eviction, deletion, expiry, the end of a guest, App.Close. It is not called
	// for a state that was only read and never kept, nor for one that is loaded
	// again at once because another process has changed it. It runs a little
	// later, outside of changes, so the state may be in memory again by then, and
	// may be called concurrently. Slow hooks slow down the loading of further
	// states. Its context ends with the App, and when App.Close gives up; hooks
	// that Close has no time for are not called. Changing state with its context
	// is ErrNested. A panic goes to OnError.
	OnDestroyed func(*Call, *S)
	// OnExpire gets a copy of a state that has expired, alone or with its
	// session, within about three minutes and before its record is removed. It
	// is called at least once, in one process at a time, and again if that
	// process dies, or fails to remove the record. If a state is used again
	// before that, it begins with the initial value, and the hook still gets
	// the old one. A state that cannot be read stays stored, for repair, and is
	// tried again about every hour. The hook's context ends after a minute at
	// the latest; until it returns, nothing else expires. A state that was
	// deleted, or whose session was destroyed, does not expire. Stored states
	// need a store that finds what has expired. Otherwise the rules of
	// OnDestroyed hold.
	OnExpire func(*Call, *S)
	// Presence has [State.Present] say who has pages open that follow a state, and
	// has what follows it see when that changes. It costs the memory of the list
	// and, on a store with other owners, a write each ten seconds for each state
	// that somebody follows on this node.
	Presence bool
	// OnConnect is called when a session gets its first page that follows the
	// state: a stream of web.Live, or a loop of [State.Watch], with the session of
	// a request. A page that was there less than ten seconds ago counts as there,
	// so a reload calls nothing.
	//
	// It gets a copy of the state as it is when it is called. Call.Session has the
	// ID and the user of the session. It runs in a goroutine of its own, outside of
	// changes, and may change state with the Call's context, which ends after a
	// minute, and with the App. The hooks of one session and state are called one
	// after another, those of others concurrently, at most eight at once. If a hook
	// is slow, and the session has come and gone meanwhile, neither is told. A panic
	// goes to OnError.
	//
	// If the state or the session cannot be read, the hook is tried again after a
	// second and less and less often, seven times in about a minute; of a damaged
	// state it is not tried again. Then it is missed, and OnError is told that in its
	// phase. After an OnConnect that was missed, that visit has no OnDisconnect.
	//
	// Each process counts its own pages: when a page moves to another node, both
	// call their hooks. App.Close and a crash call none. Of more than 1000 sessions
	// with pages of one state at once, further ones have no hooks.
	OnConnect func(*Call, *S)
	// OnDisconnect is called ten seconds after the session's last page of the
	// state has gone. If the state is gone too, it gets the initial one. Otherwise
	// the rules of OnConnect hold.
	OnDisconnect func(*Call, *S)
	// OnReconnect is called in place of OnConnect if OnDisconnect was called
	// before, in this process, and the session has not expired since. Of all
	// modules together, the last 10,000 sessions that have gone are known, each
	// with its state. Nil means OnConnect.
	OnReconnect func(*Call, *S)
	// OnError gets the module's failures instead of Options.OnError, by the same
	// rules.
	OnError func(*Call, *Error)
	// Adopt decides what happens to a guest's state when its session gets a key
	// that has a state already, as at a login: it may change stored, which has
	// the key fields of result. Result is the state after the action (for
	// PerUser, the guest's state). An error refuses the login, and nothing
	// changes. Default [KeepStored].
	Adopt func(stored, result *S) error
	// ResetOnPageLoad resets the state, but for the fields tagged
	// `stay:"preserve"` and `stay:"key"`, whenever the browser loads a
	// whole page and not a part of one; see web.Sessions. It is not for
	// Global and ResolveKey states.
	ResetOnPageLoad bool
	// With Debounce changes are acknowledged before they are stored; storing
	// begins at most this long after the first of them. Default 0: a change is
	// acknowledged when it is stored. A crash loses changes that were not stored
	// yet. Close, eviction, the end of the session and a change of the key store
	// them at once; if that fails, a change of the key fails with ErrUnavailable,
	// and nothing changes. Any other failure is reported, and the App tries again
	// after pauses that grow from 100 ms to 30 s, while the state goes on in
	// memory. Changes that are not stored yet are lost with a state that is
	// deleted, also if the Delete ends as ErrUnknown, and with a session that is
	// destroyed; Keys does not list, and At with a session's ID does not find,
	// what was never stored. It needs a store with a sole owner.
	Debounce time.Duration
	// Expiry is how long a state stays after its last change; default 0, which
	// means for ever. A state of a session, such as a guest's, never outlives the
	// session (see GuestMode). Expiry holds for a guest's state in memory and for
	// stored ones. Reading a state does not put its expiry off, nor does a change
	// that changes nothing. An expired state is never served: the state begins
	// again with the initial value. Ephemeral states have no Expiry.
	Expiry time.Duration
	// Version is the version of the schema of S; default 1. Raise it only for
	// changes that older programs would misread: added fields need no new version.
	// A record of a higher version is ErrCorrupt, and left as it is.
	Version int
	// Migrate holds the steps from older versions, by the version they start from:
	// step n makes version n+1. The steps up to Version-1 have no gaps. They run
	// when a state is loaded, before it is merged over Initial, and their result
	// is stored with the next change. Reading stores nothing, so a step runs again
	// with each load until then, and must return the same result for the same
	// record. Steps may run concurrently. A step gets valid JSON, which it may
	// change in place, and should keep the members that it does not know.
	//
	// A record that is older than the first step, and one whose step panics or
	// returns an error or invalid JSON, is ErrCorrupt and left as it is. So is
	// a record if a step changes or adds the member of a field tagged
	// `stay:"key"`; if the step leaves the member out, it is put back.
	Migrate map[int]func(json.RawMessage) (json.RawMessage, error)
	// Store keeps the module's states instead of the App's store, and is closed by
	// App.Close. Modules may share one. PerUser, WithKey and ResolveKey states are
	// written in one group with the session's record, so they are in the App's
	// store. The states of a session that was not used for Options.IdleTimeout
	// stay in Store until its Options.Lifetime is over, out of reach.
	//
	// A PerSession state in Store cannot be created in one group with a check of
	// the session's record. So the App reads the record again when the state is
	// stored. If the session was ended, renewed or revoked meanwhile, the state is
	// removed before the change fails with ErrEnded, or with ErrUnknown if it
	// cannot be removed. Until then other processes that share Store may see it,
	// and a crash in between leaves it there: out of reach if the session has
	// ended, otherwise as a change of unknown outcome.
	Store store.Store
}

// An Action changes a state, all or nothing: its changes of s are kept when it
// returns nil and dropped when it returns an error, panics, or ends its
// goroutine. It runs alone for its key, may run more than once (after a
// conflict), and must have no side effects: see [Call.After] for those.
type Action[S any] func(c *Call, s *S) error

// Actions are the actions of a module by name.
type Actions[S any] map[string]Action[S]

// KeepStored is the policy for Module.Adopt that drops the guest's state if the
// key has a state: the default.
func KeepStored[S any](_, _ *S) error { return nil }

// KeepGuest is the policy for Module.Adopt that replaces the stored state by
// the guest's.
func KeepGuest[S any](stored, result *S) error {
	*stored = *result
	return nil
}

// A Strategy says who owns a state: [PerSession], [PerUser], [Global],
// [WithKey] or [ResolveKey].
type Strategy interface {
	scope() scope
}

type scope uint8

const (
	scopeEphemeral scope = iota
	scopeSession
	scopeGlobal
	scopeUser
	scopeKey
)

func (s scope) scope() scope { return s }

// inKeys returns the word for the scope in the keys of a store.
func (s scope) inKeys() string {
	switch s {
	case scopeSession:
		return keyspace.Session
	case scopeGlobal:
		return keyspace.Global
	case scopeUser:
		return keyspace.User
	case scopeKey:
		return keyspace.Key
	}
	return keyspace.Guest
}

var (
	// PerSession: each browser session has its own state.
	PerSession Strategy = scopeSession
	// PerUser: each user has one state, on all their devices. Before
	// [Session.Login] and after [Session.Logout] a session has its own guest
	// state.
	PerUser Strategy = scopeUser
	// Global: one state for all visitors.
	Global Strategy = scopeGlobal
)

// A keyStrategy computes the key from the state.
type keyStrategy struct {
	typ  reflect.Type // S
	name string       // name of the function that made it, for messages
	// key computes the key of v, a *S. The Call is nil if there is no session;
	// then only a strategy that does not read it may be asked.
	key func(c *Call, v any) string
	// calls: key reads the Call.
	calls bool
}

func (*keyStrategy) scope() scope { return scopeKey }

// WithKey: the key is computed from the state, once after every change, from
// the state after the change; "" means not persisted. Before a key appears, and
// after it is gone, the session has its own guest state. When a change of state
// makes a key appear, as a login does, the state stored under the key is loaded
// before any caller sees the result; Module.Adopt decides about the guest's
// state.
//
// fn reads only fields tagged `stay:"key"`, which say who the owner is; S must
// have one. It returns at most 512 bytes, of any value, and "" for the initial
// state. It must be quick and have no side effects.
func WithKey[S any](fn func(*S) string) Strategy {
	if fn == nil {
		panic("stay.WithKey: the function is nil")
	}
	return &keyStrategy{
		typ: reflect.TypeFor[S](), name: "WithKey",
		key: func(_ *Call, v any) string { return fn(v.(*S)) },
	}
}

// ResolveKey is [WithKey] with a function that may also read the Call: its
// module and its session's ID and User. S needs fields tagged `stay:"key"` only
// if fn reads the state, and the key of the initial state need not be ""; if it
// is not, a session begins with the state of that key and not as a guest. If S
// has no key fields, the key follows from the session alone, and changes only
// with [Session.Login] and [Session.Logout]. If it has, the key changes with
// the state, and a change of the session's user ends it: the session goes on
// with the initial state and its key, as before the first change of the key.
func ResolveKey[S any](fn func(*Call, *S) string) Strategy {
	if fn == nil {
		panic("stay.ResolveKey: the function is nil")
	}
	return &keyStrategy{
		typ: reflect.TypeFor[S](), name: "ResolveKey", calls: true,
		key: func(c *Call, v any) string { return fn(c, v.(*S)) },
	}
}

// maxKey is the largest length of a state's key, in bytes.
const maxKey = 512
