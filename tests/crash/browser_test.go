package crash_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stay-go/stay/tests/internal/crashsite"
	"github.com/stay-go/stay/tests/internal/sessionid"
)

// oldCookies bounds how many cookies a browser remembers that are no good any
// more.
const oldCookies = 32

// An oldCookie was replaced, or its session has ended.
type oldCookie struct {
	value string
	id    string // of its session
	ended bool   // by something that ends sessions
}

// A belief is what a browser knows for sure.
type belief struct {
	cookie string // "" = none
	id     string // of the cookie's session
	world  world
	old    []oldCookie
}

// String names the cookie by what differs from one to the next.
func (b belief) String() string {
	return fmt.Sprintf("{%s %.6s %+v}", b.cookie[max(0, len(b.cookie)-6):], b.id, b.world)
}

// bury puts the cookie away. The session may go on under another.
func (b *belief) bury(ended bool) {
	if b.cookie != "" {
		n := max(0, len(b.old)+1-oldCookies)
		b.old = append(slices.Clone(b.old[n:]), oldCookie{b.cookie, b.id, ended})
	}
	b.cookie = ""
}

// forget has the browser begin anew, without a cookie.
func (b *belief) forget(ended bool) {
	b.bury(ended)
	b.id = ""
	b.world.endSession()
	b.world.fate = good
}

// A step is something that a browser did: what it knew before, the numbers of
// its requests, and what it knew when all of them had been acknowledged.
type step struct {
	before  belief
	op      op
	numbers []int64
	after   belief
	// acknowledged is how many of the requests were.
	acknowledged int
}

// worlds returns those that are possible when so many of the step's requests
// were acknowledged.
func (s *step) worlds(acknowledged int) []world {
	if s.op.next == nil {
		return []world{s.before.world}
	}
	var all []world
	w := s.before.world
	for n := range len(s.numbers) + 1 {
		if n > 0 {
			s.op.next(&w)
		}
		if n >= acknowledged {
			all = append(all, w)
		}
	}
	return all
}

// A browser makes one request after the other, except where it makes the same
// several times at once. So it knows what it must find, but for what its last
// requests did, if their answers were lost.
type browser struct {
	name    string
	random  *rand.Rand // of what it does next
	run     *run
	belief  belief
	open    *step // whose answers were lost, until the next check
	history []step
	trail   []string // the latest that it did, for messages
}

// A run is what the browsers of a test have in common.
type run struct {
	client  *http.Client
	url     string
	numbers atomic.Int64 // given to requests
	keep    bool         // the browsers' histories
	ending  atomic.Bool  // answers may be lost from here on
	acks    atomic.Int64
	enough  int64         // so many acknowledgements
	strike  func()        // is called then, if it is not nil
	reached chan struct{} // and this is closed
	tallies tallies

	mu  sync.Mutex
	bad []string
}

func (r *run) fail(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.bad = append(r.bad, fmt.Sprintf(format, args...))
}

// problems returns what was found wrong since it was last asked.
func (r *run) problems() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	bad := r.bad
	r.bad = nil
	return bad
}

func (r *run) acknowledged() {
	if r.acks.Add(1) == r.enough {
		if r.strike != nil {
			r.ending.Store(true)
			r.strike()
		}
		close(r.reached)
	}
}

// newBrowsers returns browsers that know nothing yet.
func newBrowsers(r *run, n int) []*browser {
	all := make([]*browser, n)
	for i := range all {
		all[i] = &browser{name: "b" + strconv.Itoa(i), run: r}
	}
	return all
}

// An answer is what came back for a request.
type answer struct {
	status int
	body   []byte
	set    bool // a cookie
	cookie string
}

func (r *run) send(number int64, cookie, path string, form url.Values) (answer, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.url+path+"?"+form.Encode(), nil)
	if err != nil {
		return answer{}, err
	}
	req.Header.Set(crashsite.OpHeader, strconv.FormatInt(number, 10))
	if cookie != "" {
		req.Header.Set("Cookie", "stay="+cookie)
	}
	res, err := r.client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return answer{}, err
	}
	a := answer{status: res.StatusCode, body: body}
	for _, c := range res.Cookies() {
		if c.Name == "stay" {
			a.set, a.cookie = true, c.Value
		}
	}
	return a, nil
}

