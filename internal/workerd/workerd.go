// Package workerd runs workerd, the open part of Cloudflare Workers, for tests:
// one Worker with Durable Objects, whose storage is in a folder, on a port that was
// free. On Linux it ends with the process that started it, however that one ends.
package workerd

import (
	"errors"
	"fmt"
	"maps"
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

// ErrMissing means that the machine has no workerd.
var ErrMissing = errors.New("no workerd found: run .ci/require workerd, or name the program in STAY_WORKERD")

// A Worker is what a server runs.
type Worker struct {
	// Modules are the scripts by name. The main one is called main.js.
	Modules map[string]string
	// Class is the name of the class of objects, and Binding how scripts call it.
	Class, Binding string
	// Texts are further bindings.
	Texts map[string]string
}

// A Server is one workerd. Its methods are called by one goroutine at a time.
type Server struct {
	program string
	dir     string
	port    int
	p       *process.Process
	log     process.Log
}

// New starts a server with its configuration and its objects in dir.
func New(dir string, w Worker) (*Server, error) {
	program, err := find()
	if err != nil {
		return nil, err
	}
	s := &Server{program: program, dir: dir}
	if err := os.MkdirAll(s.Objects(), 0o755); err != nil {
		return nil, err
	}
	return s, s.Start(w)
}

// find finds the program: where STAY_WORKERD says, in the PATH, or where
// .ci/require has put it.
func find() (string, error) {
	if name := os.Getenv("STAY_WORKERD"); name != "" {
		return name, nil
	}
	if name, err := exec.LookPath("workerd"); err == nil {
		// npm's command of this name is a script that starts the program, and
		// would be killed in its place.
		if real, err := filepath.EvalSymlinks(name); err == nil && !strings.HasSuffix(real, ".js") {
			return real, nil
		}
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", ErrMissing
	}
	names, err := filepath.Glob(filepath.Join(cache, "stay", "workerd", "node_modules", "@cloudflare", "workerd-*", "bin", "workerd"))
	if err != nil || len(names) == 0 {
		return "", ErrMissing
	}
	return slices.Max(names), nil
}

// Start starts the server again, with a Worker that may be another one, and waits
// until it takes requests. It always gets the same port, so that a store finds it
// again.
func (s *Server) Start(w Worker) error {
	var err error
	if s.port == 0 {
		if s.port, err = process.FreePorts(1); err != nil {
			return err
		}
	}
	for name, text := range w.Modules {
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o644); err != nil { //nolint:gosec // a script
			return err
		}
	}
	config := filepath.Join(s.dir, "workerd.capnp")
	if err := os.WriteFile(config, []byte(s.config(w)), 0o600); err != nil {
		return err
	}
	const sign = `"event":"listen"`
	before := s.log.Count(sign)
	cmd := exec.Command(s.program, "serve", config, "--control-fd=1")
	cmd.Dir = s.dir
	cmd.Stdout, cmd.Stderr = &s.log, &s.log
	if s.p, err = process.Start(cmd, syscall.SIGKILL); err != nil {
		return err
	}
	if !s.log.Await(s.p.Done(), sign, before) {
		return fmt.Errorf("workerd ended: %s", &s.log)
	}
	return nil
}

// config is the configuration in the language of workerd.
func (s *Server) config(w Worker) string {
	var modules, bindings []string
	names := slices.Sorted(maps.Keys(w.Modules))
	if i := slices.Index(names, "main.js"); i > 0 {
		names[0], names[i] = names[i], names[0] // the main one is the first
	}
	for _, name := range names {
		modules = append(modules, fmt.Sprintf("(name = %q, esModule = embed %q)", name, name))
	}
	bindings = append(bindings, fmt.Sprintf("(name = %q, durableObjectNamespace = %q)", w.Binding, w.Class))
	for _, name := range slices.Sorted(maps.Keys(w.Texts)) {
		bindings = append(bindings, fmt.Sprintf("(name = %q, text = %q)", name, w.Texts[name]))
	}
	return fmt.Sprintf(`using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "main", worker = .main), (name = "objects", disk = (path = %q, writable = true))],
  sockets = [(name = "http", address = %q, http = (), service = "main")],
);
const main :Workerd.Worker = (
  modules = [%s],
  compatibilityDate = "2026-10-01",
  durableObjectNamespaces = [(className = %q, uniqueKey = "objects", enableSql = true)],
  durableObjectStorage = (localDisk = "objects"),
  bindings = [%s],
);
`, s.Objects(), s.Address(), strings.Join(modules, ", "), w.Class, strings.Join(bindings, ", "))
}

// Stop ends the server in good order.
func (s *Server) Stop() { _ = s.p.End(syscall.SIGTERM) }

// Kill ends the server as a crash does.
func (s *Server) Kill() {
	if s.p != nil {
		_ = s.p.End(syscall.SIGKILL)
	}
}

// Objects is the folder with the objects' storage: in it, a folder with a file for
// each object.
func (s *Server) Objects() string { return filepath.Join(s.dir, "objects") }

// Log is what the server has logged since New, over all its starts.
func (s *Server) Log() *process.Log { return &s.log }

// Address is the host and port that the server listens on.
func (s *Server) Address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// URL names the server.
func (s *Server) URL() string { return "http://" + s.Address() + "/" }
