// Package keyspace is the layout of the keys in a store: what the key of each
// record consists of, and what a key tells of its record.
//
//	session/<module>/<session>     a state of a session
//	user/<module>/<user>           a state of a user
//	key/<module>/<key>             a state of a computed key
//	global/<module>/               the state of everybody
//	guest/<module>/<guest>         a guest's state, or an ephemeral one
//	stay/session/<session>         the record of a session
//	stay/user/<user>               the record of a user
//	stay/keys                      the signing keys
//	stay/modules                   the modules of the programs on the store
//	stay/claim/<key>               a claim on what has expired
//	stay/expired/<number>/<key>    an expired record that was set aside
//	stay/sweep                     says that a node removes what has expired
//	stay/turn/<key>                the nodes that take turns at a state
//	stay/present/<key>             who has pages open on the nodes that follow a state
//	stay/check                     never stored: what a readiness check reads
//	stay/tx/<id>/<key>             a group over several homes (package store/sharded)
//	stay/layout                    the stores that belong together (the same)
//
// A session is named by its ID, and a guest by [GuestID]. Names of modules have
// no slash, and everything before the last part is fixed. So keys of different
// modules, scopes and records never meet, whatever bytes the last part has.
// Home in package store says which of them belong together.
package keyspace

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"strconv"
	"strings"
)

// The scopes of states: what their keys begin with.
const (
	Session = "session"
	User    = "user"
	Key     = "key"
	Global  = "global"
	Guest   = "guest"
)

// The records of Stay's own. Sessions and Users are prefixes, the others keys.
const (
	Sessions    = system + "session/"
	Users       = system + "user/"
	SigningKeys = system + "keys"
	Modules     = system + "modules"
	Sweep       = system + "sweep"
	Check       = system + "check"
)

const (
	system   = "stay/"
	claimed  = system + "claim/"
	setAside = system + "expired/"
	turns    = system + "turn/"
	present  = system + "present/"
)

// Module is what the keys of a module's states begin with, without the slash
// that follows.
func Module(scope, module string) string { return scope + "/" + module }

// Prefix is what the keys of a module's states begin with.
func Prefix(scope, module string) string { return scope + "/" + module + "/" }

// Split takes apart the key of a state, or what [Module] returns.
func Split(key string) (scope, module, id string) {
	scope, rest, _ := strings.Cut(key, "/")
	module, id, _ = strings.Cut(rest, "/")
	return scope, module, id
}

// IsSystem reports whether the record is one of Stay's own, and no state.
func IsSystem(key string) bool { return strings.HasPrefix(key, system) }

// idBytes is how many bytes of the hash of a cookie's id name its session.
const idBytes = 20

var idEncoding = base32.NewEncoding("0123456789abcdefghijklmnopqrstuv").WithPadding(base32.NoPadding)

// SessionID names the session with this id in its cookie.
func SessionID(id [16]byte) string {
	sum := sha256.Sum256(id[:])
	return idEncoding.EncodeToString(sum[:idBytes])
}

// MayBeSessionID reports whether a text is as long as the name of a session.
func MayBeSessionID(id string) bool { return len(id) == idEncoding.EncodedLen(idBytes) }

// GuestID names the guest with this number of a session.
func GuestID(session string, number uint32) string {
	if number == 0 {
		return session
	}
	return session + "." + strconv.FormatUint(uint64(number), 10)
}

// SessionOf returns the ID of the session that a record belongs to, or "". It
// needs nothing but the key, so it knows the states of every module.
func SessionOf(key string) string {
	if id, ok := strings.CutPrefix(key, Sessions); ok {
		return id
	}
	if scope, _, id := Split(key); scope == Session || scope == Guest {
		id, _, _ = strings.Cut(id, ".") // see GuestID
		return id
	}
	return ""
}

// Owner returns the owner that a key names, with what stands before it. The
// keys of sessions and of most of Stay's own records name nobody.
func Owner(key string) (before, owner string) {
	for _, prefix := range []string{claimed, turns, present} {
		key = strings.TrimPrefix(key, prefix)
	}
	scope, module, owner := Split(Original(key))
	if scope == User || scope == Key || Module(scope, module)+"/" == Users {
		return module + "/", owner
	}
	return "", ""
}

// Claim names the record that claims an expired record, and what goes with it.
// It has the home of what it claims, so that both can be in one group there.
func Claim(key string) string { return claimed + key }

// Turn names the record with the nodes that take turns at a state. It has the
// state's home, so that both can be in one group there.
func Turn(key string) string { return turns + key }

// Present names the record that says who has pages open which follow a state. It
// has the state's home.
func Present(key string) string { return present + key }

// Aside names the record that an expired one becomes when it is set aside. The
// number tells it from others of the same key.
func Aside(key string, number uint64) string {
	return setAside + strconv.FormatUint(number, 10) + "/" + key
}

// IsAside reports whether a record was set aside.
func IsAside(key string) bool { return strings.HasPrefix(key, setAside) }

// Original returns the key that a record had before it was set aside, or the
// key that it has.
func Original(key string) string {
	if rest, ok := strings.CutPrefix(key, setAside); ok {
		_, key, _ = strings.Cut(rest, "/")
	}
	return key
}

// Hash names a key in logs and errors without telling it. "" has none.
func Hash(key string) string {
	if key == "" {
		return ""
	}
	h := sha256.Sum256([]byte(key))
	return hex.EncodeToString(h[:6])
}
