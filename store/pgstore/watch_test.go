package pgstore_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/pgstore"
)

// A watching is a call of Watch.
type watching struct {
	store *pgstore.Store
	end   context.CancelFunc
	done  chan error

	mu   sync.Mutex
	seen map[string]store.Revision
	lost int
	more chan struct{}
}

// watch calls Watch and waits until it announces.
func watch(t *testing.T, s *pgstore.Store) *watching {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	w := &watching{store: s, end: cancel, done: make(chan error, 1), seen: map[string]store.Revision{}, more: make(chan struct{}, 1)}
	go func() {
		w.done <- s.Watch(ctx, func(changes []store.Change, lost bool) {
			w.mu.Lock()
			defer w.mu.Unlock()
			for _, c := range changes {
				w.seen[c.Key] = c.Revision
			}
			if lost {
				w.lost++
			}
			select {
			case w.more <- struct{}{}:
			default:
			}
		})
	}()
	w.until(t, "the beginning", func() bool { return w.lost == 1 })
	return w
}

func (w *watching) until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for ctx := within(t); ; {
		w.mu.Lock()
		ok := holds()
		w.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-w.more:
		case err := <-w.done:
			t.Fatalf("Watch has ended before %s: %v", what, err)
		case <-ctx.Done():
			t.Fatalf("not announced: %s", what)
		}
	}
}

// want waits until a change is announced with its revision, and nothing was lost
// but what was before.
func (w *watching) want(t *testing.T, key string, rev store.Revision, lost int) {
	t.Helper()
	w.until(t, fmt.Sprintf("%q at %d", key, rev), func() bool { return w.seen[key] == rev })
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.lost != lost {
		t.Errorf("%d times lost, want %d", w.lost, lost)
	}
}

// TestChangesAreAnnouncedByName proves that changes are named, not lost, in the
// ordinary case, to every store on the schema and to no other.
//
// Proves N2, L36.
func TestChangesAreAnnouncedByName(t *testing.T) {
	s := theServer(t)
	schema := s.schema(t)
	writer, reader := open(t, s.URL("search_path", schema)), open(t, s.URL("search_path", schema))
	other := open(t, s.URL("search_path", s.schema(t)))
	a, b, c := watch(t, writer), watch(t, reader), watch(t, other)
	key := "any \x00\xff key, " + strings.Repeat("x", 900)
	rev := put(t, writer, key, 0, "x")
	rev = put(t, writer, key, rev, "y")
	elsewhere := put(t, other, "elsewhere", 0, "x")
	a.want(t, key, rev, 1)
	b.want(t, key, rev, 1)
	c.want(t, "elsewhere", elsewhere, 1)
	for i, w := range []*watching{a, b, c} {
		w.mu.Lock()
		if len(w.seen) != 1 {
			t.Errorf("watch %d has heard of %v", i, w.seen)
		}
		w.mu.Unlock()
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
		rev = put(t, writer, "key", rev, "x")
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
	rev := put(t, writer, "key", 0, "x")
	tx, err := s.connect(t).Begin(within(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(within(t), "SELECT 1 FROM "+schema+".stay_records FOR UPDATE"); err != nil {
		t.Fatal(err)
	}
	result := begin(writer, store.Write{Key: "key", Base: rev})
	s.until(t, "EXISTS (SELECT FROM pg_stat_activity WHERE application_name = '"+schema+"' AND wait_event_type = 'Lock')")
	w := watch(t, open(t, s.URL("search_path", schema)))
	if err := tx.Rollback(within(t)); err != nil {
		t.Fatal(err)
	}
	r := <-result
	if r.Outcome != store.Applied {
		t.Fatalf("%v: %v", r.Outcome, r.Err)
	}
	w.want(t, "key", r.Revisions[0], 1)
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
	w := watch(t, st.(*pgstore.Store))
	s.exec(t, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN %' OR query = '-- ping'")
	w.until(t, "lost once more", func() bool { return w.lost == 2 })
	w.want(t, "key", put(t, writer, "key", 0, "x"), 2)
	wire.hold()
	w.until(t, "lost for the third time", func() bool { return w.lost == 3 })
	w.want(t, "other", put(t, writer, "other", 0, "x"), 3)
	w.end()
	if err := <-w.done; !errors.Is(err, context.Canceled) {
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
		if err := st.Watch(within(t), func([]store.Change, bool) {}); !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "WatchURL") {
			t.Errorf("%s: %v", name, err)
		}
		if declared := st.Features().Watch; declared != (options != nil) {
			t.Errorf("%s: declared %v", name, declared)
		}
	}
	st := open(t, p.url("search_path", schema), pgstore.WatchURL(s.URL()))
	w := watch(t, st)
	w.want(t, "key", put(t, st, "key", 0, "x"), 1)
	if st, err := pgstore.Open(within(t), s.URL("search_path", schema), pgstore.WatchURL("postgres://app:hush@host:port/db")); err == nil || strings.Contains(err.Error(), "hush") {
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
	w := watch(t, open(t, url))
	wire, st := wired(t, url, pgstore.Attempt(time.Second))
	warmUp(t, st)
	wire.deafen()
	if r := one(st, store.Write{Key: "key"}); r.Outcome != store.Unknown {
		t.Fatalf("%v: %v", r.Outcome, r.Err)
	}
	w.until(t, `"key"`, func() bool { _, ok := w.seen["key"]; return ok || w.lost > 1 })
}
