package sqlitestore_test

import (
	"bytes"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stay-go/stay/internal/storekit"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/sqlitestore"
)

// refused opens a store that must not open, with an error that has all words.
func refused(t *testing.T, path string, words []string, options ...sqlitestore.Option) {
	t.Helper()
	err := openError(t, path, options...)
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("Open(%q): %v\ndoes not say %q", path, err, word)
		}
	}
}

// openError opens a store that must not open.
func openError(t *testing.T, path string, options ...sqlitestore.Option) error {
	t.Helper()
	s, err := sqlitestore.Open(path, options...)
	if err == nil {
		s.Close()
		t.Fatalf("Open(%q) succeeded", path)
	}
	return err
}

// TestOpenRefusesPaths proves that a path that cannot work is refused with
// what to do instead.
func TestOpenRefusesPaths(t *testing.T) {
	dir := t.TempDir()
	refused(t, "", []string{"memstore"})
	refused(t, ":memory:", []string{"memstore"})
	refused(t, filepath.Join(dir, "missing", "app.db"), []string{"missing", "create it"})
	refused(t, dir, []string{dir, "folder"})
	refused(t, filepath.Join(dir, "app.db"), []string{"MaxSize"}, sqlitestore.MaxSize(1))
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) != 0 {
		t.Errorf("files were left: %v", left)
	}
}

// TestOpenTakesAnyName proves that characters with a meaning in a URI have none
// in a path, and that relative paths are relative to the process's folder.
func TestOpenTakesAnyName(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, name := range []string{"plain", "a b+c%20d.db", "./file:x#y&z=1", "ünï'cødé"} {
		s := open(t, name)
		apply(t, s, store.Write{Key: "k", Value: []byte(name)})
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(name); err != nil {
			t.Error(err)
		}
		s = open(t, name)
		if got := storekit.Load(t, s, "k"); string(got.Value) != name {
			t.Errorf("%s: %q", name, got.Value)
		}
	}
}

// TestFilesArePrivate proves that others cannot read the database, nor the
// log, which has the same bytes.
func TestFilesArePrivate(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("files have no mode on Windows")
	}
	path := filepath.Join(t.TempDir(), "a b+c.db")
	s := open(t, path)
	apply(t, s, store.Write{Key: "k", Value: []byte("v")})
	for _, suffix := range []string{"", "-wal", "-shm", ".lock"} {
		info, err := os.Stat(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", info.Name(), info.Mode())
		}
	}
}

// TestForeignFilesAreRefused proves that Open neither uses nor changes a file
// that is not ours or that a newer version wrote.
func TestForeignFilesAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		make  func(t *testing.T, path string)
		words []string
	}{
		"not a database": {
			func(t *testing.T, path string) {
				text := bytes.Repeat([]byte("This is no database. "), 1000)
				if err := os.WriteFile(path, text, 0o600); err != nil {
					t.Fatal(err)
				}
			},
			[]string{"not a SQLite database", "file that only Stay uses"},
		},
		"a short text": {
			func(t *testing.T, path string) {
				if err := os.WriteFile(path, []byte("hello"), 0o600); err != nil {
					t.Fatal(err)
				}
			},
			[]string{"not a SQLite database"},
		},
		"another program's": {
			func(t *testing.T, path string) { execute(t, path, "CREATE TABLE people (name)") },
			[]string{"another program", "file that only Stay uses"},
		},
		"a newer version's": {
			func(t *testing.T, path string) {
				if err := open(t, path).Close(); err != nil {
					t.Fatal(err)
				}
				execute(t, path, "PRAGMA user_version = 2")
			},
			[]string{"newer version", "schema 2", "update"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "app.db")
			c.make(t, path)
			before, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			refused(t, path, append(c.words, path))
			after, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(before, after) {
				t.Error("the file was changed")
			}
			// A refused Open gives the file up, so this one does not wait.
			if err := openError(t, path); errors.Is(err, store.ErrUnavailable) {
				t.Errorf("%v claims that it may work later", err)
			}
		})
	}
}

