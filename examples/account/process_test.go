package main

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

// A process is the real program, built and started as a user does.
type process struct {
	t       *testing.T
	program string
	db      string
	url     string
	cmd     *exec.Cmd
	stderr  *bytes.Buffer
}

// build compiles the program and prepares to run it on a database of its own.
func build(t *testing.T) *process {
	t.Helper()
	dir := t.TempDir()
	p := &process{t: t, program: filepath.Join(dir, "account"), db: filepath.Join(dir, "account.db")}
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", p.program, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	t.Cleanup(func() {
		if p.cmd != nil {
			p.kill()
		}
	})
	return p
}

// start runs the program, the first time on a free port and later on the same
// one, and waits until it says that it listens.
func (p *process) start() {
	p.t.Helper()
	addr := "127.0.0.1:0"
	if p.url != "" {
		addr = strings.TrimPrefix(p.url, "http://")
	}
	p.stderr = &bytes.Buffer{}
	p.cmd = exec.Command(p.program, "-addr", addr, "-db", p.db)
	p.cmd.Stderr = p.stderr
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	url, found := strings.CutPrefix(strings.TrimSpace(line), "listening on ")
	if err != nil || !found {
		p.kill()
		p.t.Fatalf("the program said %q (%v), want its address\n%s", line, err, p.stderr)
	}
	p.url = url
}

// terminate asks the program to end and checks that it does so cleanly.
func (p *process) terminate() {
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

// kill ends the program without giving it a chance, as kill -9 does.
func (p *process) kill() {
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

// refused runs the program and checks that it ends by itself with a message
// that contains want.
func refused(t *testing.T, program, want string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, program, args...).CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() <= 0 || !strings.HasPrefix(string(out), "account: ") || !strings.Contains(string(out), want) {
		t.Errorf("account %q: %v, said %q; want an exit code and a message with %q", args, err, out, want)
	}
}
