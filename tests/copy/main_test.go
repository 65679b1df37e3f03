// Package copy_test proves that store.Copy and the command stay move an
// application to another store.
package copy_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/stay-go/stay/internal/need"
	"github.com/stay-go/stay/internal/pgserver"
)

// folder has what all tests share: the command and the server.
var folder string

func TestMain(m *testing.M) {
	var err error
	if folder, err = os.MkdirTemp("", "stay-copy-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	if started.Load() {
		if s, err := server(); err == nil {
			s.Kill()
		}
	}
	_ = os.RemoveAll(folder)
	os.Exit(code)
}

// program builds the command once, without the race detector.
var program = sync.OnceValues(func() (string, error) {
	name := filepath.Join(folder, "stay")
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", name, "../../cmd/stay").CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w: %s", err, out)
	}
	return name, nil
})

var started atomic.Bool // whether a test has asked for the server

// server is the PostgreSQL server of all tests. Its role locked needs a password.
var server = sync.OnceValues(func() (*pgserver.Server, error) {
	started.Store(true)
	// Its user has to get there.
	if err := os.Chmod(folder, 0o755); err != nil { //nolint:gosec // it has no secrets
		return nil, err
	}
	dir := filepath.Join(folder, "postgres")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	s, err := pgserver.New(dir)
	if err != nil {
		return nil, err
	}
	rules := `E'host all locked 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 trust'`
	for _, statement := range []string{
		"CREATE ROLE locked SUPERUSER LOGIN PASSWORD 'open sesame'",
		"COPY (SELECT " + rules + ") TO '" + filepath.Join(s.Data(), "pg_hba.conf") + "' WITH (FORMAT csv, QUOTE ' ', DELIMITER '|')",
		"SELECT pg_reload_conf()",
	} {
		if err := s.Exec(context.Background(), statement); err != nil {
			return s, fmt.Errorf("%s: %w", statement, err)
		}
	}
	return s, s.Until(context.Background(), "(SELECT count(*) = 2 FROM pg_hba_file_rules WHERE error IS NULL)")
})

// A schema is a store in PostgreSQL.
type schema struct {
	name     string
	url      string // with the password
	unlocked string // without it
}

var schemas atomic.Int64

// newSchema makes an empty schema. It skips the test if PostgreSQL is missing, or
// fails it if it must not be.
func newSchema(t *testing.T) schema {
	t.Helper()
	s, err := server()
	need.NoError(t, err, pgserver.ErrMissing)
	name := fmt.Sprintf("copy%d", schemas.Add(1))
	if err := s.Exec(t.Context(), "CREATE SCHEMA "+name); err != nil {
		t.Fatal(err)
	}
	url := strings.Replace(s.URL("search_path", name), "postgres@", "locked@", 1)
	return schema{name: name, unlocked: url, url: strings.Replace(url, "locked@", "locked:open%20sesame@", 1)}
}

// connect opens a connection for the test itself.
func connect(t *testing.T, s schema) *pgx.Conn {
	t.Helper()
	c, err := pgx.Connect(t.Context(), s.url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(context.Background()) })
	return c
}
