package crash_test

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stay-go/stay/internal/testseed"
	"github.com/stay-go/stay/tests/internal/crashsite"
)

// A member is one process of a fleet, which is started again after each end.
type member struct {
	older  bool
	p      *process
	struck atomic.Bool // it is about to end, or has ended
}

// A fleet is several processes on one file. Each request reaches another one.
type fleet struct {
	t       *testing.T
	r       *run
	file    string
	log     string // of what has expired
	ahead   time.Duration
	members []*member
	base    *http.Transport
	// quiet is held by those whose requests must not be lost.
	quiet sync.RWMutex
	mu    sync.Mutex
	draw  *rand.Rand
}

func newFleet(t *testing.T, seed uint64) *fleet {
	dir := t.TempDir()
	f := &fleet{
		t: t, r: &run{url: "http://fleet.test"}, file: filepath.Join(dir, "app.db"), log: filepath.Join(dir, "expired"),
		members: []*member{{}, {}, {older: true}}, base: &http.Transport{MaxIdleConnsPerHost: 32}, draw: draws(seed, 99),
	}
	f.r.client = &http.Client{Transport: f}
	f.r.ending.Store(true) // an answer may be lost at any time: see RoundTrip
	t.Cleanup(f.base.CloseIdleConnections)
	return f
}

func (f *fleet) n(n int) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.draw.IntN(n)
}

// start starts a member.
func (f *fleet) start(m *member) {
	f.t.Helper()
	args := []string{"-shared", "-ahead", f.ahead.String()}
	if m.older {
		args = append(args, "-older")
	} else {
		args = append(args, "-expired", f.log)
	}
	p := start(f.t, nil, append(args, "-sweep", f.file)...)
	f.mu.Lock()
	m.p = p
	f.mu.Unlock()
	m.struck.Store(false)
}

// kill ends a member as kill -9 does.
func (f *fleet) kill(m *member) {
	f.t.Helper()
	f.quiet.Lock()
	defer f.quiet.Unlock()
	m.struck.Store(true)
	m.p.kill(f.t)
}

// serves reports whether a member has what a request asks for.
func (m *member) serves(path string) bool {
	if !m.older {
		return true
	}
	return slices.Contains(crashsite.OlderPaths, path)
}

// RoundTrip implements http.RoundTripper: it sends each request to a member
// that is there. Only of one that is killed meanwhile may the answer be lost.
func (f *fleet) RoundTrip(r *http.Request) (*http.Response, error) {
	f.mu.Lock()
	var there []*member
	for _, m := range f.members {
		if !m.struck.Load() && m.serves(r.URL.Path) {
			there = append(there, m)
		}
	}
	if len(there) == 0 {
		f.mu.Unlock()
		return nil, fmt.Errorf("nobody serves %s", r.URL.Path)
	}
	m := there[f.draw.IntN(len(there))]
	r = r.Clone(r.Context())
	r.URL.Host = strings.TrimPrefix(m.p.url, "http://")
	f.mu.Unlock()
	res, err := f.base.RoundTrip(r)
	if err == nil {
		res.Body = &answerBody{res.Body, f, m, r.URL.Path}
		if res.StatusCode != http.StatusOK {
			text, _ := io.ReadAll(res.Body)
			f.r.fail("%s (older: %t): %d %s", r.URL.Path, m.older, res.StatusCode, text)
			return nil, fmt.Errorf("status %d", res.StatusCode)
		}
	}
	f.lost(m, r.URL.Path, err)
	return res, err
}

func (f *fleet) lost(m *member, path string, err error) {
	if err != nil && !errors.Is(err, io.EOF) && !m.struck.Load() {
		f.r.fail("%s (older: %t): %v", path, m.older, err)
	}
}

// An answerBody is what is left of an answer, which may be lost as well.
type answerBody struct {
	io.ReadCloser
	f    *fleet
	m    *member
	path string
}

func (b *answerBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.f.lost(b.m, b.path, err)
	return n, err
}

// roam has a browser do things until stop, whichever member answers. When an
// answer is lost it finds out what became of that, from another member.
func (f *fleet) roam(b *browser, stop *atomic.Bool) {
	for !stop.Load() && !f.t.Failed() {
		o := b.belief.world.choose(b.random.IntN(1<<20), b.random.IntN(1<<20))
		if o.path == "/login" && b.belief.world.guest[list] > 0 {
			f.bringAlong(b, o)
			continue
		}
		lost := !b.do(o)
		if lost || b.random.IntN(12) == 0 {
			f.look(b)
		}
	}
	f.look(b)
}

