package web

import (
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stay-go/stay/internal/sse"
)

// streams are those that are open, of all handlers that share it. It has no
// goroutine: each stream ends itself when it is told.
type streams struct {
	mu        sync.Mutex
	open      int
	crowd     int                // open when the first of those left that have left lately
	left      time.Time          // when that was
	byBrowser map[string][]*seat // by session, the oldest first
	byPage    map[pageKey][]*seat
	servers   sse.Servers
}

// enter counts one more stream. It reports false, and counts nothing, if there are
// max already.
func (t *streams) enter(max int) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.open >= max {
		return false
	}
	t.open++
	return true
}

// leave ends what enter began.
func (t *streams) leave() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if now := time.Now(); now.Sub(t.left) > lately {
		t.left, t.crowd = now, t.open
	}
	t.open--
}

// lately is how long streams that end count as having ended together.
const lately = 10 * time.Second

// A seat is what a stream has among those of its browser.
type seat struct {
	poke func()        // has the stream find out that it was told
	told atomic.Uint32 // that it is to end: 0 until then, goodBye or seeYou
	left chan struct{} // closed when the stream has ended
	page pageKey       // see claim; zero: of none
}

// What a stream is told.
const (
	seeYou  = 1 // end, and have the client come back
	goodBye = 2 // end, and have it stay away
)

func newSeat(poke func()) *seat { return &seat{poke: poke, left: make(chan struct{})} }

// tell ends the stream, if it was not told before.
func (s *seat) tell(what uint32) {
	if s.told.CompareAndSwap(0, what) {
		s.poke()
	}
}

// join counts a stream as one of a browser's, and tells the oldest of more than
// max to end.
func (t *streams) join(s *seat, browser string, max int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byBrowser == nil {
		t.byBrowser = map[string][]*seat{}
	}
	all := append(t.byBrowser[browser], s)
	for len(all) > max {
		all[0].tell(seeYou)
		all = slices.Delete(all, 0, 1)
	}
	t.byBrowser[browser] = all
}

// part ends what join and claim began.
func (t *streams) part(s *seat, browser string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	close(s.left)
	without(t.byBrowser, browser, s)
	without(t.byPage, s.page, s)
}

// without takes a seat out.
func without[K comparable](seats map[K][]*seat, of K, s *seat) {
	all := seats[of]
	i := slices.Index(all, s)
	switch {
	case i < 0:
	case len(all) == 1:
		delete(seats, of)
	default:
		seats[of] = slices.Delete(all, i, i+1)
	}
}

// soon is when a client comes back after an end that has nothing to do with it.
// All clients may have been told at once: to come back costs a fifth of a
// millisecond, so they are spread over a time in which that is a tenth of a core.
func (t *streams) soon() time.Duration {
	t.mu.Lock()
	n := t.open
	if time.Since(t.left) <= lately {
		n = max(n, t.crowd)
	}
	t.mu.Unlock()
	return between(100*time.Millisecond, 100*time.Millisecond+max(time.Second, time.Duration(n)*2*time.Millisecond))
}

// between is a random duration.
func between(least, most time.Duration) time.Duration {
	return least + rand.N(most-least)
}

// about is a random duration near d, so that what begins together does not go on
// together.
func about(d time.Duration) time.Duration {
	return d - d/8 + rand.N(d/4+1)
}
