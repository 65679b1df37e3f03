package engine

import (
	"hash/maphash"
	"strings"
	"sync"
	"sync/atomic"
)

// How many shards there are, a power of two; a small cache has one, so that its
// order of use is exact.
const (
	shards     = 16
	smallCache = 1024
)

// A cache finds instances by key and bounds how many there are. Each shard is
// a map and a list in the order of use; a shard's lock is never held while
// anything waits.
type cache struct {
	engine    *Engine
	seed      maphash.Seed
	bits      uint64 // of hashes that are used; all but in tests
	maxCount  int64
	maxBytes  int64
	count     atomic.Int64
	bytes     atomic.Int64
	nextShard atomic.Uint32 // where to look for something to evict
	n         uint32        // of the shards that are used
	shards    [shards]shard
}

type cacheKey struct {
	kind *Kind
	key  string
}

// A shard finds instances by the hash of their keys, which takes less memory
// than the keys would. Of instances with the same hash, all but one are found by
// the key itself.
type shard struct {
	mu   sync.Mutex
	m    map[uint64]*Instance
	more map[cacheKey]*Instance
	n    atomic.Int64 // how many there are
	list Instance     // sentinel: next is the latest used, prev the oldest
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

// remove takes an instance out that is in the shard.
func (s *shard) remove(h uint64, in *Instance) {
	if s.m[h] == in {
		delete(s.m, h)
		return
	}
	delete(s.more, cacheKey{in.kind, in.key})
}

// all yields the instances of the shard.
func (s *shard) all(yield func(*Instance) bool) {
	for in := s.list.next; in != &s.list; in = in.next {
		if !yield(in) {
			return
		}
	}
}

func newCache(e *Engine, maxCount int, maxBytes int64) *cache {
	c := &cache{engine: e, seed: maphash.MakeSeed(), bits: ^uint64(0), maxCount: int64(maxCount), maxBytes: maxBytes, n: shards}
	if maxCount < smallCache {
		c.n = 1
	}
	for i := range c.shards {
		s := &c.shards[i]
		s.m = map[uint64]*Instance{}
		s.list.next, s.list.prev = &s.list, &s.list
	}
	return c
}

// place returns the shard of a key, and its hash there.
func (c *cache) place(k *Kind, key string) (*shard, uint64) {
	h := (maphash.String(c.seed, key) ^ k.salt) & c.bits
	return &c.shards[h&uint64(c.n-1)], h
}

// get returns the instance of a key, nil if there is none, and makes it the
// latest used.
func (c *cache) get(k *Kind, key string, pin bool, used int64) *Instance {
	s, h := c.place(k, key)
	s.mu.Lock()
	in := s.find(h, k, key)
	if in != nil {
		if pin {
			in.pins.Add(1)
		}
		if used != 0 {
			in.used = used
		}
		if s.list.next != in {
			in.unlink()
			s.pushFront(in)
		}
	}
	s.mu.Unlock()
	return in
}

// peek returns the instance of a key, nil if there is none.
func (c *cache) peek(k *Kind, key string) *Instance {
	s, h := c.place(k, key)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.find(h, k, key)
}

// add puts in, pinned, into the cache, or returns the instance that is there
// already, pinned. If the cache is over its bounds, the least recently used
// instances that nobody uses are evicted; ok is false, and in is not kept,
// when there is no room.
//
// The instance keeps a key of its own: the caller's may be a small part of a
// large text, such as a request's path, which would stay in memory with it.
func (c *cache) add(in *Instance, used int64) (got *Instance, ok bool) {
	s, h := c.place(in.kind, in.key)
	s.mu.Lock()
	if old := s.find(h, in.kind, in.key); old != nil {
		old.pins.Add(1)
		s.mu.Unlock()
		return old, true
	}
	if !in.kind.OwnKeys {
		in.key = strings.Clone(in.key)
	}
	in.pins.Add(1)
	in.used = used
	s.insert(h, in)
	s.pushFront(in)
	if one := in.kind.single; one != nil {
		one.in.Store(in)
	}
	s.n.Add(1)
	s.mu.Unlock()
	c.count.Add(1)
	if c.shrink() {
		return in, true
	}
	c.remove(in)
	in.lock()
	in.m.dead = true
	in.unlock()
	return in, false
}

// shrink evicts until the cache is within its bounds. It reports false when
// everything that is left is in use.
func (c *cache) shrink() (ok bool) {
	for c.over() {
		k := c.evict()
		if k == nil {
			return !c.over()
		}
		if c == c.engine.guests {
			c.engine.reportDropped()
		}
		if o := c.engine.cfg.Observer; o != nil {
			o.Evicted(k)
		}
	}
	return true
}

// evict removes one instance, beginning with a different shard each time, and
// returns its kind, nil if there was none to remove. Shards that have less than
// their share come last: what comes and goes by chance would leave some of them
// nearly empty, and what is put into those would soon be gone again.
func (c *cache) evict() *Kind {
	first, count := c.nextShard.Add(1), c.count.Load()
	for _, all := range []bool{false, true} {
		for i := range c.n {
			s := &c.shards[(first+i)%c.n]
			if !all && s.n.Load()*int64(c.n) < count {
				continue
			}
			if k := s.evict(c); k != nil {
				return k
			}
		}
	}
	return nil
}

func (c *cache) over() bool {
	return c.count.Load() > c.maxCount || c.bytes.Load() > c.maxBytes
}

// evict removes the least recently used of the shard's instances that is not
// in use. Those in use that it meets count as just used, so that the next
// search does not meet them again; so do those that were read through their
// kind, which does not put them in front, unless there is nothing else.
func (s *shard) evict(c *cache) *Kind {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.m) + len(s.more)
	for i := range 2 * n {
		in := s.list.prev
		one := in.kind.single
		if (one == nil || !one.used.Swap(false) || i >= n) && c.retire(s, in) {
			c.left(in, false)
			return in.kind
		}
		in.unlink()
		s.pushFront(in)
	}
	return nil
}

