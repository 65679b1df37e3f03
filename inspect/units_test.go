package inspect

import (
	"strings"
	"testing"
	"time"

	"github.com/stay-go/stay/internal/access"
)

// A sealed name is opened by who sealed it, as what it was sealed as, and not if
// one bit of it is another.
func TestRefsAreSealed(t *testing.T) {
	r := newRefs()
	for _, name := range []string{"", "ann", "a\x00b/c\xff", strings.Repeat("k", 1024)} {
		ref := r.seal(refUser, name)
		if got, ok := r.open(refUser, ref); !ok || got != name {
			t.Errorf("%q became %q, %v", name, got, ok)
		}
		if name != "" && strings.Contains(ref, name) {
			t.Errorf("%q is in %q", name, ref)
		}
		if ref != r.seal(refUser, name) || ref == r.seal(refSession, name) {
			t.Errorf("%q is sealed in more than one way, or as two kinds in one", name)
		}
		if _, ok := r.open(refSession, ref); ok {
			t.Errorf("the user %q is a session", name)
		}
		if _, ok := newRefs().open(refUser, ref); ok {
			t.Errorf("another process opens %q", name)
		}
		for i := range ref {
			other := []byte(ref)
			if other[i]++; other[i] == '[' || other[i] == '{' || other[i] == ':' {
				other[i] = 'A'
			}
			if got, ok := r.open(refUser, string(other)); ok && got != name {
				t.Errorf("%q was changed to %q", name, got)
			}
		}
	}
	for _, p := range []access.Place{{Module: "cart"}, {Module: "cart", Guest: true, Key: "k/g\x00"}, {Module: "c.a-t_", Key: "g"}} {
		if got, ok := r.openState(r.state(p)); !ok || got != p {
			t.Errorf("%+v became %+v, %v", p, got, ok)
		}
	}
}

func FuzzRefs(f *testing.F) {
	r := newRefs()
	f.Add("", "x")
	f.Add(r.seal(refState, "cart/kann"), "ann")
	f.Fuzz(func(t *testing.T, ref, name string) {
		if _, ok := r.openState(ref); ok && ref != r.seal(refState, "cart/kann") {
			t.Errorf("%q is a state", ref)
		}
		if got, ok := r.open(refAfter, r.seal(refAfter, name)); !ok || got != name {
			t.Errorf("%q became %q", name, got)
		}
	})
}

// Names, numbers and times are written for people.
func TestTextsAreForPeople(t *testing.T) {
	now := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	at := func(d time.Duration) string { return momentOf(now.Add(d), now).Text }
	for got, want := range map[string]string{
		printable("ann@example.com"): "ann@example.com", printable("Zoë 日本"): "Zoë 日本", printable("a\u202eb"): `a\u202eb`,
		printable("a\x00\xff"): `a\x00\xff`, printable(`"a" \`): `"a" \`, printable(strings.Repeat("ä", 100)): strings.Repeat("ä", 60) + "…",
		printable("x" + strings.Repeat("ä", 100)): "x" + strings.Repeat("ä", 59) + "…",
		number(0): "0", number(999): "999", number(1000): "1,000", number(uint64(1234567)): "1,234,567",
		size(0): "0 B", size(1023): "1023 B", size(1024): "1.0 KiB", size(150 << 10): "150 KiB", size(256 << 20): "256 MiB", size(int64(3) << 30): "3072 MiB",
		lasts(0): "0s", lasts(90 * time.Second): "1 min 30 s", lasts(24 * time.Hour): "1 d", lasts(30 * 24 * time.Hour): "30 d", lasts(25*time.Hour + time.Minute): "1 d 1 h", lasts(20 * time.Millisecond): "20ms",
		took(0): "0.00 ms", took(1234 * time.Microsecond): "1.2 ms", took(3 * time.Second): "3000 ms", took(123456): "0.12 ms",
		rate(0): "0", rate(0.2): "0.20", rate(12.34): "12.3", rate(1234.5): "1234", rate(4): "4",
		at(0): "now", at(-time.Minute): "1 min ago", at(time.Hour): "in 1 h", at(-100 * time.Millisecond): "now",
		at(-150 * time.Second): "2 min ago", at(-59 * time.Second): "59 s ago", at(-26*time.Hour - time.Minute): "1 d 2 h ago", at(30*24*time.Hour - time.Second): "in 30 d",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if momentOf(time.Time{}, now) != nil {
		t.Error("the zero time is a moment")
	}
	for in, want := range map[string]string{
		`{"a":"x"}`: "{\n  \"a\": \"x\"\n}", `["` + "\u202e\U000e0041\u00a0\U0001f600" + `"]`: "[\n  \"\\u202e\\udb40\\udc41\\u00a0\U0001f600\"\n]", ``: "",
		`["\u003cb\u003e \u0026 \\u003c"]`: "[\n  \"<b> & \\\\u003c\"\n]",
	} {
		if got, cut := pretty([]byte(in)); got != want || cut {
			t.Errorf("%s became %s", in, got)
		}
	}
}

// A list that looks for few of many keys stops, and goes on from there.
func TestScansAreBounded(t *testing.T) {
	looked := 0
	keys := func(yield func(string, error) bool) {
		for {
			looked++
			if !yield(strings.Repeat("k", looked%7)+"x", nil) {
				return
			}
		}
	}
	list, next, scanned, err := scan(keys, func(string) bool { return false })
	if err != nil || len(list) != 0 || next == "" || scanned != mostScanned || looked != mostScanned+1 {
		t.Errorf("%d found, next %q, %d scanned, %d looked at, %v", len(list), next, scanned, looked, err)
	}
}
