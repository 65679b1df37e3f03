package engine

import (
	"sync"
	"sync/atomic"
)

// A segment is a part of the cache with its own order of use. When the cache is
// over a bound, the segments decide what is evicted first, so that states that
// are used once, however many, do not drive out states that are used again and
// again.
type segment uint8

const (
	// usedOnce: instances that were not used again later.
	usedOnce segment = iota
	// usedAgain: instances that were used again later. While the segment is within
	// its share, it stays as long as there is anything of usedOnce to evict.
	// Beyond its share, the least recently used of both is evicted.
	usedAgain
	// absent: instances of states that do not exist, and that nobody uses now.
	// Memory only knows that the store need not be asked for them. Instances
	// within the share of the segment do not count, and the rest is evicted before
	// anything else.
	absent
	segments
)

// share is how much of a bound of the cache a segment may use.
func (g segment) share(bound int64) int64 {
	switch g {
	case usedAgain:
		return bound / 4 * 3
	case absent:
		return bound / 16
	}
	return bound
}

// A tally is a number of instances, and the memory that they take.
type tally struct{ count, bytes atomic.Int64 }

// A shard finds instances by the hash of their keys, which takes less memory
// than the keys would. Of several instances with the same hash, all but one are
// found by the key itself.
type shard struct {
	mu       sync.Mutex
	m        map[uint64]*Instance
	more     map[cacheKey]*Instance
	segments [segments]order
	uses     int64 // the latest Instance.used
}

// An order holds instances in the order of use.
type order struct {
	end Instance     // sentinel: next is the latest used, prev the oldest
	n   atomic.Int64 // the number of instances
}

func (s *shard) init() {
	s.m = map[uint64]*Instance{}
	for i := range s.segments {
		o := &s.segments[i]
		o.end.next, o.end.prev = &o.end, &o.end
	}
}

// find returns the instance of a key, nil if there is none.
func (s *shard) find(h uint64, k *Kind, key string) *Instance {
	in := s.m[h]
	if in != nil && in.kind == k && in.key == key {
		return in
	}
	if len(s.more) == 0 {
		return nil
	}
	return s.more[cacheKey{k, key}]
}

// insert adds an instance whose key is not in the shard.
func (s *shard) insert(h uint64, in *Instance) {
	if s.m[h] == nil {
		s.m[h] = in
		return
	}
	if s.more == nil {
		s.more = map[cacheKey]*Instance{}
	}
	s.more[cacheKey{in.kind, in.key}] = in
}

// remove removes an instance that is in the shard.
func (s *shard) remove(h uint64, in *Instance) {
	if s.m[h] == in {
		delete(s.m, h)
		return
	}
	delete(s.more, cacheKey{in.kind, in.key})
}

// all yields the instances of the shard.
func (s *shard) all(yield func(*Instance) bool) {
	for i := range s.segments {
		end := &s.segments[i].end
		for in := end.next; in != end; in = in.next {
			if !yield(in) {
				return
			}
		}
	}
}

// n is the number of instances in the segments.
func (s *shard) n(from, to segment) (n int64) {
	for g := from; g <= to; g++ {
		n += s.segments[g].n.Load()
	}
	return n
}

// oldest returns the segment, of those given, whose least recently used
// instance was used the longest ago. At least one of them must not be empty.
func (s *shard) oldest(from, to segment) *order {
	var found *order
	for g := from; g <= to; g++ {
		if o := &s.segments[g]; o.end.prev != &o.end && (found == nil || o.end.prev.used < found.end.prev.used) {
			found = o
		}
	}
	return found
}

// use records when in was used; 0 = after all others.
func (s *shard) use(in *Instance, at int64) {
	if at == 0 {
		at = s.uses + 1
	}
	in.used = at
	s.uses = max(s.uses, at)
}

// pushFront makes in the latest used.
func (o *order) pushFront(in *Instance) {
	in.prev, in.next = &o.end, o.end.next
	in.prev.next, in.next.prev = in, in
}

func (in *Instance) unlink() {
	in.prev.next, in.next.prev = in.next, in.prev
	in.prev, in.next = nil, nil
}
