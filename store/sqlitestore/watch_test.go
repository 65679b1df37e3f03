package sqlitestore_test

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stay-go/stay/internal/storekit"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/sqlitestore"
)

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
			w := storekit.Watch(t, s)
			want := map[string]store.Revision{}
			revs := apply(t, s, store.Write{Key: "any\x00\xff key"}, store.Write{Key: "other"}, store.Write{Op: store.Check, Key: "none"})
			want["any\x00\xff key"], want["other"] = revs[0], revs[1]
			apply(t, s, store.Write{Key: "gone"}, store.Write{Op: store.Delete, Key: "none"})
			apply(t, s, store.Write{Op: store.Delete, Key: "gone", Base: storekit.Load(t, s, "gone").Revision})
			want["gone"] = 0
			if r := storekit.One(s, store.Write{Key: "other"}); r.Outcome != store.Conflict {
				t.Fatalf("%+v", r)
			}
			for began := time.Now(); time.Since(began) < 4*sqlitestore.WatchEvery; { // Watch looks meanwhile
				want["other"] = apply(t, s, store.Write{Key: "other", Base: want["other"]})[0]
			}
			w.Until(t, "the last change", func(h storekit.Heard) bool { return h.Seen["other"] == want["other"] })
			lost := 1 // at the beginning
			if options != nil {
				apply(t, open(t, path, options...), store.Write{Key: "another handle's"})
				lost++
				w.Until(t, "the change of another handle", func(h storekit.Heard) bool { return h.Lost >= lost })
			}
			if h := w.Heard(); !maps.Equal(h.Seen, want) || h.Lost != lost {
				t.Errorf("announced %v, want %v; %d times lost, want %d", h.Seen, want, h.Lost, lost)
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
	w := storekit.Watch(t, s)
	lost := func(what string, change func()) {
		t.Helper()
		before := w.Heard().Lost
		change()
		w.Until(t, what, func(h storekit.Heard) bool { return h.Lost > before })
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
	w := storekit.Watch(t, s)
	waitForClock(t, dir)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := w.Err(t); !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "removed") {
		t.Errorf("Watch ended with %v", err)
	}
}
