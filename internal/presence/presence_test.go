package presence_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stay-go/stay/internal/engine"
	"github.com/stay-go/stay/internal/presence"
	"github.com/stay-go/stay/internal/testseed"
)

// A house is a Table in a bubble, with what it has told. Its goroutines have ended
// when the test does, or the bubble fails.
type house struct {
	*presence.Table
	t     *testing.T
	rules presence.Rules

	mu      sync.Mutex
	told    map[presence.Place]int
	crowded []presence.Place
	events  []string
	slow    chan struct{} // not nil: hooks wait until it is closed
	fails   int           // so many hooks cannot be called
	tried   int           // hooks that could not be called
	missed  int           // of them, the last try
}

var room = presence.Place{Kind: &engine.Kind{Name: "room"}, Key: "tea"}

func inHouse(t *testing.T, test func(*house)) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		h := &house{t: t, told: map[presence.Place]int{}}
		h.rules = presence.Rules{Shown: true, Remembers: true, Hook: h.hook}
		h.Table = presence.New(presence.Config{
			Go: func(fn func(context.Context)) bool {
				wg.Go(func() { fn(ctx) })
				return true
			},
			Now:     time.Now,
			Changed: func(at presence.Place) { h.mu.Lock(); h.told[at]++; h.mu.Unlock() },
			Crowded: func(at presence.Place) { h.mu.Lock(); h.crowded = append(h.crowded, at); h.mu.Unlock() },
		})
		defer wg.Wait()
		defer cancel()
		test(h)
	})
}

func (h *house) hook(_ context.Context, at presence.Place, v presence.Visitor, e presence.Event, last bool) presence.Outcome {
	h.mu.Lock()
	slow := h.slow
	h.mu.Unlock()
	if slow != nil {
		<-slow
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.tried < h.fails {
		if h.tried++; last {
			h.missed++
			return presence.Missed
		}
		return presence.Again
	}
	h.events = append(h.events, strings.TrimSpace(fmt.Sprint([]string{"+", "=", "-"}[e], at.Key, ":", v.Session, " ", v.User)))
	return presence.Called
}

func (h *house) enter(session, user string) *presence.Page {
	return h.Enter(room, presence.Visitor{Session: session, User: user}, &h.rules)
}

func pass(d time.Duration) {
	time.Sleep(d) //nolint:forbidigo // the bubble's time
	synctest.Wait()
}

// shows compares who is there, as session/user/pages.
func (h *house) shows(want ...string) {
	h.t.Helper()
	got := []string{}
	for _, c := range h.Show(room) {
		got = append(got, fmt.Sprint(c.Session, "/", c.User, "/", c.Pages))
	}
	if !slices.Equal(got, append([]string{}, want...)) {
		h.t.Fatalf("there are %q, want %q", got, want)
	}
}

// heard compares the calls of hooks since the last time.
func (h *house) heard(want ...string) {
	h.t.Helper()
	synctest.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	if !slices.Equal(h.events, want) {
		h.t.Fatalf("hooks were called: %q, want %q", h.events, want)
	}
	h.events = nil
}

// changes returns how often a change was told since the last time.
func (h *house) changes() int {
	synctest.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	n := h.told[room]
	h.told[room] = 0
	return n
}

// A session is there with its first page, and for ten seconds after its last. In
// that time another page takes the place of the one that has gone, and nobody sees
// a change.
//
// Proves L24, L25.
func TestPagesCountForAWhileAfterTheyHaveGone(t *testing.T) {
	inHouse(t, func(h *house) {
		a := h.enter("s1", "ann")
		h.shows("s1/ann/1")
		h.heard("+tea:s1 ann")
		pass(time.Minute)
		since := h.Show(room)[0].Since
		if n := h.changes(); n != 1 {
			t.Errorf("a first page was told %d times", n)
		}
		for range 20 { // reloads
			h.Leave(a, false)
			h.shows("s1/ann/1")
			pass(9 * time.Second)
			a = h.enter("s1", "ann")
		}
		b := h.enter("s1", "ann")
		h.shows("s1/ann/2")
		h.Leave(a, false)
		h.Leave(b, false)
		pass(9990 * time.Millisecond)
		h.shows("s1/ann/2")
		h.heard()
		if n := h.changes(); n != 1 {
			t.Errorf("a second page was told %d times", n)
		}
		if !h.Show(room)[0].Since.Equal(since) {
			t.Error("the session has begun again")
		}
		pass(10 * time.Millisecond)
		h.shows()
		h.heard("-tea:s1 ann")
		if n := h.changes(); n != 1 {
			t.Errorf("the end was told %d times", n)
		}
		pass(time.Hour)
		h.Leave(h.enter("s1", ""), false)
		h.heard("=tea:s1")
		pass(time.Minute)
		h.heard("-tea:s1")
	})
}

// A page that becomes another session's, or another user's, counts no longer as what
// it was.
//
// Proves L24.
func TestPagesThatGoAtOnce(t *testing.T) {
	inHouse(t, func(h *house) {
		nobody := h.enter("", "")
		h.shows("//1")
		somebody := h.enter("s1", "")
		h.Leave(nobody, true)
		h.shows("s1//1")
		again := h.enter("s1", "ann")
		h.Leave(somebody, true)
		h.shows("s1/ann/1")
		h.Leave(again, true)
		h.shows()
		h.heard() // it has come and gone before a hook could be called
	})
}

// Sessions beyond the bound are a number, without hooks. Those without a session are
// a part of it, and come last.
//
// Proves L24.
func TestSessionsBeyondTheBoundAreANumber(t *testing.T) {
	inHouse(t, func(h *house) {
		for i := range presence.MaxSessions + 5 {
			h.enter(fmt.Sprintf("s%04d", i), "")
		}
		h.enter("", "")
		h.heardMany(presence.MaxSessions)
		all := h.Show(room)
		if len(all) != presence.MaxSessions+1 {
			t.Fatalf("%d are shown", len(all))
		}
		if last := all[presence.MaxSessions]; last.Session != "" || last.Pages != 6 {
			t.Errorf("the last is %+v", last)
		}
		if len(h.crowded) != 1 {
			t.Errorf("that there are too many was told %d times", len(h.crowded))
		}
	})
}

func (h *house) heardMany(n int) {
	h.t.Helper()
	synctest.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.events) != n {
		h.t.Errorf("%d hooks were called, want %d", len(h.events), n)
	}
	h.events = nil
}

