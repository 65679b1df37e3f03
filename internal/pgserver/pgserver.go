// Package pgserver runs PostgreSQL servers for tests and benchmarks, each with
// a data folder of its own, on a port that was free. On Linux a server ends with
// the process that started it, however that one ends.
package pgserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/stay-go/stay/internal/process"
)

// ErrMissing means that the machine has no PostgreSQL.
var ErrMissing = errors.New("no PostgreSQL found: install Debian's package postgresql")

// A Server is one PostgreSQL server. Its methods are called by one goroutine at
// a time.
type Server struct {
	bin      string // the folder of PostgreSQL's programs
	uid, gid int    // who runs it; uid -1: whoever runs this process
	data     string
	settings []string
	port     int
	p        *process.Process
	log      process.Log
	paused   []int     // the processes that Pause has stopped
	alarm    *exec.Cmd // wakes them; nil if there are none
}

// New makes a data folder in dir, which it gives to the user postgres if this
// process runs as root, and starts a server on it. settings are parameters of
// its configuration, as name=value. By default the server does not sync
// (fsync=off), and whoever can connect is let in as postgres.
func New(dir string, settings ...string) (*Server, error) {
	bin, err := programs()
	if err != nil {
		return nil, err
	}
	s := &Server{bin: bin, uid: -1, data: filepath.Join(dir, "data"), settings: settings}
	if os.Getuid() == 0 { // PostgreSQL refuses to run as root
		if err := s.become("postgres"); err != nil {
			return nil, err
		}
	}
	if err := s.Own(dir); err != nil {
		return nil, err
	}
	_, err = s.run(context.Background(), "initdb", "-D", s.data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
	if err != nil {
		return nil, err
	}
	return s, s.Start()
}

// programs returns the folder with PostgreSQL's programs of the newest version.
func programs() (string, error) {
	version := func(name string) int {
		v, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(name))))
		return v
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(found) > 0 {
		return filepath.Dir(slices.MaxFunc(found, func(a, b string) int { return version(a) - version(b) })), nil
	}
	name, err := exec.LookPath("initdb")
	if err != nil {
		return "", ErrMissing
	}
	if name, err = filepath.EvalSymlinks(name); err != nil {
		return "", err
	}
	return filepath.Dir(name), nil
}

// become has another user run the server.
func (s *Server) become(name string) error {
	u, err := user.Lookup(name)
	if err != nil {
		return err
	}
	if s.uid, err = strconv.Atoi(u.Uid); err != nil {
		return err
	}
	s.gid, err = strconv.Atoi(u.Gid)
	return err
}

// Own gives a file or folder to the server's user.
func (s *Server) Own(path string) error {
	if s.uid < 0 {
		return nil
	}
	return os.Chown(path, s.uid, s.gid)
}

// Command is a program of PostgreSQL, or another one that is named with its
// path, run by the server's user.
func (s *Server) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	if filepath.Base(name) == name {
		name = filepath.Join(s.bin, name)
	}
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = filepath.Dir(s.data)
	if s.uid >= 0 {
		process.RunAs(cmd, s.uid, s.gid)
	}
	return cmd
}

// run runs a program of PostgreSQL and returns what it writes.
func (s *Server) run(ctx context.Context, name string, args ...string) (string, error) {
	var out, complaint strings.Builder
	cmd := s.Command(ctx, name, args...)
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w: %s", name, err, &complaint)
	}
	return out.String(), nil
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
	args := []string{"-D", s.data, "-p", strconv.Itoa(s.port)}
	for _, setting := range slices.Concat([]string{
		"listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off", "max_connections=200",
		"shared_buffers=64MB", "lc_messages=C", "logging_collector=off",
	}, s.settings) {
		args = append(args, "-c", setting)
	}
	sign := "database system is ready to accept connections"
	if _, err := os.Stat(filepath.Join(s.data, "standby.signal")); err == nil {
		sign = "database system is ready to accept read" // read-only, or read only
	}
	before := s.log.Count(sign)
	cmd := s.Command(context.Background(), "postgres", args...)
	cmd.Stderr = &s.log
	var err error
	if s.p, err = process.Start(cmd, syscall.SIGQUIT); err != nil {
		return err
	}
	if !s.log.Await(s.p.Done(), sign, before) {
		return fmt.Errorf("postgres ended: %s", &s.log)
	}
	return nil
}

// Stop ends the server in good order, and its connections with it.
func (s *Server) Stop() { s.end(syscall.SIGINT) }

// Kill ends the server as a crash does.
func (s *Server) Kill() { s.end(syscall.SIGQUIT) }

func (s *Server) end(how syscall.Signal) {
	if s.p != nil {
		s.Resume()
		_ = s.p.End(how) // it may have ended
	}
}

// Data is the server's data folder.
func (s *Server) Data() string { return s.data }

// Log is what the server has logged since New, over all its starts.
func (s *Server) Log() *process.Log { return &s.log }

// Port is the one that the server listens on.
func (s *Server) Port() int { return s.port }

// TakePort has the server listen on a port from its next start on, such as that
// of a server whose place it takes.
func (s *Server) TakePort(port int) { s.port = port }

// Address is the host and port that the server listens on.
func (s *Server) Address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }
