package main_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// A server is a PostgreSQL server for the tests of this package.
type server struct {
	dir  string
	port int
	bin  string
	user *user.User // who runs it; nil: who runs the tests
}

// shared is the server of all tests; TestMain stops it.
var shared struct {
	sync.Once
	*server
	err error
}

// folder has what all tests share.
var folder string

func TestMain(m *testing.M) {
	var err error
	if folder, err = os.MkdirTemp("", "stay-copy"); err != nil {
		panic(err)
	}
	code := m.Run()
	_ = os.RemoveAll(folder)
	if shared.server != nil {
		shared.stop()
	}
	os.Exit(code)
}

// postgres returns the server, which is started by the first test that asks.
func postgres(t *testing.T) *server {
	t.Helper()
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(found) == 0 {
		if name, err := exec.LookPath("initdb"); err == nil {
			found = []string{name}
		}
	}
	if len(found) == 0 {
		const missing = "no PostgreSQL found: install Debian's package postgresql"
		if os.Getenv("STAY_TEST_REQUIRE") != "" {
			t.Fatal(missing)
		}
		fmt.Fprintf(os.Stderr, "SKIPPED %s: %s\n", t.Name(), missing)
		t.Skip(missing)
	}
	shared.Do(func() { shared.server, shared.err = start(filepath.Dir(found[len(found)-1])) })
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.server
}

// start makes a server in a folder of its own. It asks for a password.
func start(bin string) (*server, error) {
	dir, err := os.MkdirTemp("", "stay-copy")
	if err != nil {
		return nil, err
	}
	s := &server{dir: dir, bin: bin}
	if os.Getuid() == 0 { // PostgreSQL refuses to run as root
		if s.user, err = user.Lookup("postgres"); err != nil {
			return nil, err
		}
		uid, _ := strconv.Atoi(s.user.Uid)
		gid, _ := strconv.Atoi(s.user.Gid)
		if err := os.Chown(dir, uid, gid); err != nil {
			return nil, err
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s.port = l.Addr().(*net.TCPAddr).Port
	if err := l.Close(); err != nil {
		return nil, err
	}
	password := filepath.Join(dir, "password")
	if err := os.WriteFile(password, []byte("open sesame"), 0o644); err != nil { //nolint:gosec // the server's user reads it
		return nil, err
	}
	data := filepath.Join(dir, "data")
	if out, err := s.command("initdb", "-D", data, "-U", "postgres", "-A", "scram-sha-256", "--pwfile", password, "-E", "UTF8", "--no-sync").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w: %s", err, out)
	}
	options := fmt.Sprintf("-p %d -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off", s.port)
	if out, err := s.command("pg_ctl", "-D", data, "-w", "-t", "300", "-l", filepath.Join(dir, "log"), "-o", options, "start").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("pg_ctl: %w: %s", err, out)
	}
	return s, nil
}

func (s *server) stop() {
	_ = s.command("pg_ctl", "-D", filepath.Join(s.dir, "data"), "-m", "immediate", "stop").Run()
	_ = os.RemoveAll(s.dir)
}

// command is a program of PostgreSQL, run by the server's user.
func (s *server) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(s.bin, name), args...) //nolint:gosec // a program of PostgreSQL
	cmd.Dir = s.dir
	runAs(cmd, s.user)
	return cmd
}

// schema makes an empty schema and returns the URL of a store in it, with the
// password or without.
func (s *server) schema(t *testing.T) (with, without string) {
	t.Helper()
	name := fmt.Sprintf("test%d", time.Now().UnixNano())
	if _, err := s.connect(t).Exec(t.Context(), "CREATE SCHEMA "+name); err != nil {
		t.Fatal(err)
	}
	rest := fmt.Sprintf("@127.0.0.1:%d/postgres?sslmode=disable&search_path=%s", s.port, name)
	return "postgres://postgres:open%20sesame" + rest, "postgres://postgres" + rest
}

func (s *server) connect(t *testing.T) *pgx.Conn {
	t.Helper()
	c, err := pgx.Connect(t.Context(), fmt.Sprintf("postgres://postgres:open%%20sesame@127.0.0.1:%d/postgres?sslmode=disable", s.port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(context.Background()) })
	return c
}
