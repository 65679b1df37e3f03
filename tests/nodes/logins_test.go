package nodes_test

import (
	"fmt"
	"math/rand/v2"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/pgserver"
	"github.com/stay-go/stay/internal/testseed"
)

// A login changes the records of a session and of a user, and moves what the guest
// has to the user: that are two homes. Processes that are killed while logins are
// under way leave none of them half done, on stores that keep homes apart: whoever
// looks sees all of a login or nothing, and the same login once more completes it.
//
// Proves A17, C2, E5, K2, N1.
func TestSoakLoginsAcrossHomes(t *testing.T) {
	t.Parallel()
	cut := 25
	if soak() {
		cut = 2400
	}
	for name, s := range homesApart {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLogins(t, s(t), testseed.New(t))
			l.until(cut)
			l.compare()
			t.Log(l)
			if len(l.Wrong) > 0 {
				t.Error(complaint(l.Wrong))
			}
		})
	}
}

// homesApart are stores that keep homes apart.
var homesApart = map[string]func(t *testing.T) settings{
	"an object per home": func(*testing.T) settings { return settings{objects: &objectPerHome} },
	"eight objects":      func(*testing.T) settings { return settings{objects: &eightObjects} },
	"three files of SQLite": func(t *testing.T) settings {
		var s settings
		for i := range 3 {
			s.urls = append(s.urls, filepath.Join(t.TempDir(), fmt.Sprint(i, ".db")))
		}
		return s
	},
	"two databases of PostgreSQL": func(t *testing.T) settings {
		var s settings
		server, err := pgserver.New(folder(t))
		check(t, err)
		t.Cleanup(server.Kill)
		for _, name := range []string{"one", "two"} {
			url, err := server.NewDatabase(name)
			check(t, err)
			s.urls = append(s.urls, url)
		}
		return s
	},
}

// A test of logins notices a store that makes of a login a group for each home.
func TestLoginsCutInHalfAreNoticed(t *testing.T) {
	s := settings{objects: &objectPerHome, args: []string{"-broken", "halves"}}
	l := newLogins(t, s, testseed.New(t))
	for cut := 50; len(l.Wrong) == 0; cut += 50 {
		if cut > 1000 {
			t.Fatalf("nothing was noticed: %s", l)
		}
		l.until(cut)
	}
	t.Logf("%s\n%s", l, complaint(l.Wrong))
}

// Logins are those of guests at nodes that are killed meanwhile, but for the first
// node, at which they prepare and look.
type logins struct {
	*run // whose mutex guards all of these

	rounds int
	users  map[string][]*newcomer
	// How many logins were acknowledged, and how many were under way when their
	// process was killed; of these, how many were done then.
	acked, cut, done int
	refused          int // the process was not there any more
	kills            int
	moving           int // looks at a login that was just decided
}

func newLogins(t *testing.T, s settings, seed uint64) *logins {
	t.Helper()
	s.nodes, s.attempt, s.commit = 3, 2*time.Second, patience/4
	return &logins{run: newRun(newCluster(t, s), newHistory(t.Name(), seed)), users: map[string][]*newcomer{}}
}

// String says what happened.
func (l *logins) String() string {
	return fmt.Sprintf("%d kills; %d logins under way when their process was killed, %d of which were done; %d acknowledged before; %d not begun; %d looks while a login was decided",
		l.kills, l.cut, l.done, l.acked, l.refused, l.moving)
}

// until has guests log in until so many logins were cut, at two nodes at once.
func (l *logins) until(cut int) {
	var lanes sync.WaitGroup
	for node := 1; node < len(l.c.nodes); node++ {
		lanes.Go(func() {
			random := rand.New(rand.NewPCG(l.Seed, uint64(node)))
			usual := 50 * time.Millisecond
			for round := 0; l.goesOn(cut); round++ {
				l.round(node, round%6 == 0, &usual, random)
			}
		})
	}
	lanes.Wait()
}

func (l *logins) goesOn(cut int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cut < cut && len(l.Wrong) == 0 && !l.c.t.Failed()
}

// A newcomer is a guest who logs in.
type newcomer struct {
	name, user      string
	cookie, session string
	ops             []string // what the guest has counted
	login           reply
}

// round has some guests log in at a node, two of them as the same user, and kills
// the node at any moment of the usual time. Every few rounds it measures that time.
func (l *logins) round(node int, measure bool, usual *time.Duration, random *rand.Rand) {
	l.mu.Lock()
	l.rounds++
	number := l.rounds
	l.mu.Unlock()
	const guests = 6
	var all []*newcomer
	var wg sync.WaitGroup
	for i := range guests {
		n := &newcomer{name: fmt.Sprint("g", number, ".", i), user: fmt.Sprint("u", number, ".", i/2)}
		all = append(all, n)
		wg.Go(func() { l.prepare(n, 1+i%3) })
	}
	wg.Wait()
	began := time.Now()
	for _, n := range all {
		wg.Go(func() { n.login = l.request(node, "POST", "/login", n.cookie, url.Values{"user": {n.user}}) })
	}
	if measure {
		wg.Wait()
		*usual = time.Since(began)
	} else {
		pause(time.Duration(random.Int64N(int64(*usual))))
		l.c.nodes[node].kill()
		wg.Wait()
	}
	var again sync.WaitGroup
	if !measure {
		again.Go(l.c.nodes[node].start)
	}
	for _, n := range all {
		wg.Go(func() { l.judge(n) })
	}
	wg.Wait()
	again.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	if !measure {
		l.kills++
	}
	for _, n := range all {
		l.users[n.user] = append(l.users[n.user], n)
	}
}

