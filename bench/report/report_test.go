package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stay-go/stay/bench/internal/counter"
	"github.com/stay-go/stay/internal/need"
	"github.com/stay-go/stay/internal/pgserver"
	"github.com/stay-go/stay/internal/redisserver"
)

// A run measures every server and load it was asked for, next to the bare
// handler, loses nothing that Stay acknowledged, and leaves nothing behind.
func TestRun(t *testing.T) {
	dir := t.TempDir()
	out := filepath.Join(t.TempDir(), "out.jsonl")
	o := options{rounds: 1, duration: 30 * time.Millisecond, only: "stay-sqlite,stay-mem,bare", scenarios: "sqlite,sqlite-one,read", out: out, dir: dir}
	if err := run(t.Context(), &o); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for line := range bytes.Lines(data) {
		var r result
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatal(err)
		}
		seen[r.Scenario+" "+r.Server] = true
		if r.Failed != 0 || r.Lost != 0 || r.Requests == 0 || r.Ratio <= 0 || r.P99 < r.P50 || r.Allocs <= 0 {
			t.Errorf("a measurement that cannot be: %s", line)
		}
		if counts := r.Scenario != "read" && r.Server != baseline; counts != (r.Acked > 0) {
			t.Errorf("%s on %s: %d increments acknowledged", r.Scenario, r.Server, r.Acked)
		}
	}
	for _, want := range []string{
		"sqlite bare", "sqlite stay-sqlite", "sqlite-one bare", "sqlite-one stay-sqlite",
		"read bare", "read stay-mem", "read stay-sqlite",
	} {
		if !seen[want] {
			t.Errorf("nothing was measured for %q", want)
		}
		delete(seen, want)
	}
	if len(seen) > 0 {
		t.Errorf("measured unasked: %v", seen)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// On PostgreSQL and Redis the time of the database is told apart, and Stay is
// compared with scs.
func TestRunOnDatabases(t *testing.T) {
	t.Run("PostgreSQL", func(t *testing.T) { runOn(t, "stay-postgres", "postgres,postgres-read", pgserver.ErrMissing) })
	t.Run("Redis", func(t *testing.T) { runOn(t, "stay-redis", "redis,redis-read", redisserver.ErrMissing) })
}

func runOn(t *testing.T, server, scenarios string, missing error) {
	dir := t.TempDir()
	out := filepath.Join(t.TempDir(), "out.jsonl")
	o := options{rounds: 1, duration: 300 * time.Millisecond, only: server, scenarios: scenarios, out: out, dir: dir}
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil { // the server's user has to pass
		t.Fatal(err)
	}
	err := run(t.Context(), &o)
	need.NoError(t, err, missing)
	data, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	measured, database := 0, 0.0
	for line := range bytes.Lines(data) {
		var r result
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatal(err)
		}
		measured++
		if r.Failed != 0 || r.Lost != 0 || r.Requests == 0 || r.Ratio <= 0 || r.DBCPU < 0 {
			t.Errorf("a measurement that cannot be: %s", line)
		}
		database += r.DBCPU
	}
	if database == 0 { // one measurement alone may be too short for the system's clock ticks
		t.Error("the database has used no CPU")
	}
	if measured != 4 {
		t.Errorf("%d measurements, want those of two servers for two loads", measured)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// An increment that was acknowledged and is not there counts as lost.
func TestLostIncrementsAreCounted(t *testing.T) {
	var mu sync.Mutex
	asked, count := 0, 0
	dropped := func() int { return asked / 10 }
	mux := http.NewServeMux()
	mux.HandleFunc("POST /increment", func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if asked++; asked%10 != 0 {
			count++
		}
		if err := counter.Write(w, count); err != nil {
			t.Error(err)
		}
	})
	mux.HandleFunc("GET /count", func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if err := counter.Write(w, count); err != nil {
			t.Error(err)
		}
	})
	mux.HandleFunc("GET /mem", func(w http.ResponseWriter, _ *http.Request) {
		if err := json.NewEncoder(w).Encode(counter.Mem{}); err != nil {
			t.Error(err)
		}
	})
	forgetful := httptest.NewServer(mux)
	defer forgetful.Close()
	addr := strings.TrimPrefix(forgetful.URL, "http://")

	browsers, err := openSessions(t.Context(), addr, 1)
	if err != nil {
		t.Fatal(err)
	}
	s := &server{kind: kind{name: "forgetful", keeps: true}, addr: addr, admin: addr, browsers: browsers}
	c := comparison{options: &options{duration: 20 * time.Millisecond}}
	s.load = &scenario{name: "one", request: increment, sessions: 1, conns: 4}
	plain := http.NewServeMux()
	plain.HandleFunc("POST /increment", func(w http.ResponseWriter, _ *http.Request) {
		if err := counter.Write(w, 1); err != nil {
			t.Error(err)
		}
	})
	plain.Handle("GET /mem", mux)
	keepsNothing := httptest.NewServer(plain)
	defer keepsNothing.Close()
	bare := *s
	bare.kind = kind{name: baseline}
	bare.addr = strings.TrimPrefix(keepsNothing.URL, "http://")
	bare.admin = bare.addr
	base, r, err := c.pair(t.Context(), &bare, s)
	if err != nil {
		t.Fatal(err)
	}
	if base.Requests == 0 || base.Lost != 0 || base.Failed != 0 {
		t.Errorf("the baseline beside it: %+v", base)
	}
	mu.Lock()
	defer mu.Unlock()
	if r.Acked != int64(asked-1) || r.Lost != int64(dropped()) || r.Lost == 0 {
		t.Errorf("acknowledged %d and lost %d, want %d and %d", r.Acked, r.Lost, asked-1, dropped())
	}
}

// Servers that fail are no result.
func TestFailuresAreErrors(t *testing.T) {
	broken := httptest.NewServer(http.NotFoundHandler())
	defer broken.Close()
	addr := strings.TrimPrefix(broken.URL, "http://")
	if _, err := openSessions(t.Context(), addr, 1); err == nil || !strings.Contains(err.Error(), "status 404") {
		t.Errorf("sessions of a server that has none: %v", err)
	}
	for _, o := range []options{
		{rounds: 1, duration: time.Second, only: "nobody"},
		{rounds: 1, duration: time.Second, scenarios: "nothing"},
		{duration: time.Second},
		{rounds: 1},
	} {
		if err := run(t.Context(), &o); err == nil {
			t.Errorf("%+v was taken", o)
		}
	}
}

// Servers end when they are stopped, having closed their stores, and one that
// cannot start is an error that says why.
func TestServersEnd(t *testing.T) {
	dir := t.TempDir()
	if err := build(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	c := comparison{dir: dir, loads: scenarios[4:5]}
	if err := c.start(t.Context(), servers); err != nil {
		t.Fatal(err)
	}
	if err := c.stop(); err != nil {
		t.Error(err)
	}
	for _, s := range c.running {
		select {
		case <-s.exited:
		default:
			t.Errorf("%s still runs", s.kind.name)
		}
	}
	data := filepath.Join(dir, c.loads[0].name, "stay-sqlite", "stay.db")
	if _, err := os.Stat(data); err != nil {
		t.Error(err)
	}
	if log, err := os.Stat(data + "-wal"); err == nil {
		t.Errorf("the log of the database is there still, with %d bytes", log.Size())
	}
	wrong := kind{name: "wrong", build: "server", args: []string{"-store", "paper"}}
	if _, err := startServer(t.Context(), wrong, wrong.args, dir, pinning{}); err == nil || !strings.Contains(err.Error(), "paper") {
		t.Errorf("a server with a wrong flag: %v", err)
	}
}
