//go:build linux || darwin

package sqlitestore_test

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/sqlitestore"
)

// nobody is a user who is not root.
const nobody = 65534

// childOpen reports how opening the store went, alone and beside others.
func childOpen(path string, out io.Writer) error {
	for _, options := range [][]sqlitestore.Option{nil, {sqlitestore.Shared()}} {
		s, err := sqlitestore.Open(path, options...)
		if err == nil {
			err = s.Close()
			fmt.Fprintf(out, "opened (%v)\n", err)
			continue
		}
		fmt.Fprintln(out, "refused:", err)
	}
	return nil
}

// openAs opens a store in a separate process, which root starts as another
// user, and returns its output.
func openAs(t *testing.T, path string) []string {
	t.Helper()
	binary := os.Args[0]
	cmd := exec.CommandContext(t.Context(), binary)
	if os.Geteuid() == 0 {
		// The folder of the test's own program is root's alone.
		binary = filepath.Join(worldFolder(t), "test")
		content, err := os.ReadFile(os.Args[0])
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(binary, content, 0o755); err != nil {
			t.Fatal(err)
		}
		cmd = exec.CommandContext(t.Context(), binary)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), childRole+"=open", childPath+"="+path)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}

// worldFolder returns a folder that everybody can reach.
func worldFolder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sqlitestore")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = os.Chmod(dir, 0o700)
		_ = os.RemoveAll(dir)
	})
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// chmod sets the mode of a file, and has root give it to the other user.
func chmod(t *testing.T, path string, mode fs.FileMode) {
	t.Helper()
	if os.Geteuid() == 0 {
		if err := os.Chown(path, nobody, nobody); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

// crashed makes a database whose log still has its latest changes.
func crashed(t *testing.T, path string) {
	t.Helper()
	from := filepath.Join(t.TempDir(), "app.db")
	s := open(t, from)
	apply(t, s, store.Write{Key: "k", Value: []byte("v")})
	for _, suffix := range []string{"", "-wal", "-shm", ".lock"} {
		content, err := os.ReadFile(from + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path+suffix, content, 0o600); err != nil {
			t.Fatal(err)
		}
		chmod(t, path+suffix, 0o600)
	}
}

// TestUnwritableFiles proves that Open fails, and says what must be writable,
// where it could read and no change could be stored.
func TestUnwritableFiles(t *testing.T) {
	root := os.Geteuid() == 0
	others := func(suffix string, mode fs.FileMode) func(t *testing.T, dir, path string) {
		return func(t *testing.T, _, path string) { // a file of root's
			crashed(t, path)
			if err := os.Chown(path+suffix, 0, 0); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path+suffix, mode); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, c := range map[string]struct {
		make func(t *testing.T, dir, path string)
		root bool // only root can make it
	}{
		"file": {func(t *testing.T, _, path string) { crashed(t, path); chmod(t, path, 0o444) }, false},
		"file that was closed": {func(t *testing.T, _, path string) {
			if err := open(t, path).Close(); err != nil {
				t.Fatal(err)
			}
			chmod(t, path+".lock", 0o600)
			chmod(t, path, 0o400)
		}, false},
		"folder": {func(t *testing.T, dir, path string) {
			if err := open(t, path).Close(); err != nil {
				t.Fatal(err)
			}
			chmod(t, path+".lock", 0o600)
			chmod(t, path, 0o600)
			chmod(t, dir, 0o555)
		}, false},
		"folder without the lock": {func(t *testing.T, dir, path string) {
			if err := open(t, path).Close(); err != nil {
				t.Fatal(err)
			}
			chmod(t, path, 0o600)
			if err := os.Remove(path + ".lock"); err != nil {
				t.Fatal(err)
			}
			chmod(t, dir, 0o555)
		}, false},
		"folder without a database":          {func(t *testing.T, dir, _ string) { chmod(t, dir, 0o555) }, false},
		"file of another user":               {others("", 0o644), true},
		"log of another user":                {others("-wal", 0o644), true},
		"log of another user who keeps it":   {others("-wal", 0o600), true},
		"index of another user":              {others("-shm", 0o644), true},
		"index of another user who keeps it": {others("-shm", 0o600), true},
		"lock of another user":               {others(".lock", 0o600), true},
	} {
		t.Run(name, func(t *testing.T) {
			if c.root && !root {
				message := "files of two users are needed, which root can make"
				fmt.Fprintf(os.Stderr, "SKIPPED %s: %s\n", t.Name(), message)
				t.Skip(message)
			}
			dir := worldFolder(t)
			chmod(t, dir, 0o755)
			path := filepath.Join(dir, dbName)
			c.make(t, dir, path)
			was := modes(t, dir)
			for _, line := range openAs(t, path) {
				if !strings.HasPrefix(line, "refused:") || !strings.Contains(line, path+" cannot be opened for writing: the file, its folder and the files beside it must be writable") {
					t.Error(line)
				}
			}
			if _, ok := was[dbName]; ok && len(modes(t, dir)) > len(was)+1 { // the lock
				t.Errorf("files were made: %v, was %v", modes(t, dir), was)
			}
		})
	}
}

// TestWritableFiles proves that the other user can open files of their own.
func TestWritableFiles(t *testing.T) {
	dir := worldFolder(t)
	chmod(t, dir, 0o755)
	path := filepath.Join(dir, dbName)
	crashed(t, path)
	for _, line := range openAs(t, path) {
		if line != "opened (<nil>)" {
			t.Error(line)
		}
	}
}
