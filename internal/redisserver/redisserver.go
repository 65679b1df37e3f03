// Package redisserver runs Redis servers for tests and benchmarks, each with a
// data folder of its own, on a port that was free. On Linux a server ends with the
// process that started it, however that one ends.
package redisserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/stay-go/stay/internal/process"
)

// ErrMissing means that the machine has no Redis.
var ErrMissing = errors.New("no redis-server found: install Debian's package redis-server")

// A Server is one Redis server. Its methods are called by one goroutine at a time.
type Server struct {
	program  []string // redis-server, or what runs it
	dir      string
	settings []string
	port     int
	p        *process.Process // the program
	server   *os.Process      // the server, if something runs it; nil if it is the program
	log      process.Log
}

// New starts a server with its data in dir. settings are parameters of its
// configuration with their values, as "appendfsync always". By default it appends
// to a log, syncs that always, and makes no snapshots.
func New(dir string, settings ...string) (*Server, error) {
	return NewUnder(nil, dir, settings...)
}

// NewUnder is New with a program that runs the server and ends with it, such as
// strace, and ends it when it gets SIGTERM.
func NewUnder(runner []string, dir string, settings ...string) (*Server, error) {
	return newAt(0, runner, dir, settings)
}

// newAt is NewUnder for a port, or a free one if it is 0.
func newAt(port int, runner []string, dir string, settings []string) (*Server, error) {
	name, err := exec.LookPath("redis-server")
	if err != nil {
		return nil, ErrMissing
	}
	s := &Server{program: slices.Concat(runner, []string{name}), dir: dir, settings: settings, port: port}
	return s, s.Start()
}

// Start starts the server again and waits until it takes connections. It always
// gets the same port, so that a store finds it again.
func (s *Server) Start() error {
	if s.port == 0 {
		var err error
		if s.port, err = process.FreePorts(1); err != nil {
			return err
		}
	}
	args := slices.Concat(s.program[1:], []string{"-"})
	pidfile := filepath.Join(s.dir, "pid")
	config := slices.Concat([]string{
		"bind 127.0.0.1", "pidfile " + pidfile, "port " + strconv.Itoa(s.port), "dir " + s.dir, "save \"\"",
		"appendonly yes", "appendfsync always", "daemonize no",
	}, s.settings)
	const sign = "Ready to accept connections"
	before := s.log.Count(sign)
	cmd := exec.Command(s.program[0], args...)
	cmd.Dir = s.dir
	cmd.Stdin = strings.NewReader(strings.Join(config, "\n") + "\n")
	cmd.Stdout, cmd.Stderr = &s.log, &s.log
	var err error
	last := syscall.SIGKILL
	if len(s.program) > 1 {
		last = syscall.SIGTERM
	}
	if s.p, err = process.Start(cmd, last); err != nil {
		return err
	}
	if !s.log.Await(s.p.Done(), sign, before) {
		return fmt.Errorf("redis-server ended: %s", &s.log)
	}
	if len(s.program) > 1 {
		return s.find(pidfile)
	}
	return nil
}

// find finds the server that another program runs.
func (s *Server) find(pidfile string) error {
	text, err := os.ReadFile(pidfile)
	if err != nil {
		return err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return err
	}
	s.server, err = os.FindProcess(pid)
	return err
}

// Stop ends the server in good order.
func (s *Server) Stop() { s.end(syscall.SIGTERM) }

// Kill ends the server as a crash does.
func (s *Server) Kill() { s.end(syscall.SIGKILL) }

func (s *Server) end(how syscall.Signal) {
	switch {
	case s.server != nil:
		_ = s.server.Signal(how) // it may have ended
		<-s.p.Done()
	case s.p != nil:
		_ = s.p.End(how)
	}
}

// Pid is the number of the process that was started.
func (s *Server) Pid() int { return s.p.Pid() }

// Dir is the server's data folder.
func (s *Server) Dir() string { return s.dir }

// Log is what the server has logged since New, over all its starts.
func (s *Server) Log() *process.Log { return &s.log }

// Port is the one that the server listens on.
func (s *Server) Port() int { return s.port }

// Address is the host and port that the server listens on.
func (s *Server) Address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// URL names the server.
func (s *Server) URL() string { return URLBy(s.Address()) }

// URLBy names the server as it is reached by way of another address, such as that
// of a proxy.
func URLBy(address string) string { return "redis://" + address }

// Ask runs a command through redis-cli, so that whoever imports this package needs
// no client, and returns what the server says.
func (s *Server) Ask(ctx context.Context, words ...string) (string, error) {
	args := append([]string{"-h", "127.0.0.1", "-p", strconv.Itoa(s.port), "-e"}, words...)
	out, err := exec.CommandContext(ctx, "redis-cli", args...).CombinedOutput()
	text := strings.TrimSuffix(string(out), "\n")
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", words[0], err, text)
	}
	return text, nil
}
