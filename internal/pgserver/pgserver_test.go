package pgserver_test

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/stay-go/stay/internal/need"
	"github.com/stay-go/stay/internal/pgserver"
)

// start starts a server that ends with the test. It skips the test if PostgreSQL
// is missing, or fails it if it must not be.
func start(t *testing.T) *pgserver.Server {
	t.Helper()
	s, err := pgserver.New(folder(t))
	need.NoError(t, err, pgserver.ErrMissing)
	t.Cleanup(s.Kill)
	return s
}

// folder is an empty folder that the server's user may enter.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "stay-pgserver-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func want(t *testing.T, s *pgserver.Server, query, answer string) {
	t.Helper()
	if got, err := s.Ask(t.Context(), query); err != nil || got != answer {
		t.Errorf("%s: %q, %v, want %q", query, got, err, answer)
	}
}

// What was committed is there after an end in good order, and after a crash.
func TestAServerStartsAgain(t *testing.T) {
	s := start(t)
	must(t, s.Exec(t.Context(), "CREATE TABLE t AS SELECT 1 AS n"))
	for _, end := range []func(){s.Stop, s.Kill} {
		before := s.Address()
		end()
		if _, err := s.Ask(t.Context(), "SELECT 1"); err == nil {
			t.Error("a server that has ended answers")
		}
		must(t, s.Start())
		if s.Address() != before {
			t.Errorf("it was at %s, and is at %s", before, s.Address())
		}
		must(t, s.Exec(t.Context(), "UPDATE t SET n = n + 1"))
	}
	want(t, s, "SELECT n FROM t", "3")
}

// A standby takes over with what it has got, and without what it has missed.
func TestAStandbyTakesOver(t *testing.T) {
	first := start(t)
	second, err := first.Standby(folder(t))
	must(t, err)
	t.Cleanup(second.Kill)
	ctx := t.Context()
	must(t, first.AwaitStandby(ctx))
	must(t, first.Exec(ctx, "CREATE TABLE t AS SELECT 1 AS n"))
	must(t, second.CatchUp(ctx, first))
	must(t, second.Detach(ctx))
	must(t, first.Exec(ctx, "SET synchronous_commit = local; UPDATE t SET n = 2"))
	first.Kill()
	must(t, second.Promote(ctx))
	want(t, second, "SELECT n FROM t", "1")
	want(t, second, "SELECT pg_is_in_recovery()", "f")
}

// A server that is paused does nothing, and goes on afterwards. One that is ended
// meanwhile ends.
func TestAPausedServerGoesOn(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells which processes a server has")
	}
	s := start(t)
	must(t, s.Pause())
	pids, err := s.Processes()
	must(t, err)
	if len(pids) < 2 {
		t.Errorf("the server has the processes %v alone", pids)
	}
	for _, pid := range pids {
		for late := time.Now().Add(time.Minute); ; {
			stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
			must(t, err)
			if bytes.Contains(stat, []byte(") T ")) {
				break
			}
			if time.Now().After(late) {
				t.Fatalf("not stopped: %s", stat)
			}
		}
	}
	s.Resume()
	want(t, s, "SELECT 1", "1")
	must(t, s.Pause())
	s.Kill()
	must(t, s.Start())
	want(t, s, "SELECT 1", "1")
}
