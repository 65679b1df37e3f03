// Package nodes_test runs several nodes on one server of any kind, has visitors
// reach another one with each request, makes everything fail that fails in the
// world, and checks what they were told: what each register shows is what one
// register on one machine could have shown, and no session sees what is not its
// own.
package nodes_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stay-go/stay/internal/natsserver"
	"github.com/stay-go/stay/internal/need"
	"github.com/stay-go/stay/internal/pgserver"
	"github.com/stay-go/stay/internal/redisserver"
	"github.com/stay-go/stay/internal/workerd"
)

// patience is how long anything may take before it counts as stuck. It is
// generous because the machine may be busy; nothing waits for it to pass.
const patience = 2 * time.Minute

// soak reports whether the tests run long, as make soak wants them to.
func soak() bool { return os.Getenv("STAY_SOAK") == "1" }

// binaries is where the node's program is built. TestMain removes it.
var binaries string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "stay-nodes-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	binaries = dir
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// build compiles the node's program once, without the race detector.
var build = sync.OnceValues(func() (string, error) {
	program := filepath.Join(binaries, "nodeserver")
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, "go", "build", "-o", program, "../internal/nodeserver").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return program, nil
})

// check skips the test if the server is missing, or fails it if it must not be.
func check(t *testing.T, err error) {
	t.Helper()
	need.NoError(t, err, pgserver.ErrMissing, redisserver.ErrMissing, natsserver.ErrMissing, workerd.ErrMissing)
}

// pause waits for d.
func pause(d time.Duration) { <-time.After(d) }
