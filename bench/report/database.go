package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/stay-go/stay/internal/pgserver"
)

// A database is the PostgreSQL server that all loads share. Only the servers of
// one load use it at a time.
type database struct{ server *pgserver.Server }

// startDatabase starts a server that syncs each commit, with its data below a
// folder.
func startDatabase(ctx context.Context, dir string, p pinning) (*database, error) {
	// The server's user may not enter a folder that is for this process alone.
	if err := os.Chmod(dir, 0o755); err != nil {
		return nil, err
	}
	data := filepath.Join(dir, "postgres")
	if err := os.Mkdir(data, 0o700); err != nil {
		return nil, err
	}
	// A checkpoint or a vacuum in the middle would be added to whoever is
	// measured then.
	server, err := pgserver.New(data, "fsync=on", "synchronous_commit=on", "shared_buffers=256MB",
		"max_wal_size=4GB", "checkpoint_timeout=1h", "autovacuum_naptime=1h")
	if err != nil {
		return nil, fmt.Errorf("start PostgreSQL, or leave out its loads with -scenarios: %w", err)
	}
	// It began where this process is. Processes that it starts from now on are
	// where it is then.
	if pids, err := server.Processes(); err == nil && p.taskset != "" {
		for _, pid := range pids {
			args := []string{"-c", "-p", fmt.Sprintf("0-%d", runtime.NumCPU()-1), strconv.Itoa(pid)}
			if out, err := exec.CommandContext(ctx, p.taskset, args...).CombinedOutput(); err != nil {
				server.Stop()
				return nil, fmt.Errorf("%s: %w: %s", p.taskset, err, out)
			}
		}
	}
	return &database{server}, nil
}

// make makes a database and returns its URL.
func (d *database) make(name string) (string, error) {
	return d.server.NewDatabase(strings.ReplaceAll(name, "-", "_"), "pool_max_conns", "16")
}

// databaseOf returns the database if a server uses it, and nil otherwise.
func (c *comparison) databaseOf(s *server) *database {
	if usesDatabase([]string{s.kind.name}) {
		return c.database
	}
	return nil
}

// usesDatabase reports whether one of the servers uses PostgreSQL.
func usesDatabase(names []string) bool {
	return slices.ContainsFunc(servers, func(k kind) bool {
		return slices.Contains(names, k.name) && slices.ContainsFunc(k.args, func(arg string) bool { return strings.Contains(arg, "{url}") })
	})
}
