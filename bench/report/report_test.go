package main

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
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
	o := options{rounds: 1, duration: 30 * time.Millisecond, only: "stay-sqlite,stay-mem,ceiling,bare", scenarios: "sqlite,sqlite-one,read", out: out, dir: dir, program: built(t)}
	if err := run(t.Context(), &o); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	seen, acked := map[string]bool{}, map[string]int64{}
	for line := range bytes.Lines(data) {
		var r result
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatal(err)
		}
		seen[r.Scenario+" "+r.Server] = true
		if r.Failed != 0 || r.Lost != 0 || r.Requests == 0 || r.Ratio <= 0 || r.P99 < r.P50 || r.Allocs <= 0 {
			t.Errorf("a measurement that cannot be: %s", line)
		}
		acked[r.Scenario+" "+r.Server] += r.Acked
		if durable := r.Scenario != "read"; durable != (r.Share > 0) || r.Server == ceiling && r.Share != 1 {
			t.Errorf("%s on %s: %g of the ceiling", r.Scenario, r.Server, r.Share)
		}
		if runtime.GOOS == "linux" && r.RSS < 1e6 {
			t.Errorf("a server in %g bytes of memory", r.RSS)
		}
	}
	for at, n := range acked {
		if counts := !strings.HasPrefix(at, "read ") && !strings.HasSuffix(at, " "+baseline); counts != (n > 0) {
			t.Errorf("%s: %d increments acknowledged", at, n)
		}
	}
	for _, want := range []string{
		"sqlite bare", "sqlite ceiling", "sqlite stay-sqlite", "sqlite-one bare", "sqlite-one ceiling", "sqlite-one stay-sqlite",
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

// Each server runs in each setting, and is compared with the first server in the same
// setting, and with itself in the first one.
func TestRunInSettings(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out.jsonl")
	o := options{rounds: 1, duration: 30 * time.Millisecond, only: "stay-mem", scenarios: "memory", env: "GOGC=100,GOGC=off GOMEMLIMIT=64MiB", out: out, program: built(t)}
	if err := run(t.Context(), &o); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string][2]bool{}
	for line := range bytes.Lines(data) {
		var r result
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatal(err)
		}
		if r.Failed != 0 || r.Lost != 0 {
			t.Errorf("a measurement that cannot be: %s", line)
		}
		was := seen[r.Server]
		seen[r.Server] = [2]bool{was[0] || r.Ratio > 0, was[1] || r.Change > 0}
	}
	want := map[string][2]bool{
		"bare GOGC=100":                      {true, false},
		"stay-mem GOGC=100":                  {true, false},
		"bare GOGC=off GOMEMLIMIT=64MiB":     {true, true},
		"stay-mem GOGC=off GOMEMLIMIT=64MiB": {true, true},
	}
	if !maps.Equal(seen, want) {
		t.Errorf("compared with the first server and with the first setting: %v, want %v", seen, want)
	}
	wrong := o
	wrong.env = "GOGC=100,GOMEMLIMIT=plenty" // the process fails to start: it has the setting
	if err := run(t.Context(), &wrong); err == nil || !strings.Contains(err.Error(), "GOMEMLIMIT=plenty") {
		t.Errorf("a setting that Go refuses: %v", err)
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
	o := options{rounds: 1, duration: 300 * time.Millisecond, only: server, scenarios: scenarios, out: out, dir: dir, program: built(t)}
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
	l := scenario{name: "one", request: increment, sessions: 1, conns: 4, servers: []string{baseline, "forgetful"}}
	c := comparison{options: &options{rounds: 2, duration: 20 * time.Millisecond}, loads: []scenario{l}}
	s := &server{kind: kind{name: "forgetful", keeps: true}, addr: addr, admin: addr, browsers: browsers, acknowledged: 1, load: &c.loads[0]}
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
	c.running = []*server{&bare, s}
	if err := c.measure(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, base := range of(c.results, "one", baseline) {
		if base.Requests == 0 || base.Acked != 0 || base.Lost != 0 || base.Failed != 0 {
			t.Errorf("the baseline beside it: %+v", base)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if acked, lost := losses(of(c.results, "one", "forgetful")); acked != int64(asked) || lost != int64(dropped()) || lost == 0 {
		t.Errorf("acknowledged %d and lost %d, want %d and %d", acked, lost, asked, dropped())
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
		{rounds: 8, duration: time.Second, table: "nowhere.md"},
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
	c := comparison{program: built(t), dir: dir, loads: scenarios[2:3], databases: map[string]database{}}
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
	wrong := kind{name: "wrong", args: []string{"-store", "paper"}}
	if _, err := startServer(t.Context(), wrong, wrong.args, c.program, pinning{}); err == nil || !strings.Contains(err.Error(), "paper") {
		t.Errorf("a server with a wrong flag: %v", err)
	}
}