// bringAlong logs in, and has a newer member look. What waits since a login in
// the older program would go with the session, if that ended or its cookie were
// lost before.
func (f *fleet) bringAlong(b *browser, login op) {
	f.quiet.RLock()
	defer f.quiet.RUnlock()
	b.do(login)
	b.check(func(*world) {}, true)
}

func (f *fleet) look(b *browser) {
	f.quiet.RLock()
	defer f.quiet.RUnlock()
	b.check(func(*world) {}, true)
	b.checkOld(b.random)
}

// storm has all browsers use the fleet while members are killed and started
// again, one after the other.
func (f *fleet) storm(browsers []*browser, kills int) {
	var stop atomic.Bool
	var wg sync.WaitGroup
	for _, b := range browsers {
		wg.Go(func() { f.roam(b, &stop) })
	}
	for range kills {
		m := f.members[f.n(len(f.members))]
		f.busy(time.Duration(20+f.n(120)) * time.Millisecond)
		f.kill(m)
		f.busy(time.Duration(f.n(60)) * time.Millisecond)
		f.start(m)
	}
	f.busy(50 * time.Millisecond)
	stop.Store(true)
	wg.Wait()
}

// busy lets the browsers work for a while.
func (f *fleet) busy(d time.Duration) { <-time.After(d) }

// pass sets the clocks ahead and reports what must expire because of it.
func (f *fleet) pass(browsers []*browser, jump time.Duration) (expire []string) {
	for _, b := range browsers {
		w := b.belief.world
		if b.belief.id == "" || w.fate != good {
			continue
		}
		if w.brief > 0 {
			expire = append(expire, fmt.Sprint("brief ", map[string]int{b.name: w.brief}))
		}
		if w.draft > 0 && jump > crashsite.IdleTimeout {
			expire = append(expire, fmt.Sprint("draft ", map[string]int{b.name: w.draft}))
		}
	}
	for _, m := range f.members {
		f.kill(m)
	}
	f.ahead += jump
	for _, m := range f.members {
		f.start(m)
	}
	if f.n(2) == 0 { // the hooks run at this moment
		f.busy(time.Duration(f.n(30)) * time.Millisecond)
		for _, m := range f.members {
			f.kill(m)
		}
		f.ahead += 3 * time.Minute // claims of those who were killed have ended
		for _, m := range f.members {
			f.start(m)
		}
	}
	return expire
}

// heard waits until the hooks have been told of all that must expire since the
// log had this size.
func (f *fleet) heard(size int, expire []string) {
	f.t.Helper()
	pauses, late := time.NewTicker(10*time.Millisecond), time.After(patience/4)
	defer pauses.Stop()
	for {
		all := f.told()[size:]
		missing := slices.DeleteFunc(slices.Clone(expire), func(line string) bool { return strings.Contains(all, line+"\n") })
		if len(missing) == 0 {
			return
		}
		select {
		case <-pauses.C:
		case <-late:
			f.t.Errorf("OnExpire was not told of %q", missing)
			return
		}
	}
}

// told is the log of what has expired.
func (f *fleet) told() string {
	text, err := os.ReadFile(f.log)
	if err != nil && !os.IsNotExist(err) {
		f.t.Error(err)
	}
	return string(text)
}

// Several processes use one file, an older program among them, and each request
// of a browser reaches another one. Whichever of them is killed when, every
// change that was acknowledged is there, once, for all of them, and every state
// that expires is told to a program that knows its module.
//
// Proves A3, A15, K2, K3, K4, S4, S5, N1.
func TestSoakFleet(t *testing.T) {
	rounds, kills := 3, 8
	if soak() {
		rounds, kills = 60, 20
	}
	seed := testseed.New(t)
	f := newFleet(t, seed)
	rep := &report{Seed: seed, Begun: time.Now(), Counts: map[string]int{}}
	defer rep.write(t, &f.r.tallies)
	for _, m := range f.members {
		f.start(m)
	}
	browsers := newBrowsers(f.r, 6)
	for round := range rounds {
		for i, b := range browsers {
			b.random = draws(seed, round, 1+i)
		}
		f.storm(browsers, kills)
		rep.Counts["kills"] += kills
		jump := time.Duration(0)
		switch f.n(3) {
		case 0:
			jump = crashsite.IdleTimeout + time.Hour
		default:
			jump = crashsite.BriefExpiry + time.Hour
		}
		size := len(f.told())
		expire := f.pass(browsers, jump)
		rep.Counts["expiries"] += len(expire)
		for _, b := range browsers {
			b.check(func(w *world) { w.restart(false, false, jump) }, false)
		}
		f.heard(size, expire)
		if bad := f.r.problems(); len(bad) > 0 || t.Failed() {
			t.Fatalf("in round %d:\n%s", round, strings.Join(bad, "\n"))
		}
	}
	for _, m := range f.members {
		m.p.stop(t)
	}
}