// While a hook is slow, nothing queues up: when it has returned, the session gets
// the hook for what has become of it, if there is one.
//
// Proves L25.
func TestSlowHooksHearWhatHasBecome(t *testing.T) {
	inHouse(t, func(h *house) {
		h.slow = make(chan struct{})
		a := h.enter("s1", "")
		pass(time.Second)
		for range 5 { // it goes and comes back
			h.Leave(a, false)
			pass(11 * time.Second)
			a = h.enter("s1", "")
		}
		b := h.enter("s2", "") // goes meanwhile
		h.Leave(b, false)
		pass(11 * time.Second)
		c := h.enter("s3", "")
		pass(time.Second)
		h.shows("s1//1", "s3//1")
		h.mu.Lock()
		close(h.slow)
		h.slow = nil
		h.mu.Unlock()
		synctest.Wait()
		h.mu.Lock()
		slices.Sort(h.events)
		h.mu.Unlock()
		h.heard("+tea:s1", "+tea:s2", "+tea:s3", "-tea:s2")
		h.Leave(a, false)
		h.Leave(c, false)
		pass(11 * time.Second)
		h.mu.Lock()
		slices.Sort(h.events)
		h.mu.Unlock()
		h.heard("-tea:s1", "-tea:s3")
	})
}

// However many hooks are due, only some run at once.
//
// Proves L25.
func TestHooksRunSomeAtOnce(t *testing.T) {
	inHouse(t, func(h *house) {
		var running, most int
		h.rules.Hook = func(context.Context, presence.Place, presence.Visitor, presence.Event, bool) presence.Outcome {
			h.mu.Lock()
			running++
			most = max(most, running)
			h.mu.Unlock()
			sleep(time.Second)
			h.mu.Lock()
			running--
			h.mu.Unlock()
			return presence.Called
		}
		for i := range 100 {
			h.enter(fmt.Sprint(i), "")
		}
		pass(time.Minute)
		if most != 8 || running != 0 {
			t.Errorf("%d hooks ran at once, and %d have not returned", most, running)
		}
	})
}

