package cloudflarestore_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/stay-go/stay/internal/faultnet"
	"github.com/stay-go/stay/internal/storekit"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/cloudflarestore"
)

// told changes a key until that is announced. Its object may not be watched yet: then
// it is said that announcements are missing, as soon as it is.
func told(t *testing.T, w *storekit.Watching, s store.Store, key string) {
	t.Helper()
	lost := w.Heard().Lost
	for rev, heard := store.Revision(0), false; !heard; {
		rev = storekit.Put(t, s, key, rev, "x")
		w.Until(t, "the change, or that announcements are missing", func(h storekit.Heard) bool {
			heard = h.Seen[key] == rev
			missing := h.Lost > lost
			lost = h.Lost
			return heard || missing
		})
	}
}

// missed waits until it is said that announcements are missing, more often than
// before.
func missed(t *testing.T, w *storekit.Watching, before storekit.Heard) {
	t.Helper()
	w.Until(t, "that announcements are missing", func(h storekit.Heard) bool { return h.Lost > before.Lost })
}

// TestWatchConnectsAgain restarts the server. It is said that announcements are
// missing, once there are announcements again, from all objects.
func TestWatchConnectsAgain(t *testing.T) {
	t.Parallel()
	server := ownServer(t, deployed())
	s := open(t, server, cloudflarestore.Shards(5))
	w := storekit.Watch(t, s)
	w.Want(t, "a", storekit.Put(t, s, "a", 0, "x"))
	before := w.Heard()
	server.Kill()
	if err := server.Start(deployed()); err != nil {
		t.Fatal(err)
	}
	missed(t, w, before)
	for _, key := range []string{"b", "c", "d", "e", "f", "g"} {
		told(t, w, s, key)
	}
}

// TestWatchNoticesSilence has connections that are open and say nothing, as after
// the loss of a route. They are made again.
func TestWatchNoticesSilence(t *testing.T) {
	s, proxy := behind(t, theServer(t), place(), cloudflarestore.Shards(2), cloudflarestore.Attempt(300*time.Millisecond))
	w := storekit.Watch(t, s)
	before := w.Heard()
	proxy.Hold(faultnet.ToClient)
	time.AfterFunc(2*time.Second, proxy.Release) // silent for longer than five attempts
	missed(t, w, before)
	told(t, w, s, "a")
	told(t, w, s, "b")
	told(t, w, s, "c")
}

// TestWatchOutlivesSleepingObjects has objects that end; they tell of changes again
// when they are there again.
func TestWatchOutlivesSleepingObjects(t *testing.T) {
	t.Parallel()
	server := ownServer(t, failing(`if (keys.includes("end")) this.ctx.abort("moved");`))
	s := open(t, server, cloudflarestore.Shards(1))
	w := storekit.Watch(t, s)
	before := w.Heard()
	want(t, storekit.One(s, store.Write{Key: "end"}), store.Unknown)
	missed(t, w, before)
	w.Want(t, "key", storekit.Put(t, s, "key", 0, "x"))
}

// TestNothingToWatch proves that Watch fails at once where nobody knows the objects,
// and that the store says so.
func TestNothingToWatch(t *testing.T) {
	s := open(t, theServer(t), place(), cloudflarestore.ObjectPerHome())
	if err := s.Watch(storekit.Within(t), func([]store.Change, bool) {}); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("%v, want ErrUnavailable", err)
	}
	f := s.Features()
	if lacks := []bool{f.Watch, f.List, f.Groups}; slices.Contains(lacks, true) {
		t.Errorf("the features are %+v", f)
	}
}
