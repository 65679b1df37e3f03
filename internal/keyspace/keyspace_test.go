package keyspace_test

import (
	"strings"
	"testing"

	"github.com/stay-go/stay/internal/keyspace"
	"github.com/stay-go/stay/store"
)

// Keys of different modules, strategies and keys never meet, whatever bytes
// they are made of.
//
// Proves A4, A6.
func FuzzKeys(f *testing.F) {
	f.Add("a", "b", "k", "k", false)
	f.Add("a", "a", "b/k", "b", true)
	f.Add("a.b", "a", "", "b/", false)
	f.Add("session", "stay", "\x00", "session/\xff", true)
	f.Fuzz(func(t *testing.T, name1, name2, key1, key2 string, global bool) {
		if strings.Contains(name1+name2, "/") {
			t.Skip("Register refuses the name")
		}
		scope2 := keyspace.Session
		if global {
			scope2 = keyspace.Global
		}
		full1, full2 := keyspace.Prefix(keyspace.Session, name1)+key1, keyspace.Prefix(scope2, name2)+key2
		same := name1 == name2 && key1 == key2 && scope2 == keyspace.Session
		if (full1 == full2) != same {
			t.Errorf("session %q %q and %s %q %q give %q and %q", name1, key1, scope2, name2, key2, full1, full2)
		}
		for _, system := range []string{keyspace.Sessions + key1, keyspace.Users + key1, keyspace.SigningKeys, keyspace.Modules, keyspace.Sweep, keyspace.Check, keyspace.Claim(key1), keyspace.Turn(key1), keyspace.Present(key1), keyspace.Aside(full1, 1)} {
			if full1 == system || full2 == system {
				t.Errorf("a state has the key %q of a system record", system)
			}
			if !keyspace.IsSystem(system) {
				t.Errorf("%q is not taken for a system record", system)
			}
		}
		if scope, name, id := keyspace.Split(full1); scope != keyspace.Session || name != name1 || id != key1 {
			t.Errorf("%q is taken apart into %q, %q and %q", full1, scope, name, id)
		}
		if keyspace.IsSystem(full1) {
			t.Errorf("%q is taken for a system record", full1)
		}
		if got := keyspace.Original(keyspace.Aside(full1, 7)); got != full1 || !keyspace.IsAside(keyspace.Aside(full1, 7)) {
			t.Errorf("%q that was set aside was %q", full1, got)
		}
		if got := keyspace.Original(full1); got != full1 {
			t.Errorf("%q was %q", full1, got)
		}
	})
}

// A key tells which session its record belongs to, and whom it names, also
// where it is that of a module that nobody registers.
func TestKeysNameSessionsAndOwners(t *testing.T) {
	id := keyspace.SessionID([16]byte{1})
	if !keyspace.MayBeSessionID(id) || keyspace.MayBeSessionID(id[1:]) || id == keyspace.SessionID([16]byte{2}) {
		t.Errorf("the ID of a session is %q", id)
	}
	for _, c := range []struct{ key, session, before, owner string }{
		{keyspace.Sessions + id, id, "", ""},
		{keyspace.Prefix(keyspace.Session, "m") + id, id, "", ""},
		{keyspace.Prefix(keyspace.Guest, "m") + keyspace.GuestID(id, 0), id, "", ""},
		{keyspace.Prefix(keyspace.Guest, "m") + keyspace.GuestID(id, 12), id, "", ""},
		{keyspace.Prefix(keyspace.User, "m") + "ann", "", "m/", "ann"},
		{keyspace.Prefix(keyspace.Key, "m") + "a/b", "", "m/", "a/b"},
		{keyspace.Aside(keyspace.Prefix(keyspace.Key, "m")+"a/b", 3), "", "m/", "a/b"},
		{keyspace.Prefix(keyspace.Global, "m"), "", "", ""},
		{keyspace.Users + "ann", "", "user/", "ann"},
		{keyspace.SigningKeys, "", "", ""},
		{keyspace.Claim("x"), "", "", ""},
		{keyspace.Turn(keyspace.Prefix(keyspace.User, "m") + "ann"), "", "m/", "ann"},
		{keyspace.Present(keyspace.Prefix(keyspace.Key, "m") + "a/b"), "", "m/", "a/b"},
		{keyspace.Present(keyspace.Prefix(keyspace.Session, "m") + id), "", "", ""},
		{keyspace.Claim(keyspace.Sessions + id), "", "", ""},
		{keyspace.Claim(keyspace.Prefix(keyspace.User, "m") + "ann"), "", "m/", "ann"},
		{keyspace.Claim(keyspace.Aside(keyspace.Prefix(keyspace.Key, "m")+"a/b", 3)), "", "m/", "a/b"},
	} {
		if got := keyspace.SessionOf(c.key); got != c.session {
			t.Errorf("%q belongs to session %q, want %q", c.key, got, c.session)
		}
		if before, owner := keyspace.Owner(c.key); before != c.before || owner != c.owner {
			t.Errorf("%q names %q after %q, want %q after %q", c.key, owner, before, c.owner, c.before)
		}
	}
	if keyspace.GuestID(id, 1) == keyspace.GuestID(id, 11) {
		t.Error("two guests of a session have one name")
	}
}

// The layout of keys and store.Home agree: what belongs to a session or a user
// has its home, also when it is claimed or set aside.
//
// Proves A17.
func TestKeysHaveHomes(t *testing.T) {
	id := keyspace.SessionID([16]byte{1})
	session, ann := store.Home(keyspace.Sessions+id), store.Home(keyspace.Users+"ann")
	for key, home := range map[string]string{
		keyspace.Prefix(keyspace.Session, "m") + id:                     session,
		keyspace.Prefix(keyspace.Guest, "m") + keyspace.GuestID(id, 0):  session,
		keyspace.Prefix(keyspace.Guest, "m") + keyspace.GuestID(id, 12): session,
		keyspace.Prefix(keyspace.User, "m") + "ann":                     ann,
		keyspace.Prefix(keyspace.Key, "m") + "a/b":                      keyspace.Prefix(keyspace.Key, "m") + "a/b",
		keyspace.Prefix(keyspace.Global, "m"):                           keyspace.Module(keyspace.Global, "m"),
	} {
		aside := keyspace.Aside(key, 1<<40)
		for _, k := range []string{key, aside, keyspace.Claim(key), keyspace.Claim(aside), keyspace.Turn(key), keyspace.Present(key)} {
			if got := store.Home(k); got != home {
				t.Errorf("the home of %q is %q, want %q", k, got, home)
			}
		}
	}
	if session == ann || session == store.Home(keyspace.Sessions+keyspace.SessionID([16]byte{2})) {
		t.Error("homes are shared")
	}
	longest := strings.Repeat("k", 512)
	if n := len(keyspace.Claim(keyspace.Aside(keyspace.Prefix(keyspace.Session, strings.Repeat("m", 64))+longest, 1<<63))); n > store.MaxKey {
		t.Errorf("a claim may have a key of %d bytes", n)
	}
}
