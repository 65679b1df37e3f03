package pgstore_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/pgstore"
)

// BenchmarkCommit replaces records of 300 bytes. Those in groups of one take the
// short way; a group of several takes the way of all other groups.
func BenchmarkCommit(b *testing.B) {
	server, err := shared.Get()
	check(b, err)
	s, err := pgstore.Open(b.Context(), server.URL())
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	value := bytes.Repeat([]byte("x"), 300)
	for _, c := range []struct{ groups, writes int }{{1, 1}, {64, 1}, {1, 64}} {
		b.Run(fmt.Sprintf("%d groups of %d", c.groups, c.writes), func(b *testing.B) {
			groups := make([]store.Group, c.groups)
			for i := range groups {
				for range c.writes {
					groups[i] = append(groups[i], store.Write{Key: fmt.Sprint("key ", schemas.Add(1)), Value: value})
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
