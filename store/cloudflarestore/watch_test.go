package cloudflarestore_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/stay-go/stay/internal/faultnet"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/cloudflarestore"
)

// A watch is a Watch under way.
type watch struct {
	lost    chan struct{}
	changes chan store.Change
	ended   chan error
}

func watching(t *testing.T, s *cloudflarestore.Store) *watch {
	w := &watch{lost: make(chan struct{}, 100), changes: make(chan store.Change, 1000), ended: make(chan error, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		w.ended <- s.Watch(ctx, func(changes []store.Change, lost bool) {
			if lost {
				w.lost <- struct{}{}
			}
			for _, c := range changes {
				w.changes <- c
			}
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-w.ended; err == nil {
			t.Error("Watch ends without an error")
		}
	})
	return w
}

// missed waits until it is said that announcements are missing.
func (w *watch) missed(t *testing.T) {
	t.Helper()
	select {
	case <-w.lost:
	case <-within(t).Done():
		t.Fatal("nobody says that announcements are missing")
	}
}

// of waits for the announcement of a change.
func (w *watch) of(t *testing.T, key string, rev store.Revision) {
	t.Helper()
	ctx := within(t)
	for {
		select {
		case c := <-w.changes:
			if c == (store.Change{Key: key, Revision: rev}) {
				return
			}
		case <-ctx.Done():
			t.Fatalf("%q at %d is not announced", key, rev)
		}
	}
}

// told changes a key until that is announced. Its object may not be watched yet: then
// it is said that announcements are missing, as soon as it is.
func (w *watch) told(t *testing.T, s store.Store, key string) {
	t.Helper()
	ctx := within(t)
	for rev := store.Revision(0); ; {
		rev = put(t, s, key, rev, "x")
		for heard := false; !heard; {
			select {
			case c := <-w.changes:
				if c == (store.Change{Key: key, Revision: rev}) {
					return
				}
			case <-w.lost:
				heard = true
			case <-ctx.Done():
				t.Fatalf("neither is %q at %d announced, nor that announcements are missing", key, rev)
			}
		}
	}
}

// TestWatchConnectsAgain restarts the server. It is said that announcements are
// missing, once there are announcements again, from all objects.
func TestWatchConnectsAgain(t *testing.T) {
	server := ownServer(t, deployed())
	s := open(t, server, cloudflarestore.Shards(5))
	w := watching(t, s)
	w.missed(t)
	w.of(t, "a", put(t, s, "a", 0, "x"))
	server.Kill()
	if err := server.Start(deployed()); err != nil {
		t.Fatal(err)
	}
	w.missed(t)
	for _, key := range []string{"b", "c", "d", "e", "f", "g"} {
		w.told(t, s, key)
	}
}

// TestWatchNoticesSilence has connections that are open and say nothing, as after
// the loss of a route. They are made again.
func TestWatchNoticesSilence(t *testing.T) {
	s, proxy := behind(t, theServer(t), place(), cloudflarestore.Shards(2), cloudflarestore.Attempt(300*time.Millisecond))
	w := watching(t, s)
	w.missed(t)
	proxy.Hold(faultnet.ToClient)
	time.AfterFunc(2*time.Second, proxy.Release) // silent for longer than five attempts
	w.missed(t)
	w.told(t, s, "a")
	w.told(t, s, "b")
	w.told(t, s, "c")
}

// TestWatchOutlivesSleepingObjects has objects that end; they tell of changes again
// when they are there again.
func TestWatchOutlivesSleepingObjects(t *testing.T) {
	server := ownServer(t, failing(`if (keys.includes("end")) this.ctx.abort("moved");`))
	s := open(t, server, cloudflarestore.Shards(1))
	w := watching(t, s)
	w.missed(t)
	want(t, one(s, store.Write{Key: "end"}), store.Unknown)
	w.missed(t)
	w.of(t, "key", put(t, s, "key", 0, "x"))
}

// TestNothingToWatch proves that Watch fails at once where nobody knows the objects,
// and that the store says so.
func TestNothingToWatch(t *testing.T) {
	s := open(t, theServer(t), place(), cloudflarestore.ObjectPerHome())
	if err := s.Watch(within(t), func([]store.Change, bool) {}); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("%v, want ErrUnavailable", err)
	}
	f := s.Features()
	if lacks := []bool{f.Watch, f.List, f.Groups}; slices.Contains(lacks, true) {
		t.Errorf("the features are %+v", f)
	}
}
