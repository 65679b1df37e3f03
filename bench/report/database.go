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
	"time"

	"github.com/stay-go/stay/internal/pgserver"
	"github.com/stay-go/stay/internal/redisserver"
)

// A database is a server that all loads of its kind share. Only the servers of one
// load use it at a time.
type database interface {
	// make makes a place that is empty and returns its URL.
	make(name string) (string, error)
	// CPU is the processor time that it has used.
	CPU() (time.Duration, error)
	Stop()
}

// starters start the databases, by what stands in the arguments of their users. They
// sync each commit, and have their data below a folder.
var starters = map[string]func(ctx context.Context, dir string, p pinning) (database, error){
	"{postgres}": startPostgres,
	"{redis}":    startRedis,
}

// A postgres makes databases on one server.
type postgres struct{ *pgserver.Server }

func startPostgres(ctx context.Context, dir string, p pinning) (database, error) {
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
	pids, err := server.Processes()
	if err == nil {
		err = p.spread(ctx, pids)
	}
	if err != nil {
		server.Stop()
		return nil, err
	}
	return postgres{server}, nil
}

func (d postgres) make(name string) (string, error) {
	return d.NewDatabase(strings.ReplaceAll(name, "-", "_"), "pool_max_conns", "16")
}

// A redis has sixteen databases on one server.
type redis struct {
	*redisserver.Server
	made int
}

func startRedis(ctx context.Context, dir string, p pinning) (database, error) {
	data := filepath.Join(dir, "redis")
	if err := os.Mkdir(data, 0o700); err != nil {
		return nil, err
	}
	// The log is not rewritten in the middle: that would be added to whoever is
	// measured then.
	server, err := redisserver.New(data, "auto-aof-rewrite-percentage 0")
	if err != nil {
		return nil, fmt.Errorf("start Redis, or leave out its loads with -scenarios: %w", err)
	}
	if err := p.spread(ctx, []int{server.Pid()}); err != nil {
		server.Stop()
		return nil, err
	}
	return &redis{Server: server}, nil
}

func (d *redis) make(string) (string, error) {
	d.made++
	return fmt.Sprintf("%s/%d", d.URL(), d.made-1), nil
}

// spread lets processes run on every CPU. They began where this process is; what
// they start from now on is where they are then.
func (p pinning) spread(ctx context.Context, pids []int) error {
	if p.taskset == "" {
		return nil
	}
	for _, pid := range pids {
		args := []string{"-a", "-c", "-p", fmt.Sprintf("0-%d", runtime.NumCPU()-1), strconv.Itoa(pid)}
		if out, err := exec.CommandContext(ctx, p.taskset, args...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", p.taskset, err, out)
		}
	}
	return nil
}

// databaseOf returns the database that a server uses, nil if there is none.
func (c *comparison) databaseOf(s *server) database {
	return c.databases[placeOf(s.kind)]
}

// placeOf returns what stands for a database in the arguments of a server, "" if it
// uses none.
func placeOf(k kind) string {
	for place := range starters {
		if slices.Contains(k.args, place) {
			return place
		}
	}
	return ""
}
