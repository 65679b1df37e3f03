package redisstore_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stay-go/stay/internal/redisserver"
	"github.com/stay-go/stay/internal/storekit"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/redisstore"
)

// cluster starts a cluster of two servers, which have half of the slots each.
func cluster(t *testing.T) (first, second *redisserver.Server) {
	t.Helper()
	servers, err := redisserver.NewCluster(storekit.Within(t), t.TempDir(), 2, 0)
	check(t, err)
	for _, s := range servers {
		t.Cleanup(s.Kill)
	}
	return servers[0], servers[1]
}

// TestCluster proves that the keys of a store are in one slot of a cluster, and
// those of one that is spread on all servers, where groups have one home.
//
// Proves C2, C4.
func TestCluster(t *testing.T) {
	t.Parallel()
	s, other := cluster(t)
	for _, spread := range []int{1, 40} {
		t.Run(fmt.Sprint(spread), func(t *testing.T) {
			st := open(t, s.URL(), redisstore.Name(fmt.Sprint("by", spread)), redisstore.Spread(spread))
			if f := st.Features(); f.Groups != (spread == 1) || !f.GroupsAtHome {
				t.Errorf("%+v", f)
			}
			w := storekit.Watch(t, st)
			var groups []store.Group
			for i := range 200 {
				groups = append(groups, store.Group{
					{Key: fmt.Sprintf("session/cart/%03d", i), Expires: time.UnixMilli(1)}, {Key: fmt.Sprintf("stay/session/%03d", i)},
				})
			}
			results := st.Commit(storekit.Within(t), groups)
			var reads []store.Read
			for i, r := range results {
				if r.Outcome != store.Applied {
					t.Fatal(r.Outcome, r.Err)
				}
				reads = append(reads, store.Read{Key: groups[i][1].Key}, store.Read{Key: groups[i][0].Key, Have: r.Revisions[0]})
			}
			records, err := st.Load(storekit.Within(t), reads)
			if err != nil {
				t.Fatal(err)
			}
			for i, r := range results {
				if records[2*i].Revision != r.Revisions[1] || records[2*i].Key != groups[i][1].Key || records[2*i+1].Revision != r.Revisions[0] {
					t.Errorf("%v and %v, want %v", records[2*i], records[2*i+1], r.Revisions)
				}
				w.WantNamed(t, groups[i][0].Key, r.Revisions[0], 1)
			}
			if expired, err := st.Expired(storekit.Within(t), time.Now(), 150); err != nil || len(expired) != 150 {
				t.Errorf("%d, %v", len(expired), err)
			}
			keys, err := st.List(storekit.Within(t), time.UnixMilli(0), "session/", "session/cart/010", 50)
			if err != nil || len(keys) != 50 || keys[0] != "session/cart/011" || keys[49] != "session/cart/060" {
				t.Errorf("%q, %v", keys, err)
			}
			r := storekit.One(st, store.Write{Key: "session/cart/a"}, store.Write{Key: "session/cart/b"})
			if want := map[bool]store.Outcome{true: store.Applied, false: store.Rejected}[spread == 1]; r.Outcome != want {
				t.Errorf("a group of two homes: %v: %v", r.Outcome, r.Err)
			}
			used := 0
			for _, s := range []*redisserver.Server{s, other} {
				if ask(t, s, "KEYS", fmt.Sprintf("{by%d*", spread)) != "" {
					used++
				}
			}
			if used != min(spread, 2) {
				t.Errorf("%d servers have records", used)
			}
		})
	}
}

// TestSpreadIsKept proves that a store is refused that would look for records in other
// places than they are.
func TestSpreadIsKept(t *testing.T) {
	t.Parallel()
	s := ownServer(t)
	_ = open(t, s.URL(), redisstore.Spread(4)).Close()
	if st, err := redisstore.Open(storekit.Within(t), s.URL(), redisstore.Spread(8)); err == nil || errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "over 4 tags, and not 8") {
		t.Errorf("%v, %v", st, err)
	}
	_ = open(t, s.URL(), redisstore.Spread(4)).Close()
	for _, n := range []int{0, -1, 1025} {
		if st, err := redisstore.Open(storekit.Within(t), s.URL(), redisstore.Spread(n)); err == nil {
			t.Errorf("%v is spread over %d", st, n)
		}
	}
}