func execute(t *testing.T, path, statement string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(statement); err != nil {
		t.Fatal(err)
	}
}

// TestSoleOwner proves that a file has one owner or several that share it,
// never both, under whatever names it is opened.
//
// Proves C5.
func TestSoleOwner(t *testing.T) {
	now := sqlitestore.OwnerWait(0)
	dir := t.TempDir()
	path := filepath.Join(dir, "app.db")
	s := open(t, path)
	words := []string{path, "already open", "Shared"}
	refused(t, path, words, now)
	if err := openError(t, path, now); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("%v is not ErrUnavailable", err)
	}
	refused(t, path, []string{path, "sole owner"}, now, sqlitestore.Shared())
	for _, other := range []string{filepath.Join(dir, ".", "x", "..", "app.db"), filepath.Join(dir, "link")} {
		if err := os.Symlink(path, filepath.Join(dir, "link")); err != nil && !os.IsExist(err) {
			t.Fatal(err)
		}
		refused(t, other, words, now)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	first := open(t, path, sqlitestore.Shared())
	second := open(t, path, sqlitestore.Shared())
	refused(t, path, words, now)
	if first.Features().SoleOwner || second.Features().SoleOwner {
		t.Error("a shared store declares that it is alone")
	}
	for _, s := range []*sqlitestore.Store{first, second} {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if !open(t, path, now).Features().SoleOwner {
		t.Error("a store that is alone does not declare it")
	}
}

// TestOpenWaitsForTheOwner proves that a successor gets the file as soon as
// the one before it closes.
func TestOpenWaitsForTheOwner(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	before := open(t, path)
	type opened struct {
		s   *sqlitestore.Store
		err error
	}
	done := make(chan opened)
	go func() {
		s, err := sqlitestore.Open(path, sqlitestore.OwnerWait(time.Minute))
		done <- opened{s, err}
	}()
	select {
	case o := <-done:
		t.Fatalf("%v, %v while another store has the file", o.s, o.err)
	case <-time.After(50 * time.Millisecond):
		// It waits, as far as can be seen.
	}
	if err := before.Close(); err != nil {
		t.Fatal(err)
	}
	o := <-done
	if o.err != nil {
		t.Fatal(o.err)
	}
	if err := o.s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestDanglingLinkIsRefused proves that a file is not created through a link,
// where the lock would end up beside the link.
func TestDanglingLinkIsRefused(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(dir, "link.db")
	if err := os.Symlink(filepath.Join(dir, "gone.db"), link); err != nil {
		t.Fatal(err)
	}
	refused(t, link, []string{link, "whose target does not exist"})
}

// TestSettings proves that commits are synced to the disk, which no test sees
// without cutting the power, and that checkpoints are not part of them.
//
// Proves A3.
func TestSettings(t *testing.T) {
	for _, options := range [][]sqlitestore.Option{nil, {sqlitestore.Shared()}} {
		s := open(t, filepath.Join(t.TempDir(), "app.db"), options...)
		for name, want := range map[string]string{
			"synchronous":        "2",
			"fullfsync":          "1",
			"journal_mode":       "wal",
			"wal_autocheckpoint": "0",
			"cache_size":         "-16384",
			"page_size":          strconv.Itoa(sqlitestore.PageSize),
		} {
			if got, err := s.Pragma(name); err != nil || got != want {
				t.Errorf("%s is %v, %v; want %v", name, got, err, want)
			}
		}
	}
}

// TestOpenAtOnce proves that of several stores that open a file that does not
// exist yet, one creates it and none takes it for a database of another
// program.
func TestOpenAtOnce(t *testing.T) {
	t.Parallel()
	for i := range 30 {
		path := filepath.Join(t.TempDir(), "app.db")
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				s, err := sqlitestore.Open(path, sqlitestore.Shared())
				if err != nil {
					t.Errorf("file %d: %v", i, err)
					return
				}
				if err := s.Close(); err != nil {
					t.Errorf("Close: %v", err)
				}
			})
		}
		all.Wait()
	}
}
