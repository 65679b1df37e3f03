// Package pgserver runs PostgreSQL servers for tests, each with a data folder of
// its own.
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
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/stay-go/stay/internal/process"
)

// ErrMissing means that there is no PostgreSQL on this machine.
var ErrMissing = errors.New("no PostgreSQL found: install Debian's package postgresql")

// A Server is a PostgreSQL server. Its address stays the same when it is started
// again.
type Server struct {
	bin      string // the folder of PostgreSQL's programs
	data     string
	uid, gid int // who runs it; uid -1: whoever runs the tests
	port     int
	settings []string
	p        *process.Process
	out      *output
	alarm    *exec.Cmd // wakes a server that is paused
}

// New makes a server in an empty folder and starts it, with settings such as
// "synchronous_commit=on". Its files need not survive the machine.
func New(dir string, settings ...string) (*Server, error) {
	s := &Server{data: filepath.Join(dir, "data"), uid: -1, settings: settings}
	var err error
	if s.bin, err = programs(); err != nil {
		return nil, err
	}
	if os.Getuid() == 0 { // PostgreSQL refuses to run as root
		if err := s.become("postgres", dir); err != nil {
			return nil, err
		}
	}
	if err := s.run("initdb", "-D", s.data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"); err != nil {
		return nil, err
	}
	return s, s.Start()
}

// become has another user run the server, who then owns the folder.
func (s *Server) become(name, dir string) error {
	u, err := user.Lookup(name)
	if err != nil {
		return err
	}
	if s.uid, err = strconv.Atoi(u.Uid); err != nil {
		return err
	}
	if s.gid, err = strconv.Atoi(u.Gid); err != nil {
		return err
	}
	return os.Chown(dir, s.uid, s.gid)
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

func (s *Server) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(s.bin, name), args...)
	cmd.Dir = filepath.Dir(s.data)
	if s.uid >= 0 {
		process.RunAs(cmd, s.uid, s.gid)
	}
	return cmd
}

func (s *Server) run(name string, args ...string) error {
	if out, err := s.command(name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, out)
	}
	return nil
}

// Start starts the server and returns when it takes connections.
func (s *Server) Start() error {
	if s.port == 0 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		s.port = l.Addr().(*net.TCPAddr).Port
		if err := l.Close(); err != nil {
			return err
		}
	}
	args := []string{"-D", s.data, "-p", strconv.Itoa(s.port)}
	for _, setting := range append([]string{
		"listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off", "max_connections=200",
		"shared_buffers=64MB", "lc_messages=C", "logging_collector=off", "wal_receiver_status_interval=1s",
	}, s.settings...) {
		args = append(args, "-c", setting)
	}
	sign := "database system is ready to accept connections"
	if _, err := os.Stat(filepath.Join(s.data, "standby.signal")); err == nil {
		sign = "database system is ready to accept read" // read-only, or read only
	}
	cmd := s.command("postgres", args...)
	s.out = &output{sign: sign, ready: make(chan struct{})}
	cmd.Stderr = s.out
	var err error
	if s.p, err = process.Start(cmd, syscall.SIGQUIT); err != nil {
		return err
	}
	select {
	case <-s.out.ready:
		return nil
	case <-s.p.Done():
		return fmt.Errorf("postgres ended: %s", s.Log())
	}
}

// Address is where the server listens.
func (s *Server) Address() string { return fmt.Sprintf("127.0.0.1:%d", s.port) }

// Log is what the server has written since its last start.
func (s *Server) Log() string { return s.out.String() }

// Stop ends the server in good order, and its connections with it.
func (s *Server) Stop() { _ = s.p.End(syscall.SIGINT) }

// Kill ends the server as a crash does.
func (s *Server) Kill() {
	if s.p != nil {
		s.Resume()
		_ = s.p.End(syscall.SIGQUIT)
	}
}

