package nodes_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stay-go/stay/internal/faultnet"
	"github.com/stay-go/stay/internal/natsserver"
	"github.com/stay-go/stay/internal/pgserver"
	"github.com/stay-go/stay/internal/process"
	"github.com/stay-go/stay/internal/redisserver"
)

// Settings are those of the nodes of a cluster.
type settings struct {
	nodes   int
	redis   bool          // the server is Redis, and not PostgreSQL
	nats    bool          // three servers of NATS are the server
	objects *layout       // of Durable Objects, if the server is workerd
	attempt time.Duration // of the store
	commit  time.Duration // CommitTimeout and MaxWait
	args    []string      // more arguments of the node's program
	standby bool          // there is a standby, which has everything that is acknowledged
	sqlite  bool          // the nodes share an SQLite file, and there is no server
	urls    []string      // of several databases, which the nodes reach without the cluster's help
}

// brisk are settings with which doubts end soon, so that a short test has many.
var brisk = settings{nodes: 3, attempt: 400 * time.Millisecond, commit: 2 * time.Second}

// machineFaults are those of the nodes and of their server.
func (s settings) machineFaults() []fault {
	if s.objects != nil {
		return objectFaults
	}
	return machineFaults
}

// A server is what keeps the records of all nodes.
type server interface {
	Address() string
	Start() error
	Stop()
	Kill()
	Pause() error
	Resume()
}

// A cluster is several nodes on one server.
type cluster struct {
	t       *testing.T
	s       settings
	servers []server // the primary, and its standby if there is one, or those of NATS
	urls    []string // what nodes open; nil: the servers, each by proxies of its own
	nodes   []*node
}

// postgres returns one of the servers, which is PostgreSQL.
func (c *cluster) postgres(i int) *pgserver.Server { return c.servers[i].(*pgserver.Server) }

// A node is a place where a process of the node's program runs, again and again.
type node struct {
	c       *cluster
	proxies []*faultnet.Proxy // between the node and each server
	address atomic.Pointer[string]
	p       *process.Process
	stdin   *os.File
	log     *logged
}

// newCluster starts what the nodes store in and the nodes, which end with the test.
func newCluster(t *testing.T, s settings) *cluster {
	t.Helper()
	c := &cluster{t: t, s: s, urls: s.urls}
	switch {
	case s.sqlite:
		c.urls = []string{filepath.Join(t.TempDir(), "app.db")}
	case s.urls == nil:
		c.addServer()
	}
	for range s.nodes {
		n := &node{c: c}
		for _, server := range c.servers {
			proxy, err := faultnet.Listen(server.Address())
			check(t, err)
			t.Cleanup(proxy.Close)
			n.proxies = append(n.proxies, proxy)
		}
		c.nodes = append(c.nodes, n)
		t.Cleanup(n.kill)
		n.start()
	}
	return c
}

// addServer starts the primary, and its standby if there is one.
func (c *cluster) addServer() {
	c.t.Helper()
	if c.s.nats {
		all, err := natsserver.NewCluster(folder(c.t), 3)
		check(c.t, err)
		for _, s := range all {
			c.t.Cleanup(s.Kill)
			c.servers = append(c.servers, s)
		}
		return
	}
	first, err := c.s.server(c.t)
	check(c.t, err)
	c.t.Cleanup(first.Kill)
	c.servers = append(c.servers, first)
	if c.s.standby {
		c.addStandby()
	}
}

// server starts the server that the settings ask for.
func (s settings) server(t *testing.T) (server, error) {
	if s.objects != nil {
		return newObjects(t)
	}
	if s.redis {
		return redisserver.New(folder(t))
	}
	var more []string
	if s.standby {
		more = append(more, "wal_level=replica", "max_wal_senders=4")
	}
	return pgserver.New(folder(t), more...)
}

// end ends all processes.
func (c *cluster) end() {
	for _, n := range c.nodes {
		n.kill()
	}
	for _, s := range c.servers {
		s.Kill()
	}
}

