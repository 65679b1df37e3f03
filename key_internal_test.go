package stay

import "testing"

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
		if !validName.MatchString(name1) || !validName.MatchString(name2) {
			t.Skip("Register refuses the name")
		}
		scope2 := scopeSession
		if global {
			scope2 = scopeGlobal
		}
		full1, full2 := scopeSession.prefix(name1)+key1, scope2.prefix(name2)+key2
		same := name1 == name2 && key1 == key2 && scope2 == scopeSession
		if (full1 == full2) != same {
			t.Errorf("session %q %q and %d %q %q give %q and %q", name1, key1, scope2, name2, key2, full1, full2)
		}
		for _, system := range []string{"stay/session/" + key1, keysRecord} {
			if full1 == system || full2 == system {
				t.Errorf("a state has the key %q of a system record", system)
			}
		}
	})
}
