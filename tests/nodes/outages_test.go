package nodes_test

import (
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stay-go/stay/internal/faultnet"
)

// An outage is a fault whose effect on writers is measured.
type outage struct {
	name    string
	hits    int // how many of the nodes
	do      func(c *cluster)
	standby bool
}

// outages are what operators ask about, with the times that the settings of a
// program that sets nothing lead to.
var outages = []outage{
	{"nothing, for comparison", 0, func(*cluster) { pause(3 * time.Second) }, false},
	{"a node is killed, and started again", 1, func(c *cluster) { c.nodes[0].kill(); c.nodes[0].start() }, false},
	{"a node is replaced in good order", 1, func(c *cluster) { c.nodes[0].replace() }, false},
	{"a node stops for 3 s", 1, func(c *cluster) {
		c.nodes[0].p.Signal(syscall.SIGSTOP)
		pause(3 * time.Second)
		c.nodes[0].p.Signal(syscall.SIGCONT)
	}, false},
	{"a node is cut off from PostgreSQL for 5 s, without a sign", 1, func(c *cluster) {
		c.nodes[0].network(func(p *faultnet.Proxy) { p.Hold(faultnet.ToServer | faultnet.ToClient) })
		pause(5 * time.Second)
		c.nodes[0].network((*faultnet.Proxy).Release)
	}, false},
	{"a node's connections to PostgreSQL are reset", 1, func(c *cluster) { c.nodes[0].network((*faultnet.Proxy).Cut) }, false},
	{"PostgreSQL is restarted (fast)", 3, func(c *cluster) {
		c.servers[0].Stop()
		check(c.t, c.servers[0].Start())
	}, false},
	{"PostgreSQL crashes, and is started again", 3, func(c *cluster) {
		c.servers[0].Kill()
		check(c.t, c.servers[0].Start())
	}, false},
	{"PostgreSQL stops for 3 s", 3, func(c *cluster) {
		check(c.t, c.servers[0].Pause())
		pause(3 * time.Second)
		c.servers[0].Resume()
	}, false},
	{"PostgreSQL is gone for 15 s", 3, func(c *cluster) {
		c.servers[0].Stop()
		pause(15 * time.Second)
		check(c.t, c.servers[0].Start())
	}, false},
	{"PostgreSQL fails, and its standby is promoted at once", 3, func(c *cluster) {
		c.servers[0].Kill()
		check(c.t, c.postgres(1).Promote(c.t.Context()))
	}, true},
}

// TestOutages prints for how long writers had no answer when something fails, as
// a table: with STAY_OUTAGES=1, as make outages sets it.
func TestOutages(t *testing.T) {
	if os.Getenv("STAY_OUTAGES") == "" {
		return // it proves nothing, and takes minutes
	}
	var table strings.Builder
	table.WriteString("| what fails | it takes | longest time without a write, at the nodes hit | at the others | refused | unknown |\n|---|---|---|---|---|---|\n")
	for _, o := range outages {
		t.Run(o.name, func(t *testing.T) { table.WriteString(o.measure(t)) })
	}
	t.Log("\n" + table.String())
}

// measure returns the line of an outage in the table.
func (o outage) measure(t *testing.T) string {
	s := settings{nodes: 3, attempt: 2 * time.Second, commit: 10 * time.Second, standby: o.standby}
	c := newCluster(t, s)
	defer c.end()
	r := newRun(c, newHistory("TestOutages", 1))
	gauges := make([]*gauge, s.nodes)
	var wg sync.WaitGroup
	for i := range gauges {
		gauges[i] = &gauge{}
		for range 4 {
			wg.Go(func() { r.writeAt(i, gauges[i]) })
		}
	}
	const settle = 2 * time.Second
	pause(settle)
	for _, g := range gauges {
		g.begin()
	}
	began := time.Now()
	o.do(c)
	took := time.Since(began)
	recovered := time.Now()
	for _, g := range gauges {
		for late := recovered.Add(patience); !g.wroteAfter(recovered) && time.Now().Before(late); {
			pause(10 * time.Millisecond)
		}
	}
	pause(settle)
	r.stop.Store(true)
	wg.Wait()
	hit, others := gauge{}, gauge{}
	for i, g := range gauges {
		if i < o.hits {
			hit.include(g)
		} else {
			others.include(g)
		}
	}
	return fmt.Sprintf("| %s | %s | %s | %s | %d | %d |\n", o.name, short(took),
		ifAny(o.hits > 0, hit.longest), ifAny(o.hits < s.nodes, others.longest), hit.failed+others.failed, hit.unknown+others.unknown)
}

func short(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }

func ifAny(any bool, d time.Duration) string {
	if !any {
		return ""
	}
	return short(d)
}

// A gauge measures the time between acknowledged writes at one node.
type gauge struct {
	mu              sync.Mutex
	last            time.Time
	longest         time.Duration
	failed, unknown int
}

func (g *gauge) begin() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.longest, g.failed, g.unknown = 0, 0, 0
}

func (g *gauge) note(q reply) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch q.outcome {
	case failed:
		g.failed++
	case unknown:
		g.unknown++
	default:
		now := time.Now()
		if !g.last.IsZero() {
			g.longest = max(g.longest, now.Sub(g.last))
		}
		g.last = now
	}
}

func (g *gauge) wroteAfter(at time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.last.After(at)
}

func (g *gauge) include(other *gauge) {
	g.longest = max(g.longest, other.longest)
	g.failed += other.failed
	g.unknown += other.unknown
}

// writeAt has a visitor write at one node.
func (r *run) writeAt(node int, g *gauge) {
	cookie := ""
	for !r.stop.Load() {
		q := r.request(node, "POST", "/own/add", cookie, url.Values{"op": {"x"}})
		if q.cookie != nil {
			cookie = q.cookie.Value
		}
		g.note(q)
		if q.outcome != ok {
			pause(20 * time.Millisecond)
		}
	}
}
