package nodes_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stay-go/stay/internal/redisserver"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/redisstore"
)

// masters are how many servers of a Redis cluster have slots.
const masters = 3

// patient is a context for what servers do.
func patient(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// Nodes over a Redis cluster: the homes of their records are in all slots, logins
// take two of them, and nodes die at any call. Meanwhile masters crash and come
// back, and a replica takes the place of one. What was acknowledged is there, once,
// and no login is half done.
//
// Proves N1, E5, S5.
func TestNodesOnARedisCluster(t *testing.T) { onRedisCluster(t, 4*time.Second) }

func TestSoakNodesOnARedisCluster(t *testing.T) {
	if !soak() {
		t.Skip("a long test: set STAY_SOAK=1")
	}
	onRedisCluster(t, 5*time.Minute)
}

func onRedisCluster(t *testing.T, length time.Duration) {
	// Nobody takes over by himself: what a replica lacks would be lost.
	all, err := redisserver.NewCluster(patient(t), t.TempDir(), masters, 1,
		"cluster-require-full-coverage no", "cluster-replica-no-failover yes", "repl-diskless-sync-delay 0")
	check(t, err)
	for _, s := range all {
		t.Cleanup(func() {
			s.Kill()
			if t.Failed() {
				t.Log(s.Log())
			}
		})
	}
	follower := all[masters]
	open := func(left *atomic.Int64) (store.Store, error) {
		s, err := redisstore.Open(context.Background(), all[1].URL(), redisstore.Spread(48), redisstore.Attempt(brisk.attempt))
		return mortal{s, left}, err
	}
	s := newSite(t, open, 10)
	end := time.Now().Add(length)
	gone := make(chan int, 1)
	go func() {
		rounds := 0
		for ; time.Now().Before(end); rounds++ {
			s.run()
			s.renew()
		}
		gone <- rounds
	}()
	crashes, takeovers, rounds := 0, 0, 0
	random := s.fork()
	for open := true; open; {
		if crashes == takeovers {
			server := all[random.IntN(masters)]
			server.Kill()
			pause(between(random, 0, 200))
			check(t, server.Start())
			check(t, server.AwaitCluster(patient(t), len(all)))
			check(t, follower.AwaitMaster(patient(t)))
			crashes++
		} else {
			check(t, follower.TakeOver(patient(t), all[0]))
			all[0], follower = follower, all[0]
			takeovers++
		}
		select {
		case rounds = <-gone:
			open = false
		case <-time.After(between(random, 100, 300)):
		}
	}
	s.compare()
	t.Logf("%d changes were acknowledged in %d rounds of visitors; %d nodes died, masters crashed %d times, and replicas took over %d times",
		s.done, rounds, s.died, crashes, takeovers)
	if s.done == 0 || takeovers == 0 {
		t.Error("not everything was tried")
	}
}
