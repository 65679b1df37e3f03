package nodes_test

import (
	"math/rand/v2"
	"slices"
	"syscall"
	"time"

	"github.com/stay-go/stay/internal/faultnet"
)

// A fault is something that goes wrong in a cluster, from which it has recovered
// as a whole when do returns.
type fault struct {
	name string
	do   func(r *run, n *node, random *rand.Rand)
}

// nodeFaults are those of nodes.
var nodeFaults = []fault{
	{"a node is killed", func(_ *run, n *node, random *rand.Rand) {
		n.kill()
		pause(between(random, 0, 300))
		n.start()
	}},
	{"a node stops and goes on", func(_ *run, n *node, random *rand.Rand) {
		n.p.Signal(syscall.SIGSTOP)
		pause(between(random, 300, 1500))
		n.p.Signal(syscall.SIGCONT)
	}},
	{"the nodes are replaced one by one", func(r *run, _ *node, _ *rand.Rand) {
		for _, n := range r.c.nodes {
			n.replace()
		}
	}},
}

// machineFaults are those of nodes and of the server.
var machineFaults = append(slices.Clone(nodeFaults), []fault{
	{"the server stops and goes on", func(r *run, _ *node, random *rand.Rand) {
		check(r.c.t, r.c.servers[0].Pause())
		pause(between(random, 200, 1200))
		r.c.servers[0].Resume()
	}},
	{"the server is restarted", func(r *run, _ *node, _ *rand.Rand) {
		r.c.servers[0].Stop()
		check(r.c.t, r.c.servers[0].Start())
	}},
	{"the server crashes", func(r *run, _ *node, random *rand.Rand) {
		r.c.servers[0].Kill()
		pause(between(random, 0, 300))
		check(r.c.t, r.c.servers[0].Start())
	}},
}...)

// visitorFaults are those of the people who use the site.
var visitorFaults = []fault{
	{"visitors do not wait for answers", func(r *run, _ *node, random *rand.Rand) {
		r.impatient.Store(true)
		pause(between(random, 200, 600))
		r.impatient.Store(false)
	}},
}

// networkFaults are those between nodes, the server and visitors. They come while
// machines fail, too.
var networkFaults = append(slices.Clone(visitorFaults), []fault{
	{"what a node sends is held up", hold(faultnet.ToServer)},
	{"what a node gets is held up", hold(faultnet.ToClient)},
	{"a node is cut off", hold(faultnet.ToServer | faultnet.ToClient)},
	{"a node is far away", func(_ *run, n *node, random *rand.Rand) {
		n.network(func(p *faultnet.Proxy) { p.Delay(between(random, 2, 60)) })
		pause(between(random, 300, 1000))
		n.network(func(p *faultnet.Proxy) { p.Delay(0) })
	}},
	{"a node's connections are cut", func(_ *run, n *node, random *rand.Rand) {
		for range 1 + random.IntN(4) {
			n.network((*faultnet.Proxy).Cut)
			pause(between(random, 1, 150))
		}
	}},
	{"answers to a node are lost", func(_ *run, n *node, random *rand.Rand) {
		for range 4 {
			n.network(func(p *faultnet.Proxy) { p.Hold(faultnet.ToClient) })
			pause(between(random, 10, 80))
			n.network((*faultnet.Proxy).Cut)
			n.network((*faultnet.Proxy).Release)
			pause(between(random, 20, 150))
		}
	}},
}...)

// hold is the fault that what is sent in a direction arrives late, and after
// attempts of the store have ended.
func hold(d faultnet.Direction) func(r *run, n *node, random *rand.Rand) {
	return func(r *run, n *node, random *rand.Rand) {
		n.network(func(p *faultnet.Proxy) { p.Hold(d) })
		if random.IntN(4) == 0 { // callers are told that nobody knows
			pause(r.c.s.commit + between(random, 100, 500))
		} else {
			pause(between(random, 100, 100+3*int(r.c.s.attempt.Milliseconds())))
		}
		n.network((*faultnet.Proxy).Release)
	}
}

// between draws a time in milliseconds.
func between(random *rand.Rand, least, most int) time.Duration {
	return time.Duration(least+random.IntN(most-least+1)) * time.Millisecond
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
	f.do(r, n, random)
	e.To = r.now()
	note(r.history, &r.Faults, e)
}
