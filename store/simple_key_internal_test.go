package store

import (
	"strings"
	"testing"
)

// The names that a Simple gets are safe as file names, and no two keys share
// one, whatever bytes they are made of.
//
// Proves C6.
func FuzzSimpleKey(f *testing.F) {
	f.Add("session/counter/abc", "session=2fcounter/abc")
	f.Add("", ".")
	f.Add("A", "=41")
	f.Add("\x00\xff", "\xff\x00")
	f.Add(strings.Repeat("k", 200), strings.Repeat("k", 201))
	f.Fuzz(func(t *testing.T, a, b string) {
		name := simpleKey(a)
		if len(name) > maxSimpleKey || strings.HasPrefix(name, ".") || strings.HasSuffix(name, ".") {
			t.Errorf("key %q has the name %q", a, name)
		}
		if strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-_.=") != "" {
			t.Errorf("the name %q of key %q has other characters", name, a)
		}
		if (name == simpleKey(b)) != (a == b) {
			t.Errorf("keys %q and %q have the names %q and %q", a, b, name, simpleKey(b))
		}
	})
}
