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

// mountedPath tells the child of TestMountedDatabases what its parent has open.
const mountedPath = "SQLITESTORE_TEST_MOUNT"

// TestMountedDatabases proves that a database whose folder is mounted at
// several places has one lock for all of them, and that a database mounted
// without its folder is refused, by sole owners and by shared stores. The child
// mounts them in a name space that ends with it: no mount is left.
//
// Proves C5.
func TestMountedDatabases(t *testing.T) {
	if path := os.Getenv(mountedPath); path != "" {
		openMounted(t, path)
		return
	}
	path := filepath.Join(t.TempDir(), "app.db")
	s := open(t, path)
	var out bytes.Buffer
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestMountedDatabases$", "-test.v", "-test.timeout=5m")
	cmd.Env = append(os.Environ(), mountedPath+"="+path)
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	err := cmd.Run()
	if err != nil && (cmd.ProcessState == nil || strings.Contains(out.String(), "mount: operation not permitted")) {
		message := fmt.Sprintf("nothing may be mounted here; it needs root, in a container with --cap-add=SYS_ADMIN: %v: %s",
			err, bytes.TrimSpace(out.Bytes()))
		fmt.Fprintf(os.Stderr, "SKIPPED %s: %s\n", t.Name(), message)
		t.Skip(message)
	}
	if err != nil || !strings.Contains(out.String(), "--- PASS: TestMountedDatabases") {
		t.Errorf("in a name space of its own: %v\n%s", err, &out)
	}
	apply(t, s, store.Write{Key: "k", Value: []byte("v")})
}

func openMounted(t *testing.T, path string) {
	dir := t.TempDir()
	folder, alone := filepath.Join(dir, "folder"), filepath.Join(dir, "alone.db")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(alone, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for from, to := range map[string]string{filepath.Dir(path): folder, path: alone} {
		if err := syscall.Mount(from, to, "", syscall.MS_BIND, ""); err != nil {
			t.Fatalf("mount: %v", err)
		}
		// The folder cannot be removed before.
		t.Cleanup(func() {
			if err := syscall.Unmount(to, 0); err != nil {
				t.Error(err)
			}
		})
	}
	now := sqlitestore.OwnerWait(0)
	inFolder := filepath.Join(folder, filepath.Base(path))
	refused(t, inFolder, []string{inFolder, "already open"}, now)
	refused(t, inFolder, []string{inFolder, "sole owner"}, now, sqlitestore.Shared())
	refused(t, alone, []string{alone, "mount the folder"}, now)
	refused(t, alone, []string{alone, "mount the folder"}, now, sqlitestore.Shared())
}
