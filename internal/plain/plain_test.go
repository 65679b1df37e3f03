package plain_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/stay-go/stay/internal/plain"
)

// What is written and read without encoding/json is the same as with it.
func TestPlainSessionsAreTheSameJSON(t *testing.T) {
	long := plain.Life{Created: math.MaxInt64, Seen: math.MinInt64}
	for _, life := range []plain.Life{
		{},
		{Gen: 1, Created: 1_700_000_000_000, Seen: 1_700_000_000_001, Expires: 1_700_000_000_002},
		{Gen: math.MaxUint32, Created: -1, Seen: 10, Expires: 999_999_999_999_999_999},
		long,
	} {
		for _, device := range []string{"", "Mozilla/5.0 (X11; Linux x86_64)", `quotes " \`, "<b>&", "J\u00fcrgen", "\x7f", "\x00\x1f"} {
			want, err := json.Marshal(struct {
				plain.Life
				Device string `json:"device,omitempty"`
			}{life, device})
			if err != nil {
				t.Fatal(err)
			}
			escaped := strings.ContainsFunc(device, func(c rune) bool { return c < ' ' || c > '~' || strings.ContainsRune(`"\<>&`, c) })
			got, ok := plain.Append([]byte("x"), &life, device)
			if ok == escaped || ok && string(got) != "x"+string(want) {
				t.Errorf("written: %s, %v, want %s", got, ok, want)
			}
			read, text, ok := plain.Read(want)
			if ok != (!escaped && life != long) || ok && (read != life || string(text) != device) {
				t.Errorf("%s is read as %+v %q, %v", want, read, text, ok)
			}
		}
	}
}

// Whoever knows that a form is plain knows its bytes: no other form is.
func TestOtherFormsAreNotPlain(t *testing.T) {
	const form = `{"gen":1,"created":2,"seen":3,"expires":4,"device":"x"}`
	if _, _, ok := plain.Read([]byte(form)); !ok {
		t.Fatalf("%s is not plain", form)
	}
	gen := func(n string) string { return strings.Replace(form, ":1,", ":"+n+",", 1) }
	device := func(text string) string { return strings.Replace(form, `"x"`, text, 1) }
	for _, other := range []string{
		form + " ", " " + form, form[:len(form)-1], form + "}", strings.ToUpper(form),
		gen("01"), gen("-0"), gen("00"), gen("4294967296"), gen("-1"), gen(""), gen("1e3"), gen("1.0"), gen("9223372036854775808"), gen(" 1"),
		device(`""`), device(`"\u0041"`), device(`"x`), device(`"<"`), device("1"),
		strings.Replace(form, `,"device"`, `,"ended":7,"device"`, 1), strings.Replace(form, `,"seen":3`, "", 1),
		"null", "{}", "", "[]",
	} {
		if life, text, ok := plain.Read([]byte(other)); ok {
			t.Errorf("%s is read as %+v %q", other, life, text)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"gen":1,"created":2,"seen":3,"expires":4,"device":"x"}`))
	f.Add([]byte(`{"gen":0,"created":-2,"seen":3,"expires":0}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		life, device, ok := plain.Read(b)
		if !ok {
			return
		}
		if again, ok := plain.Append(nil, &life, string(device)); !ok || string(again) != string(b) {
			t.Errorf("%s is written as %s", b, again)
		}
	})
}