// begin notes that the browser is about to do something.
func (b *browser) begin(o op, requests int) *step {
	s := &step{before: b.belief, op: o, numbers: make([]int64, requests)}
	for i := range s.numbers {
		s.numbers[i] = b.run.numbers.Add(1)
	}
	return s
}

// end notes what became of it.
func (b *browser) end(s *step) {
	s.after = b.belief
	b.note(s)
	if b.run.keep {
		b.history = append(b.history, *s)
	}
}

// note keeps a step for messages.
func (b *browser) note(s *step) {
	n := max(0, len(b.trail)+1-30)
	b.trail = append(b.trail[n:], fmt.Sprintf("%s, %d of %d acknowledged: %s -> %s", s.op.name, s.acknowledged, len(s.numbers), s.before, s.after))
}

// do does something and reports whether it was acknowledged.
func (b *browser) do(o op) bool {
	n := max(1, o.n)
	if b.belief.cookie == "" {
		n = 1 // each would begin a session of its own
	}
	s := b.begin(o, n)
	form := url.Values{"by": {b.name}, "user": {userName(b.name, o.user)}}
	answers := make([]*answer, n)
	var wg sync.WaitGroup
	for i, number := range s.numbers {
		wg.Go(func() {
			a, err := b.run.send(number, b.belief.cookie, o.path, form)
			switch {
			case err == nil && a.status == http.StatusOK:
				answers[i] = &a
				b.run.acknowledged()
			case !b.run.ending.Load():
				b.run.fail("%s: %s: %d %s %v", b.name, o.name, a.status, a.body, err)
			}
		})
	}
	wg.Wait()
	for _, a := range answers {
		if a != nil {
			s.acknowledged++
		}
	}
	b.run.tallies.add(o.name, s.acknowledged, n-s.acknowledged)
	if s.acknowledged < n {
		b.end(s)
		b.open = s
		return false
	}
	b.take(s, answers)
	b.end(s)
	return true
}

// take takes over what the answers of a step say.
func (b *browser) take(s *step, answers []*answer) {
	for range answers {
		s.op.next(&b.belief.world)
	}
	fate := b.belief.world.fate
	b.belief.world.fate = good
	if fate == ended {
		b.belief.forget(true)
		return
	}
	if fate == replaced {
		id := b.belief.id
		b.belief.bury(false)
		b.belief.id = id
	}
	for _, a := range answers {
		if a.set && a.cookie != "" {
			b.belief.cookie, b.belief.id = a.cookie, sessionid.Of(a.cookie)
		}
	}
	if fate == replaced && b.belief.cookie == "" && s.before.cookie != "" {
		b.run.fail("%s: %s sets no cookie", b.name, s.op.name)
	}
}

// use does things until an answer is lost.
func (b *browser) use() {
	for !b.run.ending.Load() && b.do(b.belief.world.choose(b.random.IntN(1<<20), b.random.IntN(1<<20))) {
	}
}

// ask asks for everything, as the browser that holds the cookie and for the
// session with this ID.
func (b *browser) ask(number int64, cookie, id string) (all crashsite.All, a answer, err error) {
	form := url.Values{"by": {b.name}}
	for user := firstUser; user < users; user++ {
		form.Add("user", userName(b.name, user))
	}
	if id != "" {
		form.Set("session", id)
	}
	if a, err = b.run.send(number, cookie, "/all", form); err != nil {
		return all, a, err
	}
	if a.status != http.StatusOK {
		return all, a, fmt.Errorf("POST /all: %d %s", a.status, a.body)
	}
	return all, a, json.Unmarshal(a.body, &all)
}

