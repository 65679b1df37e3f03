package redisstore_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stay-go/stay/internal/faultnet"
	"github.com/stay-go/stay/internal/redisserver"
	"github.com/stay-go/stay/internal/storekit"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/redisstore"
)

// brief is an attempt that a test can wait for.
const brief = 500 * time.Millisecond

// A path is the way of a store's connections to its server. Those that are opened
// after direct was called go past the proxy.
type path struct {
	*faultnet.Proxy
	address atomic.Pointer[string]
	server  string
	writes  atomic.Int64 // how often the store has sent something
}

// A counted connection counts what is sent over a path.
type counted struct {
	net.Conn
	p *path
}

// Write implements net.Conn.
func (c counted) Write(b []byte) (int, error) {
	defer c.p.writes.Add(1)
	return c.Conn.Write(b)
}

func (p *path) direct() { p.address.Store(&p.server) }

// reach opens a store whose connections go through a proxy.
func reach(t *testing.T, s *redisserver.Server, options ...redisstore.Option) (*path, *redisstore.Store) {
	t.Helper()
	proxy, err := faultnet.Listen(s.Address())
	if err != nil {
		t.Fatal(err)
	}
	p := &path{Proxy: proxy, server: s.Address()}
	by := proxy.Address()
	p.address.Store(&by)
	o := at(t, s)
	o.DialCtxFn = func(ctx context.Context, _ string, d *net.Dialer, _ *tls.Config) (net.Conn, error) {
		c, err := d.DialContext(ctx, "tcp", *p.address.Load())
		return counted{c, p}, err
	}
	st, err := redisstore.OpenWith(storekit.Within(t), o, append([]redisstore.Option{redisstore.Attempt(brief)}, options...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxy.Close)
	t.Cleanup(func() { _ = st.Close() })
	return p, st
}

var evalsha = regexp.MustCompile(`cmdstat_evalsha:calls=(\d+)`)

// sent is how many scripts a server has got.
func sent(t *testing.T, s *redisserver.Server) int {
	t.Helper()
	found := evalsha.FindStringSubmatch(ask(t, s, "INFO", "commandstats"))
	if found == nil {
		return 0
	}
	n, err := strconv.Atoi(found[1])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestLostAnswerIsUnknown proves that groups whose answer is lost are Unknown and
// not Rejected, that nothing sends them again unseen, and that the same write is
// answered with the truth when it is sent again.
//
// Proves C2, C6.
func TestLostAnswerIsUnknown(t *testing.T) {
	t.Parallel()
	s := ownServer(t)
	other := open(t, s.URL())
	rev := storekit.Put(t, other, "kept", 0, "first")
	for name, g := range map[string]store.Group{
		"create":  {{Key: "new", Value: []byte("x")}},
		"replace": {{Key: "kept", Base: rev, Value: []byte("second")}},
		"group":   {{Key: "a", Value: []byte("x")}, {Key: "b", Value: []byte("x")}},
	} {
		for end, lose := range map[string]func(*path){"cut": func(p *path) { p.Cut() }, "silence": func(*path) {}} {
			t.Run(name+" "+end, func(t *testing.T) {
				g := append(store.Group(nil), g...)
				for i := range g {
					if g[i].Base == 0 {
						g[i].Key += end
					} else {
						g[i].Base = storekit.Load(t, other, g[i].Key).Revision
					}
				}
				p, st := reach(t, s)
				storekit.Load(t, st, "kept") // it is connected
				before := sent(t, s)
				p.Hold(faultnet.ToClient)
				result := storekit.Begin(st, g...)
				storekit.Await(t, "the script", func() bool { return sent(t, s) > before })
				lose(p)
				if r := <-result; r.Outcome != store.Unknown || !errors.Is(r.Err, store.ErrUnavailable) {
					t.Fatalf("%v: %v, want unknown", r.Outcome, r.Err)
				}
				if n := sent(t, s) - before; n != 1 {
					t.Errorf("the script was sent %d times", n)
				}
				for _, write := range g {
					if got := storekit.Load(t, other, write.Key); string(got.Value) != string(write.Value) {
						t.Errorf("%q is %q: the write has not arrived", write.Key, got.Value)
					}
				}
				p.Release()
				r := storekit.One(st, g...)
				if r.Outcome != store.Conflict || string(r.Current[0].Value) != string(g[0].Value) {
					t.Errorf("again: %v: %v %+v, want a conflict with itself", r.Outcome, r.Err, r.Current)
				}
			})
		}
	}
}

// TestLateGroupsAreNotApplied proves that a group that was held up does not take
// effect after a later one has said what is stored, although its conditions hold
// again.
//
// Proves C6.
func TestLateGroupsAreNotApplied(t *testing.T) {
	s := theServer(t)
	name := place()
	other := open(t, s.URL(), name)
	p, st := reach(t, s, name)
	rev := storekit.Put(t, st, "key", 0, "first")
	g := store.Group{{Key: "key", Base: rev, Value: []byte("late")}, {Op: store.Check, Key: "absent"}}
	p.Hold(faultnet.ToServer)
	if r := storekit.One(st, g...); r.Outcome != store.Unknown {
		t.Fatalf("%v: %v, want unknown", r.Outcome, r.Err)
	}
	p.direct()
	there := storekit.Put(t, other, "absent", 0, "x")
	if r := storekit.One(st, g...); r.Outcome != store.Conflict {
		t.Fatalf("%v: %v, want a conflict", r.Outcome, r.Err)
	}
	if r := storekit.One(other, store.Write{Op: store.Delete, Key: "absent", Base: there}); r.Outcome != store.Applied {
		t.Fatalf("%v: %v", r.Outcome, r.Err)
	}
	calls := ask(t, s, "INFO", "commandstats")
	p.Release()
	storekit.Await(t, "the late group", func() bool { return ask(t, s, "INFO", "commandstats") != calls })
	p.Close() // everything that was held has arrived
	if got := storekit.Load(t, other, "key"); string(got.Value) != "first" {
		t.Errorf("%q after a conflict was answered", got.Value)
	}
}

// TestCallsUnderWayPassTheFence proves that groups which were on their way when
// another call of the process raised its fence are sent again, and not lost or
// rejected.
//
// Proves C6.
func TestCallsUnderWayPassTheFence(t *testing.T) {
	s := theServer(t)
	p, st := reach(t, s, place(), redisstore.Attempt(30*time.Second))
	rev := storekit.Put(t, st, "key", 0, "x")
	p.Hold(faultnet.ToServer)
	before := p.writes.Load()
	slow := storekit.Begin(st, store.Write{Key: "key", Base: rev, Value: []byte("y")})
	storekit.Await(t, "the sending", func() bool { return p.writes.Load() > before }) // it has its epoch
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	if r := st.Commit(ctx, []store.Group{{{Key: "given up"}}})[0]; r.Outcome != store.Unknown {
		t.Fatalf("%v: %v, want unknown", r.Outcome, r.Err)
	}
	p.direct()
	storekit.Put(t, st, "raises the fence", 0, "x")
	p.Release()
	if r := <-slow; r.Outcome != store.Applied {
		t.Errorf("%v: %v, want applied", r.Outcome, r.Err)
	}
	if got := storekit.Load(t, st, "key"); string(got.Value) != "y" {
		t.Errorf("%q", got.Value)
	}
}

// TestAttemptsAreBounded proves that a server that stands still does not hold up a
// commit for as long as its caller asks, nor Close, and that the store works again
// when the server goes on.
//
// Proves C6.
func TestAttemptsAreBounded(t *testing.T) {
	t.Parallel()
	s := ownServer(t)
	st := open(t, s.URL(), redisstore.Attempt(brief))
	rev := storekit.Put(t, st, "key", 0, "first")
	pause := func() {
		if err := s.Pause(); err != nil {
			t.Fatal(err)
		}
	}
	pause()
	t.Cleanup(s.Resume)
	began := time.Now()
	if r := storekit.One(st, store.Write{Key: "key", Base: rev, Value: []byte("second")}); r.Outcome != store.Unknown || time.Since(began) > 20*time.Second {
		t.Errorf("%v after %v: %v, want unknown after half a second", r.Outcome, time.Since(began), r.Err)
	}
	began = time.Now()
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(100*time.Millisecond, cancel)
	if _, err := st.Load(ctx, []store.Read{{Key: "key"}}); !errors.Is(err, context.Canceled) || time.Since(began) > 20*time.Second {
		t.Errorf("Load ended after %v with %v", time.Since(began), err)
	}
	s.Resume()
	r := storekit.One(st, store.Write{Key: "key", Base: rev, Value: []byte("third")})
	if want := storekit.Load(t, st, "key"); r.Outcome == store.Unknown || r.Outcome == store.Applied && string(want.Value) != "third" {
		t.Errorf("%v: %v, and the value is %q", r.Outcome, r.Err, want.Value)
	}
	patient := open(t, s.URL(), redisstore.Attempt(time.Hour))
	pause()
	hangs, end := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer end()
	_, _ = patient.Load(hangs, []store.Read{{Key: "key"}}) // goes on
	began = time.Now()
	if err := patient.Close(); err != nil || time.Since(began) > 20*time.Second {
		t.Errorf("Close took %v: %v", time.Since(began), err)
	}
}

// TestReadsAreSentAgain proves that a read whose connection breaks is sent again.
//
// Proves C1.
func TestReadsAreSentAgain(t *testing.T) {
	p, st := reach(t, theServer(t), place(), redisstore.Attempt(30*time.Second))
	rev := storekit.Put(t, st, "key", 0, "x")
	p.Hold(faultnet.ToClient)
	before := p.writes.Load()
	type answer struct {
		records []store.Record
		err     error
	}
	answers := make(chan answer, 1)
	go func() {
		records, err := st.Load(context.Background(), []store.Read{{Key: "key"}})
		answers <- answer{records, err}
	}()
	storekit.Await(t, "the sending", func() bool { return p.writes.Load() > before })
	p.direct()
	p.Cut()
	if a := <-answers; a.err != nil || a.records[0].Revision != rev {
		t.Errorf("%+v, %v", a.records, a.err)
	}
}

// TestServerCrash proves that what was applied is there after the server was
// killed, that what was rejected is not, and that the store works again without
// being reopened.
//
// Proves C3, C5, C6.
func TestServerCrash(t *testing.T) {
	t.Parallel()
	s := ownServer(t)
	st := open(t, s.URL())
	if !st.Features().Durable {
		t.Fatal("not durable")
	}
	storekit.Crash(t, st, time.Minute, s.Kill, s.Start)
}

// TestConnectionsThatTheServerHasClosed proves that nothing is in doubt because the
// server has closed connections that nobody used.
//
// Proves C6.
func TestConnectionsThatTheServerHasClosed(t *testing.T) {
	t.Parallel()
	s := ownServer(t)
	st := open(t, s.URL())
	var revs [8]store.Revision
	var all sync.WaitGroup
	for i := range revs { // a connection each
		all.Go(func() { revs[i] = storekit.Put(t, st, fmt.Sprint(i), 0, "x") })
	}
	all.Wait()
	s.Stop()
	startAgain(t, s)
	for i, rev := range revs {
		if r := storekit.One(st, store.Write{Key: fmt.Sprint(i), Base: rev}); r.Outcome != store.Applied {
			t.Errorf("%v: %v", r.Outcome, r.Err)
		}
	}
}

// TestScriptsAreLoadedAgain proves that a server that has forgotten the scripts gets
// them again.
//
// Proves C6.
func TestScriptsAreLoadedAgain(t *testing.T) {
	t.Parallel()
	s := ownServer(t)
	st := open(t, s.URL())
	rev := storekit.Put(t, st, "key", 0, "x")
	ask(t, s, "SCRIPT", "FLUSH")
	storekit.Put(t, st, "key", rev, "y")
	if got := storekit.Load(t, st, "key"); string(got.Value) != "y" {
		t.Errorf("%+v", got)
	}
}

// TestFullServer proves that a server whose memory is full rejects groups that put
// something, keeps its records, and still lets them be read and deleted, also in a
// call that puts something as well.
//
// Proves C2, C6.
func TestFullServer(t *testing.T) {
	t.Parallel()
	s := ownServer(t)
	st := open(t, s.URL())
	rev := storekit.Put(t, st, "key", 0, "x")
	other := storekit.Put(t, st, "other", 0, "x")
	ask(t, s, "CONFIG", "SET", "maxmemory", "1")
	results := st.Commit(storekit.Within(t), []store.Group{
		{{Key: "new"}},
		{{Op: store.Delete, Key: "other", Base: other}},
		{{Key: "key", Base: rev, Value: []byte("y")}},
	})
	for i, want := range []store.Outcome{store.Rejected, store.Applied, store.Rejected} {
		if r := results[i]; r.Outcome != want || want == store.Rejected && (!errors.Is(r.Err, store.ErrUnavailable) || !strings.Contains(r.Err.Error(), "OOM")) {
			t.Errorf("group %d: %v: %v, want %v", i, r.Outcome, r.Err, want)
		}
	}
	if got := storekit.Load(t, st, "key"); string(got.Value) != "x" {
		t.Errorf("%+v", got)
	}
	if r := storekit.One(st, store.Write{Op: store.Delete, Key: "key", Base: rev}); r.Outcome != store.Applied {
		t.Errorf("%v: %v", r.Outcome, r.Err)
	}
	ask(t, s, "CONFIG", "SET", "maxmemory", "0")
	storekit.Put(t, st, "key", 0, "y")
}