// prepare has a guest count.
func (l *logins) prepare(n *newcomer, times int) {
	for i := range times + 1 {
		path, op := "/user/add", fmt.Sprint(n.name, ".", i)
		if i == 0 {
			path = "/own/add"
		} else {
			n.ops = append(n.ops, op)
		}
		q := l.insist(n, "POST", path, url.Values{"op": {op}})
		if q.cookie != nil {
			n.cookie = q.cookie.Value
		}
		n.session = q.answer.Session
	}
}

// insist makes a request at the node that is not killed, again as long as the
// answer is that it was not made and may be later.
func (l *logins) insist(n *newcomer, method, path string, form url.Values) reply {
	for began := time.Now(); ; pause(5 * time.Millisecond) {
		q := l.request(0, method, path, n.cookie, form)
		switch {
		case q.outcome == ok, q.code == stay.ErrEnded:
			return q
		case q.outcome == unknown && strings.HasSuffix(path, "/add"), time.Since(began) > patience:
			l.wrong("%s of %s: %s %s", path, n.name, q.code, q.text)
			return q
		}
	}
}

// A sight is what tells that a guest has logged in.
type sight struct {
	guest  bool // the guest's cookie still shows what the guest has
	moved  bool // the user has it
	listed bool // among the user's sessions is the guest's
}

// judge looks at a login, completes it, and looks at it again.
func (l *logins) judge(n *newcomer) {
	seen := l.look(n)
	done := seen == sight{moved: true, listed: true}
	if !done && seen != (sight{guest: true}) {
		l.wrong("%s has logged in as %s by half: %+v", n.name, n.user, seen)
	}
	l.mu.Lock()
	switch n.login.outcome {
	case ok:
		l.acked++
	case failed:
		l.refused++
	default:
		l.cut++
		if done {
			l.done++
		}
	}
	l.mu.Unlock()
	if n.login.outcome == ok && !done {
		l.wrong("the login of %s as %s was acknowledged, and is gone", n.name, n.user)
	}
	q := n.login
	if q.outcome != ok {
		q = l.insist(n, "POST", "/login", url.Values{"user": {n.user}})
	}
	if q.cookie == nil || q.answer.Session != n.session {
		l.wrong("the login of %s as %s once more: session %q was %q, %s %s", n.name, n.user, q.answer.Session, n.session, q.code, q.text)
		return
	}
	if seen := l.look(n); seen != (sight{moved: true, listed: true}) {
		l.wrong("%s has logged in as %s, and then: %+v", n.name, n.user, seen)
	}
	n.cookie = q.cookie.Value
	if q := l.insist(n, "GET", "/own", nil); q.answer.User != n.user || q.answer.Session != n.session || q.answer.Seq != 1 {
		l.wrong("%s has logged in as %s, and has %+v", n.name, n.user, q.answer)
	}
}

// look looks at a login. If it is decided meanwhile, it looks again.
func (l *logins) look(n *newcomer) sight {
	for {
		first := l.isGuest(n)
		s := sight{moved: l.hasMoved(n), listed: l.isListed(n)}
		if s.guest = l.isGuest(n); s.guest == first {
			return s
		}
		l.mu.Lock()
		l.moving++
		l.mu.Unlock()
	}
}

func (l *logins) isGuest(n *newcomer) bool {
	q := l.insist(n, "GET", "/user", nil)
	if q.outcome != ok || q.answer.Session != n.session {
		return false
	}
	if q.answer.User != "" || !slices.Equal(q.answer.Last, n.ops) {
		l.wrong("%s has counted %q, and sees with the guest's cookie %+v", n.name, n.ops, q.answer)
	}
	return true
}

func (l *logins) hasMoved(n *newcomer) bool {
	q := l.insist(&newcomer{name: n.name}, "GET", "/at/user/"+n.user, nil)
	var mine []string
	for _, op := range q.answer.Last {
		if strings.HasPrefix(op, n.name+".") {
			mine = append(mine, op)
		}
	}
	if len(mine) > 0 && !slices.Equal(mine, n.ops) {
		l.wrong("%s has counted %q, of which %s has %q", n.name, n.ops, n.user, mine)
	}
	return len(mine) > 0
}

func (l *logins) isListed(n *newcomer) bool {
	q := l.insist(&newcomer{name: n.name}, "GET", "/at/sessions/"+n.user, nil)
	return slices.Contains(q.answer.Last, n.session)
}

// compare compares what a new process shows of all users with what they did.
func (l *logins) compare() {
	l.c.nodes[0].kill()
	l.c.nodes[0].start()
	for user, all := range l.users {
		var ops, sessions []string
		for _, n := range all {
			ops, sessions = append(ops, n.ops...), append(sessions, n.session)
		}
		q := l.insist(all[0], "GET", "/user", nil)
		if got := slices.Sorted(slices.Values(q.answer.Last)); q.answer.User != user || q.answer.Seq != len(ops) || !slices.Equal(got, slices.Sorted(slices.Values(ops))) {
			l.wrong("%s has %+v, want %q", user, q.answer, ops)
		}
		q = l.insist(all[0], "GET", "/at/sessions/"+user, nil)
		if got := slices.Sorted(slices.Values(q.answer.Last)); !slices.Equal(got, slices.Sorted(slices.Values(sessions))) {
			l.wrong("%s has the sessions %q, want %q", user, got, sessions)
		}
	}
}
