package pgstore_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/stay-go/stay/internal/need"
	"github.com/stay-go/stay/internal/pgserver"
	"github.com/stay-go/stay/internal/storekit"
)

// A server is a PostgreSQL server of a test.
type server struct{ *pgserver.Server }

// shared is the server of all tests that do not stop it.
var shared = storekit.Share("", newServer)

func TestMain(m *testing.M) {
	code := m.Run()
	shared.End()
	os.Exit(code)
}

// theServer returns the shared server.
func theServer(t *testing.T) *server {
	t.Helper()
	s, err := shared.Get()
	check(t, err)
	return s
}

// ownServer returns a server that is for this test alone.
func ownServer(t *testing.T) *server {
	t.Helper()
	s, err := newServer(folder(t))
	check(t, err)
	t.Cleanup(s.Kill)
	return s
}

// folder returns an empty folder that is removed after the test. The server's
// user may not enter those above t.TempDir.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "pgstore")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func newServer(dir string) (*server, error) {
	s, err := pgserver.New(dir)
	return &server{s}, err
}

// check skips the test if PostgreSQL is missing, or fails it if it must not be.
func check(t testing.TB, err error) {
	t.Helper()
	need.NoError(t, err, pgserver.ErrMissing, errNoPooler)
}

// start starts the server again.
func (s *server) start(t *testing.T) {
	t.Helper()
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
}

// standby makes a standby of the server and starts it.
func (s *server) standby(t *testing.T) *server {
	t.Helper()
	b, err := s.Standby(folder(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Kill)
	return &server{b}
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
	ctx := storekit.Within(t)
	c, err := pgx.Connect(ctx, s.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(ctx)
	if err := c.QueryRow(ctx, statement, args...).Scan(&value); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
	return value
}

// until waits until the server says that a condition holds.
func (s *server) until(t *testing.T, condition string) {
	t.Helper()
	if err := s.Until(storekit.Within(t), condition); err != nil {
		t.Fatal(err)
	}
}

// logged returns how often the server has logged the text so far.
func (s *server) logged(t *testing.T, text string) int {
	t.Helper()
	marker := fmt.Sprintf("marker %d of %s", schemas.Add(1), t.Name())
	s.exec(t, "DO $$ BEGIN RAISE LOG '"+marker+"'; END $$")
	if !s.Log().Await(storekit.Within(t).Done(), marker, 0) {
		t.Fatalf("the marker is not in the log of the server:\n%s", s.Log())
	}
	return s.Log().Count(text)
}

// connect opens a connection that ends with the test.
func (s *server) connect(t *testing.T) *pgx.Conn {
	t.Helper()
	c, err := pgx.Connect(context.Background(), s.URL())
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
		c, err := pgx.Connect(context.Background(), s.URL())
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
		if err == nil {
			err = s.Own(path)
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
	signal := filepath.Join(s.Data(), "recovery.signal")
	if err := os.WriteFile(signal, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Own(signal); err != nil {
		t.Fatal(err)
	}
	conf, err := os.OpenFile(filepath.Join(s.Data(), "postgresql.auto.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = conf.WriteString("restore_command = 'false'\n")
	if err := errors.Join(err, conf.Close()); err != nil {
		t.Fatal(err)
	}
}
