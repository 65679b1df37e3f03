package redisstore_test

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/stay-go/stay/internal/redisserver"
	"github.com/stay-go/stay/internal/storekit"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/redisstore"
)

// replica starts a replica of a server, and waits until it has everything.
func replica(t *testing.T, s *redisserver.Server) *redisserver.Server {
	t.Helper()
	ask(t, s, "CONFIG", "SET", "repl-diskless-sync-delay", "0")
	b := ownServer(t, fmt.Sprintf("replicaof 127.0.0.1 %d", s.Port()), "repl-diskless-sync-delay 0")
	inSync(t, b)
	return b
}

// inSync waits until a replica has got its first copy.
func inSync(t *testing.T, s *redisserver.Server) {
	t.Helper()
	storekit.Await(t, "the replica", func() bool { return strings.Contains(ask(t, s, "INFO", "replication"), "master_link_status:up") })
}

// caughtUp waits until a replica has everything that its primary has now.
func caughtUp(t *testing.T, replica, primary *redisserver.Server) {
	t.Helper()
	offset := func(s *redisserver.Server, of string) int {
		_, text, _ := strings.Cut(ask(t, s, "INFO", "replication"), of+":")
		text, _, _ = strings.Cut(text, "\r")
		n, err := strconv.Atoi(strings.TrimSpace(strings.SplitN(text, "\n", 2)[0]))
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	written := offset(primary, "master_repl_offset")
	storekit.Await(t, "the replica to catch up", func() bool { return offset(replica, "slave_repl_offset") >= written })
}

// TestFailoverThatLosesWrites proves that after a failover to a replica that lacks
// the last writes a store goes on from what is there, and that no revision of a lost
// write is given again.
//
// Proves C3.
func TestFailoverThatLosesWrites(t *testing.T) {
	t.Parallel()
	first := ownServer(t)
	second := replica(t, first)
	p, st := reach(t, first)
	kept := storekit.Put(t, st, "key", 0, "kept")
	gone := storekit.Put(t, st, "gone", 0, "x")
	storekit.One(st, store.Write{Op: store.Delete, Key: "gone", Base: gone})
	w := storekit.Watch(t, st)
	caughtUp(t, second, first)
	ask(t, second, "REPLICAOF", "NO", "ONE")
	lost := storekit.Put(t, st, "key", kept, "lost")
	lost = storekit.Put(t, st, "key", lost, "lost too")
	created := storekit.Put(t, st, "gone", 0, "lost")
	first.Kill()
	address := second.Address()
	p.address.Store(&address)
	w.Until(t, "that announcements are lost", func(h storekit.Heard) bool { return h.Lost == 2 })
	if got := storekit.Load(t, st, "key"); got.Revision != kept || string(got.Value) != "kept" {
		t.Errorf("%+v", got)
	}
	if r := storekit.One(st, store.Write{Key: "key", Base: lost}); r.Outcome != store.Conflict {
		t.Errorf("%v: %v", r.Outcome, r.Err)
	}
	if rev := storekit.Put(t, st, "key", kept, "again"); rev <= lost {
		t.Errorf("revision %d, and the lost writes went up to %d", rev, lost)
	}
	if rev := storekit.Put(t, st, "gone", 0, "again"); rev <= created {
		t.Errorf("revision %d, and the lost one was %d", rev, created)
	}
}

// TestReplicasAreRefused proves that a replica answers neither reads nor writes, also
// one that was the primary when the store was opened, and that a primary without its
// replicas answers neither if it must have some.
//
// Proves C1, C2.
func TestReplicasAreRefused(t *testing.T) {
	t.Parallel()
	first := ownServer(t)
	second := replica(t, first)
	if st, err := redisstore.Open(storekit.Within(t), second.URL()); !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "replica") {
		t.Errorf("%v, %v", st, err)
	}
	st := open(t, first.URL())
	rev := storekit.Put(t, st, "key", 0, "x")
	refused := func(when string) {
		t.Helper()
		if got, err := st.Load(storekit.Within(t), []store.Read{{Key: "key", Have: rev}}); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%s: Load: %+v, %v", when, got, err)
		}
		for _, g := range []store.Group{{{Key: "key", Base: rev}}, {{Op: store.Check, Key: "key", Base: rev}}, {{Op: store.Delete, Key: "key", Base: rev}}} {
			if r := storekit.One(st, g...); r.Outcome != store.Rejected || !errors.Is(r.Err, store.ErrUnavailable) {
				t.Errorf("%s: %v: %v, want rejected", when, r.Outcome, r.Err)
			}
		}
	}
	caughtUp(t, second, first)
	ask(t, second, "REPLICAOF", "NO", "ONE")
	ask(t, first, "CONFIG", "SET", "min-replicas-to-write", "1")
	refused("without replicas")
	ask(t, first, "CONFIG", "SET", "min-replicas-to-write", "0")
	ask(t, first, "REPLICAOF", "127.0.0.1", fmt.Sprint(second.Port()))
	refused("as a replica")
	inSync(t, first)
	ask(t, first, "REPLICAOF", "NO", "ONE")
	storekit.Put(t, st, "key", rev, "y")
}
