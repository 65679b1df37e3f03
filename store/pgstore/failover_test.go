package pgstore_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/pgstore"
)

// standby makes a standby of the server and starts it.
func (s *server) standby(t *testing.T) *server {
	t.Helper()
	b := &server{bin: s.bin, user: s.user, data: filepath.Join(filepath.Dir(s.data), "standby")}
	primary := fmt.Sprintf("host=127.0.0.1 port=%d user=postgres sslmode=disable", s.port)
	var out []byte
	var err error
	if out, err = s.command("pg_basebackup", "-D", b.data, "-d", primary, "-R", "-c", "fast").CombinedOutput(); err != nil {
		if errors.Is(err, exec.ErrNotFound) {
			check(t, errMissing)
		}
		t.Fatalf("pg_basebackup: %v: %s", err, out)
	}
	if err := b.start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.kill)
	return b
}

// until waits until the server says that a condition holds.
func (s *server) until(t *testing.T, condition string) {
	t.Helper()
	ctx := within(t)
	for !query[bool](t, s, "SELECT pg_sleep(0.02)::text = '' AND "+condition) {
		if ctx.Err() != nil {
			t.Fatalf("not after a minute: %s", condition)
		}
	}
}

// TestFailover proves that a store connects to the primary of several hosts, that
// it goes on with a standby that takes over, and that no revision of a write that
// was lost then is given again.
//
// Proves C1, C3, C6.
func TestFailover(t *testing.T) {
	first := ownServer(t)
	second := first.standby(t)

	if st, err := pgstore.Open(within(t), second.url()); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("Open on a standby: %v, %v", st, err)
	}
	pool, err := pgxpool.New(within(t), second.url())
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	if st, err := pgstore.New(within(t), pool); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("New on a standby: %v, %v", st, err)
	}

	both, err := url.Parse(first.url())
	if err != nil {
		t.Fatal(err)
	}
	both.Host = fmt.Sprintf("127.0.0.1:%d,127.0.0.1:%d", second.port, first.port)
	st := open(t, both.String())
	kept := put(t, st, "key", 0, "kept")

	// The standby has this write, and not the next ones.
	lsn := query[string](t, first, "SELECT pg_current_wal_lsn()::text")
	second.until(t, "pg_last_wal_replay_lsn() >= '"+lsn+"'::pg_lsn")
	second.exec(t, "ALTER SYSTEM SET primary_conninfo = ''")
	second.exec(t, "SELECT pg_reload_conf()")
	second.until(t, "NOT EXISTS (SELECT FROM pg_stat_wal_receiver)")
	lost := kept
	for range 100 { // a standby is ahead of the values of a sequence that it has seen used
		lost = put(t, st, "key", lost, "lost")
	}

	first.kill()
	if !query[bool](t, second, "SELECT pg_promote()") {
		t.Fatal("the standby was not promoted")
	}
	ctx := within(t)
	var records []store.Record
	for {
		if records, err = st.Load(ctx, []store.Read{{Key: "key", Have: lost}}); err == nil || ctx.Err() != nil {
			break
		}
	}
	if err != nil || records[0].Revision != kept || string(records[0].Value) != "kept" {
		t.Fatalf("after the failover: %+v, %v", records, err)
	}
	var r store.Result
	for r.Outcome != store.Applied && r.Outcome != store.Conflict && ctx.Err() == nil {
		r = st.Commit(context.Background(), []store.Group{{{Key: "key", Base: kept, Value: []byte("after")}}})[0]
	}
	if r.Outcome != store.Applied || r.Revisions[0] <= lost {
		t.Errorf("%v at %v, and the lost writes went up to %d: %v", r.Outcome, r.Revisions, lost, r.Err)
	}
}
