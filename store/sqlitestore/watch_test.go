package sqlitestore_test

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/sqlitestore"
)

// A watching is a call of Watch.
type watching struct {
	end  context.CancelFunc
	done chan error

	mu   sync.Mutex
	seen map[string]store.Revision
	lost int
	more chan struct{}
}

// watch calls Watch and waits until it announces.
func watch(t *testing.T, s *sqlitestore.Store) *watching {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	w := &watching{end: cancel, done: make(chan error, 1), seen: map[string]store.Revision{}, more: make(chan struct{}, 1)}
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
	timer := time.NewTimer(30 * time.Second)
	defer timer.Stop()
	for {
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
		case <-timer.C:
			t.Fatalf("not announced: %s", what)
		}
	}
}

// TestOwnChangesAreAnnouncedByName proves that a handle names what it has changed
// itself, and only that, with others on the file and without, so that nobody has
// to look at everything because of it.
//
// Proves N2, L36.
func TestOwnChangesAreAnnouncedByName(t *testing.T) {
	for name, options := range map[string][]sqlitestore.Option{"sole owner": nil, "shared": {sqlitestore.Shared()}} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "app.db")
			s := open(t, path, options...)
			w := watch(t, s)
			want := map[string]store.Revision{}
			revs := apply(t, s, store.Write{Key: "any\x00\xff key"}, store.Write{Key: "other"}, store.Write{Op: store.Check, Key: "none"})
			want["any\x00\xff key"], want["other"] = revs[0], revs[1]
			apply(t, s, store.Write{Key: "gone"}, store.Write{Op: store.Delete, Key: "none"})
			apply(t, s, store.Write{Op: store.Delete, Key: "gone", Base: load(t, s, "gone").Revision})
			want["gone"] = 0
			if r := one(s, store.Write{Key: "other"}); r.Outcome != store.Conflict {
				t.Fatalf("%+v", r)
			}
			for began := time.Now(); time.Since(began) < 4*sqlitestore.WatchEvery; { // Watch looks meanwhile
				want["other"] = apply(t, s, store.Write{Key: "other", Base: want["other"]})[0]
			}
			w.until(t, "the last change", func() bool { return w.seen["other"] == want["other"] })
			lost := 1 // at the beginning
			if options != nil {
				apply(t, open(t, path, options...), store.Write{Key: "another handle's"})
				lost++
				w.until(t, "the change of another handle", func() bool { return w.lost >= lost })
			}
			w.mu.Lock()
			defer w.mu.Unlock()
			if !maps.Equal(w.seen, want) || w.lost != lost {
				t.Errorf("announced %v, want %v; %d times lost, want %d", w.seen, want, w.lost, lost)
			}
		})
	}
}

// TestChangesOfOthersAreSeen proves that lost stands for the changes of another
// handle, of another process and of a program that uses SQL.
//
// Proves N2, L36.
func TestChangesOfOthersAreSeen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	s := open(t, path, sqlitestore.Shared())
	apply(t, s, store.Write{Key: "counter", Value: []byte("0")})
	other := open(t, path, sqlitestore.Shared())
	w := watch(t, s)
	lost := func(what string, change func()) {
		t.Helper()
		w.mu.Lock()
		before := w.lost
		w.mu.Unlock()
		change()
		w.until(t, what, func() bool { return w.lost > before })
	}
	lost("another handle", func() { apply(t, other, store.Write{Key: "key"}) })
	lost("another process", func() {
		cmd, _ := start(t, "increment", path)
		if err := cmd.Wait(); err != nil {
			t.Fatal(err)
		}
	})
	lost("a program that uses SQL", func() { execute(t, path, "DELETE FROM records") })
}

// TestWatchOfALostFile proves that Watch ends and says so when the database is not
// where it was.
//
// Proves N2, L36.
func TestWatchOfALostFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, dbName)
	s, err := sqlitestore.Open(path, sqlitestore.Shared())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() }) // it says that the file is gone
	w := watch(t, s)
	waitForClock(t, dir)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := <-w.done; !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "removed") {
		t.Errorf("Watch ended with %v", err)
	}
}