// Pause stops all of the server's processes where they are, until Resume, or for
// a minute if the test ends before that.
func (s *Server) Pause() {
	s.p.Signal(syscall.SIGSTOP) // it starts no others from now on
	wake := fmt.Sprintf("sleep 60; kill -CONT %d", s.p.Pid())
	for _, pid := range s.children() {
		_ = syscall.Kill(pid, syscall.SIGSTOP)
		wake += fmt.Sprintf(" %d", pid)
	}
	s.alarm = exec.Command("sh", "-c", wake)
	s.alarm.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // it outlives the test
	if err := s.alarm.Start(); err != nil {
		s.alarm = nil
	}
}

// Resume lets the server's processes go on.
func (s *Server) Resume() {
	for _, pid := range s.children() {
		_ = syscall.Kill(pid, syscall.SIGCONT)
	}
	s.p.Signal(syscall.SIGCONT)
	if s.alarm != nil {
		_ = syscall.Kill(-s.alarm.Process.Pid, syscall.SIGKILL)
		_ = s.alarm.Wait()
		s.alarm = nil
	}
}

// children are the processes that serve connections, and the server's helpers.
func (s *Server) children() (pids []int) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", s.p.Pid()))
	if err != nil {
		return nil
	}
	for _, field := range strings.Fields(string(text)) {
		if pid, err := strconv.Atoi(field); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// Standby makes a standby of the server in an empty folder and starts it.
func (s *Server) Standby(dir string, settings ...string) (*Server, error) {
	b := &Server{bin: s.bin, uid: s.uid, gid: s.gid, data: filepath.Join(dir, "data"), settings: settings}
	if s.uid >= 0 {
		if err := os.Chown(dir, s.uid, s.gid); err != nil {
			return nil, err
		}
	}
	primary := fmt.Sprintf("host=127.0.0.1 port=%d user=postgres sslmode=disable application_name=standby", s.port)
	if err := s.run("pg_basebackup", "-D", b.data, "-d", primary, "-R", "-c", "fast", "--no-sync"); err != nil {
		return nil, err
	}
	return b, b.Start()
}

// Exec runs a statement as the superuser.
func (s *Server) Exec(ctx context.Context, statement string) error {
	c, err := s.connect(ctx)
	if err != nil {
		return err
	}
	_, err = c.Exec(ctx, statement)
	return errors.Join(err, c.Close(ctx))
}

// Ask reads one text as the superuser.
func (s *Server) Ask(ctx context.Context, query string) (text string, err error) {
	c, err := s.connect(ctx)
	if err != nil {
		return "", err
	}
	err = c.QueryRow(ctx, query).Scan(&text)
	return text, errors.Join(err, c.Close(ctx))
}

// Until asks the server again and again, as the superuser, until a condition
// holds.
func (s *Server) Until(ctx context.Context, condition string) error {
	c, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close(ctx) }()
	for holds := false; !holds; {
		if err := c.QueryRow(ctx, "SELECT pg_sleep(0.02)::text = '' AND "+condition).Scan(&holds); err != nil {
			return fmt.Errorf("%s: %w", condition, err)
		}
	}
	return nil
}

func (s *Server) connect(ctx context.Context) (*pgx.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	return pgx.Connect(ctx, s.URL(s.Address(), ""))
}

// URL names the database as it is reached by way of the addresses, with more
// parameters.
func (s *Server) URL(addresses, parameters string) string {
	return "postgres://postgres@" + addresses + "/postgres?sslmode=disable" + parameters
}

// An output keeps what a server writes and notices that it is ready.
type output struct {
	sign  string
	ready chan struct{}

	mu    sync.Mutex
	text  strings.Builder
	found bool
}

// Write implements io.Writer.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text.Write(p)
	if !o.found && strings.Contains(o.text.String(), o.sign) {
		o.found = true
		close(o.ready)
	}
	return len(p), nil
}

// String implements fmt.Stringer.
func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}
