//go:build unix

package sqlitestore_test

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/storekit"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/sqlitestore"
)

// A loss is something that happens to the files of a store that is open.
type loss struct {
	do    func(dir string) error
	words []string // of the error
	saved bool     // by Close, for the next Open
}

const dbName = "app.db"

func losses() map[string]loss {
	remove := func(suffix string) func(string) error {
		return func(dir string) error { return os.Remove(filepath.Join(dir, dbName+suffix)) }
	}
	rename := func(suffix string) func(string) error {
		return func(dir string) error {
			return os.Rename(filepath.Join(dir, dbName+suffix), filepath.Join(dir, "away"+suffix))
		}
	}
	replace := func(suffix string) func(string) error {
		return func(dir string) error {
			path := filepath.Join(dir, dbName+suffix)
			content, err := os.ReadFile(path)
			if err == nil {
				err = os.WriteFile(path+".new", content, 0o600)
			}
			if err == nil {
				err = os.Rename(path+".new", path)
			}
			return err
		}
	}
	return map[string]loss{
		"database removed":  {remove(""), []string{dbName, "removed", "put the file back"}, false},
		"database renamed":  {rename(""), []string{dbName, "renamed", "put the file back"}, false},
		"database replaced": {replace(""), []string{dbName, "replaced", "put the file back"}, false},
		"log removed":       {remove("-wal"), []string{dbName + "-wal", "removed", "close the store"}, true},
		"log renamed":       {rename("-wal"), []string{dbName + "-wal", "renamed", "close the store"}, true},
		"log replaced":      {replace("-wal"), []string{dbName + "-wal", "replaced", "put the file back"}, false},
		"index removed":     {remove("-shm"), []string{dbName + "-shm", "removed", "stop all processes of the program"}, true},
		"index replaced":    {replace("-shm"), []string{dbName + "-shm", "replaced", "stop all processes of the program"}, true},
		"lock removed":      {remove(".lock"), []string{dbName + ".lock", "removed", "stop all processes of the program"}, true},
		"lock replaced":     {replace(".lock"), []string{dbName + ".lock", "replaced", "stop all processes of the program"}, true},
		"all removed": {func(dir string) error {
			return errors.Join(remove("")(dir), remove("-wal")(dir), remove("-shm")(dir), remove(".lock")(dir))
		}, []string{dbName, "removed"}, false},
		"folder renamed": {func(dir string) error { return os.Rename(dir, dir+".away") }, []string{dbName, "removed"}, false},
	}
}

// files returns the files in a folder, by name.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		all[path] = string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// unavailable has a store refuse every call, and sees that it makes no file.
func unavailable(t *testing.T, s *sqlitestore.Store, words []string) {
	t.Helper()
	ctx, now := context.Background(), time.Now()
	r := storekit.One(s, store.Write{Key: "new", Value: []byte("v")})
	_, loadErr := s.Load(ctx, []store.Read{{Key: "k"}})
	_, listErr := s.List(ctx, now, "", "", 10)
	_, expiredErr := s.Expired(ctx, now, 10)
	if r.Outcome != store.Rejected {
		t.Errorf("Commit: %v", r.Outcome)
	}
	for call, err := range map[string]error{"Commit": r.Err, "Load": loadErr, "List": listErr, "Expired": expiredErr} {
		if !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%s: %v is not ErrUnavailable", call, err)
			continue
		}
		for _, word := range words {
			if !strings.Contains(err.Error(), word) {
				t.Errorf("%s: %v\ndoes not say %q", call, err, word)
			}
		}
	}
}

