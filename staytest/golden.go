package staytest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/access"
)

// Golden checks that states which past versions of a module stored are read
// without loss. fsys holds a folder for each Version, and in it states as JSON,
// with any names:
//
//	v1/full.json
//	v1/full.want.json
//	v2/full.json
//
// Each state is loaded like a state from the store, through Migrate and over
// the initial value, but without OnCreated. Every member that it had must be
// found again, with the same value, in a field of the present struct; a struct
// may have more. If that is not so, because a step moves a member or because a
// member was removed, a file beside it that ends in .want.json says what should
// be read instead, and the same rule holds for what that file has. The failure
// prints the text for such a file; check it and store it.
//
// The folder of the present version must exist. If it does not, the failure
// prints a state with every field filled, to store as it is or with better
// values. From then on these files stay as they are, because they are what the
// program has stored: a change of the struct that loses something fails the
// test before it meets a user's state. A change that needs other files needs a
// higher Version.
//
// A file in any other place is a failure. All files are checked, and the test
// goes on.
func Golden(t testing.TB, state stay.AnyState, fsys fs.FS) {
	t.Helper()
	g := golden{TB: t, state: access.StateOf(state), fsys: fsys}
	blobs, wants, ok := g.files()
	if !ok {
		return
	}
	present := false
	for _, name := range slices.Sorted(maps.Keys(blobs)) {
		present = present || blobs[name] == g.state.Version()
		want := strings.TrimSuffix(name, ".json") + wantSuffix
		if !wants[want] {
			want = name
		}
		delete(wants, want)
		g.check(name, blobs[name], want)
	}
	for _, name := range slices.Sorted(maps.Keys(wants)) {
		t.Errorf("%s: there is no %s.json that it belongs to", name, strings.TrimSuffix(name, wantSuffix))
	}
	if !present {
		t.Errorf("no stored state has the current version of %s: store this one, with better values if you like, as v%d/full.json:\n%s",
			g.state.Name(), g.state.Version(), g.sample())
	}
}

const wantSuffix = ".want.json"

var goldenName = regexp.MustCompile(`^v([1-9][0-9]{0,8})/[^/]+\.json$`)

type golden struct {
	testing.TB
	state access.State
	fsys  fs.FS
}

// files returns the states with their versions, and the names of the .want.json
// files.
func (g *golden) files() (blobs map[string]int, wants map[string]bool, ok bool) {
	g.Helper()
	blobs, wants = map[string]int{}, map[string]bool{}
	err := fs.WalkDir(g.fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		m := goldenName.FindStringSubmatch(name)
		switch {
		case m == nil:
			g.Errorf("%s: not the name of a stored state, such as v1/full.json: rename the file, or pass the folder that holds v1 (see fs.Sub and os.DirFS)", name)
		case strings.HasSuffix(name, wantSuffix):
			wants[name] = true
		default:
			version, err := strconv.Atoi(m[1])
			if err != nil {
				return err
			}
			blobs[name] = version
		}
		return nil
	})
	if err != nil {
		g.Errorf("reading the stored states of %s: %v", g.state.Name(), err)
	}
	return blobs, wants, err == nil
}

// check loads the state in one file and checks that it has everything that
// another file, or the same one, has.
func (g *golden) check(name string, version int, wantName string) {
	g.Helper()
	blob, err := fs.ReadFile(g.fsys, name)
	if err != nil {
		g.Errorf("%v", err)
		return
	}
	v, err := g.state.Decode(version, blob)
	if err != nil {
		g.Errorf("%s cannot be read: %v", name, err)
		return
	}
	text, err := fs.ReadFile(g.fsys, wantName)
	if err != nil {
		g.Errorf("%v", err)
		return
	}
	want, err := parse(text)
	if err != nil {
		g.Errorf("%s: %v", wantName, err)
		return
	}
	got, err := valueOf(v)
	if err != nil {
		g.Errorf("%s decodes to a state that cannot be stored: %v", name, err)
		return
	}
	d := diff{loss: true}
	d.compare("", reflect.TypeOf(v), got, want)
	if len(d.lines) == 0 {
		return
	}
	says := "some of its values are lost"
	if wantName != name {
		says = "it does not decode to " + wantName
	}
	g.Errorf("%s: %s:\n%s\nFix the struct or the step. If this change is intended, store in %s what is read now:\n%s",
		name, says, &d, strings.TrimSuffix(name, ".json")+wantSuffix, indented(v))
}

func indented(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprintf("(cannot be shown: %v)", err)
	}
	var out bytes.Buffer
	if err := json.Indent(&out, b, "", "  "); err != nil {
		return string(b)
	}
	return out.String()
}
