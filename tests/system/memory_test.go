package system_test

import (
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stay-go/stay/internal/testseed"
	"github.com/stay-go/stay/store/sqlitestore"
)

// idleBytes bounds what a session that nobody uses takes in memory with one
// state of 100 bytes (encoded): the cached record of the session and the
// cached state, with all that they hold and their part of the tables in which
// they are found, as the growth of the heap after the garbage has gone. What
// the store keeps outside of the heap does not count.
const idleBytes = 600

// A session that nobody uses takes little memory, whether it was made here or
// loaded from the store.
//
// Proves E6.
func TestIdleSessionBytes(t *testing.T) {
	t.Parallel()
	const sessions = 20_000
	program := buildCrowd(t)
	args := []string{"-db", filepath.Join(t.TempDir(), "app.db"), "-max-instances", "1000000"}
	p := newPopulation(sessions)
	for _, how := range []string{"made", "loaded"} {
		c := gather(t, program, args...)
		c.ask("GET", "/visit", "") // makes what there is once
		before := c.heap()
		for i := range sessions {
			if how == "made" {
				p.change(c, i)
			} else {
				p.look(c, i)
			}
		}
		c.settle()
		each := (c.heap() - before) / sessions
		t.Logf("BytesPerIdleSession/%s %d B/session", how, each)
		if each > idleBytes {
			t.Errorf("a session that was %s takes %d bytes, want at most %d", how, each, idleBytes)
		}
		c.leave()
	}
}

// Of a million sessions memory holds what Options.MaxInstances and MaxBytes allow,
// with the garbage collector as it comes. All others are evicted to SQLite and come back
// as they were, at whatever time and after a restart.
//
// Proves B9, E6.
func TestSoakManySessions(t *testing.T) {
	t.Parallel()
	// The short form has a twentieth of everything.
	// A session is two instances.
	sessions, instances, heapBound, bound := 50_000, 5_000, 8<<20+2_500*idleBytes, 100<<20
	if soak() {
		// The defaults: 256 MiB are reached before a million instances.
		sessions, instances, heapBound, bound = 1_000_000, 0, 320<<20, 1<<30
	}
	seed := testseed.New(t)
	random := rand.New(rand.NewPCG(seed, 0))
	program := buildCrowd(t)
	args := []string{"-db", filepath.Join(t.TempDir(), "app.db"), "-max-instances", strconv.Itoa(instances)}
	c := gather(t, program, args...)
	p := newPopulation(sessions)
	began := time.Now()
	lap := func(what string) {
		t.Helper()
		c.settle()
		now, most := resident(t, c.cmd)
		heap := c.heap()
		t.Logf("%s after %v: %d MiB resident, %d MiB at most; %d MiB of heap in use",
			what, time.Since(began).Round(time.Second), now>>20, most>>20, heap>>20)
		if most > bound {
			t.Errorf("%s: %d MiB were resident, want at most %d", what, most>>20, bound>>20)
		}
		if heap > heapBound {
			t.Errorf("%s: %d bytes of the heap are in use, want at most %d", what, heap, heapBound)
		}
		if p.wrong > 0 {
			t.Fatalf("%s: %d answers were wrong", what, p.wrong)
		}
	}
	for i := range sessions {
		p.change(c, i)
	}
	lap("begun")
	// Old and new ones are changed and read again, in any order.
	for range 4 {
		for n, i := range random.Perm(sessions)[:sessions/40] {
			if n%4 > 0 {
				p.change(c, i)
			} else {
				p.look(c, i)
			}
		}
		lap("revisited")
	}
	for i := range sessions {
		p.look(c, i)
	}
	lap("all read")
	c.leave()
	c = gather(t, program, args...)
	some := random.Perm(sessions)[:sessions/40]
	for _, i := range some {
		p.look(c, i)
	}
	lap("restarted")
	for _, i := range some {
		p.change(c, i)
	}
	lap("changed again")
	c.leave()
}

// Hits without a cookie, however many, leave nothing in memory and nothing in
// the store where they change nothing, and what they write into ephemeral state
// stays within Options.MaxGuests.
//
// Proves A12, B1.
func TestSoakCookielessHits(t *testing.T) {
	t.Parallel()
	hits, guests := 80_000, 2_000
	if soak() {
		hits, guests = 10_000_000, 0
	}
	program, db := buildCrowd(t), filepath.Join(t.TempDir(), "app.db")
	c := gather(t, program, "-db", db, "-max-guests", strconv.Itoa(guests))
	if guests == 0 {
		guests = 100_000 // the default
	}
	heard := func(want string) func(reply) {
		return func(r reply) {
			if r.status != 200 || r.body != want || r.cookie == "" {
				t.Errorf("a hit without a cookie: %+v, want %q", r, want)
			}
		}
	}
	zero, first := heard("0 "), heard("1 a+draft")
	hit := func(n int, drafts bool) {
		t.Helper()
		for i := range n {
			switch {
			case drafts:
				c.send("POST", "/draft?a+draft", "", first)
			case i%2 == 0:
				c.send("GET", "/visit", "", zero)
			default:
				c.send("POST", "/visit/same", "", zero)
			}
		}
		c.settle()
		if t.Failed() {
			t.FailNow()
		}
	}
	hit(5_000, false)
	before := c.heap()
	hit(hits*7/10, false)
	grown := c.heap() - before
	t.Logf("%d hits that change nothing left %d bytes", hits*7/10, grown)
	if grown > 256<<10 {
		t.Errorf("%d hits that change nothing left %d bytes", hits*7/10, grown)
	}

	hit(2*guests, true)
	before = c.heap()
	hit(hits*3/10, true)
	grown = c.heap() - before
	_, most := resident(t, c.cmd)
	t.Logf("%d hits that write ephemeral state left %d bytes more than the %d that there may be; %d MiB resident at most",
		hits*3/10, grown, guests, most>>20)
	if grown > 256<<10+guests*64 {
		t.Errorf("%d hits that write ephemeral state left %d bytes more than the first %d", hits*3/10, grown, 2*guests)
	}
	c.leave()

	s, err := sqlitestore.Open(db)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if got := rows(t, s, time.Now()); len(got) > 1 { // the key that signs cookies
		t.Errorf("%d records are stored: %.200q", len(got), got)
	}
}
