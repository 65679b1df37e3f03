package natsstore_test

import (
	"context"
	"errors"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/stay-go/stay/internal/natsserver"
	"github.com/stay-go/stay/internal/storekit"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/natsstore"
)

// leader returns the server that leads the stream of a store with the default name.
func leader(t *testing.T, servers []*natsserver.Server) *natsserver.Server {
	t.Helper()
	js, err := jetstream.New(connect(t, natsserver.URLs(servers), nats.MaxReconnects(-1)))
	if err != nil {
		t.Fatal(err)
	}
	var found *natsserver.Server
	storekit.Await(t, "a leader", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		stream, err := js.Stream(ctx, "stay")
		if err != nil {
			return false
		}
		for _, s := range servers {
			if s.Name() == stream.CachedInfo().Cluster.Leader {
				found = s
			}
		}
		return found != nil
	})
	return found
}

// TestLeaderEnds proves that with three replicas nothing that was acknowledged is
// lost when the server that leads them is stopped or killed, nor when it comes back, that reads miss nothing meanwhile, and that writes go on after seconds at most. It
// reports for how long nothing was written.
//
// Proves C1, C2, C3, C5, C6.
func TestLeaderEnds(t *testing.T) {
	t.Parallel()
	const writers = 4
	servers := ownCluster(t)
	url := natsserver.URLs(servers)
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var all sync.WaitGroup
	var mu sync.Mutex
	acks, longest, last := 0, time.Duration(0), time.Time{}
	acked := func() {
		mu.Lock()
		defer mu.Unlock()
		now := time.Now()
		if acks > 0 {
			longest = max(longest, now.Sub(last))
		}
		acks, last = acks+1, now
	}
	var stores [writers]*natsstore.Store
	for i := range writers {
		stores[i] = open(t, url, natsstore.Attempt(brisk))
	}
	var applied [writers]int
	for i := range writers {
		st, reader, key := stores[i], stores[(i+1)%writers], strconv.Itoa(i)
		all.Go(func() {
			rev := store.Revision(0)
			for n := 1; ctx.Err() == nil; {
				r := storekit.One(st, store.Write{Key: key, Base: rev, Value: []byte(strconv.Itoa(n))})
				switch {
				case r.Outcome == store.Applied:
				case r.Outcome == store.Conflict && string(r.Current[0].Value) == strconv.Itoa(n):
					r.Revisions = []store.Revision{r.Current[0].Revision} // an earlier sending
				case r.Outcome == store.Conflict:
					t.Errorf("%q finds %q", strconv.Itoa(n), r.Current[0].Value)
					return
				default:
					continue
				}
				if r.Revisions[0] <= rev {
					t.Errorf("revision %d after %d", r.Revisions[0], rev)
				}
				rev, applied[i] = r.Revisions[0], n
				acked()
				if got, err := reader.Load(ctx, []store.Read{{Key: key}}); err == nil && string(got[0].Value) != strconv.Itoa(n) {
					t.Errorf("%q is read as %q at another node", strconv.Itoa(n), got[0].Value)
				}
				n++
			}
		})
	}
	written := func(more int) {
		t.Helper()
		mu.Lock()
		before := acks
		mu.Unlock()
		storekit.Await(t, "writes", func() bool {
			runtime.Gosched()
			mu.Lock()
			defer mu.Unlock()
			return acks >= before+more
		})
	}
	written(100)
	for _, c := range []struct {
		how  string
		end  func(*natsserver.Server)
		most time.Duration
	}{
		{"stopped", (*natsserver.Server).Stop, 10 * time.Second},
		{"killed", (*natsserver.Server).Kill, 25 * time.Second}, // the others wait 4 to 9 seconds
	} {
		gone := leader(t, servers)
		mu.Lock()
		longest = 0
		mu.Unlock()
		c.end(gone)
		written(100)
		mu.Lock()
		t.Logf("%s: the longest time without a change was %v", c.how, longest)
		if longest > c.most {
			t.Errorf("%s: nothing was written for %v", c.how, longest)
		}
		mu.Unlock()
		if err := gone.Start(); err != nil {
			t.Fatal(err)
		}
		written(100)
	}
	stop()
	all.Wait()
	for i := range writers {
		if got := storekit.Load(t, stores[0], strconv.Itoa(i)); string(got.Value) != strconv.Itoa(applied[i]) {
			// The last one may have been cut off by the end of the test.
			if n, _ := strconv.Atoi(string(got.Value)); n < applied[i] || n > applied[i]+1 {
				t.Errorf("writer %d finds %q, and %d was acknowledged", i, got.Value, applied[i])
			}
		}
	}
}

