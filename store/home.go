package store

import "strings"

// Home names the place where a record is at home. It is for stores that are made
// of several places, such as shards, or a server's object for each session: they
// keep records with one home in one place. So a group whose writes have one home
// is atomic there ([Features].GroupsAtHome).
//
// These are Stay's keys, and their homes:
//
//	session/<module>/<session>         session/<session>
//	guest/<module>/<session>           session/<session>
//	guest/<module>/<session>.<number>  session/<session>
//	stay/session/<session>             session/<session>
//	user/<module>/<user>               user/<user>
//	stay/user/<user>                   user/<user>
//	key/<module>/<key>                 key/<module>/<key>
//	global/<module>/                   global/<module>
//	stay/claim/<key>                   that of the key
//	stay/turn/<key>                    that of the key
//	stay/present/<key>                 that of the key
//	stay/expired/<number>/<key>        that of the key
//	stay/tx/<id>/<key>                 that of the key (see package sharded)
//	all others                         the key itself
//
// A session is named without a dot and a module without a slash; users and keys
// are any bytes. Most of what a session does is a group at one home: a change of
// a state, a reset, a renewal, the expiry and the end; without a user also
// the creation of a state. Groups over several homes have one session at most,
// with users and computed keys: a login, a logout, a change of the key, and the
// creation of a state by a session that has a user, which is created only if
// the user has not revoked the session. On a store with other owners, also each
// change of a user's or a key's state checks the session and its user.
//
// Home depends on the key alone, and keys keep their homes in later versions.
func Home(key string) string {
	scope, rest, _ := strings.Cut(key, "/")
	name, id, ok := strings.Cut(rest, "/")
	if !ok {
		return key
	}
	switch scope {
	case "session", "guest":
		id, _, _ = strings.Cut(id, ".")
		return "session/" + id
	case "user":
		return "user/" + id
	case "global":
		return "global/" + name
	case "stay":
		switch name {
		case "session", "user":
			return name + "/" + id
		case "claim", "turn", "present":
			return Home(id)
		case "expired", "tx":
			if _, key, ok := strings.Cut(id, "/"); ok {
				return Home(key)
			}
		}
	}
	return key
}

// atOneHome reports whether all writes of a group have one home.
func atOneHome(g Group) bool {
	home := Home(g[0].Key)
	for i := 1; i < len(g); i++ {
		if Home(g[i].Key) != home {
			return false
		}
	}
	return true
}
