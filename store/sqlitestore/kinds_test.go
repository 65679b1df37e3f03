//go:build unix

package sqlitestore_test

import (
	"bytes"
	"io/fs"
	"maps"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/sqlitestore"
)

// modes returns the modes of the files in a folder, by name.
func modes(t *testing.T, dir string) map[string]fs.FileMode {
	t.Helper()
	all := map[string]fs.FileMode{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil {
			t.Fatal(err)
		}
		all[entry.Name()] = info.Mode()
	}
	return all
}

// TestOtherKindsOfFilesAreLeftAlone proves that a file that is not a database
// of ours is refused before anything is created or changed: its content, its
// mode, and the files beside it.
func TestOtherKindsOfFilesAreLeftAlone(t *testing.T) {
	device := func(path string) error {
		if os.Geteuid() != 0 {
			return os.Symlink(os.DevNull, path)
		}
		return syscall.Mknod(path, syscall.S_IFCHR|0o666, 1<<8|3) // as /dev/null is
	}
	write := func(content []byte) func(string) error {
		return func(path string) error { return os.WriteFile(path, content, 0o644) }
	}
	for name, c := range map[string]struct {
		make  func(path string) error
		words []string
	}{
		"device":    {device, []string{"regular file"}},
		"folder":    {func(path string) error { return os.Mkdir(path, 0o755) }, []string{"folder"}},
		"pipe":      {func(path string) error { return syscall.Mkfifo(path, 0o644) }, []string{"regular file"}},
		"socket":    {func(path string) error { _, err := net.Listen("unix", path); return err }, []string{"regular file"}},
		"text":      {write([]byte("hello")), []string{"not a SQLite database"}},
		"long text": {write(bytes.Repeat([]byte("This is no database. "), 1000)), []string{"not a SQLite database"}},
		"database of others": {func(path string) error {
			execute(t, path, "CREATE TABLE people (name)")
			return os.Chmod(path, 0o644)
		}, []string{"another program"}},
		"database of others with a log": {func(path string) error {
			execute(t, path+".0", "PRAGMA journal_mode = WAL")
			execute(t, path+".0", "CREATE TABLE people (name)")
			content, err := os.ReadFile(path + ".0")
			if err != nil {
				return err
			}
			if err := os.WriteFile(path+"-wal", []byte("\x37\x7f\x06\x82 and so on"), 0o644); err != nil {
				return err
			}
			return os.WriteFile(path, content, 0o644)
		}, []string{"another program"}},
	} {
		for how, options := range map[string][]sqlitestore.Option{"sole owner": nil, "shared": {sqlitestore.Shared()}} {
			t.Run(name+"/"+how, func(t *testing.T) {
				dir, err := os.MkdirTemp("", "kinds") // a socket's path must be short
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = os.RemoveAll(dir) })
				path := filepath.Join(dir, dbName)
				if err := c.make(path); err != nil {
					t.Fatal(err)
				}
				was, had := modes(t, dir), files(t, dir)
				refused(t, path, append(c.words, path), options...)
				if is := modes(t, dir); !maps.Equal(was, is) {
					t.Errorf("%v, was %v", is, was)
				}
				if !maps.Equal(had, files(t, dir)) {
					t.Error("a file was changed")
				}
			})
		}
	}
}

// TestDeviceItselfIsRefused proves the same of the real one.
func TestDeviceItselfIsRefused(t *testing.T) {
	was, err := os.Stat(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	refused(t, os.DevNull, []string{os.DevNull, "regular file"})
	is, err := os.Stat(os.DevNull)
	if err != nil || is.Mode() != was.Mode() {
		t.Errorf("%v, %v, was %v", is.Mode(), err, was.Mode())
	}
	if left, _ := filepath.Glob(os.DevNull + "?*"); len(left) != 0 {
		t.Errorf("files were left: %v", left)
	}
}

// TestOtherKindsOfFilesBeside proves that anything but a regular file under the
// name of a database file is neither used nor changed: a link there points to
// another file.
func TestOtherKindsOfFilesBeside(t *testing.T) {
	for _, suffix := range []string{".lock", "-wal", "-shm", "-journal"} {
		t.Run(suffix, func(t *testing.T) {
			dir := t.TempDir()
			path, others := filepath.Join(dir, dbName), filepath.Join(dir, "others")
			if err := os.WriteFile(others, []byte("secret"), 0o640); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(others, path+suffix); err != nil {
				t.Fatal(err)
			}
			was, had := modes(t, dir), files(t, dir)
			refused(t, path, []string{path + suffix, "regular file", "remove it"})
			if !maps.Equal(was, modes(t, dir)) || !maps.Equal(had, files(t, dir)) {
				t.Error("a file was made or changed")
			}
		})
	}
}

// TestModesAreKept proves that a file that exists keeps the mode it has, be it
// empty or a database, and through everything that happens to it.
func TestModesAreKept(t *testing.T) {
	for _, mode := range []fs.FileMode{0o600, 0o640, 0o644, 0o660, 0o666} {
		for how, options := range map[string][]sqlitestore.Option{"sole owner": nil, "shared": {sqlitestore.Shared()}} {
			for name, prepare := range map[string]func(path string){
				"empty": func(path string) {
					if err := os.WriteFile(path, nil, 0o600); err != nil {
						t.Fatal(err)
					}
				},
				"ours": func(path string) {
					s := open(t, path)
					apply(t, s, store.Write{Key: "old", Value: []byte("v")})
					if err := s.Close(); err != nil {
						t.Fatal(err)
					}
				},
			} {
				path := filepath.Join(t.TempDir(), dbName)
				prepare(path)
				if err := os.Chmod(path, mode); err != nil {
					t.Fatal(err)
				}
				s := open(t, path, options...)
				apply(t, s, store.Write{Key: "k", Value: []byte("v")})
				for _, suffix := range []string{"", "-wal", "-shm"} {
					if is := modes(t, filepath.Dir(path))[dbName+suffix]; is != mode {
						t.Errorf("%s, %s: %s has mode %v, want %v", name, how, dbName+suffix, is, mode)
					}
				}
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				if is := modes(t, filepath.Dir(path))[dbName]; is != mode {
					t.Errorf("%s, %s: mode %v after Close, want %v", name, how, is, mode)
				}
			}
		}
	}
}
