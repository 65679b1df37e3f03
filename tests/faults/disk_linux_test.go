package faults_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// diskDir tells the child of fullDisk where its disk is to be.
const diskDir = "STAY_TEST_DISK"

// fullDisk is fullStore on a small disk of its own. A child mounts it, in a
// name space that ends with the child however that ends: no mount is left.
func fullDisk(t *testing.T) {
	if dir := os.Getenv(diskDir); dir != "" {
		if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=6m"); err != nil {
			t.Fatalf("mount: %v", err)
		}
		ballast := filepath.Join(dir, "ballast")
		fullStore(t, room{
			dir:  dir,
			fill: func(t *testing.T, _ *node) { fillDisk(t, ballast) },
			free: func(t *testing.T, _ *node) {
				if err := os.Remove(ballast); err != nil {
					t.Error(err)
				}
			},
		})
		return
	}
	var out bytes.Buffer
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestSoakFullStore$/^disk$", "-test.v", "-test.timeout=10m")
	cmd.Env = append(os.Environ(), diskDir+"="+t.TempDir())
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	err := cmd.Run()
	if err != nil && (cmd.ProcessState == nil || strings.Contains(out.String(), "mount: operation not permitted")) {
		// Not a failure even where nothing is to be skipped: no package mends
		// it, and the same store is filled in the other ways.
		message := fmt.Sprintf("a disk that is full, since none may be mounted here; it needs root, in a container with --cap-add=SYS_ADMIN: %v: %s",
			err, bytes.TrimSpace(out.Bytes()))
		fmt.Fprintf(os.Stderr, "SKIPPED %s: %s\n", t.Name(), message)
		t.Skip(message)
	}
	t.Logf("in a name space of its own: %v\n%s", err, &out)
	if err != nil || !strings.Contains(out.String(), "--- PASS: TestSoakFullStore/disk") {
		t.Error("the test on a full disk failed")
	}
}