func sleep(d time.Duration) { time.Sleep(d) } //nolint:forbidigo // the bubble's time

// A thousand pages that come within a second are told a few times, and the last is
// told always.
//
// Proves L24.
func TestChangesAreToldAtAPace(t *testing.T) {
	inHouse(t, func(h *house) {
		var pages []*presence.Page
		for i := range 1000 {
			pages = append(pages, h.enter(fmt.Sprint(i%500), ""))
			pass(time.Millisecond)
		}
		number := h.Number(room)
		pass(time.Second)
		if n := h.changes(); n < 4 || n > 11 {
			t.Errorf("told %d times in a second", n)
		}
		if h.Number(room) == number {
			t.Error("the last change has no number")
		}
		for _, pg := range pages {
			h.Leave(pg, false)
		}
		pass(time.Minute)
		if n := h.changes(); n < 1 || n > 60 {
			t.Errorf("the end was told %d times", n)
		}
		if h.Number(room) != 0 || len(h.Show(room)) != 0 {
			t.Error("something is left")
		}
	})
}

// fail has the next n hooks not be called. It returns how many were not since the
// last time, and how many of these were a last try.
func (h *house) fail(n int) (tried, missed int) {
	synctest.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	tried, missed = h.tried, h.missed
	h.fails, h.tried, h.missed = n, 0, 0
	return tried, missed
}

// A hook that cannot be called is tried again, after a second and less and less
// often, and then heard of once. What has been cancelled out meanwhile is not.
//
// Proves L25.
func TestHooksThatCannotBeCalledAreTriedAgain(t *testing.T) {
	inHouse(t, func(h *house) {
		h.fail(3)
		a := h.enter("s1", "")
		pass(6 * time.Second)
		h.heard()
		pass(2 * time.Second)
		h.heard("+tea:s1")

		h.fail(4)
		h.Leave(a, false)
		pass(24 * time.Second) // ten of them until it has gone
		h.heard()
		pass(2 * time.Second)
		h.heard("-tea:s1")

		h.fail(2)
		a = h.enter("s1", "")
		pass(4 * time.Second)
		h.heard("=tea:s1") // that it was there before is not forgotten

		h.fail(3)
		h.Leave(a, false)
		pass(12 * time.Second)
		a = h.enter("s1", "")
		pass(time.Hour)
		h.heard()
		if tried, missed := h.fail(0); tried != 2 || missed != 0 {
			t.Errorf("%d tries of a hook, %d of them the last, although the session has come back", tried, missed)
		}
		h.Leave(a, false)
		pass(time.Minute)
		h.heard("-tea:s1")

		h.fail(3)
		b := h.enter("s2", "")
		pass(2 * time.Second)
		h.Leave(b, true)
		pass(time.Hour)
		h.heard()
		if tried, missed := h.fail(0); tried != 2 || missed != 0 {
			t.Errorf("%d tries of a hook, %d of them the last, although the session has gone", tried, missed)
		}
	})
}

// After a minute a hook is missed. A session that nobody was told of has no
// Disconnect, one whose Disconnect was missed is forgotten, and either has its hooks
// when it comes back.
//
// Proves L25.
func TestHooksThatAreMissed(t *testing.T) {
	inHouse(t, func(h *house) {
		missed := func(what string) {
			t.Helper()
			pass(62 * time.Second)
			if tried, missed := h.fail(1000); tried != 6 || missed != 0 {
				t.Fatalf("%s was tried %d times within 62 s, %d of them the last", what, tried, missed)
			}
			pass(time.Hour)
			if tried, missed := h.fail(0); tried != 1 || missed != 1 {
				t.Fatalf("%s was tried %d times after 62 s, %d of them the last", what, tried, missed)
			}
			h.heard()
		}
		h.fail(1000)
		a := h.enter("s1", "")
		missed("Connect")
		h.Leave(a, false)
		pass(time.Hour)
		h.heard()

		a = h.enter("s1", "")
		h.heard("+tea:s1")
		h.fail(1000)
		h.Leave(a, false)
		pass(10 * time.Second)
		missed("Disconnect")
		h.enter("s1", "")
		h.heard("=tea:s1")
	})
}

