package faults_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/tests/internal/sessionid"
)

// A stale cookie is one that was good before something that was acknowledged.
type stale struct {
	value    string
	id       string // of its session
	why      string
	from, to time.Time // between these it became so
	phase    int       // and in this one
}

// A pool is the cookies that somebody has stolen and tries again.
type pool struct {
	mu  sync.Mutex
	all []stale
}

func (p *pool) add(s stale) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s.value != "" && s.id != "" {
		p.all = append(p.all, s)
	}
}

func (p *pool) draw(random *rand.Rand) (s stale, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.all) == 0 {
		return stale{}, false
	}
	if random.IntN(2) == 0 {
		return p.all[len(p.all)-1], true // the latest
	}
	return p.all[random.IntN(len(p.all))], true
}

// now is the Apps' clock. It is set only when nothing is under way.
func (s *street) now() time.Time { return s.clock.now() }

// quiet reports whether an answer at this time must not set a cookie for
// certain. The rest of the minute is for slow machines; the minute begins anew
// when the session is renewed once more, which between phases may be at any time.
func (c stale) quiet(phase int, now time.Time) bool {
	return phase == c.phase && now.Sub(c.from).Abs() < 40*time.Second && now.Sub(c.to).Abs() < 40*time.Second
}

// A thief replays cookies that are not good any more, and makes some up.
type thief struct {
	*street
	worker
	pool *pool
}

func (th *thief) steal() {
	c, ok := th.pool.draw(th.random)
	if !ok {
		return
	}
	if th.random.IntN(5) == 0 {
		th.forge(c)
		return
	}
	th.try(c)
}

// try uses a cookie in one of the ways there are.
func (th *thief) try(c stale) {
	t, node := th.street.t, th.random.IntN(len(th.servers))
	ways := [][2]string{
		{"GET", "/mine"},
		{"POST", "/mine"},
		{"GET", "/ours"},
		{"POST", "/ours"},
		{"GET", "/who"},
		{"POST", "/renew"},
		{"POST", "/logout"},
		{"POST", "/destroy"},
		{"GET", "/byid"},
		{"POST", "/byid"},
	}
	way := ways[th.random.IntN(len(ways))]
	word, began, before := th.word(), th.street.tick(), th.now()
	a := th.replay(node, way[0], way[1], c.value, word)
	what := fmt.Sprintf("%s %s with a cookie %s", way[0], way[1], c.why)
	if a.lost {
		return
	}
	cleared := way[1] == "/destroy" && a.cookie == "" // what a program does after Revoke
	if a.set && !cleared && c.quiet(th.phases, before) && c.quiet(th.phases, th.now()) {
		t.Errorf("%s: a cookie is set in the quiet minute: %q", what, a.cookie)
	}
	if a.user != "" {
		t.Errorf("%s: it is that of user %q", what, a.user)
	}
	if a.code != "" {
		if a.code != stay.ErrEnded && a.code != stay.ErrNotFound && !th.may[a.code] {
			t.Errorf("%s: %v", what, a.code)
		}
		return
	}
	if a.session == c.id {
		t.Errorf("%s: the session is the one that it was", what)
	}
	seen := a.items
	if way[0] == http.MethodPost && len(seen) > 0 {
		seen = seen[:len(seen)-1]
		if way[1] == "/mine" {
			th.street.note("mine/"+sessionid.Of(a.cookie), word, "", began) // a session of its own
		}
	}
	if len(seen) > 0 {
		t.Errorf("%s: it sees %q", what, seen)
	}
}

// forge tries a cookie that nobody has issued.
func (th *thief) forge(c stale) {
	b := []byte(c.value)
	switch i := th.random.IntN(len(b)); th.random.IntN(3) {
	case 0:
		b = b[:i]
	case 1:
		if b[i]++; b[i] == c.value[i] || b[i] > 'z' || b[i] == ';' {
			b[i] = 'A'
		}
		if string(b) == c.value {
			return
		}
	default:
		b = append(b, 'A')
	}
	a := th.replay(0, http.MethodGet, "/mine", string(b), "")
	switch {
	case a.code != "" && !th.may[a.code]:
		th.street.t.Errorf("a forged cookie: %v", a.code)
	case a.code == "" && (a.session == c.id || a.user != "" || len(a.items) > 0):
		th.street.t.Errorf("a forged cookie is that of session %s and sees %q", a.session, a.items)
	}
}
