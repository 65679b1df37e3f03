// Package exampletest runs the examples in their tests: as the real program,
// which can be killed and started again, and as a handler with visitors.
package exampletest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A Process is a real program, built and started as a user does it. Its methods
// fail the test when something is wrong.
type Process struct {
	// URL is where the program serves; "" before the first Start.
	URL string
	// Program is the program's file, DB its database.
	Program, DB string
	// Args are the program's flags besides -addr; by default -db DB.
	Args []string

	t      *testing.T
	cmd    *exec.Cmd
	stderr *bytes.Buffer
}

// Build compiles the program in the current folder, whose package's test is
// running, and prepares to run it on its own database. The program is killed
// when the test ends.
func Build(t *testing.T, name string) *Process {
	t.Helper()
	dir := t.TempDir()
	p := &Process{t: t, Program: filepath.Join(dir, name), DB: filepath.Join(dir, name+".db")}
	p.Args = []string{"-db", p.DB}
	// go run keeps what it has linked for the next test, and go build does not.
	if out, err := exec.CommandContext(t.Context(), "go", "run", "-exec", "cp", ".", p.Program).CombinedOutput(); err != nil {
		t.Fatalf("go run: %v\n%s", err, out)
	}
	t.Cleanup(func() {
		if p.cmd != nil {
			p.Kill()
		}
	})
	return p
}

// Start runs the program, the first time on a free port and later on the same
// one, and waits until it says that it listens.
func (p *Process) Start() {
	p.t.Helper()
	addr := "127.0.0.1:0"
	if p.URL != "" {
		addr = strings.TrimPrefix(p.URL, "http://")
	}
	p.stderr = &bytes.Buffer{}
	p.cmd = exec.Command(p.Program, append([]string{"-addr", addr}, p.Args...)...)
	p.cmd.Stderr = p.stderr
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		p.cmd = nil
		p.t.Fatal(err)
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	url, found := strings.CutPrefix(strings.TrimSpace(line), "listening on ")
	if err != nil || !found {
		p.Kill()
		p.t.Fatalf("the program said %q (%v), want its address\n%s", line, err, p.stderr)
	}
	p.URL = url
}

// Terminate asks the program to end and checks that it does so cleanly.
func (p *Process) Terminate() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	err := p.cmd.Wait()
	p.cmd = nil
	if err != nil {
		p.t.Fatalf("after SIGTERM: %v\n%s", err, p.stderr)
	}
}

// Kill ends the program without warning, as kill -9 does.
func (p *Process) Kill() {
	p.t.Helper()
	if err := p.cmd.Process.Kill(); err != nil {
		p.t.Error(err)
	}
	var exit *exec.ExitError
	if err := p.cmd.Wait(); !errors.As(err, &exit) {
		p.t.Errorf("after kill -9: %v", err)
	}
	p.cmd = nil
}

// Refused runs the program again and checks that it exits with a message that
// contains want.
func (p *Process) Refused(want string, args ...string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, p.Program, args...).CombinedOutput()
	name := filepath.Base(p.Program)
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() <= 0 || !strings.HasPrefix(string(out), name+": ") || !strings.Contains(string(out), want) {
		p.t.Errorf("%s %q: %v, said %q; want an exit code and a message with %q", name, args, err, out, want)
	}
}
