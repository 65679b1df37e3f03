package sqlitestore_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"

	"github.com/stay-go/stay/internal/storekit"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/sqlitestore"
)

// TestHardLinksAreRefused proves that a database with two names is not opened
// under either: each would have its own lock and log. A store that has it open
// already is not disturbed, in whatever way it was opened.
//
// Proves C5.
func TestHardLinksAreRefused(t *testing.T) {
	for name, options := range map[string][]sqlitestore.Option{"sole owner": nil, "shared": {sqlitestore.Shared()}} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path, link := filepath.Join(dir, "app.db"), filepath.Join(dir, "link.db")
			s := open(t, path, options...)
			base := apply(t, s, store.Write{Key: "k", Value: []byte("1")})[0]
			if err := os.Link(path, link); err != nil {
				t.Fatal(err)
			}
			refused(t, link, []string{link, "2 names", "remove"}, sqlitestore.OwnerWait(0))
			refused(t, link, []string{link, "2 names", "remove"}, sqlitestore.OwnerWait(0), sqlitestore.Shared())
			symlink := filepath.Join(dir, "symlink.db")
			if err := os.Symlink(link, symlink); err != nil {
				t.Fatal(err)
			}
			refused(t, symlink, []string{link, "2 names", "remove"})
			if left, _ := filepath.Glob(link + "?*"); len(left) != 0 {
				t.Errorf("files were left: %v", left)
			}
			base = apply(t, s, store.Write{Key: "k", Base: base, Value: []byte("2")})[0]
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}

			// Waiting would not help.
			if err := openError(t, path, options...); errors.Is(err, store.ErrUnavailable) {
				t.Errorf("%v claims that it may work later", err)
			}
			if err := os.Remove(link); err != nil {
				t.Fatal(err)
			}
			s = open(t, path, options...)
			if r := storekit.Load(t, s, "k"); r.Revision != base || string(r.Value) != "2" {
				t.Errorf("revision %d, %q: an acknowledged change is lost", r.Revision, r.Value)
			}
		})
	}
}

// TestHardLinkOfAnotherProcess proves the same with processes, one of which is
// killed and leaves a log.
//
// Proves C5.
func TestHardLinkOfAnotherProcess(t *testing.T) {
	dir := t.TempDir()
	path, link := filepath.Join(dir, "app.db"), filepath.Join(dir, "link.db")
	cmd, lines := start(t, "hold", path)
	if !lines.Scan() {
		t.Fatal("the child did not open the store")
	}
	if err := os.Link(path, link); err != nil {
		t.Fatal(err)
	}
	refused(t, link, []string{link, "2 names"})
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	refused(t, link, []string{link, "2 names"})
}

