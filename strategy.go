package stay

import (
	"reflect"

	"github.com/stay-go/stay/internal/keyspace"
)

// A Strategy says whom a state belongs to: [PerSession], [PerUser], [Global],
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

// inKeys is what stands for the scope in the keys of a store.
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
	// PerSession: each browser session has a state of its own.
	PerSession Strategy = scopeSession
	// PerUser: each user has a state of their own, on all their devices.
	// Before [Session.Login] and after [Session.Logout] a session has a guest
	// state of its own.
	PerUser Strategy = scopeUser
	// Global: one state for everybody.
	Global Strategy = scopeGlobal
)

// A keyStrategy computes the key from the state.
type keyStrategy struct {
	typ  reflect.Type // S
	name string       // of the function that made it, for messages
	// key computes the key of v, a *S. The Call is nil where no session is at
	// hand; then only a strategy that does not look at it may be asked.
	key func(c *Call, v any) string
	// calls: key looks at the Call.
	calls bool
}

func (*keyStrategy) scope() scope { return scopeKey }

// WithKey: the key is computed from the state, once after every change, on
// what the change left; "" = not persisted. Before a key appears, and after it
// is gone, the session has a guest state of its own. When a change of state
// makes a key appear, as a login does, the state stored under the key is
// loaded before anybody sees the result; see Module.Adopt for what becomes of
// the guest's.
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

// ResolveKey is [WithKey] with a function that may also look at the Call: its
// module and its session's ID and User. S needs fields tagged `stay:"key"`
// only if fn reads the state, and the key of the initial state need not be "";
// if it is not, a session begins with the state of that key and not as a
// guest. If S has no key fields, the key follows from the session alone, and
// changes only with [Session.Login] and [Session.Logout]. If it has, the key
// changes with the state, and a change of the session's user ends it: the
// session goes on with the initial state and its key, as before the first
// change of the key.
func ResolveKey[S any](fn func(*Call, *S) string) Strategy {
	if fn == nil {
		panic("stay.ResolveKey: the function is nil")
	}
	return &keyStrategy{
		typ: reflect.TypeFor[S](), name: "ResolveKey", calls: true,
		key: func(c *Call, v any) string { return fn(c, v.(*S)) },
	}
}
