package redisstore_test

import (
	"fmt"
	"testing"

	"github.com/stay-go/stay/internal/storekit"
	"github.com/stay-go/stay/store"
)

// TestLargeCalls proves that a call may have more groups, a group more writes, and
// both more bytes than one script takes, and that such a call is several scripts.
//
// Proves C2.
func TestLargeCalls(t *testing.T) {
	t.Parallel()
	s := ownServer(t)
	st := open(t, s.URL())
	before := sent(t, s)
	storekit.Large{Singles: 1200, Together: 700, Big: 12, Bytes: 1 << 20}.Commit(t, st)
	if n := sent(t, s) - before; n < 3*5 {
		t.Errorf("%d scripts", n)
	}
}

// TestClockSetBack proves that revisions of a key grow, also when it is deleted and
// created again, while the clock of the server is far behind what it was.
//
// Proves C3.
func TestClockSetBack(t *testing.T) {
	t.Parallel()
	s := ownServer(t)
	st := open(t, s.URL())
	const year = 365 * 24 * 3600 * 1_000_000
	storekit.Put(t, st, "other", 0, "x")
	rev := storekit.Put(t, st, "key", 0, "x")
	// A record as the server would have made it a year later.
	later := rev + year
	ask(t, s, "EVAL", `local r = redis.call('GET', KEYS[1])
		redis.call('SET', KEYS[1], struct.pack('>I8', ARGV[1]) .. string.sub(r, 9))`, "1", "{stay}:r:key", fmt.Sprint(uint64(later)))
	next := storekit.Put(t, st, "key", later, "y")
	if next <= later {
		t.Errorf("replaced: revision %d after %d", next, later)
	}
	if r := storekit.One(st, store.Write{Op: store.Delete, Key: "key", Base: next}); r.Outcome != store.Applied {
		t.Fatal(r.Outcome, r.Err)
	}
	if again := storekit.Put(t, st, "key", 0, "z"); again <= next {
		t.Errorf("created again: revision %d after %d", again, next)
	}
}

// TestTwoApps proves that changes by two programs that share a server do not get
// lost.
//
// Proves C1, C2.
func TestTwoApps(t *testing.T) {
	s, name := theServer(t), place()
	storekit.Apps(t, nil, own(t, at(t, s), name), onClient(t, at(t, s), name))
}