// Whatever happens, a page that is open counts, one that has gone does not after
// eleven seconds, and each session hears Connect and Disconnect in turn.
//
// Proves L24, L25.
func TestPagesOfManySessionsAtRandom(t *testing.T) {
	rnd := rand.New(rand.NewPCG(testseed.New(t), 0))
	inHouse(t, func(h *house) {
		h.rules.Hook = func(_ context.Context, at presence.Place, v presence.Visitor, e presence.Event, last bool) presence.Outcome {
			sleep(rand.N(3 * time.Second))
			if !last && rand.N(3) == 0 {
				return presence.Again
			}
			return h.hook(context.Background(), at, v, e, last)
		}
		open := map[string][]*presence.Page{}
		for range 20_000 {
			id := fmt.Sprint("s", rnd.IntN(6))
			switch n := rnd.IntN(10); {
			case n < 4:
				open[id] = append(open[id], h.enter(id, ""))
			case n < 8 && len(open[id]) > 0:
				i := rnd.IntN(len(open[id]))
				h.Leave(open[id][i], false)
				open[id] = slices.Delete(open[id], i, i+1)
			case n == 8:
				pass(time.Duration(rnd.IntN(int(4 * time.Second))))
			}
			got := map[string]int{}
			for _, c := range h.Show(room) {
				got[c.Session] = c.Pages
			}
			for id, pages := range open {
				if got[id] < len(pages) {
					t.Fatalf("%s has %d pages, and %d are shown", id, len(pages), got[id])
				}
			}
		}
		pass(2 * time.Minute)
		for _, c := range h.Show(room) {
			if c.Pages != len(open[c.Session]) {
				t.Errorf("%s has %d pages, and %d are shown", c.Session, len(open[c.Session]), c.Pages)
			}
		}
		last := map[string]byte{}
		for _, e := range h.events {
			what, id := e[0], e[1:]
			if (what == '-') == (last[id] == 0 || last[id] == '-') {
				t.Fatalf("%s heard %q after %q", id, what, last[id])
			}
			if what == '+' && last[id] == '-' {
				t.Fatalf("%s was there before, and heard Connect", id)
			}
			last[id] = what
		}
		for id, pages := range open {
			if here := last["tea:"+id]; (len(pages) > 0) != (here == '+' || here == '=') {
				t.Errorf("%s has %d pages, and its last hook was %q", id, len(pages), here)
			}
		}
	})
}

// The counts of nodes are added: a session that has pages on two is one.
//
// Proves L26.
func TestCountsOfNodesAreAdded(t *testing.T) {
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	v := func(id, user string) presence.Visitor { return presence.Visitor{Session: id, User: user} }
	a := []presence.Count{{v("a", "ann"), 1, at(3)}, {v("b", ""), 2, at(5)}, {v("", ""), 7, at(1)}}
	b := []presence.Count{{v("c", ""), 1, at(1)}, {v("a", ""), 2, at(2)}, {v("", ""), 1, at(9)}}
	want := []presence.Count{{v("c", ""), 1, at(1)}, {v("a", "ann"), 3, at(2)}, {v("b", ""), 2, at(5)}, {v("", ""), 8, at(1)}}
	for _, got := range [][]presence.Count{presence.Sum(a, b), presence.Sum(b, a)} {
		if !slices.Equal(got, want) {
			t.Errorf("the sum is %v, want %v", got, want)
		}
	}
	if got := presence.Sum(a, nil); !slices.Equal(got, a) {
		t.Errorf("with nothing: %v", got)
	}
	most := []presence.Count{{v("c", ""), 1, at(1)}, {v("", ""), 13, at(2)}}
	if got := presence.Most(want, 1); !slices.Equal(got, most) {
		t.Errorf("the first is %v, want %v", got, most)
	}
	if got := presence.Most(want, 3); !slices.Equal(got, want) {
		t.Errorf("three are %v", got)
	}
}
