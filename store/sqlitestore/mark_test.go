package sqlitestore_test

import (
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"modernc.org/sqlite"

	"github.com/stay-go/stay/internal/storekit"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/sqlitestore"
)

// copyFile copies a file, which need not be there.
func copyFile(t *testing.T, from, to string) {
	t.Helper()
	content, err := os.ReadFile(from)
	if errors.Is(err, os.ErrNotExist) {
		return
	}
	if err == nil {
		err = os.WriteFile(to, content, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// bump changes a record and has its value say so.
func bump(t *testing.T, s *sqlitestore.Store, value string) {
	t.Helper()
	r := storekit.Load(t, s, "k")
	apply(t, s, store.Write{Key: "k", Base: r.Revision, Value: []byte(value)})
}

// fillLog writes so much that the log begins from its start again.
func fillLog(t *testing.T, s *sqlitestore.Store) {
	t.Helper()
	for range 9 {
		r := storekit.Load(t, s, "large")
		apply(t, s, store.Write{Key: "large", Base: r.Revision, Value: make([]byte, 4<<20)})
	}
}

// sqliteBackup copies a database in use as the command .backup does.
func sqliteBackup(t *testing.T, from, to string) {
	t.Helper()
	db, err := sql.Open("sqlite", from)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	c, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	err = c.Raw(func(driver any) error {
		b, err := driver.(interface {
			NewBackup(to string) (*sqlite.Backup, error)
		}).NewBackup(to)
		if err != nil {
			return err
		}
		for more := true; more; {
			if more, err = b.Step(-1); err != nil {
				return errors.Join(err, b.Finish())
			}
		}
		return b.Finish()
	})
	if err != nil {
		t.Fatal(err)
	}
}

// backups are ways to copy a database; those that Close comes before need no
// tool.
var backups = map[string]struct {
	closed bool
	copy   func(t *testing.T, from, to string)
}{
	"a copy of the closed file": {true, copyFile},
	".backup":                   {false, sqliteBackup},
	"VACUUM INTO":               {false, func(t *testing.T, from, to string) { execute(t, from, "VACUUM INTO '"+to+"'") }},
}

// TestBackupBesideAnOldLog proves that a backup that was put in the place of a
// database while the log of a crash is still there is not mixed with it: Open
// says which files to remove, and the backup is whole then. Proves C5.
func TestBackupBesideAnOldLog(t *testing.T) {
	t.Parallel()
	for how, options := range map[string][]sqlitestore.Option{"sole owner": nil, "shared": {sqlitestore.Shared()}} {
		for name, backup := range backups {
			for when, later := range map[string]func(t *testing.T, s *sqlitestore.Store){
				"at once":                  func(*testing.T, *sqlitestore.Store) {},
				"after the log is renewed": fillLog,
			} {
				t.Run(strings.Join([]string{how, name, when}, "/"), func(t *testing.T) {
					dir := t.TempDir()
					path, copied := filepath.Join(dir, "app.db"), filepath.Join(dir, "backup.db")
					s := open(t, path, options...)
					bump(t, s, "1")
					if backup.closed {
						if err := s.Close(); err != nil {
							t.Fatal(err)
						}
						backup.copy(t, path, copied)
						s = open(t, path, options...)
					} else {
						backup.copy(t, path, copied)
					}
					bump(t, s, "2")
					later(t, s)
					bump(t, s, "3")

					crash := filepath.Join(t.TempDir(), "app.db")
					copyFile(t, copied, crash)
					copyFile(t, path+"-wal", crash+"-wal")
					had, err := os.ReadFile(crash + "-wal")
					if err != nil || len(had) == 0 {
						t.Fatalf("no log: %v", err)
					}
					for range 2 {
						refused(t, crash, []string{crash + "-wal", "another database", "remove", crash + "-shm"}, options...)
					}
					if now, err := os.ReadFile(crash + "-wal"); err != nil || string(now) != string(had) {
						t.Errorf("the log was changed: %v", err)
					}
					if err := errors.Join(os.Remove(crash+"-wal"), os.RemoveAll(crash+"-shm")); err != nil {
						t.Fatal(err)
					}
					if r := storekit.Load(t, open(t, crash, options...), "k"); string(r.Value) != "1" {
						t.Errorf("%q, want what the backup holds", r.Value)
					}
				})
			}
		}
	}
}

// TestLogOfAnotherDatabase proves the same of the log of a database that has
// nothing to do with this one.
func TestLogOfAnotherDatabase(t *testing.T) {
	dir := t.TempDir()
	one, two, mixed := filepath.Join(dir, "one.db"), filepath.Join(dir, "two.db"), filepath.Join(dir, "mixed.db")
	s := open(t, one)
	bump(t, s, "1")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	bump(t, open(t, two), "2")
	copyFile(t, one, mixed)
	copyFile(t, two+"-wal", mixed+"-wal")
	refused(t, mixed, []string{mixed + "-wal", "another database"})
}

// TestOwnLogIsTaken proves that the database's own log is never refused:
// whatever was going on when a crash left it, whatever was changed by hand, and
// whichever version wrote it.
func TestOwnLogIsTaken(t *testing.T) {
	t.Parallel()
	for how, options := range map[string][]sqlitestore.Option{"sole owner": nil, "shared": {sqlitestore.Shared()}} {
		for name, meanwhile := range map[string]func(t *testing.T, s *sqlitestore.Store, path string){
			"nothing":    func(*testing.T, *sqlitestore.Store, string) {},
			"a long log": func(t *testing.T, s *sqlitestore.Store, _ string) { fillLog(t, s) },
			"an index made by hand": func(t *testing.T, _ *sqlitestore.Store, path string) {
				execute(t, path, "CREATE INDEX byhand ON records (version)")
			},
			"an index that is moved": func(t *testing.T, s *sqlitestore.Store, path string) {
				execute(t, path, "CREATE INDEX byhand ON records (version)")
				fillLog(t, s)
				execute(t, path, "DROP INDEX byhand")
			},
			"a checkpoint by hand": func(t *testing.T, _ *sqlitestore.Store, path string) {
				execute(t, path, "PRAGMA wal_checkpoint(PASSIVE)")
			},
			"a vacuum": func(t *testing.T, _ *sqlitestore.Store, path string) { execute(t, path, "VACUUM") },
			"a vacuum of holes": func(t *testing.T, s *sqlitestore.Store, path string) {
				fillLog(t, s)
				execute(t, path, "DELETE FROM records WHERE key = CAST('large' AS BLOB)")
				execute(t, path, "VACUUM")
			},
			"an earlier version": func(t *testing.T, _ *sqlitestore.Store, path string) { execute(t, path, "DROP TABLE stay_log") },
		} {
			t.Run(how+"/"+name, func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "app.db")
				for round := range 2 {
					s := open(t, path, options...)
					bump(t, s, "1")
					meanwhile(t, s, path)
					bump(t, s, "2")
					crash := filepath.Join(t.TempDir(), "app.db")
					copyFile(t, path, crash)
					copyFile(t, path+"-wal", crash+"-wal")
					again := open(t, crash, options...)
					if r := storekit.Load(t, again, "k"); string(r.Value) != "2" {
						t.Errorf("round %d: %q, want what was stored last", round, r.Value)
					}
					if err := errors.Join(again.Close(), s.Close()); err != nil {
						t.Fatal(err)
					}
					if name == "an index made by hand" {
						execute(t, path, "DROP INDEX byhand")
					}
				}
			})
		}
	}
}

// TestCopiesOpen proves that a copy without a log opens, and that what SQLite's
// own tools copied is a database like any other.
func TestCopiesOpen(t *testing.T) {
	dir := t.TempDir()
	path, copied := filepath.Join(dir, "app.db"), filepath.Join(dir, "copy.db")
	s := open(t, path)
	bump(t, s, "1")
	execute(t, path, "VACUUM INTO '"+copied+"'")
	again := open(t, copied)
	if r := storekit.Load(t, again, "k"); string(r.Value) != "1" {
		t.Errorf("%q", r.Value)
	}
	bump(t, again, "2")
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, copied)
}

