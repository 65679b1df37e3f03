package nodes_test

import (
	"fmt"
	"math/rand/v2"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/testseed"
)

// Actions that are sent until they are answered, to any node, several times at
// once and again after their answer, take effect once, whatever happens to the
// nodes, to the server and to the network: each register is linearizable as one
// that makes an action when its id comes first, and all answers say which of them
// made it.
//
// Proves L27, L28, L29, L30, L32.
func TestSoakActionsSentToAnyNodeTakeEffectOnce(t *testing.T) {
	t.Parallel()
	length := 5 * time.Second
	if soak() {
		length = 5 * time.Minute
	}
	t.Run("PostgreSQL", func(t *testing.T) { resend(t, brisk, machineFaults, networkFaults, length) })
	t.Run("SQLite", func(t *testing.T) {
		s := brisk
		s.sqlite = true
		resend(t, s, nodeFaults, visitorFaults, length)
	})
}

// resend has teams use a cluster that suffers from both kinds of faults.
func resend(t *testing.T, s settings, machines, network []fault, length time.Duration) {
	h := newHistory("once", testseed.New(t))
	c := newCluster(t, s)
	r := newRun(c, h)
	r.resendDuring(func() {
		var both sync.WaitGroup
		both.Go(func() { r.suffer(network, rand.New(rand.NewPCG(h.Seed, 1<<32)), length) })
		r.suffer(machines, rand.New(rand.NewPCG(h.Seed, 0)), length)
		both.Wait()
	})
	r.judge()
}

// resendDuring has teams send actions while something happens.
func (r *run) resendDuring(happen func()) {
	var teams sync.WaitGroup
	for i := range 6 {
		t := &team{r: r, number: i, of: teamsOf[i%len(teamsOf)]}
		teams.Go(t.use)
	}
	happen()
	r.stop.Store(true)
	teams.Wait()
}

// What teams change: states of a key that belong to no session, states of a
// session, and those of guests who log in as somebody new.
var teamsOf = []string{"room", "own", "user"}

// A team is clients who send actions to one register after the other, all at once.
type team struct {
	r      *run
	of     string
	number int
	turn   int // how many registers there were

	mu       sync.Mutex
	register string
	path     string
	cookie   string
	session  string
	sent     int    // actions
	last     string // the latest of them
}

// So many actions go to one register, of which each state remembers all.
const actionsOfRegister = 150

func (t *team) use() {
	const members = 4
	for !t.r.stop.Load() {
		if !t.begin() {
			continue
		}
		var all sync.WaitGroup
		for range members {
			c := t.r.newClient()
			all.Go(func() {
				for t.act(c) {
					continue
				}
			})
		}
		all.Wait()
		t.look()
	}
}

// begin begins a register. The first answer gives the cookie, so nothing is known
// of a session whose first answer is lost.
func (t *team) begin() bool {
	t.turn++
	t.sent, t.cookie, t.session = 0, "", ""
	t.register = fmt.Sprintf("once/%s/%d.%d", t.of, t.number, t.turn)
	if t.of == "room" {
		t.path = fmt.Sprintf("/at/user/room-%d.%d", t.number, t.turn)
		return true
	}
	t.path = "/" + t.of
	c := t.r.newClient()
	id, _ := t.action(c)
	s, q := t.send(c, id)
	if s.Outcome != ok || q.cookie == nil {
		c.rest()
		return false
	}
	t.cookie, t.session = q.cookie.Value, q.answer.Session
	note(t.r.history, &t.r.Sendings, s)
	return true
}

// action returns the id of another action and its number, "" if there were enough.
func (t *team) action(c *client) (id string, number int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.sent == actionsOfRegister || t.sent > 0 && t.r.stop.Load() {
		return "", 0
	}
	t.sent++
	c.last++
	t.last = fmt.Sprintf("%d.%d", c.number, c.last)
	return t.last, t.sent
}

// act makes an action, and reports whether there was one left. Somebody logs in
// while the others go on.
func (t *team) act(c *client) bool {
	id, number := t.action(c)
	if id == "" {
		return false
	}
	if t.of == "user" && number == actionsOfRegister/3 {
		t.logIn(c)
	}
	var all sync.WaitGroup
	for range 1 + c.random.IntN(3)/2 { // from one place, or from two at once
		other := t.r.newClient()
		all.Go(func() { t.deliver(other, id) })
	}
	all.Wait()
	if c.random.IntN(2) == 0 {
		t.deliver(c, id)
	}
	return true
}

// deliver sends an action until it is answered.
func (t *team) deliver(c *client, id string) {
	for late := time.Now().Add(patience); ; c.rest() {
		s, q := t.send(c, id)
		switch there := q.answer.Session; {
		case there != "" && t.session != "" && there != t.session:
			t.r.wrong("%v\n\tis answered for another session", s)
		case q.code == stay.ErrEnded && t.of != "user":
			t.r.wrong("%v\n\tnobody has ended the session", s)
		}
		note(t.r.history, &t.r.Sendings, s)
		if s.Outcome == ok {
			return
		}
		if time.Now().After(late) {
			t.r.wrong("%v\n\tis not answered any more", s)
			return
		}
	}
}

// send sends an action to some node.
func (t *team) send(c *client, id string) (*sending, reply) {
	t.mu.Lock()
	cookie := t.cookie
	t.mu.Unlock()
	if !c.stays {
		c.node = c.random.IntN(len(t.r.c.nodes))
	}
	q := t.r.named(id, c.node, "POST", t.path+"/add", cookie, url.Values{"op": {id}})
	s := &sending{
		Action: id, Register: t.register, Client: c.number, Node: q.node,
		Call: q.call, Return: q.ret, Outcome: q.outcome, Error: q.text,
	}
	switch s.Outcome {
	case ok:
		s.Replayed, s.Shown = q.replayed, &shown{value{q.answer.Count, q.answer.Seq}, q.answer.Last}
	case unknown:
		s.Return = never
	}
	return s, q
}

// logIn makes the guest a user whom nobody was before, while others send what the
// guest does. It is sent with the same cookie until it is answered, as a browser
// does.
func (t *team) logIn(c *client) {
	form := url.Values{"user": {"user-of-" + t.register}}
	for late := time.Now().Add(patience); ; c.rest() {
		q := c.request("POST", "/login", t.cookie, form) // nobody else changes it
		switch {
		case q.outcome == ok && q.answer.Session == t.session && q.cookie != nil:
			t.mu.Lock()
			t.cookie = q.cookie.Value
			t.mu.Unlock()
			return
		case q.outcome == ok || q.code == stay.ErrEnded || time.Now().After(late):
			t.r.wrong("%s: a login at node %d comes to %+v", t.register, q.node, q)
			return
		}
	}
}

// look sends what was answered to every node, when all else is done.
func (t *team) look() {
	c := t.r.newClient()
	c.stays = true
	for c.node = range t.r.c.nodes {
		t.deliver(c, t.last)
	}
}
