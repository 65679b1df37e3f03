package nodes_test

import (
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stay-go/stay/internal/testseed"
)

// Several nodes on one PostgreSQL server are one application, whatever happens
// to them, to the server and to the network between: each register's history is
// linearizable, nothing that was acknowledged is lost or doubled, no session sees
// what is another's, and none outlives its end.
//
// Proves A5, B11, C1, C2, C6, E1, E5, K2, K3, K4, S4, S5, S7, N1.
func TestSoakNodes(t *testing.T) {
	t.Parallel()
	soakNodes(t, brisk)
}

// The same holds on one Redis server that syncs always.
//
// Proves A5, C1, C2, C6, E1, E5, N1.
func TestSoakNodesOnRedis(t *testing.T) {
	t.Parallel()
	s := brisk
	s.redis = true
	soakNodes(t, s)
}

// The same holds on three NATS servers, one of which fails again and again.
//
// Proves A5, C1, C2, C6, E1, E5, N1.
func TestSoakNodesOnNATS(t *testing.T) {
	t.Parallel()
	s := brisk
	s.nats = true
	soakNodes(t, s)
}

// soakNodes makes everything fail at once.
func soakNodes(t *testing.T, s settings) *run {
	length := 8 * time.Second
	if soak() {
		length = 10 * time.Minute
	}
	h := newHistory(t.Name(), testseed.New(t))
	c := newCluster(t, s)
	r := newRun(c, h)
	r.use(func(random *rand.Rand) {
		var network sync.WaitGroup
		network.Go(func() { r.suffer(networkFaults, rand.New(rand.NewPCG(h.Seed, 1<<32)), length) })
		r.suffer(s.machineFaults(), random, length)
		network.Wait()
	})
	r.judge()
	return r
}

// use has clients use the cluster while something happens to it, and has them
// look at everything afterwards.
func (r *run) use(happen func(random *rand.Rand)) {
	const people, crowds, tabs = 10, 2, 4
	var wg sync.WaitGroup
	var looks []func()
	for range people {
		p := r.newPerson()
		looks = append(looks, p.look)
		wg.Go(func() {
			for !r.stop.Load() {
				p.step()
			}
		})
	}
	for range crowds {
		cr := r.newCrowd(tabs)
		looks = append(looks, cr.look)
		wg.Go(cr.use)
	}
	happen(rand.New(rand.NewPCG(r.Seed, 0)))
	r.stop.Store(true)
	wg.Wait()
	for _, look := range looks {
		wg.Go(look)
	}
	wg.Wait()
	watcher := r.newPerson()
	for range 1000 { // the first to ask finds out whether all is well
		if watcher.session != "" {
			break
		}
		watcher.step()
	}
	watcher.lookAt("all", "/all")
	watcher.lookAt(brief, "/brief")
	for _, user := range users {
		watcher.lookAt("user/"+user, "/at/user/"+user)
	}
	for _, key := range keys {
		watcher.lookAt("key/"+key, "/at/keyed/"+key)
	}
}

// look reads what is the person's.
func (p *person) look() {
	if p.session == "" {
		return
	}
	p.lookAt(p.ownRegister(), "/own")
	p.lookAt(p.userRegister(), "/user")
	p.lookAt(p.keyRegister(), "/keyed")
}

// lookAt reads a register at each node, when all is well again. A session that
// ends meanwhile sees no more of it.
func (p *person) lookAt(register, path string) {
	p.stays = true
	defer func() { p.stays = false }()
	life := p.life
	for node := range p.r.c.nodes {
		p.node = node
		for late := time.After(patience); p.life == life; {
			o := p.next(read, register)
			p.operate(o, path, nil)
			if o.Outcome == ok {
				break
			}
			select {
			case <-late:
				p.r.wrong("node %d does not answer any more: %s", node, o.Error)
				return
			default:
				p.rest()
			}
		}
	}
}

// A crowd is one browser with several tabs, which make requests at once.
type crowd struct {
	*person
	tabs []*client
}

func (r *run) newCrowd(tabs int) *crowd {
	c := &crowd{person: r.newPerson()}
	for range tabs {
		c.tabs = append(c.tabs, r.newClient())
	}
	return c
}

func (c *crowd) use() {
	for c.session == "" && !c.r.stop.Load() {
		c.fresh()
		c.change(add, c.ownRegister(), "/own", nil)
	}
	var wg sync.WaitGroup
	for _, tab := range c.tabs {
		wg.Go(func() {
			for !c.r.stop.Load() && c.session != "" {
				c.step(tab)
			}
		})
	}
	wg.Wait()
}

// step does one thing in a tab.
func (c *crowd) step(tab *client) {
	register, path := c.ownRegister(), "/own"
	if tab.random.IntN(3) == 0 {
		register, path = "all", "/all"
	}
	o, method := tab.next(read, register), "GET"
	switch n := tab.random.IntN(40); {
	case n == 0:
		o.Kind = reset
	case n < 26:
		o.Kind = add
	}
	if o.Kind != read {
		method, path = "POST", path+"/"+string(o.Kind)
	}
	q := tab.request(method, path, c.cookie, url.Values{"op": {o.ID}})
	if q.outcome == ok && q.answer.Session != c.session && q.answer.Session != "" {
		c.r.wrong("%v: the answer is for another session", o)
	}
	c.r.record(o, q)
	if q.outcome != ok {
		tab.rest()
	}
}

// judge fails the test if something is wrong with its history.
func (r *run) judge() {
	t := r.c.t
	t.Helper()
	t.Log(r.summary())
	for _, e := range r.Faults {
		t.Logf("%s from %s to %s", e.What, at(e.From), at(e.To))
	}
	if bad := r.problems(); len(bad) > 0 {
		t.Error(complaint(bad))
	}
	for i := range r.acks {
		if r.acks[i].Load() == 0 {
			t.Errorf("node %d has answered nothing", i)
		}
	}
	if !t.Failed() {
		return
	}
	file, err := r.write()
	if err != nil {
		t.Error(err)
		return
	}
	t.Logf("the history is in %s: check it again with STAY_HISTORY=%s go test -run '^TestHistory$' ./nodes, run the same faults with STAY_SEED=%d", file, file, r.Seed)
	for i, n := range r.c.nodes {
		t.Logf("the log of node %d ends with\n%s", i, n.log)
	}
}

// complaint is the first of what is wrong.
func complaint(bad []string) string {
	const most = 10
	text := fmt.Sprintf("%d things are wrong:\n%s", len(bad), strings.Join(bad[:min(len(bad), most)], "\n"))
	return text
}

// TestHistory checks the history that STAY_HISTORY names once more.
func TestHistory(t *testing.T) {
	file := os.Getenv("STAY_HISTORY")
	if file == "" {
		return // nothing is skipped: the history of a failed test is checked on demand
	}
	h, err := readHistory(file)
	if err != nil {
		t.Fatal(err)
	}
	t.Log(h.summary())
	if bad := h.problems(); len(bad) > 0 {
		t.Error(complaint(bad))
	}
}