// TestReplacedDatabaseOfASharedStore proves that a store that opens the file
// that was put in the place of another does not lay the log of that over it,
// which is still open. Proves C5.
func TestReplacedDatabaseOfASharedStore(t *testing.T) {
	dir := t.TempDir()
	path, copied := filepath.Join(dir, "app.db"), filepath.Join(dir, "copy.db")
	s, err := sqlitestore.Open(path, sqlitestore.Shared())
	if err != nil {
		t.Fatal(err)
	}
	bump(t, s, "1")
	execute(t, path, "VACUUM INTO '"+copied+"'")
	bump(t, s, "2")
	if err := os.Rename(copied, path); err != nil {
		if runtime.GOOS == "windows" {
			t.Skip("Windows lets nobody replace a file that is open")
		}
		t.Fatal(err)
	}
	refused(t, path, []string{path + "-wal", "another database"}, sqlitestore.Shared())
	if r := storekit.One(s, store.Write{Key: "new", Value: []byte("v")}); !errors.Is(r.Err, store.ErrUnavailable) {
		t.Errorf("%v, %v", r.Outcome, r.Err)
	}
	if err := s.Close(); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("Close: %v", err)
	}
	refused(t, path, []string{path + "-wal", "another database"}, sqlitestore.Shared())
	if err := os.Remove(path + "-wal"); err != nil {
		t.Fatal(err)
	}
	if r := storekit.Load(t, open(t, path), "k"); string(r.Value) != "1" {
		t.Errorf("%q, want what the copy holds", r.Value)
	}
}