// waitForClock waits until a change in a folder gets a later time than the
// changes before. The clock of a file system is coarse.
func waitForClock(t *testing.T, dir string) {
	t.Helper()
	changed := func(path string) int64 {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info.ModTime().UnixNano()
	}
	other := filepath.Join(t.TempDir(), "clock")
	for touched := int64(0); touched <= changed(dir); touched = changed(other) {
		if err := os.WriteFile(other, []byte("tick"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestLostFilesAreNoticed proves that nothing is acknowledged, read or created
// any more once a file of an open store is not where it was, that closing such
// a store changes no file that others may have put there, and that the next
// store that opens the database finds the changes acknowledged before, as far
// as the files with them exist. Proves C5.
func TestLostFilesAreNoticed(t *testing.T) {
	t.Parallel()
	for how, options := range map[string][]sqlitestore.Option{"sole owner": nil, "shared": {sqlitestore.Shared()}} {
		for name, l := range losses() {
			test := func(t *testing.T, quiet bool) {
				top := t.TempDir()
				dir := filepath.Join(top, "data")
				if err := os.Mkdir(dir, 0o700); err != nil {
					t.Fatal(err)
				}
				path := filepath.Join(dir, dbName)
				s, err := sqlitestore.Open(path, options...)
				if err != nil {
					t.Fatal(err)
				}
				base := apply(t, s, store.Write{Key: "k", Value: []byte("1")})[0]
				apply(t, s, store.Write{Key: "k", Base: base, Value: []byte("2")})
				if quiet {
					waitForClock(t, dir)
					s.TrustFolder()
				}
				if err := l.do(dir); err != nil {
					t.Fatal(err)
				}
				before := files(t, top)
				unavailable(t, s, l.words)
				after := files(t, top)
				if !maps.Equal(before, after) {
					t.Errorf("calls changed files: %d before, %d after", len(before), len(after))
				}
				rescued := l.words[0] == dbName+"-wal" && l.saved
				if err := s.Close(); (err == nil) != rescued {
					t.Errorf("Close: %v", err)
				}
				if !rescued && !maps.Equal(before, files(t, top)) {
					t.Error("Close changed files")
				}
				if l.saved {
					if r := storekit.Load(t, open(t, path, options...), "k"); string(r.Value) != "2" {
						t.Errorf("%q: an acknowledged change is lost", r.Value)
					}
				}
			}
			t.Run(how+"/"+name, func(t *testing.T) { test(t, false) })
			t.Run(how+"/"+name+" in a quiet folder", func(t *testing.T) { test(t, true) })
		}
	}
}

// TestLostFilesOfIdleStores proves the same where no connection of a reader had
// been opened before, and that readiness probes see it.
func TestLostFilesOfIdleStores(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, dbName)
	s, err := sqlitestore.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	app := stay.New(s, nil)
	defer app.Close(context.Background())
	if err := app.Check(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := app.Check(context.Background()); !errors.Is(err, stay.ErrUnavailable) || !strings.Contains(err.Error(), path) {
		t.Errorf("Check: %v", err)
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a read made a file: %v", err)
	}
}

// TestLossDuringACommit proves that a commit is not acknowledged if the file
// was moved away before it was synced, and that the store answers Unknown: the
// file may be put back. Proves C2, C5.
func TestLossDuringACommit(t *testing.T) {
	dir := t.TempDir()
	path, away := filepath.Join(dir, dbName), filepath.Join(dir, "away")
	s := open(t, path)
	if err := s.DuringCommit(func() error { return os.Rename(path, away) }); err != nil {
		t.Fatal(err)
	}
	if r := storekit.One(s, store.Write{Key: "k", Value: []byte("v")}); r.Outcome != store.Unknown || !errors.Is(r.Err, store.ErrUnavailable) {
		t.Errorf("%v, %v", r.Outcome, r.Err)
	}
	unavailable(t, s, []string{path})
	if err := os.Rename(away, path); err != nil {
		t.Fatal(err)
	}
	r := storekit.Load(t, s, "k")
	if string(r.Value) != "v" {
		t.Errorf("%q after the file was put back", r.Value)
	}
	apply(t, s, store.Write{Key: "k", Base: r.Revision, Value: []byte("w")})
}

// TestLinkThatLeadsElsewhere proves that the name that Open was given counts: a
// restart follows it.
func TestLinkThatLeadsElsewhere(t *testing.T) {
	dir := t.TempDir()
	for _, folder := range []string{"one", "two"} {
		if err := os.Mkdir(filepath.Join(dir, folder), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	link := filepath.Join(dir, "current")
	if err := os.Symlink("one", link); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(link, dbName)
	s, err := sqlitestore.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	apply(t, s, store.Write{Key: "k", Value: []byte("v")})
	if err := os.Remove(link); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("two", link); err != nil {
		t.Fatal(err)
	}
	unavailable(t, s, []string{path})
	if err := s.Close(); err == nil {
		t.Error("Close does not tell")
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "two", "*")); len(left) != 0 {
		t.Errorf("files were made: %v", left)
	}
}

// TestFilesStayTheSame proves that a store does not lose its files by itself:
// after connections that failed, long logs and stores that open and close
// beside it.
func TestFilesStayTheSame(t *testing.T) {
	path := filepath.Join(t.TempDir(), dbName)
	s := open(t, path, sqlitestore.Shared())
	for i := range 3 {
		other := open(t, path, sqlitestore.Shared())
		r := storekit.Load(t, other, "k")
		apply(t, other, store.Write{Key: "k", Base: r.Revision, Value: make([]byte, 9<<20)})
		if err := other.Close(); err != nil {
			t.Fatal(err)
		}
		if err := s.FailCommit(sqliteIOErr, false); err != nil {
			t.Fatal(err)
		}
		storekit.One(s, store.Write{Key: "fails", Value: []byte{byte(i)}})
		r = storekit.Load(t, s, "k")
		apply(t, s, store.Write{Key: "k", Base: r.Revision, Value: make([]byte, 9<<20)})
	}
}

const sqliteIOErr = 10
