package pgstore_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stay-go/stay/internal/storekit"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/pgstore"
)

// TestChangesAreAnnouncedByName proves that changes are named, not lost, in the
// ordinary case, to every store on the schema and to no other.
//
// Proves N2, L36.
func TestChangesAreAnnouncedByName(t *testing.T) {
	s := theServer(t)
	schema := s.schema(t)
	writer, reader := open(t, s.URL("search_path", schema)), open(t, s.URL("search_path", schema))
	other := open(t, s.URL("search_path", s.schema(t)))
	a, b, c := storekit.Watch(t, writer), storekit.Watch(t, reader), storekit.Watch(t, other)
	key := "any \x00\xff key, " + strings.Repeat("x", 900)
	rev := storekit.Put(t, writer, key, 0, "x")
	rev = storekit.Put(t, writer, key, rev, "y")
	elsewhere := storekit.Put(t, other, "elsewhere", 0, "x")
	a.WantNamed(t, key, rev, 1)
	b.WantNamed(t, key, rev, 1)
	c.WantNamed(t, "elsewhere", elsewhere, 1)
	for i, w := range []*storekit.Watching{a, b, c} {
		if seen := w.Heard().Seen; len(seen) != 1 {
			t.Errorf("watch %d has heard of %v", i, seen)
		}
	}
}

// TestNobodyWatches proves that a store whose changes nobody wants to know opens no
// connection for announcements.
func TestNobodyWatches(t *testing.T) {
	s := theServer(t)
	schema := s.schema(t)
	name := "quiet_" + schema
	url := s.URL("search_path", schema, "application_name", name, "pool_max_conns", "1")
	writer := open(t, url, pgstore.Attempt(30*time.Second), pgstore.Freshness(time.Hour))
	var rev store.Revision
	for range 20 {
		rev = storekit.Put(t, writer, "key", rev, "x")
	}
	if n := query[int](t, s, "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1", name); n != 1 {
		t.Errorf("%d connections, want that of the pool", n)
	}
}

// TestCommitsUnderWayAreAnnounced proves that a change is announced whose commit
// was sent before anybody watched.
//
// Proves N2.
func TestCommitsUnderWayAreAnnounced(t *testing.T) {
	s := theServer(t)
	schema := s.schema(t)
	writer := open(t, s.URL("search_path", schema, "application_name", schema), pgstore.Attempt(time.Minute))
	rev := storekit.Put(t, writer, "key", 0, "x")
	tx, err := s.connect(t).Begin(storekit.Within(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(storekit.Within(t), "SELECT 1 FROM "+schema+".stay_records FOR UPDATE"); err != nil {
		t.Fatal(err)
	}
	result := storekit.Begin(writer, store.Write{Key: "key", Base: rev})
	s.until(t, "EXISTS (SELECT FROM pg_stat_activity WHERE application_name = '"+schema+"' AND wait_event_type = 'Lock')")
	w := storekit.Watch(t, open(t, s.URL("search_path", schema)))
	if err := tx.Rollback(storekit.Within(t)); err != nil {
		t.Fatal(err)
	}
	r := <-result
	if r.Outcome != store.Applied {
		t.Fatalf("%v: %v", r.Outcome, r.Err)
	}
	w.WantNamed(t, "key", r.Revisions[0], 1)
}

// TestWatchConnectsAgain proves that after its connection has ended or stands
// still Watch says that announcements may be lost, and that they go on.
//
// Proves N2, L36.
func TestWatchConnectsAgain(t *testing.T) {
	s := theServer(t)
	url := s.URL("search_path", s.schema(t))
	writer := open(t, url)
	wire, st := wired(t, url, pgstore.Attempt(time.Second), pgstore.Heartbeat(50*time.Millisecond))
	w := storekit.Watch(t, st.(*pgstore.Store))
	s.exec(t, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN %' OR query = '-- ping'")
	w.Until(t, "lost once more", func(h storekit.Heard) bool { return h.Lost == 2 })
	w.WantNamed(t, "key", storekit.Put(t, writer, "key", 0, "x"), 2)
	wire.hold()
	w.Until(t, "lost for the third time", func(h storekit.Heard) bool { return h.Lost == 3 })
	w.WantNamed(t, "other", storekit.Put(t, writer, "other", 0, "x"), 3)
	if err := w.End(t); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestWatchThroughPooler proves that Watch is refused where it would listen through
// a proxy, and works with the server's own address.
func TestWatchThroughPooler(t *testing.T) {
	s := theServer(t)
	p := s.pooler(t)
	schema := s.schema(t)
	for name, options := range map[string][]pgstore.Option{"no WatchURL": nil, "WatchURL leads to the proxy": {pgstore.WatchURL(p.url())}} {
		st := open(t, p.url("search_path", schema), options...)
		if err := st.Watch(storekit.Within(t), func([]store.Change, bool) {}); !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "WatchURL") {
			t.Errorf("%s: %v", name, err)
		}
		if declared := st.Features().Watch; declared != (options != nil) {
			t.Errorf("%s: declared %v", name, declared)
		}
	}
	st := open(t, p.url("search_path", schema), pgstore.WatchURL(s.URL()))
	w := storekit.Watch(t, st)
	w.WantNamed(t, "key", storekit.Put(t, st, "key", 0, "x"), 1)
	if st, err := pgstore.Open(storekit.Within(t), s.URL("search_path", schema), pgstore.WatchURL("postgres://app:hush@host:port/db")); err == nil || strings.Contains(err.Error(), "hush") {
		t.Errorf("%v, %v", st, err)
	}
}

// TestUnknownChangesAreAnnounced proves that a change is announced whose outcome
// the store does not know.
//
// Proves N2.
func TestUnknownChangesAreAnnounced(t *testing.T) {
	s := theServer(t)
	url := s.URL("search_path", s.schema(t))
	w := storekit.Watch(t, open(t, url))
	wire, st := wired(t, url, pgstore.Attempt(time.Second))
	warmUp(t, st)
	wire.deafen()
	if r := storekit.One(st, store.Write{Key: "key"}); r.Outcome != store.Unknown {
		t.Fatalf("%v: %v", r.Outcome, r.Err)
	}
	w.Until(t, `"key"`, func(h storekit.Heard) bool { _, ok := h.Seen["key"]; return ok || h.Lost > 1 })
}
