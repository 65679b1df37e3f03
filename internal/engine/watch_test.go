package engine

import (
	"context"
	"strconv"
	"testing"
	"testing/synctest"
)

// told reports whether the watch was woken, and takes the wake.
func told(w *Watch) bool {
	select {
	case <-w.C:
		return true
	default:
		return false
	}
}

// A few watches are woken before changed returns, many by a goroutine that ends;
// each is woken once for several changes, and again for a later one.
//
// Proves L1, L2.
func TestEveryWatchOfAKeyIsWoken(t *testing.T) {
	for _, n := range []int{1, toldInPlace, toldInPlace + 1, 3 * toldAtOnce} {
		t.Run(strconv.Itoa(n), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e, k := watchedEngine(t)
				other := NewWatch()
				e.Watch(other, k, "other")
				var all []*Watch
				for range n {
					w := NewWatch()
					e.Watch(w, k, "key")
					all = append(all, w)
				}
				for range 3 {
					e.changed(k, "key")
					e.changed(k, "key")
					if n > toldInPlace {
						synctest.Wait()
					}
					for i, w := range all {
						if !told(w) {
							t.Fatalf("watch %d was not woken", i)
						}
						if told(w) {
							t.Fatalf("watch %d was woken twice", i)
						}
					}
				}
				if told(other) {
					t.Error("the watch of another key was woken")
				}
			})
		})
	}
}

// Whoever ends a watch while all are being told hides nobody else from it.
//
// Proves L2.
func TestAWatchThatEndsHidesNoOther(t *testing.T) {
	const n = 2*toldAtOnce + 10
	for _, gone := range []int{0, 1, toldAtOnce - 1, toldAtOnce, toldAtOnce + 1, n - 1} {
		synctest.Test(t, func(t *testing.T) {
			e, k := watchedEngine(t)
			all := make([]*Watch, n)
			watched := make([]*Watched, n)
			for i := range all {
				all[i] = NewWatch()
				watched[i] = e.Watch(all[i], k, "key")
			}
			e.changed(k, "key")
			// The goroutine gives the lock back between two parts; who ends meanwhile
			// comes in there, or before, or after.
			for i := range 200 {
				e.Unwatch(watched[(gone+i)%n])
			}
			synctest.Wait()
			for i := range n - 200 {
				if at := (gone + 200 + i) % n; !told(all[at]) {
					t.Fatalf("watch %d was not woken", at)
				}
			}
		})
	}
}

// A topic lives as long as it has watches, also of one Watch that watches twice.
//
// Proves L5.
func TestATopicEndsWithItsLastWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, k := watchedEngine(t)
		w := NewWatch()
		one, two := e.Watch(w, k, "key"), e.Watch(w, k, "key")
		e.Unwatch(one)
		e.changed(k, "key")
		if !told(w) {
			t.Error("the second watch has ended with the first")
		}
		e.Unwatch(two)
		e.changed(k, "key")
		if told(w) {
			t.Error("a watch that has ended was woken")
		}
		if n := len(e.topics.shard(topicKey{k, "key"}).all); n != 0 || e.topics.any() {
			t.Errorf("%d topics are left, watched: %v", n, e.topics.any())
		}
	})
}

// A version that only carries the revision of a save is no news, one of another
// birth or with another end is.
//
// Proves L6.
func TestOnlyNewsWakes(t *testing.T) {
	v := Version{Revision: 3, birth: 7, expires: 1000, hash: 1, bytes: 2}
	for _, c := range []struct {
		name  string
		with  func(v *Version)
		alike bool
	}{
		{"the same", func(*Version) {}, true},
		{"a later revision", func(v *Version) { v.Revision++ }, true},
		{"another content", func(v *Version) { v.hash++ }, false},
		{"another birth", func(v *Version) { v.birth++ }, false},
		{"another end", func(v *Version) { v.expires++ }, false},
		{"no record", func(v *Version) { v.Revision = 0 }, false},
	} {
		w := v
		if c.with(&w); v.alike(&w) != c.alike {
			t.Errorf("%s: alike is %v, want %v", c.name, !c.alike, c.alike)
		}
	}
}

// watchedEngine returns an engine with a kind that is only in memory.
func watchedEngine(t *testing.T) (*Engine, *Kind) {
	t.Helper()
	e := New(Config{MaxInstances: 10, MaxBytes: 1 << 20, MaxGuests: 10})
	t.Cleanup(func() {
		if err := e.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return e, e.Kind(Kind{Name: "k"})
}
