package nodes_test

import (
	"math/rand/v2"
	"syscall"
	"time"

	"github.com/stay-go/stay/tests/internal/faultnet"
)

// A fault is something that goes wrong in a cluster, from which it has recovered
// as a whole when do returns.
type fault struct {
	name string
	do   func(c *cluster, n *node, random *rand.Rand)
}

// faults are those that need no standby. Each is done to one node, or to the
// server.
var faults = []fault{
	{"a node is killed", func(_ *cluster, n *node, r *rand.Rand) {
		n.kill()
		pause(between(r, 0, 300))
		n.start()
	}},
	{"a node stops and goes on", func(_ *cluster, n *node, r *rand.Rand) {
		n.p.Signal(syscall.SIGSTOP)
		pause(between(r, 300, 1500))
		n.p.Signal(syscall.SIGCONT)
	}},
	{"the server stops and goes on", func(c *cluster, _ *node, r *rand.Rand) {
		c.servers[0].Pause()
		pause(between(r, 200, 1200))
		c.servers[0].Resume()
	}},
	{"what a node sends is held up", hold(faultnet.ToServer)},
	{"what a node gets is held up", hold(faultnet.ToClient)},
	{"a node is cut off", hold(faultnet.ToServer | faultnet.ToClient)},
	{"a node is far away", func(_ *cluster, n *node, r *rand.Rand) {
		n.network(func(p *faultnet.Proxy) { p.Delay(between(r, 2, 60)) })
		pause(between(r, 300, 1000))
		n.network(func(p *faultnet.Proxy) { p.Delay(0) })
	}},
	{"a node's connections are cut", func(_ *cluster, n *node, r *rand.Rand) {
		for range 1 + r.IntN(4) {
			n.network((*faultnet.Proxy).Cut)
			pause(between(r, 1, 150))
		}
	}},
	{"the server is restarted", func(c *cluster, _ *node, _ *rand.Rand) {
		c.servers[0].Stop()
		check(c.t, c.servers[0].Start())
	}},
	{"the server crashes", func(c *cluster, _ *node, r *rand.Rand) {
		c.servers[0].Kill()
		pause(between(r, 0, 300))
		check(c.t, c.servers[0].Start())
	}},
	{"the nodes are replaced one by one", func(c *cluster, _ *node, _ *rand.Rand) {
		for _, n := range c.nodes {
			n.replace()
		}
	}},
}

// hold is the fault that what is sent in a direction arrives late, and after
// attempts of the store have ended.
func hold(d faultnet.Direction) func(c *cluster, n *node, r *rand.Rand) {
	return func(c *cluster, n *node, r *rand.Rand) {
		n.network(func(p *faultnet.Proxy) { p.Hold(d) })
		pause(between(r, 100, 100+3*int(c.s.attempt.Milliseconds())))
		n.network((*faultnet.Proxy).Release)
	}
}

// between draws a time in milliseconds.
func between(r *rand.Rand, least, most int) time.Duration {
	return time.Duration(least+r.IntN(most-least+1)) * time.Millisecond
}

// suffer has the cluster suffer faults, which are drawn anew each time all have
// been there, until enough time has passed and each was there once.
func (r *run) suffer(faults []fault, random *rand.Rand, enough time.Duration) {
	for first := true; first || r.now() < enough; first = false {
		for _, i := range random.Perm(len(faults)) {
			if !first && r.now() > enough || r.c.t.Failed() {
				return
			}
			r.strike(faults[i], r.c.nodes[random.IntN(len(r.c.nodes))], random)
			pause(between(random, 50, 400))
		}
	}
}

// strike does one fault, and notes it.
func (r *run) strike(f fault, n *node, random *rand.Rand) {
	e := event{What: f.name, From: r.now()}
	f.do(r.c, n, random)
	e.To = r.now()
	note(r.history, &r.Faults, e)
}
