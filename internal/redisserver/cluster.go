package redisserver

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/stay-go/stay/internal/process"
)

const slots = 16384 // of every cluster

// NewCluster starts servers that form a cluster, with their data in folders below
// dir, and waits until each takes the cluster to work. The first ones are masters,
// which share the slots, and each of the others follows one of them. Servers that it
// cannot make a cluster of have ended when it returns.
func NewCluster(ctx context.Context, dir string, masters, replicas int, settings ...string) (all []*Server, err error) {
	defer func() {
		if err != nil {
			for _, s := range all {
				s.Kill()
			}
			all = nil
		}
	}()
	first, err := process.FreePorts(2 * (masters + replicas))
	if err != nil {
		return nil, err
	}
	for i := range masters + replicas {
		own := filepath.Join(dir, fmt.Sprint("n", i))
		if err := os.MkdirAll(own, 0o700); err != nil {
			return all, err
		}
		s, err := newAt(first+2*i, nil, own, append([]string{"cluster-enabled yes", fmt.Sprint("cluster-port ", first+2*i+1)}, settings...))
		if err != nil {
			return all, err
		}
		all = append(all, s)
		// Masters with the same epoch settle it by a new one for one of them, which may
		// outdo a replica that has just taken its place.
		questions := [][]string{{"CLUSTER", "SET-CONFIG-EPOCH", strconv.Itoa(i + 1)}}
		if i < masters {
			questions = append(questions, []string{
				"CLUSTER", "ADDSLOTSRANGE", strconv.Itoa(i * slots / masters), strconv.Itoa((i+1)*slots/masters - 1),
			})
		}
		for _, other := range all[:i] {
			questions = append(questions, []string{"CLUSTER", "MEET", "127.0.0.1", strconv.Itoa(other.port), strconv.Itoa(other.port + 1)})
		}
		for _, words := range questions {
			if _, err := s.Ask(ctx, words...); err != nil {
				return all, err
			}
		}
	}
	for _, s := range all {
		if err := s.AwaitCluster(ctx, len(all)); err != nil {
			return all, err
		}
	}
	for i, s := range all[masters:] {
		id, err := all[i%masters].Ask(ctx, "CLUSTER", "MYID")
		if err != nil {
			return all, err
		}
		if _, err := s.Ask(ctx, "CLUSTER", "REPLICATE", id); err != nil {
			return all, err
		}
		if err := s.AwaitMaster(ctx); err != nil {
			return all, err
		}
	}
	return all, nil
}

// AwaitCluster waits until the server takes its cluster of so many servers to work.
// After a crash this takes two seconds, which Redis waits before it takes writes.
func (s *Server) AwaitCluster(ctx context.Context, servers int) error {
	return s.await(ctx, []string{"CLUSTER", "INFO"}, "cluster_state:ok", fmt.Sprint("cluster_slots_assigned:", slots),
		fmt.Sprint("cluster_known_nodes:", servers))
}

// AwaitMaster waits until the server has what the master has that it follows.
func (s *Server) AwaitMaster(ctx context.Context) error {
	return s.await(ctx, []string{"INFO", "replication"}, "master_link_status:up")
}

// TakeOver has a replica take the place of its master, which follows it then. Nothing
// is lost: the master takes no writes meanwhile. The other masters are not asked, as
// CLUSTER FAILOVER does it: they vote for one replica of a master in 30 seconds.
func (s *Server) TakeOver(ctx context.Context, master *Server) error {
	if _, err := master.Ask(ctx, "CLIENT", "PAUSE", "60000", "WRITE"); err != nil {
		return err
	}
	answer, err := master.Ask(ctx, "INFO", "replication")
	if err != nil {
		return err
	}
	_, offset, _ := strings.Cut(answer, "\nmaster_repl_offset:")
	offset, _, _ = strings.Cut(offset, "\r")
	if err := s.await(ctx, []string{"INFO", "replication"}, "slave_repl_offset:"+offset+"\r"); err != nil {
		return err
	}
	if _, err := s.Ask(ctx, "CLUSTER", "FAILOVER", "TAKEOVER"); err != nil {
		return err
	}
	if err := master.AwaitMaster(ctx); err != nil {
		return err
	}
	_, err = master.Ask(ctx, "CLIENT", "UNPAUSE")
	return err
}

// await asks until the answer has all of the texts.
func (s *Server) await(ctx context.Context, question []string, texts ...string) error {
	for {
		answer, err := s.Ask(ctx, question...)
		if err != nil && ctx.Err() == nil {
			return err
		}
		missing := ""
		for _, text := range texts {
			if !strings.Contains(answer, text) {
				missing = text
			}
		}
		if missing == "" {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w\n%s\n%s", missing, context.Cause(ctx), answer, &s.log)
		case <-time.After(10 * time.Millisecond):
		}
	}
}
