package natsstore_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stay-go/stay/internal/faultnet"
	"github.com/stay-go/stay/internal/storekit"
	"github.com/stay-go/stay/store"
)

// TestChangesAreAnnouncedByName proves that changes are named, not lost, in the
// ordinary case, to every store on the place and to no other, and that what changes
// nothing is not announced.
//
// Proves L36, N2.
func TestChangesAreAnnouncedByName(t *testing.T) {
	for kind, url := range map[string]string{"one": theServer(t), "three": theCluster(t)} {
		t.Run(kind, func(t *testing.T) {
			here, elsewhere := place(), place()
			writer, reader, other := open(t, url, here), open(t, url, here), open(t, url, elsewhere)
			a, b, c := storekit.Watch(t, writer), storekit.Watch(t, reader), storekit.Watch(t, other)
			checked := storekit.Put(t, other, "checked", 0, "x")
			c.Want(t, "checked", checked)
			key := "any \x00\xff / key/, " + strings.Repeat("x", 900)
			rev := storekit.Put(t, writer, key, 0, "x")
			rev = storekit.Put(t, writer, key, rev, "y")
			a.Want(t, key, rev)
			b.Want(t, key, rev)
			storekit.One(other, store.Write{Op: store.Check, Key: "checked", Base: checked}, store.Write{Op: store.Delete, Key: "not there"})
			storekit.One(other, store.Write{Key: "conflict", Base: 1})
			storekit.Load(t, other, "checked")
			gone := storekit.Put(t, other, "gone", 0, "x")
			if r := storekit.One(other, store.Write{Op: store.Delete, Key: "gone", Base: gone}, store.Write{Op: store.Check, Key: "checked", Base: checked}); r.Outcome != store.Applied {
				t.Fatal(r.Outcome, r.Err)
			}
			c.Want(t, "gone", 0)
			for i, w := range []*storekit.Watching{a, b, c} {
				if h, want := w.Heard(), []int{1, 1, 2}[i]; len(h.Seen) != want || h.Lost != 1 {
					t.Errorf("watch %d has heard of %v, and lost %d times", i, h.Seen, h.Lost)
				}
			}
			if err := a.End(t); !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		})
	}
}

// TestWatchBeginsAgain proves that after its consumer or its server has ended, or the
// network stands still, Watch says that announcements may be lost if any are, and
// that they go on.
//
// Proves L36, N2.
func TestWatchBeginsAgain(t *testing.T) {
	t.Parallel()
	s := ownServer(t)
	writer := open(t, s.URL())
	p, st := reach(t, s.URL())
	w := storekit.Watch(t, st)
	stream, err := streams(t, s.URL()).Stream(storekit.Within(t), "stay")
	if err != nil {
		t.Fatal(err)
	}
	for name := range stream.ConsumerNames(storekit.Within(t)).Name() {
		if err := stream.DeleteConsumer(storekit.Within(t), name); err != nil {
			t.Fatal(err)
		}
	}
	w.Until(t, "lost once more", func(h storekit.Heard) bool { return h.Lost == 2 })
	w.Want(t, "second", storekit.Put(t, writer, "second", 0, "x"))
	before := w.Heard().Lost
	s.Stop()
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	w.Until(t, "lost after the server has begun again", func(h storekit.Heard) bool { return h.Lost > before })
	third := again(t, writer, store.Group{{Key: "third"}})
	if third.Outcome != store.Applied {
		t.Fatal(third.Outcome, third.Err)
	}
	w.Want(t, "third", third.Revisions[0])
	before = w.Heard().Lost
	p.Hold(faultnet.ToClient)
	during := storekit.Put(t, writer, "during", 0, "x")
	p.direct() // new connections get through
	w.Until(t, "what changed while the network stood still", func(h storekit.Heard) bool { return h.Lost > before || h.Seen["during"] == during })
	w.Want(t, "fourth", storekit.Put(t, writer, "fourth", 0, "x"))
	_ = st.Close()
	if err := w.Err(t); !errors.Is(err, store.ErrClosed) {
		t.Error(err)
	}
}

// TestUnknownChangesAreAnnounced proves that a change is announced whose outcome the
// process that made it does not know, also if it dies.
//
// Proves L36, N2.
func TestUnknownChangesAreAnnounced(t *testing.T) {
	url, name := theServer(t), place()
	w := storekit.Watch(t, open(t, url, name))
	p, st := reach(t, url, name)
	p.Hold(faultnet.ToClient)
	if r := storekit.One(st, store.Write{Key: "key"}); r.Outcome != store.Unknown {
		t.Fatalf("%v: %v", r.Outcome, r.Err)
	}
	w.Until(t, `"key"`, func(h storekit.Heard) bool { return h.Seen["key"] != 0 })
}

// TestSlowWatchersLoseTheRest proves that changes that come while announce takes its
// time are kept up to a bound, and that it is said when there were more.
//
// Proves C5.
func TestSlowWatchersLoseTheRest(t *testing.T) {
	st := open(t, theServer(t), place())
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	begun, goOn, lost := make(chan struct{}), make(chan struct{}), make(chan struct{})
	calls, losses := 0, 0
	done := make(chan error, 1)
	go func() {
		done <- st.Watch(ctx, func(_ []store.Change, some bool) {
			calls++
			if some {
				losses++
			}
			switch {
			case calls == 1:
				close(begun)
				<-goOn
			case losses == 2:
				close(lost)
				cancel()
			}
		})
	}()
	<-begun
	groups := make([]store.Group, 5000)
	for i := range groups {
		groups[i] = store.Group{{Key: fmt.Sprint(i)}}
	}
	for i, r := range st.Commit(storekit.Within(t), groups) {
		if r.Outcome != store.Applied {
			t.Fatalf("group %d: %v: %v", i, r.Outcome, r.Err)
		}
	}
	close(goOn)
	select {
	case <-lost:
	case <-storekit.Within(t).Done():
		t.Fatal("nobody says that announcements are lost")
	}
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
