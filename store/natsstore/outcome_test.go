package natsstore_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stay-go/stay/internal/faultnet"
	"github.com/stay-go/stay/internal/storekit"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/natsstore"
)

// brisk is an attempt that a test can wait for.
const brisk = 500 * time.Millisecond

// A path is the way of a store's connections to its server. Those that are opened
// after direct was called go past the proxy.
type path struct {
	*faultnet.Proxy
	past atomic.Bool
}

func (p *path) direct() { p.past.Store(true) }

// reach opens a store whose connections go through a proxy.
func reach(t *testing.T, url string, options ...natsstore.Option) (*path, *natsstore.Store) {
	t.Helper()
	address := strings.TrimPrefix(url, "nats://")
	proxy, err := faultnet.Listen(address)
	if err != nil {
		t.Fatal(err)
	}
	p := &path{Proxy: proxy}
	dial := dialing(func(network, _ string) (net.Conn, error) {
		if p.past.Load() {
			return net.Dial(network, address)
		}
		return net.Dial(network, proxy.Address())
	})
	st, err := natsstore.OpenWith(storekit.Within(t), url, dial, append([]natsstore.Option{natsstore.Attempt(brisk)}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxy.Close)
	t.Cleanup(func() { _ = st.Close() })
	return p, st
}

// TestLostAnswerIsUnknown proves that groups whose answer is lost are Unknown and
// not Rejected, and that the same write is answered with the truth when it is sent
// again.
//
// Proves C2, C6.
func TestLostAnswerIsUnknown(t *testing.T) {
	t.Parallel()
	url, name := theServer(t), place()
	other := open(t, url, name)
	rev := storekit.Put(t, other, "kept", 0, "first")
	for kind, g := range map[string]store.Group{
		"create":  {{Key: "new", Value: []byte("x")}},
		"replace": {{Key: "kept", Base: rev, Value: []byte("second")}},
		"group":   {{Key: "a", Value: []byte("x")}, {Key: "b", Value: []byte("x")}},
	} {
		for end, lose := range map[string]func(*path){"cut": func(p *path) { p.direct(); p.Cut() }, "silence": func(*path) {}} {
			t.Run(kind+" "+end, func(t *testing.T) {
				g := append(store.Group(nil), g...)
				for i := range g {
					if g[i].Base == 0 {
						g[i].Key += end
					} else {
						g[i].Base = storekit.Load(t, other, g[i].Key).Revision
						g[i].Value = []byte(end)
					}
				}
				p, st := reach(t, url, name)
				p.Hold(faultnet.ToClient)
				result := storekit.Begin(st, g...)
				storekit.Await(t, "the write", func() bool { return string(storekit.Load(t, other, g[0].Key).Value) == string(g[0].Value) })
				lose(p)
				if r := <-result; r.Outcome != store.Unknown || !errors.Is(r.Err, store.ErrUnavailable) {
					t.Fatalf("%v: %v, want unknown", r.Outcome, r.Err)
				}
				p.Release()
				r := again(t, st, g)
				if r.Outcome != store.Conflict || string(r.Current[0].Value) != string(g[0].Value) {
					t.Errorf("again: %v: %v %+v, want a conflict with itself", r.Outcome, r.Err, r.Current)
				}
			})
		}
	}
}

// again sends a group until its outcome is known, as Stay does.
func again(t *testing.T, s store.Store, g store.Group) store.Result {
	t.Helper()
	for ctx := storekit.Within(t); ; {
		r := storekit.One(s, g...)
		if r.Outcome == store.Applied || r.Outcome == store.Conflict {
			return r
		}
		if ctx.Err() != nil {
			t.Fatalf("%v: %v", r.Outcome, r.Err)
		}
	}
}

// TestLateGroupsAreNotApplied proves that a group that was held up does not take
// effect after a later one has said what is stored, although its conditions hold
// again.
//
// Proves C6.
func TestLateGroupsAreNotApplied(t *testing.T) {
	t.Parallel()
	url, name := theServer(t), place()
	other := open(t, url, name)
	p, st := reach(t, url, name)
	rev := storekit.Put(t, st, "key", 0, "first")
	g := store.Group{{Key: "key", Base: rev, Value: []byte("late")}, {Op: store.Check, Key: "absent"}}
	p.Hold(faultnet.ToServer)
	if r := storekit.One(st, g...); r.Outcome != store.Unknown {
		t.Fatalf("%v: %v, want unknown", r.Outcome, r.Err)
	}
	p.direct()
	there := storekit.Put(t, other, "absent", 0, "x")
	if r := again(t, st, g); r.Outcome != store.Conflict {
		t.Fatalf("%v: %v, want a conflict", r.Outcome, r.Err)
	}
	if r := storekit.One(other, store.Write{Op: store.Delete, Key: "absent", Base: there}); r.Outcome != store.Applied {
		t.Fatalf("%v: %v", r.Outcome, r.Err)
	}
	nc := connect(t, url)
	before := nc.Stats().InMsgs
	sub, err := nc.SubscribeSync(">") // sees that the group arrives
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	p.Release()
	for ctx := storekit.Within(t); ; {
		m, err := sub.NextMsgWithContext(ctx)
		if err != nil {
			t.Fatalf("%d messages, and none of the late group: %v", nc.Stats().InMsgs-before, err)
		}
		if m.Header.Get("Nats-Batch-Commit") != "" {
			break
		}
	}
	p.Close() // everything that was held has arrived
	if got := storekit.Load(t, other, "key"); string(got.Value) != "first" {
		t.Errorf("%q after a conflict was answered", got.Value)
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
	st := open(t, s.URL(), natsstore.Attempt(brisk))
	rev := storekit.Put(t, st, "key", 0, "first")
	pause := func() {
		if err := s.Pause(); err != nil {
			t.Fatal(err)
		}
	}
	pause()
	t.Cleanup(s.Resume)
	began := time.Now()
	if r := storekit.One(st, store.Write{Key: "key", Base: rev, Value: []byte("second")}); r.Outcome != store.Unknown || time.Since(began) > 10*time.Second {
		t.Errorf("%v after %v: %v, want unknown after half a second", r.Outcome, time.Since(began), r.Err)
	}
	began = time.Now()
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(100*time.Millisecond, cancel)
	if _, err := st.Load(ctx, []store.Read{{Key: "key"}}); !errors.Is(err, context.Canceled) || time.Since(began) > 10*time.Second {
		t.Errorf("Load ended after %v with %v", time.Since(began), err)
	}
	s.Resume()
	r := again(t, st, store.Group{{Key: "key", Base: rev, Value: []byte("third")}})
	if got := storekit.Load(t, st, "key"); r.Outcome == store.Applied && string(got.Value) != "third" {
		t.Errorf("%v: %v, and the value is %q", r.Outcome, r.Err, got.Value)
	}
	pause()
	began = time.Now()
	if err := st.Close(); err != nil || time.Since(began) > 10*time.Second {
		t.Errorf("Close took %v: %v", time.Since(began), err)
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
	storekit.Crash(t, open(t, s.URL(), natsstore.Attempt(brisk)), brisk, s.Kill, s.Start)
}

// TestNoFalseConflicts proves that groups whose conditions hold are applied although
// others are under way on the same subjects: many that check one record, and
// creations of records that have been deleted.
//
// Proves C2.
func TestNoFalseConflicts(t *testing.T) {
	for name, url := range map[string]string{"one replica": theServer(t), "three replicas": theCluster(t)} {
		t.Run(name, func(t *testing.T) {
			at := place()
			stores := []*natsstore.Store{open(t, url, at), open(t, url, at)}
			checked := storekit.Put(t, stores[0], "checked", 0, "x")
			var all sync.WaitGroup
			for i := range 12 {
				all.Go(func() {
					st := stores[i%len(stores)]
					key := fmt.Sprint("key ", i)
					for range 3 {
						r := storekit.One(st, store.Write{Op: store.Check, Key: "checked", Base: checked}, store.Write{Key: key}, store.Write{Op: store.Check, Key: "absent"})
						if r.Outcome != store.Applied {
							t.Errorf("create: %v: %v %+v", r.Outcome, r.Err, r.Current)
							return
						}
						if r = storekit.One(st, store.Write{Op: store.Delete, Key: key, Base: r.Revisions[1]}); r.Outcome != store.Applied {
							t.Errorf("delete: %v: %v %+v", r.Outcome, r.Err, r.Current)
							return
						}
					}
				})
			}
			all.Wait()
		})
	}
}

// TestMarksAreNoRecords proves that nobody who counts up a revision hits the mark of a
// deletion.
//
// Proves C2.
func TestMarksAreNoRecords(t *testing.T) {
	st := open(t, theServer(t), place())
	rev := storekit.Put(t, st, "key", 0, "x")
	if r := storekit.One(st, store.Write{Op: store.Delete, Key: "key", Base: rev}); r.Outcome != store.Applied {
		t.Fatal(r.Outcome, r.Err)
	}
	for _, op := range []store.Op{store.Put, store.Delete, store.Check} {
		if r := storekit.One(st, store.Write{Op: op, Key: "key", Base: rev + 1}, store.Write{Key: "beside"}); r.Outcome != store.Conflict || r.Current[0].Revision != 0 {
			t.Errorf("%v: %v: %v %+v", op, r.Outcome, r.Err, r.Current)
		}
	}
}