// check compares what the server says after a restart with what was known,
// and goes on from there. change says what the restart itself did to a world,
// and quick whether it took less than the minute in which a login may be sent
// again.
func (b *browser) check(change func(*world), quick bool) {
	s := b.begin(op{name: "check"}, 1)
	worlds := []world{b.belief.world}
	lost := b.open
	if lost != nil {
		worlds = lost.worlds(lost.acknowledged)
	}
	b.open = nil
	for i := range worlds {
		change(&worlds[i])
	}
	all, a, err := b.ask(s.numbers[0], b.belief.cookie, b.belief.id)
	if err != nil {
		b.run.fail("%s: %v", b.name, err)
		return
	}
	i, bad := b.compare(worlds, &all)
	if bad != "" {
		b.run.fail("%s", bad)
		return
	}
	if lost != nil {
		b.run.tallies.found(lost.op.name, i)
	}
	w := worlds[i]
	if w.fate == good && b.belief.id != "" {
		w.floor, w.draft = all.Draft.N, all.Draft.N // it comes from the store
	}
	b.belief.world = w
	if a.set && a.cookie != "" && all.ID == b.belief.id {
		b.belief.cookie = a.cookie // it slides
	}
	s.acknowledged = 1
	if w.fate == good {
		b.end(s)
		return
	}
	before := b.belief
	b.belief.forget(w.fate == ended)
	b.end(s)
	if lost != nil && quick && w.fate == replaced && lost.op.path == "/login" && before.cookie != "" {
		b.rejoin(before, lost.op)
	}
}

// rejoin sends a login again of which nobody has seen the answer. The browser
// gets the cookie of the first, and with it sees what is left of what it had
// sent to be stored later: the crash may have taken some of that.
func (b *browser) rejoin(before belief, o op) {
	again := op{name: "Session.Login sent again", path: o.path, user: o.user, next: func(w *world) { w.fate = replaced }}
	begun := time.Now()
	abandoned := b.belief
	b.belief = before
	if !b.do(again) {
		b.open = nil
		b.belief = abandoned
		b.run.fail("%s: a login that was sent again is refused, after %v", b.name, time.Since(begun))
		return
	}
	b.check(func(*world) {}, false)
}

// compare returns which of the worlds is the one found, or what is wrong.
func (b *browser) compare(worlds []world, all *crashsite.All) (which int, bad string) {
	if bad := torn(b.name, all); len(bad) > 0 {
		return 0, fmt.Sprintf("%s: torn: %q in %+v", b.name, bad, *all)
	}
	var reasons []string
	for i := range worlds {
		bad := worlds[i].differences(b.name, b.belief.id, all)
		if len(bad) == 0 {
			return i, ""
		}
		reasons = append(reasons, fmt.Sprintf("world %d: %q", i, bad))
	}
	return 0, fmt.Sprintf("%s: found %+v, which is none of %d possible worlds: %s\nbefore: %s", b.name, *all, len(worlds), reasons, strings.Join(b.trail, "\n\t"))
}

// checkOld looks at some of the cookies that are no good any more, the latest
// of them included: nothing of what they led to may be seen or come back.
func (b *browser) checkOld(random *rand.Rand) (checked int) {
	old := b.belief.old
	if len(old) == 0 {
		return 0
	}
	for _, i := range []int{len(old) - 1, random.IntN(len(old))} {
		c := old[i]
		s := b.begin(op{name: "check"}, 1)
		all, _, err := b.ask(s.numbers[0], c.value, c.id)
		switch {
		case err != nil:
			b.run.fail("%s: with an old cookie: %v", b.name, err)
			continue
		case !all.Ended && all.ID == c.id:
			b.run.fail("%s: an old cookie (ended: %t) is good again: %+v", b.name, c.ended, all)
		case c.ended && all.Session.Found:
			b.run.fail("%s: the state of a session that has ended is back: %+v", b.name, all)
		}
		for _, bad := range empty(&all) {
			b.run.fail("%s: %s: %+v", b.name, bad, all)
		}
		checked++
	}
	return checked
}
