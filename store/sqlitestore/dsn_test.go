package sqlitestore_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/sqlitestore"
)

// TestDSNsAreRefused proves that what other packages open a database by makes
// no file, and that the error does not repeat a password.
func TestDSNsAreRefused(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, dsn := range []string{
		"file:app.db", "FILE:app.db", "file:app.db?_pragma=journal_mode(WAL)", "file:app.db?mode=ro", "file:///srv/app.db",
		"file::memory:?cache=shared", ":memory:?cache=shared", "app.db?_pragma=busy_timeout(5000)", "data/app.db?cache=shared&mode=rwc",
		"sqlite://app.db", "sqlite:app.db", "sqlite3:///srv/app.db", "jdbc:sqlite:app.db", "libsql://db.example",
		"postgres://user:secret@db.example/app", "postgresql://db.example/app?sslmode=disable", "redis://db.example",
	} {
		for _, options := range [][]sqlitestore.Option{nil, {sqlitestore.Shared()}} {
			refused(t, dsn, []string{"Open takes a path, not a DSN", "./"}, options...)
		}
		if err := openError(t, dsn); strings.Contains(err.Error(), "secret") {
			t.Errorf("the error repeats a password: %v", err)
		}
	}
	if left, _ := filepath.Glob("*"); len(left) != 0 {
		t.Errorf("files were left: %v", left)
	}
}

// TestFilesNamedLikeDSNs proves that a file may have such a name all the same.
func TestFilesNamedLikeDSNs(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, name := range []string{"file:app.db", "file::memory:?cache=shared", "app.db?_pragma=x", "really?", "a=b"} {
		s := open(t, "."+string(filepath.Separator)+name)
		apply(t, s, store.Write{Key: "k", Value: []byte(name)})
		if _, err := os.Stat(name); err != nil {
			t.Error(err)
		}
	}
	for _, name := range []string{"plain?", "c=d"} {
		open(t, name)
	}
}
