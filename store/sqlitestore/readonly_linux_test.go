package sqlitestore_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/sqlitestore"
)

// readOnlyPath tells the child of TestReadOnlyMount what to open.
const readOnlyPath = "SQLITESTORE_TEST_READONLY"

// TestReadOnlyMount proves that a database on a read-only file system is
// refused, by root as well, whether its lock is there or not. The child mounts
// it in a name space that ends with it.
func TestReadOnlyMount(t *testing.T) {
	if dir := os.Getenv(readOnlyPath); dir != "" {
		openReadOnly(t, dir)
		return
	}
	dir := t.TempDir()
	for _, name := range []string{"locked.db", "bare.db"} {
		s := open(t, filepath.Join(dir, name))
		apply(t, s, store.Write{Key: "k", Value: []byte("v")})
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(filepath.Join(dir, "bare.db.lock")); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestReadOnlyMount$", "-test.v", "-test.timeout=5m")
	cmd.Env = append(os.Environ(), readOnlyPath+"="+dir)
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	err := cmd.Run()
	if err != nil && (cmd.ProcessState == nil || strings.Contains(out.String(), "mount: operation not permitted")) {
		message := fmt.Sprintf("nothing may be mounted here; it needs root, in a container with --cap-add=SYS_ADMIN: %v: %s",
			err, bytes.TrimSpace(out.Bytes()))
		fmt.Fprintf(os.Stderr, "SKIPPED %s: %s\n", t.Name(), message)
		t.Skip(message)
	}
	if err != nil || !strings.Contains(out.String(), "--- PASS: TestReadOnlyMount") {
		t.Errorf("in a name space of its own: %v\n%s", err, &out)
	}
}

func openReadOnly(t *testing.T, from string) {
	dir := t.TempDir()
	if err := syscall.Mount(from, dir, "", syscall.MS_BIND, ""); err != nil {
		t.Fatalf("mount: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	if err := syscall.Mount("", dir, "", syscall.MS_BIND|syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatalf("mount: %v", err)
	}
	for _, name := range []string{"locked.db", "bare.db", "new.db"} {
		path := filepath.Join(dir, name)
		refused(t, path, []string{path, "cannot be opened for writing"})
		refused(t, path, []string{path, "cannot be opened for writing"}, sqlitestore.Shared())
	}
}
