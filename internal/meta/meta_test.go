package meta_test

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stay-go/stay/internal/meta"
)

var update = flag.Bool("update", false, "write the golden files")

var (
	first  = meta.Writer{Node: [8]byte{1, 2, 3, 4, 5, 6, 7, 8}, Seq: 1}
	second = meta.Writer{Node: [8]byte{9, 9, 9, 9, 9, 9, 9, 9}, Seq: 300}
)

// forms are one of each form that records in stores have.
var forms = map[string]meta.Meta{
	"created": {Birth: first.Birth(), By: first},
	"changed": {Birth: first.Birth(), By: second, Others: first.Append(nil)},
	"deleted": {Birth: first.Birth(), By: second, Others: first.Append(nil), Deleted: true},
	"again":   {Birth: second.Birth(), By: second, Again: true},
	"actions": {Birth: first.Birth(), By: second, Others: first.Append(nil), Actions: actions(
		meta.Action{Name: 0x0102030405060708, Print: 0x11121314, Minute: 30_000_000},
		meta.Action{Name: 1 << 63, Minute: 30_000_001},
	)},
}

func actions(all ...meta.Action) []byte {
	list := make([]byte, len(all)*meta.ActionSize)
	for i, a := range all {
		a.Put(list[i*meta.ActionSize:])
	}
	return list
}

// The latest action of a name counts, and names that are not in the list are
// not found.
//
// Proves L27.
func TestActionsAreFoundByName(t *testing.T) {
	old, last := meta.Action{Name: 7, Print: 1, Minute: 5}, meta.Action{Name: 7, Print: 2, Minute: 6}
	list := actions(meta.Action{Name: 3}, old, last, meta.Action{Name: 9})
	if got, ok := meta.Find(list, 7); !ok || got != last {
		t.Errorf("found %v %v, want %v", got, ok, last)
	}
	if got, ok := meta.Find(list, 8); ok {
		t.Errorf("found %v of a name that is not there", got)
	}
}

// Max is exactly the length of what names as much as a record may name: package
// storetest tries it with every store, and the guide to stores says it.
//
// Proves C6.
func TestNoFormIsLongerThanMax(t *testing.T) {
	most := meta.Writer{Node: first.Node, Seq: math.MaxUint64}
	m := meta.Meta{Birth: first.Birth(), By: most, Deleted: true, Again: true}
	for range meta.MaxWriters - 1 {
		m.Others = most.Append(m.Others)
	}
	m.Actions = actions(make([]meta.Action, meta.MaxActions)...)
	if n := len(m.Append(nil)); n != meta.Max {
		t.Errorf("the longest form has %d bytes, Max is %d", n, meta.Max)
	}
	guide, err := os.ReadFile("../../docs/store-contract.md")
	if err != nil {
		t.Fatal(err)
	}
	if says := fmt.Sprintf("at present to %d,%03d bytes", meta.Max/1000, meta.Max%1000); !bytes.Contains(guide, []byte(says)) {
		t.Errorf("the guide to stores does not say %q", says)
	}
}

// What releases have written stays readable, so these bytes never change.
//
// Proves E5.
func TestFormsOfTheGoldenFilesAreWrittenAndRead(t *testing.T) {
	for name, want := range forms {
		file := filepath.Join("testdata", name+".hex")
		got := want.Append(nil)
		if *update {
			if err := os.WriteFile(file, []byte(hex.EncodeToString(got)+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		text, err := os.ReadFile(file) //nolint:gosec // a golden file
		if err != nil {
			t.Fatal(err)
		}
		golden, err := hex.DecodeString(strings.TrimSpace(string(text)))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, golden) {
			t.Errorf("%s is written as %x, want %x", name, got, golden)
		}
		if len(got) != want.Len() {
			t.Errorf("%s has %d bytes, %d were announced", name, len(got), want.Len())
		}
		same(t, name, golden, want)
	}
}

// A section of a later release is skipped, unless it says that who does not know
// it must not use the record.
//
// Proves E5.
func TestSectionsOfLaterReleasesAreSkippedUnlessTheyForbidIt(t *testing.T) {
	for name, want := range forms {
		b := want.Append(nil)
		for tag, usable := range map[byte]bool{0x70: true, 0x80: false, 0xff: false} {
			later := append(slices.Clone(b), tag, 3, 1, 2, 3)
			same(t, name, later, want)
			if got := meta.Usable(later); got != usable {
				t.Errorf("%s with section %#x: usable is %v", name, tag, got)
			}
		}
		if !meta.Usable(b) {
			t.Errorf("%s is not usable", name)
		}
	}
}

// Bytes that no engine wrote say nothing: those of other programs, and those of
// stores that stand on other stores.
//
// Proves E5.
func TestBytesOfOthersSayNothing(t *testing.T) {
	all := forms["deleted"]
	for _, b := range [][]byte{nil, []byte("hello, world"), {3}, append([]byte{0x83}, all.Append(nil)[1:]...)} {
		same(t, string(b), b, meta.Meta{})
		if !meta.Usable(b) {
			t.Errorf("%x forbids the use of the record", b)
		}
	}
}

func same(t *testing.T, name string, b []byte, want meta.Meta) {
	t.Helper()
	var writers []meta.Writer
	if want.By.Seq != 0 {
		writers = append(writers, want.By)
	}
	if got := meta.Again(b); got != want.Again {
		t.Errorf("%s: again is %v", name, got)
	}
	writers = slices.AppendSeq(writers, meta.Writers(want.Others))
	if got := slices.Collect(meta.WritersOf(b)); !slices.Equal(got, writers) {
		t.Errorf("%s: writers %v, want %v", name, got, writers)
	}
	if got := meta.Birth(b); got != want.Birth {
		t.Errorf("%s: birth %d, want %d", name, got, want.Birth)
	}
	if got := meta.Deleted(b); got != want.Deleted {
		t.Errorf("%s: deleted is %v", name, got)
	}
	if got := meta.ActionsOf(b); !bytes.Equal(got, want.Actions) {
		t.Errorf("%s: actions %x, want %x", name, got, want.Actions)
	}
}

// No bytes of a store make a reader fail or read beyond them.
//
// Proves E5.
func FuzzMeta(f *testing.F) {
	for _, m := range forms {
		f.Add(m.Append(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		whole := slices.Clip(slices.Clone(b))
		n := 0
		for w := range meta.WritersOf(whole) {
			if n += len(w.Node) + 1; n > len(b) {
				t.Fatal("more writers than bytes")
			}
		}
		if meta.Deleted(whole) && meta.Birth(whole) != meta.Birth(append(whole, 0x70, 0)) {
			t.Error("a later section changes what the earlier say")
		}
		_ = meta.Usable(whole)
		list := meta.ActionsOf(whole)
		if len(list)%meta.ActionSize != 0 || len(list) > len(b) {
			t.Fatal("a list of actions that is none")
		}
		for i := 0; i < len(list); i += meta.ActionSize {
			if _, ok := meta.Find(list, meta.ActionAt(list[i:]).Name); !ok {
				t.Error("an action is not found by its name")
			}
		}
		if !bytes.Equal(b, whole) {
			t.Error("the bytes were changed")
		}
	})
}
