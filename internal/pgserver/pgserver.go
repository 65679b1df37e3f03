// Package pgserver runs PostgreSQL servers for tests and benchmarks, each with
// a data folder of its own, on a port that was free. A server ends with the
// process that started it.
package pgserver

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// ErrMissing means that the machine has no PostgreSQL.
var ErrMissing = errors.New("no PostgreSQL found: install Debian's package postgresql")

// A Server is one PostgreSQL server. Its methods are called by one goroutine at
// a time.
type Server struct {
	bin      string     // the folder of PostgreSQL's programs
	user     *user.User // who runs it; nil: whoever runs this process
	data     string
	settings []string
	port     int
	cmd      *exec.Cmd
	end      chan struct{} // closed when the process has ended
	log      journal
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
	s := &Server{bin: bin, data: filepath.Join(dir, "data"), settings: settings}
	if os.Getuid() == 0 { // PostgreSQL refuses to run as root
		if s.user, err = user.Lookup("postgres"); err != nil {
			return nil, err
		}
		if err := s.Own(dir); err != nil {
			return nil, err
		}
	}
	cmd := s.Command("initdb", "-D", s.data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w: %s", err, out)
	}
	return s, s.Start()
}

// programs returns the folder with PostgreSQL's programs of the newest version.
func programs() (string, error) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	slices.SortFunc(found, func(a, b string) int { return versionIn(b) - versionIn(a) })
	if len(found) > 0 {
		return filepath.Dir(found[0]), nil
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

func versionIn(initdb string) int {
	v, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(initdb))))
	return v
}

// Command is a program of PostgreSQL, run by the server's user.
func (s *Server) Command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(s.bin, name), args...)
	cmd.Dir = filepath.Dir(s.data)
	attach(cmd, s.user)
	return cmd
}

// Own gives a file or folder to the server's user.
func (s *Server) Own(path string) error {
	if s.user == nil {
		return nil
	}
	uid, err := strconv.Atoi(s.user.Uid)
	if err != nil {
		return err
	}
	gid, err := strconv.Atoi(s.user.Gid)
	if err != nil {
		return err
	}
	return os.Chown(path, uid, gid)
}

// Start starts the server again and waits until it takes connections. It always
// gets the same port, so that a store finds it again.
func (s *Server) Start() error {
	if s.port == 0 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		s.port = l.Addr().(*net.TCPAddr).Port
		_ = l.Close()
	}
	args := []string{"-D", s.data, "-p", strconv.Itoa(s.port)}
	for _, setting := range slices.Concat([]string{
		"listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off", "max_connections=200",
		"shared_buffers=64MB", "lc_messages=C", "logging_collector=off",
	}, s.settings) {
		args = append(args, "-c", setting)
	}
	s.cmd = s.Command("postgres", args...)
	stderr, err := s.cmd.StderrPipe()
	if err != nil {
		return err
	}
	sign := "database system is ready to accept connections"
	if _, err := os.Stat(filepath.Join(s.data, "standby.signal")); err == nil {
		sign = "database system is ready to accept read" // read-only, or read only
	}
	ready := make(chan error, 1)
	s.end = make(chan struct{})
	go func() {
		defer close(s.end)
		// The server ends with the thread that started it, so that it does not
		// outlive this process.
		runtime.LockOSThread()
		if err := s.cmd.Start(); err != nil {
			ready <- err
			return
		}
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			s.log.add(lines.Text())
			if strings.Contains(lines.Text(), sign) {
				select {
				case ready <- nil:
				default:
				}
			}
		}
		_ = s.cmd.Wait()
		select {
		case ready <- fmt.Errorf("postgres ended: %s", s.log.text()):
		default:
		}
	}()
	return <-ready
}

// Kill ends the server as a crash does.
func (s *Server) Kill() { s.finish(quit) }

// Stop ends the server in good order, and its connections with it.
func (s *Server) Stop() { s.finish(os.Interrupt) }

func (s *Server) finish(how os.Signal) {
	if s.cmd != nil && s.cmd.Process != nil {
		_ = s.cmd.Process.Signal(how) // it may have ended
		<-s.end
	}
}

// Data is the server's data folder.
func (s *Server) Data() string { return s.data }

// Log is what the server has logged.
func (s *Server) Log() string { return s.log.text() }

// Address is the host and port that the server listens on.
func (s *Server) Address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// URL names the database. parameters are names and values in turn, such as
// search_path and a schema.
func (s *Server) URL(parameters ...string) string { return s.urlOf("postgres", parameters) }

func (s *Server) urlOf(database string, parameters []string) string {
	query := url.Values{"sslmode": {"disable"}}
	for i := 0; i+1 < len(parameters); i += 2 {
		query.Set(parameters[i], parameters[i+1])
	}
	return "postgres://postgres@" + s.Address() + "/" + database + "?" + query.Encode()
}

// NewDatabase makes a database with a name of small letters, and returns its URL.
func (s *Server) NewDatabase(name string, parameters ...string) (string, error) {
	cmd := s.Command("createdb", "-h", "127.0.0.1", "-p", strconv.Itoa(s.port), "-U", "postgres", name)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("createdb: %w: %s", err, out)
	}
	return s.urlOf(name, parameters), nil
}

// A journal is what a server has logged. Its methods may be called
// concurrently.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) add(line string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, line)
}

func (j *journal) text() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Join(j.lines, "\n")
}
