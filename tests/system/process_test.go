package system_test

import (
	"bufio"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A process is a server of its own, built without the race detector.
type process struct {
	t       *testing.T
	program string
	db      string
	shared  bool // whether it shares db with other processes
	url     string
	cmd     *exec.Cmd
	client  *http.Client
}

func buildServer(t *testing.T) *process {
	t.Helper()
	dir := t.TempDir()
	p := &process{t: t, program: filepath.Join(dir, "clickserver"), db: filepath.Join(dir, "app.db")}
	// go run keeps what it has linked for the next test, and go build does not.
	if out, err := exec.CommandContext(t.Context(), "go", "run", "-exec", "cp", "../internal/clickserver", p.program).CombinedOutput(); err != nil {
		t.Fatalf("go run: %v\n%s", err, out)
	}
	t.Cleanup(func() {
		if p.cmd != nil {
			p.kill()
		}
	})
	return p
}

// start runs the server and waits until it listens.
func (p *process) start() {
	p.t.Helper()
	p.cmd = exec.Command(p.program, p.db)
	if p.shared {
		p.cmd.Args = append(p.cmd.Args, "shared")
	}
	p.cmd.Stderr = os.Stderr
	if _, err := p.cmd.StdinPipe(); err != nil { // the server ends when it closes
		p.t.Fatal(err)
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		p.kill()
		p.t.Fatalf("the server did not say where it listens: %v", err)
	}
	p.url = "http://" + strings.TrimSpace(line)
	p.client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: clients}}
}

// kill ends the server as kill -9 does.
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
	if p.client != nil {
		p.client.CloseIdleConnections()
	}
}

func (p *process) browser(cookie string) *browser {
	return &browser{t: p.t, client: p.client, url: p.url, cookie: cookie}
}
