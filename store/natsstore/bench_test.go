package natsstore_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/stay-go/stay/internal/storekit"
	"github.com/stay-go/stay/store"
)

// BenchmarkCommit replaces records of 300 bytes.
func BenchmarkCommit(b *testing.B) {
	value := bytes.Repeat([]byte("x"), 300)
	for replicas, url := range map[int]string{1: theServer(b), 3: theCluster(b)} {
		s := open(b, url, place())
		for _, c := range []struct{ groups, writes int }{{1, 1}, {64, 1}, {1, 2}, {1, 64}} {
			b.Run(fmt.Sprintf("%d replicas, %d groups of %d", replicas, c.groups, c.writes), func(b *testing.B) {
				groups := make([]store.Group, c.groups)
				for i := range groups {
					for range c.writes {
						groups[i] = append(groups[i], store.Write{Key: fmt.Sprint("key ", places.Add(1)), Value: value})
					}
				}
				commit := func() {
					for i, r := range s.Commit(b.Context(), groups) {
						if r.Outcome != store.Applied {
							b.Fatal(r.Outcome, r.Err)
						}
						for j := range groups[i] {
							groups[i][j].Base = r.Revisions[j]
						}
					}
				}
				commit()
				b.ResetTimer()
				for range b.N {
					commit()
				}
			})
		}
	}
}

// BenchmarkLoad reads records of 300 bytes.
func BenchmarkLoad(b *testing.B) {
	value := bytes.Repeat([]byte("x"), 300)
	for replicas, url := range map[int]string{1: theServer(b), 3: theCluster(b)} {
		s := open(b, url, place())
		for _, n := range []int{2, 64} {
			reads := make([]store.Read, n)
			for i := range reads {
				reads[i].Key = fmt.Sprint("key ", places.Add(1))
				if r := storekit.One(s, store.Write{Key: reads[i].Key, Value: value}); r.Outcome != store.Applied {
					b.Fatal(r.Outcome, r.Err)
				}
			}
			b.Run(fmt.Sprintf("%d replicas, %d records", replicas, n), func(b *testing.B) {
				for range b.N {
					if _, err := s.Load(b.Context(), reads); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
