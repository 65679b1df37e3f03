package nodes_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stay-go/stay/internal/redisserver"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/redisstore"
)

// masters are how many servers of a Redis cluster have slots.
const masters = 3

// redisCluster starts a cluster of Redis servers, and one that follows the first.
// Nobody takes over by himself: what a replica lacks would be lost.
func redisCluster(t *testing.T) (all []*redisserver.Server, follower *redisserver.Server) {
	t.Helper()
	buses := map[*redisserver.Server]int{}
	start := func() *redisserver.Server {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		check(t, err)
		bus := l.Addr().(*net.TCPAddr).Port
		_ = l.Close()
		s, err := redisserver.New(t.TempDir(), "cluster-enabled yes", fmt.Sprint("cluster-port ", bus),
			"cluster-require-full-coverage no", "cluster-replica-no-failover yes", "repl-diskless-sync-delay 0")
		check(t, err)
		t.Cleanup(s.Kill)
		buses[s] = bus
		return s
	}
	for i := range masters {
		s := start()
		all = append(all, s)
		ask(t, s, "CLUSTER", "ADDSLOTSRANGE", fmt.Sprint(i*16384/masters), fmt.Sprint((i+1)*16384/masters-1))
	}
	follower = start()
	every := append([]*redisserver.Server{follower}, all...)
	for _, s := range every[1:] {
		ask(t, follower, "CLUSTER", "MEET", "127.0.0.1", fmt.Sprint(s.Port()), fmt.Sprint(buses[s]))
	}
	for _, s := range every {
		wholly(t, s)
	}
	ask(t, follower, "CLUSTER", "REPLICATE", ask(t, all[0], "CLUSTER", "MYID"))
	followed(t, follower)
	return all, follower
}

// wholly waits until a server takes the whole cluster to work. After a crash this
// takes two seconds, which Redis waits before it takes writes.
func wholly(t *testing.T, s *redisserver.Server) {
	t.Helper()
	await(t, "the cluster", func() bool {
		info := ask(t, s, "CLUSTER", "INFO")
		return strings.Contains(info, "cluster_state:ok") && strings.Contains(info, "cluster_slots_assigned:16384") &&
			strings.Contains(info, "cluster_known_nodes:"+fmt.Sprint(masters+1))
	})
}

// takeOver has a replica take the place of its master, without a loss.
func takeOver(t *testing.T, follower *redisserver.Server) {
	t.Helper()
	asked := time.Time{}
	await(t, "the replica to take over", func() bool {
		if time.Since(asked) > 6*time.Second { // Redis gives up after five
			ask(t, follower, "CLUSTER", "FAILOVER")
			asked = time.Now()
		}
		return strings.HasPrefix(ask(t, follower, "ROLE"), "master")
	})
}

// followed waits until a replica has what its master has.
func followed(t *testing.T, follower *redisserver.Server) {
	t.Helper()
	await(t, "the replica", func() bool {
		return strings.Contains(ask(t, follower, "INFO", "replication"), "master_link_status:up")
	})
}

func ask(t *testing.T, s *redisserver.Server, words ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	text, err := s.Ask(ctx, words...)
	check(t, err)
	return text
}

// await waits until a condition holds that servers bring about.
func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for began := time.Now(); !holds(); pause(10 * time.Millisecond) {
		if time.Since(began) > patience {
			t.Fatalf("waiting for %s", what)
		}
	}
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
	all, follower := redisCluster(t)
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
			wholly(t, server)
			followed(t, follower)
			crashes++
		} else {
			takeOver(t, follower)
			all[0], follower = follower, all[0]
			followed(t, follower)
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