// folder is an empty folder that PostgreSQL's user may enter: t.TempDir is below
// others that it may not.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "stay-nodes-pg-")
	check(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// addStandby starts a standby for which every commit waits.
func (c *cluster) addStandby() {
	c.t.Helper()
	first := c.postgres(0)
	second, err := first.Standby(folder(c.t))
	check(c.t, err)
	c.t.Cleanup(second.Kill)
	c.servers = append(c.servers, second)
	check(c.t, first.AwaitStandby(c.t.Context()))
}

// start starts the node's process and waits until it listens. A process that does
// not reach the server ends, and is started again.
func (n *node) start() {
	n.c.t.Helper()
	for late := time.Now().Add(patience); !n.listens(); {
		if time.Now().After(late) {
			n.c.t.Fatalf("the node does not start: %s", n.log)
		}
	}
}

// listens starts a process and reports whether it has come to listen.
func (n *node) listens() bool {
	n.c.t.Helper()
	program, err := build()
	check(n.c.t, err)
	args := append([]string{"-attempt", n.c.s.attempt.String(), "-commit", n.c.s.commit.String()}, n.c.s.args...)
	cmd := exec.Command(program, append(args, n.urls()...)...)
	cmd.Env = append(os.Environ(), "STAY_SECRET="+secret)
	in, stdin, err := os.Pipe()
	check(n.c.t, err)
	n.stdin, cmd.Stdin = stdin, in
	out := &firstLine{line: make(chan string, 1)}
	n.log = &logged{}
	cmd.Stdout, cmd.Stderr = out, n.log
	n.p, err = process.Start(cmd, syscall.SIGKILL)
	_ = in.Close()
	check(n.c.t, err)
	select {
	case address := <-out.line:
		n.address.Store(&address)
		return true
	case <-n.p.Done():
		_ = n.stdin.Close()
		return false
	case <-time.After(patience):
		n.kill()
		return false
	}
}

// urls are what the node opens.
func (n *node) urls() []string {
	if n.c.urls != nil {
		return n.c.urls
	}
	var addresses []string
	for _, p := range n.proxies {
		addresses = append(addresses, p.Address())
	}
	switch {
	case n.c.s.redis:
		return []string{redisserver.URLBy(addresses[0]) + "?dial_timeout=2s"}
	case n.c.s.objects != nil:
		return []string{n.c.s.objects.urlBy(addresses[0])}
	case n.c.s.nats:
		return []string{"nats://" + strings.Join(addresses, ",nats://")}
	}
	return []string{n.c.postgres(0).URLBy(strings.Join(addresses, ","), "connect_timeout", "2")}
}

// kill is kill -9.
func (n *node) kill() {
	if n.p != nil {
		_ = n.p.End(syscall.SIGKILL)
		_ = n.stdin.Close()
	}
}

// replace ends the node's process as a deployment does, and starts another one.
func (n *node) replace() {
	n.c.t.Helper()
	if err := n.p.End(syscall.SIGTERM); err != nil {
		n.c.t.Errorf("a node did not end well: %v: %s", err, n.log)
	}
	_ = n.stdin.Close()
	n.start()
}

// network changes what happens between the node and the servers.
func (n *node) network(change func(*faultnet.Proxy)) {
	for _, p := range n.proxies {
		change(p)
	}
}

// firstLine hands on the first line that is written.
type firstLine struct {
	line chan string
	text bytes.Buffer
	done bool
}

// Write implements io.Writer.
func (f *firstLine) Write(p []byte) (int, error) {
	if !f.done {
		f.text.Write(p)
		if line, _, ok := strings.Cut(f.text.String(), "\n"); ok {
			f.done = true
			f.line <- line
		}
	}
	return len(p), nil
}

// logged keeps the last of what a process logs.
type logged struct {
	mu   sync.Mutex
	text []byte
}

// Write implements io.Writer.
func (l *logged) Write(p []byte) (int, error) {
	const most = 4 << 10
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, p...)
	if over := len(l.text) - most; over > 0 {
		l.text = append([]byte(nil), l.text[over:]...)
	}
	return len(p), nil
}

// String implements fmt.Stringer.
func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.text)
}