// TestMinorityAnswersNothing proves that a server that is left alone by the others
// neither acknowledges writes nor answers reads, and that both work again when the
// others are back.
//
// Proves C1, C5.
func TestMinorityAnswersNothing(t *testing.T) {
	t.Parallel()
	servers := ownCluster(t)
	st := open(t, natsserver.URLs(servers), natsstore.Attempt(brisk))
	if !st.Features().Durable {
		t.Error("not durable")
	}
	rev := storekit.Put(t, st, "key", 0, "x")
	left := leader(t, servers)
	for _, s := range servers {
		if s != left {
			s.Kill()
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if got, err := st.Load(ctx, []store.Read{{Key: "key"}}); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("Load: %+v, %v", got, err)
	}
	if keys, err := st.List(ctx, time.Now(), "", "", 10); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("List: %q, %v", keys, err)
	}
	g := store.Group{{Key: "key", Base: rev, Value: []byte("y")}}
	if r := storekit.One(st, g...); r.Outcome != store.Unknown && r.Outcome != store.Rejected {
		t.Errorf("%v: %v", r.Outcome, r.Err)
	}
	for _, s := range servers {
		if s != left {
			if err := s.Start(); err != nil {
				t.Fatal(err)
			}
		}
	}
	again(t, st, g)
	if got := storekit.Load(t, st, "key"); string(got.Value) != "y" {
		t.Errorf("%q", got.Value)
	}
}

// TestReplicasThatAreBehindAreAskedAgain proves that the answer of a replica that
// does not have everything is not taken, and that a store asks where the program's
// connection says (APIPrefix).
//
// Proves C1.
func TestReplicasThatAreBehindAreAskedAgain(t *testing.T) {
	nc := connect(t, theCluster(t))
	var asked atomic.Int64
	// Every other read is answered as by a replica that was left behind.
	_, err := nc.Subscribe("relay.>", func(m *nats.Msg) {
		rest := strings.TrimPrefix(m.Subject, "relay.")
		if !strings.HasPrefix(rest, "DIRECT.GET.") || asked.Add(1)%2 == 0 {
			_ = nc.PublishMsg(&nats.Msg{Subject: jetstream.DefaultAPIPrefix + rest, Reply: m.Reply, Data: m.Data, Header: m.Header})
			return
		}
		answer := nats.NewMsg(m.Reply)
		answer.Header.Set("Status", "404")
		if asked.Load()%4 == 1 {
			answer.Header.Set("Status", "204")
			answer.Header.Set("Nats-Num-Pending", "0")
			answer.Header.Set("Nats-UpTo-Sequence", "1")
		}
		_ = nc.PublishMsg(answer)
	})
	if err != nil {
		t.Fatal(err)
	}
	js, err := jetstream.NewWithAPIPrefix(nc, "relay")
	if err != nil {
		t.Fatal(err)
	}
	st, err := natsstore.New(storekit.Within(t), js, place())
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	rev := storekit.Put(t, st, "key", 0, "x")
	before := asked.Load()
	for range 20 {
		if got := storekit.Load(t, st, "key"); got.Revision != rev {
			t.Fatalf("%+v", got)
		}
	}
	if n := asked.Load() - before; n < 39 {
		t.Errorf("asked %d times", n)
	}
}
