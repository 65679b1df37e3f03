package redisstore_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stay-go/stay/internal/faultnet"
	"github.com/stay-go/stay/internal/storekit"
	"github.com/stay-go/stay/store"
)

// TestChangesAreAnnouncedByName proves that changes are named, not lost, in the
// ordinary case, to every store on the place and to no other, and that what changes
// nothing is not announced.
//
// Proves N2.
func TestChangesAreAnnouncedByName(t *testing.T) {
	s := theServer(t)
	here, elsewhere := place(), place()
	writer, reader, other := open(t, s.URL(), here), open(t, s.URL(), here), open(t, s.URL(), elsewhere)
	a, b, c := storekit.Watch(t, writer), storekit.Watch(t, reader), storekit.Watch(t, other)
	checked := storekit.Put(t, other, "checked", 0, "x")
	c.WantNamed(t, "checked", checked, 1)
	key := "any \x00\xff key, " + strings.Repeat("x", 900)
	rev := storekit.Put(t, writer, key, 0, "x")
	rev = storekit.Put(t, writer, key, rev, "y")
	a.WantNamed(t, key, rev, 1)
	b.WantNamed(t, key, rev, 1)
	storekit.One(other, store.Write{Op: store.Check, Key: "checked", Base: checked}, store.Write{Op: store.Delete, Key: "not there"})
	storekit.One(other, store.Write{Key: "conflict", Base: 1})
	gone := storekit.Put(t, other, "gone", 0, "x")
	if r := storekit.One(other, store.Write{Op: store.Delete, Key: "gone", Base: gone}); r.Outcome != store.Applied {
		t.Fatal(r.Outcome, r.Err)
	}
	c.WantNamed(t, "gone", 0, 1)
	for i, w := range []*storekit.Watching{a, b, c} {
		if seen, want := w.Heard().Seen, []int{1, 1, 2}[i]; len(seen) != want {
			t.Errorf("watch %d has heard of %v", i, seen)
		}
	}
}

// TestWatchConnectsAgain proves that after its connection has ended, the server has
// been started again, or the network stands still, Watch says that announcements may
// be lost, and that they go on.
//
// Proves N2.
func TestWatchConnectsAgain(t *testing.T) {
	t.Parallel()
	s := ownServer(t)
	writer := open(t, s.URL())
	p, st := reach(t, s)
	w := storekit.Watch(t, st)
	ask(t, s, "CLIENT", "KILL", "TYPE", "pubsub")
	w.Until(t, "lost once more", func(h storekit.Heard) bool { return h.Lost == 2 })
	w.WantNamed(t, "key", storekit.Put(t, writer, "key", 0, "x"), 2)
	s.Stop()
	startAgain(t, s)
	w.Until(t, "lost for the third time", func(h storekit.Heard) bool { return h.Lost == 3 })
	w.WantNamed(t, "third", storekit.Put(t, writer, "third", 0, "x"), 3)
	began := time.Now()
	p.Hold(faultnet.ToClient)
	p.direct() // new connections get through
	w.Until(t, "lost for the fourth time", func(h storekit.Heard) bool { return h.Lost == 4 })
	if took := time.Since(began); took > 25*time.Second {
		t.Errorf("that the network stands still was noticed after %v", took)
	}
	w.WantNamed(t, "fourth", storekit.Put(t, writer, "fourth", 0, "x"), 4)
	if err := w.End(t); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestUnknownChangesAreAnnounced proves that a change is announced whose outcome the
// process that made it does not know, also if it dies.
//
// Proves N2.
func TestUnknownChangesAreAnnounced(t *testing.T) {
	s := theServer(t)
	name := place()
	w := storekit.Watch(t, open(t, s.URL(), name))
	p, st := reach(t, s, name)
	p.Hold(faultnet.ToClient)
	if r := storekit.One(st, store.Write{Key: "key"}); r.Outcome != store.Unknown {
		t.Fatalf("%v: %v", r.Outcome, r.Err)
	}
	w.Until(t, `"key"`, func(h storekit.Heard) bool { return h.Seen["key"] != 0 })
}

// TestNobodyWatches proves that nothing is announced while nobody watches.
func TestNobodyWatches(t *testing.T) {
	t.Parallel()
	s := ownServer(t)
	st := open(t, s.URL())
	rev := storekit.Put(t, st, "key", 0, "x")
	if stats := ask(t, s, "INFO", "commandstats"); strings.Contains(stats, "spublish") {
		t.Error("something was announced")
	}
	w := storekit.Watch(t, st)
	w.WantNamed(t, "key", storekit.Put(t, st, "key", rev, "y"), 1)
	if err := w.End(t); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
