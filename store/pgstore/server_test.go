package pgstore_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
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
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// A server is a PostgreSQL server with a data folder of its own.
type server struct {
	bin  string // the folder of PostgreSQL's programs
	data string
	user *user.User // who runs it; nil: whoever runs the tests
	port int
	cmd  *exec.Cmd
	end  chan struct{} // closed when the process has ended
	log  journal
}

// shared is the server of all tests that do not stop it. TestMain stops it.
var shared = sync.OnceValues(func() (*server, error) {
	dir, err := os.MkdirTemp("", "pgstore")
	if err != nil {
		return nil, err
	}
	s, err := newServer(dir)
	if err != nil {
		_ = os.RemoveAll(dir)
	}
	return s, err
})

var started atomic.Bool // whether a test has asked for the shared server

func TestMain(m *testing.M) {
	code := m.Run()
	if started.Load() {
		if s, err := shared(); err == nil {
			s.kill()
			_ = os.RemoveAll(filepath.Dir(s.data))
		}
	}
	os.Exit(code)
}

// theServer returns the shared server.
func theServer(t *testing.T) *server {
	t.Helper()
	started.Store(true)
	s, err := shared()
	check(t, err)
	return s
}

// ownServer returns a server that is for this test alone.
func ownServer(t *testing.T) *server {
	t.Helper()
	dir, err := os.MkdirTemp("", "pgstore") // t.TempDir is below folders that the server's user may not enter
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s, err := newServer(dir)
	check(t, err)
	t.Cleanup(s.kill)
	return s
}

// errMissing means that there is no PostgreSQL to test with.
var errMissing = errors.New("no PostgreSQL found: install Debian's package postgresql")

// check skips the test if PostgreSQL is missing, or fails it if it must not be.
func check(t *testing.T, err error) {
	t.Helper()
	switch {
	case (errors.Is(err, errMissing) || errors.Is(err, errNoPooler)) && os.Getenv("STAY_TEST_REQUIRE") == "":
		fmt.Fprintf(os.Stderr, "SKIPPED %s: %v\n", t.Name(), err)
		t.Skip(err)
	case err != nil:
		t.Fatal(err)
	}
}

// newServer makes a data folder in dir and starts a server on it.
func newServer(dir string) (*server, error) {
	bin, err := programs()
	if err != nil {
		return nil, err
	}
	s := &server{bin: bin, data: filepath.Join(dir, "data")}
	if os.Getuid() == 0 { // PostgreSQL refuses to run as root
		if s.user, err = user.Lookup("postgres"); err != nil {
			return nil, err
		}
		if err := chown(dir, s.user); err != nil {
			return nil, err
		}
	}
	cmd := s.command("initdb", "-D", s.data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w: %s", err, out)
	}
	return s, s.start()
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
		return "", errMissing
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

// command is a program of PostgreSQL, run by the server's user.
func (s *server) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(s.bin, name), args...)
	cmd.Dir = filepath.Dir(s.data)
	attach(cmd, s.user)
	return cmd
}

// start starts the server and waits until it takes connections. It always gets
// the same port, so that a store finds it again.
func (s *server) start() error {
	if s.port == 0 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		s.port = l.Addr().(*net.TCPAddr).Port
		_ = l.Close()
	}
	s.cmd = s.command("postgres", "-D", s.data, "-p", strconv.Itoa(s.port),
		"-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "fsync=off",
		"-c", "max_connections=200", "-c", "shared_buffers=64MB", "-c", "lc_messages=C", "-c", "logging_collector=off")
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
		// outlive the tests.
		runtime.LockOSThread()
		if err := s.cmd.Start(); err != nil {
			ready <- err
			return
		}
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			s.log.add(lines.Text())
			if strings.Contains(lines.Text(), sign) {
				ready <- nil
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

// kill ends the server as a crash does.
func (s *server) kill() {
	if s.cmd != nil && s.cmd.Process != nil {
		_ = s.cmd.Process.Signal(quit)
		<-s.end
	}
}

// stop ends the server in good order.
func (s *server) stop(t *testing.T) {
	t.Helper()
	if err := s.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	<-s.end
}

// url names the database, with parameters such as search_path.
func (s *server) url(parameters ...string) string {
	query := url.Values{"sslmode": {"disable"}}
	for i := 0; i < len(parameters); i += 2 {
		query.Set(parameters[i], parameters[i+1])
	}
	return fmt.Sprintf("postgres://postgres@127.0.0.1:%d/postgres?%s", s.port, query.Encode())
}

// exec runs a statement as the superuser.
func (s *server) exec(t *testing.T, statement string, args ...any) {
	t.Helper()
	c := s.connect(t)
	if _, err := c.Exec(context.Background(), statement, args...); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// query reads one value as the superuser.
func query[T any](t *testing.T, s *server, statement string, args ...any) (value T) {
	t.Helper()
	ctx := within(t)
	c, err := pgx.Connect(ctx, s.url())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(ctx)
	if err := c.QueryRow(ctx, statement, args...).Scan(&value); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
	return value
}

// connect opens a connection that ends with the test.
func (s *server) connect(t *testing.T) *pgx.Conn {
	t.Helper()
	c, err := pgx.Connect(context.Background(), s.url())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(context.Background()) })
	return c
}

var schemas atomic.Int64

// schema makes an empty schema, which is dropped after the test.
func (s *server) schema(t *testing.T) string {
	t.Helper()
	name := fmt.Sprintf("test%d", schemas.Add(1))
	s.exec(t, "CREATE SCHEMA "+name)
	t.Cleanup(func() {
		c, err := pgx.Connect(context.Background(), s.url())
		if err != nil {
			return // the server is gone, and its folder too
		}
		_, _ = c.Exec(context.Background(), "DROP SCHEMA IF EXISTS "+name+" CASCADE")
		_ = c.Close(context.Background())
	})
	return name
}

// copyData copies the data folder of a server that is stopped, or puts a copy in
// its place.
func (s *server) copyData(t *testing.T, from, to string) {
	t.Helper()
	if err := os.RemoveAll(to); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(to, func(path string, d fs.DirEntry, err error) error {
		if err == nil && s.user != nil {
			err = chown(path, s.user)
		}
		if err == nil && d.IsDir() {
			err = os.Chmod(path, 0o700)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// recover makes the next start a recovery from an archive, which is empty. The
// server begins a new timeline then.
func (s *server) recover(t *testing.T) {
	t.Helper()
	signal := filepath.Join(s.data, "recovery.signal")
	if err := os.WriteFile(signal, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if s.user != nil {
		if err := chown(signal, s.user); err != nil {
			t.Fatal(err)
		}
	}
	conf, err := os.OpenFile(filepath.Join(s.data, "postgresql.auto.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = conf.WriteString("restore_command = 'false'\n")
	if err := errors.Join(err, conf.Close()); err != nil {
		t.Fatal(err)
	}
}

func chown(path string, u *user.User) error {
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return err
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		return err
	}
	return os.Chown(path, uid, gid)
}

// within returns a context that ends the test if it hangs.
func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}
