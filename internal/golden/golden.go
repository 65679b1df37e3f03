// Package golden runs conformance cases: files that say what to set up, what
// to do and what must be true afterwards. Their format is described in
// testdata/golden/README.md at the root of the project. All of it is closed:
// what a file has and this package does not know is a failure, and no file is
// left out.
//
// It is made for tests; a case that fails is an error, which Run reports.
package golden

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stay-go/stay/store"
)

// FolderVariable names the environment variable that has Run take another
// folder of cases.
const FolderVariable = "STAY_GOLDEN_DIR"

// A Harness is what the cases run on.
type Harness struct {
	// Open returns an empty store for one case, which Run closes.
	Open func(t testing.TB) store.Store
	// FakeTime: nothing in the store waits for anything outside of this
	// process, so the cases that need no network run in bubbles of
	// testing/synctest, where delays take no time.
	FakeTime bool
}

// Run runs every case in dir, each as a subtest named after its folder and id,
// on a store of its own. The environment variable [FolderVariable] names
// another folder instead, which may have one of the two kinds of cases only;
// as tests run in the folder of their package, it is best absolute. A folder
// that is missing or has no cases is a failure.
func Run(t *testing.T, dir string, h Harness) {
	kinds := []string{"modules", "http"}
	if other := os.Getenv(FolderVariable); other != "" {
		dir, kinds = other, nil
	}
	files, err := read(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range kinds {
		if len(files[kind]) == 0 {
			t.Errorf("%s has no cases in %s", dir, kind)
		}
	}
	for _, kind := range slices.Sorted(maps.Keys(files)) {
		t.Run(kind, func(t *testing.T) {
			for _, f := range files[kind] {
				t.Run(f.id, func(t *testing.T) {
					t.Parallel()
					f.test(t, h)
				})
			}
		})
	}
}

// A file is one case, or the reason why it cannot be run.
type file struct {
	path    string
	id      string // of the case; the file's name if there is none
	err     error
	run     func(ctx context.Context, s store.Store) error
	network bool
}

func (f *file) test(t *testing.T, h Harness) {
	report := func(t *testing.T) {
		if err := f.runOn(t, h); err != nil {
			t.Errorf("%s: %v", f.path, err)
		}
	}
	if h.FakeTime && !f.network {
		inBubble(t, report)
		return
	}
	report(t)
}

// inBubble runs fn where time is fake: it passes when everybody waits.
func inBubble(t *testing.T, fn func(t *testing.T)) { synctest.Test(t, fn) }

// runOn runs the case on a new store.
func (f *file) runOn(t testing.TB, h Harness) error {
	if f.err != nil {
		return f.err
	}
	s := h.Open(t)
	return errors.Join(f.run(t.Context(), s), s.Close())
}

// read reads the cases of a folder, by kind. What is neither a case nor the
// README is an error, and so is a folder without cases; a case that cannot be
// read carries its own.
func read(dir string) (map[string][]*file, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	out := map[string][]*file{}
	for _, e := range entries {
		name := e.Name()
		switch {
		case name == "README.md" && !e.IsDir():
		case (name == "modules" || name == "http") && e.IsDir():
			if out[name], err = readKind(dir, name); err != nil {
				return nil, err
			}
		default:
			return nil, fmt.Errorf("%s is no folder of cases", filepath.Join(dir, name))
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s has no cases", dir)
	}
	return out, nil
}

func readKind(dir, kind string) ([]*file, error) {
	entries, err := os.ReadDir(filepath.Join(dir, kind))
	if err != nil {
		return nil, err
	}
	if len(entries) == 0 {
		return nil, fmt.Errorf("%s has no cases", filepath.Join(dir, kind))
	}
	seen := map[string]bool{}
	out := make([]*file, len(entries))
	for i, e := range entries {
		f := parse(filepath.Join(dir, kind, e.Name()), kind)
		if seen[f.id] && f.err == nil {
			f.err = fmt.Errorf("the id %q is in use", f.id)
		}
		seen[f.id] = true
		out[i] = f
	}
	return out, nil
}

// parse reads one case.
func parse(path, kind string) *file {
	f := &file{path: path, id: strings.TrimSuffix(filepath.Base(path), ".json")}
	if filepath.Ext(path) != ".json" {
		f.err = errors.New("a case is a file of JSON")
		return f
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		f.err = err
		return f
	}
	id := ""
	if kind == "http" {
		var c *httpCase
		id, c, f.err = parseHTTPCase(raw)
		f.network = true
		f.run = func(ctx context.Context, s store.Store) error { return c.run(ctx, s) }
	} else {
		var c *moduleCase
		id, c, f.err = parseModuleCase(raw)
		f.run = func(ctx context.Context, s store.Store) error { return c.run(ctx, s) }
	}
	if id != "" {
		f.id = id
	}
	return f
}
