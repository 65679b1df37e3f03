// Package natsserver runs NATS servers with JetStream for tests, each with a data
// folder of its own, on ports that were free, alone or as a cluster. On Linux a
// server ends with the process that started it, however that one ends.
package natsserver

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/stay-go/stay/internal/process"
)

// ErrMissing means that the server's program cannot be built.
var ErrMissing = errors.New("no nats-server: it is a tool of the module tests, and go tool cannot build it")

// program builds the server once, as the version that the module of the tests
// names, and returns the path of what was built.
var program = sync.OnceValues(func() (string, error) {
	_, file, _, _ := runtime.Caller(0)
	cmd := exec.Command("go", "tool", "-n", "nats-server")
	cmd.Dir = filepath.Join(filepath.Dir(file), "..", "..", "tests")
	out, err := cmd.Output()
	if err != nil {
		var failed *exec.ExitError
		if errors.As(err, &failed) {
			out = failed.Stderr
		}
		return "", fmt.Errorf("%w: %w: %s", ErrMissing, err, out)
	}
	return strings.TrimSpace(string(out)), nil
})

// A Server is one NATS server. Its methods are called by one goroutine at a time.
type Server struct {
	runner   []string // what runs the server's program, if something does
	name     string
	dir      string
	settings []string
	port     int
	routes   []int            // the ports for each other, of all servers of the cluster; the first is the own
	p        *process.Process // the program, or its runner
	server   *os.Process      // the server, if something runs it; nil if it is the program
	log      process.Log
}

// New starts a server with its data in dir. settings are lines of its
// configuration, as "max_payload: 64KB"; those that begin with "sync_interval" go
// into the block jetstream. By default it syncs its files as it does without a
// configuration, every two minutes.
func New(dir string, settings ...string) (*Server, error) {
	return NewUnder(nil, dir, settings...)
}

// NewUnder is New with a program that runs the server and ends with it, such as
// strace, and ends it when it gets SIGTERM.
func NewUnder(runner []string, dir string, settings ...string) (*Server, error) {
	port, err := process.FreePorts(1)
	if err != nil {
		return nil, err
	}
	s := &Server{runner: runner, name: "n0", dir: dir, settings: settings, port: port}
	return s, s.Start()
}

// NewCluster starts servers that form a cluster, with their data in folders below
// dir. They do not tell clients of each other, so that a proxy in front of each is
// the only way. They are still electing a leader when it returns.
func NewCluster(dir string, servers int, settings ...string) ([]*Server, error) {
	first, err := process.FreePorts(2 * servers)
	if err != nil {
		return nil, err
	}
	all := make([]*Server, servers)
	for i := range all {
		routes := []int{first + servers + i} // its own, then those of the others
		for other := range servers {
			if other != i {
				routes = append(routes, first+servers+other)
			}
		}
		name := "n" + strconv.Itoa(i)
		all[i] = &Server{name: name, dir: filepath.Join(dir, name), settings: settings, port: first + i, routes: routes}
		if err := os.MkdirAll(all[i].dir, 0o700); err != nil {
			return nil, err
		}
		if err := all[i].Start(); err != nil {
			for _, s := range all[:i] {
				s.Kill()
			}
			return nil, err
		}
	}
	return all, nil
}

// Check has the server's program check a file of its configuration, with variables of
// the environment as "NAME=value".
func Check(file string, env ...string) error {
	name, err := program()
	if err != nil {
		return err
	}
	cmd := exec.Command(name, "-t", "-c", file)
	cmd.Env = append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("nats-server -t: %w: %s", err, out)
	}
	return nil
}

// Start starts the server again and waits until it takes connections, on the same
// port.
func (s *Server) Start() error {
	name, err := program()
	if err != nil {
		return err
	}
	stream := fmt.Sprintf("store_dir: %q, max_file: 4GB, max_mem: 1GB", filepath.Join(s.dir, "data"))
	var settings []string
	for _, line := range s.settings {
		if strings.HasPrefix(line, "sync_interval") {
			stream += ", " + line
		} else {
			settings = append(settings, line)
		}
	}
	config := []string{"server_name: " + s.name, "listen: " + s.Address(), "jetstream { " + stream + " }"}
	if len(s.routes) > 0 {
		routes := make([]string, len(s.routes)-1)
		for i, port := range s.routes[1:] {
			routes[i] = fmt.Sprintf("nats://127.0.0.1:%d", port)
		}
		config = append(config, fmt.Sprintf("cluster { name: test, no_advertise: true, listen: \"127.0.0.1:%d\", routes: [%s] }", s.routes[0], strings.Join(routes, ", ")))
	}
	config = append(config, settings...)
	file := filepath.Join(s.dir, "nats.conf")
	if err := os.WriteFile(file, []byte(strings.Join(config, "\n")+"\n"), 0o600); err != nil {
		return err
	}
	const sign = "Server is ready"
	before := s.log.Count(sign)
	pidfile := filepath.Join(s.dir, "pid")
	command := slices.Concat(s.runner, []string{name, "-c", file, "-P", pidfile})
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Dir = s.dir
	cmd.Stdout, cmd.Stderr = &s.log, &s.log
	last := syscall.SIGKILL
	if s.runner != nil {
		last = syscall.SIGTERM
	}
	if s.p, err = process.Start(cmd, last); err != nil {
		return err
	}
	if !s.log.Await(s.p.Done(), sign, before) {
		return fmt.Errorf("nats-server ended: %s", &s.log)
	}
	if s.runner != nil {
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

// Name is what the server is called in its cluster.
func (s *Server) Name() string { return s.name }

// Dir is the server's folder.
func (s *Server) Dir() string { return s.dir }

// Log is what the server has logged since New, over all its starts.
func (s *Server) Log() *process.Log { return &s.log }

// Address is the host and port that the server listens on.
func (s *Server) Address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// URL names the server.
func (s *Server) URL() string { return "nats://" + s.Address() }

// URLs names all servers of a cluster.
func URLs(servers []*Server) string {
	urls := make([]string, len(servers))
	for i, s := range servers {
		urls[i] = s.URL()
	}
	return strings.Join(urls, ",")
}
