package sharded_test

import (
	"fmt"
	"testing"

	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
)

// BenchmarkCommit compares a group at one home, and one over two, with the store
// below alone. It reports calls of that store.
func BenchmarkCommit(b *testing.B) {
	group := func(i int, keys ...string) store.Group {
		g := make(store.Group, len(keys))
		for k, key := range keys {
			g[k] = store.Write{Key: fmt.Sprint(key, i), Value: make([]byte, 300)}
		}
		return g
	}
	for _, c := range []struct {
		name string
		over bool
		keys []string
	}{
		{"below", false, []string{"session/cart/s", "stay/session/s"}},
		{"one home", true, []string{"session/cart/s", "stay/session/s"}},
		{"two homes", true, []string{"stay/session/s", "stay/user/u"}},
		{"three homes", true, []string{"stay/session/s", "stay/user/u", "key/m/k"}},
	} {
		b.Run(c.name, func(b *testing.B) {
			count := &counted{Store: memstore.New()}
			s := store.Store(count)
			if c.over {
				s = over(nil, atHomeOf{count})
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if res := s.Commit(b.Context(), []store.Group{group(i, c.keys...)})[0]; res.Outcome != store.Applied {
					b.Fatal(res.Outcome, res.Err)
				}
			}
			b.ReportMetric(float64(count.loads.Load()+count.commits.Load())/float64(b.N), "calls/op")
		})
	}
}

// BenchmarkLoad compares a read with one of the store below.
func BenchmarkLoad(b *testing.B) {
	m := memstore.New()
	for name, s := range map[string]store.Store{
		"below": m, "sharded": over(nil, m), "router over three": over(nil, routed(nil, memstore.New(), memstore.New(), memstore.New())),
	} {
		b.Run(name, func(b *testing.B) {
			rev := store.Revision(0)
			if res := s.Commit(b.Context(), []store.Group{{{Key: "session/cart/s", Value: make([]byte, 300)}}})[0]; res.Outcome == store.Applied {
				rev = res.Revisions[0]
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Load(b.Context(), []store.Read{{Key: "session/cart/s", Have: rev}, {Key: "stay/session/s"}}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// atHomeOf declares groups at one home.
type atHomeOf struct{ store.Store }

func (s atHomeOf) Features() store.Features {
	f := s.Store.Features()
	f.Groups, f.GroupsAtHome = false, true
	return f
}