// TestOneLockForAllNames proves that names through links to folders and files
// have one lock, for sole owners and for shared stores.
func TestOneLockForAllNames(t *testing.T) {
	dir := t.TempDir()
	target := filepath.Join(dir, "real")
	if err := os.Mkdir(target, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(target, "app.db")
	names := []string{path}
	for link, leads := range map[string]string{"folder": target, "file.db": path, "chain.db": filepath.Join(dir, "folder", "app.db")} {
		if err := os.Symlink(leads, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
		if link == "folder" {
			link = filepath.Join(link, "app.db")
		}
		names = append(names, filepath.Join(dir, link))
	}
	if err := open(t, path).Close(); err != nil {
		t.Fatal(err)
	}
	now := sqlitestore.OwnerWait(0)
	for _, first := range names {
		for _, second := range names {
			s := open(t, first)
			refused(t, second, []string{path, "already open"}, now)
			refused(t, second, []string{path, "sole owner"}, now, sqlitestore.Shared())
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			a, b := open(t, first, sqlitestore.Shared()), open(t, second, sqlitestore.Shared())
			refused(t, second, []string{path, "already open"}, now)
			r := storekit.Load(t, a, "k")
			apply(t, a, store.Write{Key: "k", Base: r.Revision, Value: []byte(second)})
			if r := storekit.Load(t, b, "k"); string(r.Value) != second {
				t.Errorf("%s does not see what was written to %s", second, first)
			}
			for _, s := range []*sqlitestore.Store{a, b} {
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

// perm returns the mode of the file at name.
func perm(t *testing.T, name string) os.FileMode {
	t.Helper()
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode().Perm()
}

// TestModesFollowTheDatabase proves that only its owner can read a new
// database, whatever files are beside it, that an existing database keeps its
// mode, and that the log is as private as the database.
func TestModesFollowTheDatabase(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("files have no mode on Windows")
	}
	for name, c := range map[string]struct {
		database, beside os.FileMode // 0 = no such file
		want, lock       os.FileMode
	}{
		"nothing is there":                   {0, 0, 0o600, 0o600},
		"lax files beside no database":       {0, 0o666, 0o600, 0o600},
		"lax files beside a strict database": {0o600, 0o666, 0o600, 0o600},
		"a database for a group to read":     {0o640, 0o600, 0o640, 0o600},
		"a database for a group to write":    {0o660, 0o600, 0o660, 0o660},
		"lax files beside a group's":         {0o660, 0o666, 0o660, 0o660},
		"a database for everybody to read":   {0o644, 0o666, 0o644, 0o600},
	} {
		for _, options := range [][]sqlitestore.Option{nil, {sqlitestore.Shared()}} {
			t.Run(name, func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "app.db")
				if c.database != 0 {
					if err := open(t, path).Close(); err != nil {
						t.Fatal(err)
					}
					if err := os.Chmod(path, c.database); err != nil {
						t.Fatal(err)
					}
				}
				beside := []string{".lock", "-wal", "-shm"}
				for _, suffix := range beside {
					if c.beside == 0 {
						break
					}
					if err := os.WriteFile(path+suffix, nil, 0o600); err != nil {
						t.Fatal(err)
					}
					if err := os.Chmod(path+suffix, c.beside); err != nil {
						t.Fatal(err)
					}
				}
				s := open(t, path, options...)
				apply(t, s, store.Write{Key: "k", Value: []byte("v")})
				for _, suffix := range append(beside, "") {
					want := c.want
					if suffix == ".lock" {
						want = c.lock
					}
					if got := perm(t, path+suffix); got != want {
						t.Errorf("app.db%s has mode %v, want %v", suffix, got, want)
					}
				}
			})
		}
	}
}

// TestLogLeftByAKilledProcessIsPrivate proves that a log that was made when the
// database had a laxer mode is as private as the database is now.
func TestLogLeftByAKilledProcessIsPrivate(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("files have no mode on Windows")
	}
	path := filepath.Join(t.TempDir(), "app.db")
	if err := open(t, path).Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	cmd, lines := start(t, "write", path)
	acknowledged := map[string]int{} // by key: how many writes
	for range 10 {
		if !lines.Scan() {
			t.Fatal("the child does not write")
		}
		var w, revision, count int
		if _, err := fmt.Sscan(lines.Text(), &w, &revision, &count); err != nil {
			t.Fatal(err)
		}
		acknowledged[fmt.Sprint("k", w)] = count
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	if got := perm(t, path+"-wal"); got != 0o644 {
		t.Fatalf("the log has mode %v", got)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	s := open(t, path)
	for _, suffix := range []string{"", "-wal", "-shm", ".lock"} {
		if got := perm(t, path+suffix); got != 0o600 {
			t.Errorf("app.db%s has mode %v", suffix, got)
		}
	}
	for key, want := range acknowledged {
		rec := storekit.Load(t, s, key)
		if got, err := strconv.Atoi(string(rec.Value)); err != nil || got < want {
			t.Errorf("%s is %q, %d was acknowledged: what the log held is lost", key, rec.Value, want)
		}
	}
}
