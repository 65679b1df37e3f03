package live_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A server is the process that serves the pages, started again and again on one
// database and one address.
type server struct {
	t           *testing.T
	program, db string
	addr        string
	cmd         *exec.Cmd
	input       io.Closer
	stderr      *bytes.Buffer
}

func newServer(t *testing.T) *server {
	t.Helper()
	dir := t.TempDir()
	s := &server{t: t, program: filepath.Join(dir, "liveserver"), db: filepath.Join(dir, "live.db"), addr: "127.0.0.1:0"}
	// go run keeps what it has linked for the next test, and go build does not.
	if out, err := exec.CommandContext(t.Context(), "go", "run", "-exec", "cp", "../internal/liveserver", s.program).CombinedOutput(); err != nil {
		t.Fatalf("go run: %v\n%s", err, out)
	}
	t.Cleanup(func() {
		if s.cmd != nil {
			s.kill()
		}
	})
	s.start()
	return s
}

// start runs the program and waits until it listens.
func (s *server) start(args ...string) {
	s.t.Helper()
	s.cmd = exec.Command(s.program, append([]string{"-addr", s.addr, "-db", s.db, "-scripts", "../.."}, args...)...)
	s.stderr = &bytes.Buffer{}
	s.cmd.Stderr = s.stderr
	output, err := s.cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if s.input, err = s.cmd.StdinPipe(); err != nil {
		s.t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		s.cmd = nil
		s.t.Fatal(err)
	}
	line, err := bufio.NewReader(output).ReadString('\n')
	if err != nil {
		s.kill()
		s.t.Fatalf("the server said %q: %v\n%s", line, err, s.stderr)
	}
	s.addr = strings.TrimSpace(line)
}

// terminate ends the process as a deployment does, and returns how long that
// took.
func (s *server) terminate() time.Duration {
	s.t.Helper()
	begin := time.Now()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Fatal(err)
	}
	err := s.cmd.Wait()
	s.cmd = nil
	if err != nil {
		s.t.Errorf("after SIGTERM: %v\n%s", err, s.stderr)
	}
	return time.Since(begin)
}

// kill ends the process as kill -9 does.
func (s *server) kill() {
	if err := s.cmd.Process.Kill(); err != nil {
		s.t.Error(err)
	}
	_ = s.cmd.Wait()
	s.cmd = nil
	_ = s.input.Close()
}

func (s *server) url(path string, args ...any) string {
	return "http://" + s.addr + fmt.Sprintf(path, args...)
}

// number asks the server for a number.
func (s *server) number(path string) int {
	s.t.Helper()
	n, err := strconv.Atoi(s.do(http.MethodGet, path))
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

// do makes a request of nobody's browser.
func (s *server) do(method, path string) string {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.url("%s", path), nil)
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Accept", "*/*")
	r.Header.Set("Sec-Fetch-Mode", "cors")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode >= 300 {
		s.t.Fatalf("%s %s: %s %s %v", method, path, resp.Status, text, err)
	}
	return string(text)
}

// refuse answers in place of the server, as a proxy does while there is none, until
// each client has asked in vain.
func (s *server) refuse() {
	s.t.Helper()
	var mu sync.Mutex
	var once sync.Once
	asked, all := map[string]bool{}, make(chan struct{})
	proxy := &http.Server{Addr: s.addr, ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusBadGateway)
		mu.Lock()
		defer mu.Unlock()
		if asked[r.FormValue("client")] = true; len(asked) == len(clients) {
			once.Do(func() { close(all) })
		}
	})}
	ended := make(chan error, 1)
	go func() { ended <- proxy.ListenAndServe() }()
	select {
	case <-all:
	case <-time.After(45 * time.Second):
		mu.Lock()
		s.t.Errorf("only %v have asked again", asked)
		mu.Unlock()
	case err := <-ended:
		s.t.Fatal(err)
	}
	_ = proxy.Close()
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		s.t.Error(err)
	}
}
