package redisstore

import (
	"fmt"
	"hash/fnv"

	"github.com/stay-go/stay/store"
)

// A part of a store is what has one hash tag, and so one slot of a cluster. All
// records with one home are in one part. Most stores have one part.
type part struct {
	prefix string // of all its keys
	fence  *fence
}

// Parts of keys.
const (
	ofFences  = "fences"  // hash: process -> epoch and when it was raised
	ofFloor   = "floor"   // the highest revision of what was deleted
	ofExpires = "expires" // index of what expires: milliseconds -> name
	ofNames   = "names"   // index of all records, in the order of their names
	ofChanges = "changes" // the channel on which changes are announced
	ofFormat  = "format"  // which version of this package wrote the keys
	ofRecord  = "r:"      // and the name: a record
)

func newPart(tag string) *part { return &part{prefix: "{" + tag + "}:", fence: newFence()} }

// newParts returns the parts of a store. One that is not spread has its name alone
// as the tag.
func newParts(name string, n int) []*part {
	if n == 1 {
		return []*part{newPart(name)}
	}
	parts := make([]*part, n)
	for i := range parts {
		parts[i] = newPart(fmt.Sprintf("%s.%d", name, i))
	}
	return parts
}

// key is a key of the part.
func (p *part) key(of string) string { return p.prefix + of }

// partOf returns the number of the part that a record is in. All programs must
// agree on it.
func (s *Store) partOf(key string) int {
	if len(s.parts) == 1 {
		return 0
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(store.Home(key)))
	return int(h.Sum64() % uint64(len(s.parts)))
}

// divide returns the numbers from 0 to n-1 by the part that they belong to.
func (s *Store) divide(n int, key func(i int) string) [][]int {
	divided := make([][]int, len(s.parts))
	for i := range n {
		p := s.partOf(key(i))
		divided[p] = append(divided[p], i)
	}
	return divided
}
