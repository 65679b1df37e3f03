package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stay-go/stay/bench/internal/counter"
	"github.com/stay-go/stay/internal/process"
)

// build puts the program with all servers into dir. The flags are those of go build.
func build(ctx context.Context, dir string, flags ...string) (program string, err error) {
	program = filepath.Join(dir, "server")
	args := slices.Concat([]string{"build", "-o", program}, flags, []string{"github.com/stay-go/stay/bench/server"})
	cmd := exec.CommandContext(ctx, "go", args...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s", cmd, err, out)
	}
	return program, nil
}

// pinning says where processes run.
type pinning struct {
	taskset string // "" = wherever the system likes
	note    string
}

// pin moves this process off the first CPU, which the servers get. Without
// taskset, or with one CPU, everything stays where it is.
func pin(ctx context.Context) pinning {
	cpus := runtime.NumCPU()
	path, err := exec.LookPath("taskset")
	if err != nil || cpus < 2 {
		return pinning{note: "not pinned to CPUs (that takes taskset and two CPUs): ratios are rough"}
	}
	rest := fmt.Sprintf("1-%d", cpus-1)
	for _, args := range [][]string{
		{"-c", "0", path, "-V"}, // is it ours?
		{"-a", "-c", "-p", rest, strconv.Itoa(os.Getpid())},
	} {
		if out, err := exec.CommandContext(ctx, path, args...).CombinedOutput(); err != nil {
			return pinning{note: fmt.Sprintf("not pinned to CPUs, ratios are rough: %v: %s", err, bytes.TrimSpace(out))}
		}
	}
	runtime.GOMAXPROCS(cpus - 1)
	return pinning{taskset: path, note: "servers on CPU 0, load on CPU " + rest}
}

// A server is a process under test.
type server struct {
	kind    kind
	addr    string
	admin   string
	cmd     *exec.Cmd
	stdin   io.Closer
	log     *bytes.Buffer // read it only once exited is closed
	exited  chan struct{}
	exitErr error // once exited is closed

	load         *scenario
	browsers     []browser
	acknowledged int64 // increments
}

// stopTimeout bounds a clean end; then the process is killed.
const stopTimeout = 15 * time.Second

// startServer runs the program with these arguments, and waits until it answers.
func startServer(ctx context.Context, k kind, args []string, program string, p pinning) (*server, error) {
	s := &server{kind: k, log: &bytes.Buffer{}, exited: make(chan struct{})}
	port, err := process.FreePorts(2)
	if err != nil {
		return nil, err
	}
	s.addr, s.admin = fmt.Sprint("127.0.0.1:", port), fmt.Sprint("127.0.0.1:", port+1)
	args = slices.Concat([]string{program}, args, []string{"-addr", s.addr, "-admin", s.admin, "-piped"})
	if p.taskset != "" {
		args = append([]string{p.taskset, "-c", "0"}, args...)
	}
	// Not tied to ctx: stop ends it, in order. Should this process be killed,
	// the pipe ends, and the server with it.
	s.cmd = exec.Command(args[0], args[1:]...)
	s.cmd.Env = slices.Concat(os.Environ(), []string{"GOMAXPROCS=1"}, strings.Fields(k.setting))
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	if s.stdin, err = s.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		s.exitErr = s.cmd.Wait()
		close(s.exited)
	}()
	if err := s.ready(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", k.label(), err), s.stop())
	}
	return s, nil
}

// ready waits until the server answers.
func (s *server) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	for {
		_, err := s.mem(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-s.exited:
			return errors.New("it ended at once")
		default:
		}
		if pause(ctx, 20*time.Millisecond) != nil {
			return err
		}
	}
}

// stop ends the process and returns what it said if that did not go well.
func (s *server) stop() error {
	_ = s.stdin.Close() // has been closed already if the process has ended
	t := time.NewTimer(stopTimeout)
	defer t.Stop()
	select {
	case <-s.exited:
	case <-t.C:
		err := s.cmd.Process.Kill()
		<-s.exited
		return fmt.Errorf("%s did not end and was killed: %w\n%s", s.kind.name, err, s.log)
	}
	if s.exitErr != nil {
		return fmt.Errorf("%s: %w\n%s", s.kind.name, s.exitErr, s.log)
	}
	return nil
}

// mem asks the server what it has used so far.
func (s *server) mem(ctx context.Context) (m counter.Mem, err error) {
	err = s.get(ctx, "/mem", func(body io.Reader) error { return json.NewDecoder(body).Decode(&m) })
	return m, err
}

// rss returns how many bytes of memory the process has, 0 if the system does not tell.
func (s *server) rss() float64 {
	if s.cmd == nil {
		return 0
	}
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", s.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	var size, resident float64 // in pages
	if _, err := fmt.Sscan(string(data), &size, &resident); err != nil {
		return 0
	}
	return resident * float64(os.Getpagesize())
}

// profile takes a CPU profile of the server for about as long as d, rounded
// up to seconds.
func (s *server) profile(ctx context.Context, d time.Duration, file string) error {
	seconds := (d + time.Second - 1) / time.Second
	return s.get(ctx, fmt.Sprintf("/debug/pprof/profile?seconds=%d", seconds), func(body io.Reader) error {
		data, err := io.ReadAll(body)
		if err != nil {
			return err
		}
		return os.WriteFile(file, data, 0o644)
	})
}

// get has fn read what the server answers to a question about itself.
func (s *server) get(ctx context.Context, path string, fn func(body io.Reader) error) (err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.admin+path, http.NoBody)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", path, resp.Status)
	}
	return fn(resp.Body)
}
