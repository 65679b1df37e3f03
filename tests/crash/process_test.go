// Package crash_test ends a real server without warning, as kill -9 and as a
// power cut do, and proves that nothing that was acknowledged is lost, torn or
// brought back.
package crash_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is how long anything may take before it counts as stuck. It is
// generous because the machine may be busy; nothing waits for it to pass.
const patience = 2 * time.Minute

// The servers. Each is compiled once, without the race detector; TestMain removes
// the programs.
var crashserver, onceserver = builder("crashserver"), builder("onceserver")

// builder returns what compiles the server of this name and returns its program.
func builder(name string) func() (string, error) {
	return sync.OnceValues(func() (string, error) {
		program := filepath.Join(binaries, name)
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
		defer cancel()
		out, err := exec.CommandContext(ctx, "go", "build", "-o", program, "../internal/"+name).CombinedOutput()
		if err != nil {
			return "", fmt.Errorf("go build: %w\n%s", err, out)
		}
		return program, nil
	})
}

// binaries is where the servers are built.
var binaries string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "stay-crash-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	binaries = dir
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// A process is a server that runs.
type process struct {
	url    string
	pid    int // of the server, not of who watches it
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stderr bytes.Buffer
}

// start runs the server of the crash tests, behind the program and arguments that
// watch it if there are any, and waits until it listens.
func start(t *testing.T, watcher []string, args ...string) *process {
	t.Helper()
	return startServer(t, crashserver, watcher, args...)
}

// startServer is start for any of the servers.
func startServer(t *testing.T, build func() (string, error), watcher []string, args ...string) *process {
	t.Helper()
	program, err := build()
	if err != nil {
		t.Fatal(err)
	}
	line := append(append(watcher[:len(watcher):len(watcher)], program), args...)
	p := &process{cmd: exec.Command(line[0], line[1:]...)}
	p.cmd.Stderr = &p.stderr
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.stdin.Close() // which ends it, if it is still there
		_ = p.cmd.Wait()
	})
	var address string
	if _, err := fmt.Fscan(bufio.NewReader(stdout), &address, &p.pid); err != nil {
		_ = p.stdin.Close()
		_ = p.cmd.Wait()
		t.Fatalf("the server did not say where it listens: %v\n%s", err, p.stderr.Bytes())
	}
	p.url = "http://" + address
	return p
}

// strike is kill -9. Until kill was called the server counts as there.
func (p *process) strike() { _ = syscall.Kill(p.pid, syscall.SIGKILL) }

// kill ends the server as kill -9 does, and waits for its end.
func (p *process) kill(t *testing.T) {
	t.Helper()
	p.strike()
	var exit *exec.ExitError
	if err := p.cmd.Wait(); !errors.As(err, &exit) {
		t.Errorf("after kill -9: %v", err)
	}
	p.complain(t)
}

// stop has the server close its App.
func (p *process) stop(t *testing.T) {
	t.Helper()
	if _, err := io.WriteString(p.stdin, "\n"); err != nil {
		t.Error(err)
	}
	if err := p.cmd.Wait(); err != nil {
		t.Errorf("the server did not end well: %v", err)
	}
	p.complain(t)
}

// complain fails the test if the server has logged anything but that it
// refused requests because it was about to end, what it leaves to programs
// with other modules, and that a state forgets the oldest of many actions: a
// fast machine sends more than a state keeps, and only the latest is sent again.
func (p *process) complain(t *testing.T) {
	t.Helper()
	for line := range strings.Lines(p.stderr.String()) {
		if !strings.Contains(line, "closed: the app is closed") && !strings.HasPrefix(line, "INFO ") &&
			!strings.HasPrefix(line, "WARN a state gets so many actions with ids") {
			t.Errorf("the server logged: %s", line)
		}
	}
}

// load has all browsers use the server until enough was acknowledged, and
// calls end beside them.
func load(t *testing.T, r *run, p *process, browsers []*browser, enough int, end func()) {
	t.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: 4 * len(browsers)}
	defer transport.CloseIdleConnections()
	r.client, r.url = &http.Client{Transport: transport}, p.url
	r.acks.Store(0)
	r.enough, r.reached = int64(enough), make(chan struct{})
	var wg sync.WaitGroup
	for _, b := range browsers {
		wg.Go(b.use)
	}
	all := make(chan struct{})
	go func() {
		wg.Wait()
		close(all)
	}()
	select {
	case <-r.reached:
	case <-all: // each of them has failed
	case <-time.After(patience):
		t.Error("nothing is acknowledged any more")
	}
	r.ending.Store(true)
	end()
	<-all
	r.ending.Store(false)
}