// retire removes in if nobody uses it. The shard is locked, so nobody can
// begin to.
func (c *cache) retire(s *shard, in *Instance) bool {
	if in.pins.Load() > 0 || in.snapshot.Load() == nil || !in.mu.TryLock() {
		return false
	}
	defer in.mu.Unlock()
	if in.active != nil || in.dead || !in.clean() {
		return false
	}
	in.dead = true
	c.unlinkLocked(s, in)
	return true
}

// left tells of an instance that was retired.
func (c *cache) left(in *Instance, idle bool) {
	c.engine.departures.add(in, in.snapshot.Load(), idle)
}

// unlinkLocked takes in out of the shard's map and list.
func (c *cache) unlinkLocked(s *shard, in *Instance) {
	_, h := c.place(in.kind, in.key)
	s.remove(h, in)
	in.unlink()
	if one := in.kind.single; one != nil {
		one.in.Store(nil)
	}
	s.n.Add(-1)
	c.count.Add(-1)
	c.bytes.Add(-in.size)
	in.size = 0
}

// remove takes in out of the cache, used or not. It reports false if it was
// not there any more.
func (c *cache) remove(in *Instance) bool {
	s, h := c.place(in.kind, in.key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.find(h, in.kind, in.key) != in {
		return false
	}
	c.unlinkLocked(s, in)
	return true
}

// drop removes in if nobody uses it and it can be had again: it is stored, or
// still as it was made. Only under the lock is that certain. With leaves, it
// leaves memory as an evicted one does; without, it was never more than a
// reader's.
func (c *cache) drop(in *Instance, leaves bool) {
	s, h := c.place(in.kind, in.key)
	s.mu.Lock()
	v := in.snapshot.Load()
	if s.find(h, in.kind, in.key) == in && (in.kind.Backend != nil || v != nil && v.Revision == 0) &&
		c.retire(s, in) && leaves {
		c.left(in, false)
	}
	s.mu.Unlock()
}

// resize counts in as large as it is now; whoever has changed its size calls
// it. Of several the last one counts what all have made of it. first is the
// version of one that is about to be started: it is counted before anybody can
// use it.
func (c *cache) resize(in *Instance, first *Version) {
	s, h := c.place(in.kind, in.key)
	s.mu.Lock()
	grown := false
	if s.find(h, in.kind, in.key) == in {
		v := first
		if v == nil {
			v = in.snapshot.Load()
		}
		size := v.size(in.key)
		c.bytes.Add(size - in.size)
		grown = size > in.size
		in.size = size
	}
	s.mu.Unlock()
	if grown {
		c.shrink()
	}
}

// all returns every instance.
func (c *cache) all() []*Instance {
	var out []*Instance
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		for in := range s.all {
			out = append(out, in)
		}
		s.mu.Unlock()
	}
	return out
}

func (s *shard) pushFront(in *Instance) {
	in.prev, in.next = &s.list, s.list.next
	in.prev.next, in.next.prev = in, in
}

func (in *Instance) unlink() {
	in.prev.next, in.next.prev = in.next, in.prev
	in.prev, in.next = nil, nil
}
