package engine

import (
	"hash/maphash"
	"strings"
	"sync/atomic"
)

// The number of shards, a power of two. A small cache has one shard, so that
// its order of use is exact.
const (
	shards     = 16
	smallCache = 1024
)

// A cache finds instances by key, and bounds their number and the memory that
// they take. A shard's lock is never held while anything waits.
type cache struct {
	engine    *Engine
	seed      maphash.Seed
	bits      uint64 // of hashes that are used; all, except in tests
	maxCount  int64
	maxBytes  int64
	has       [segments]tally
	nextShard atomic.Uint32 // where the next search for something to evict begins
	n         uint32        // the number of shards in use
	shards    [shards]shard
}

type cacheKey struct {
	kind *Kind
	key  string
}

func newCache(e *Engine, maxCount int, maxBytes int64) *cache {
	c := &cache{engine: e, seed: maphash.MakeSeed(), bits: ^uint64(0), maxCount: int64(maxCount), maxBytes: maxBytes, n: shards}
	if maxCount < smallCache {
		c.n = 1
	}
	for i := range c.shards {
		c.shards[i].init()
	}
	return c
}

// count and bytes are the totals of all segments.
func (c *cache) count() int64 {
	return c.has[usedOnce].count.Load() + c.has[usedAgain].count.Load() + c.has[absent].count.Load()
}

func (c *cache) bytes() int64 {
	return c.has[usedOnce].bytes.Load() + c.has[usedAgain].bytes.Load() + c.has[absent].bytes.Load()
}

// place returns the shard of a key, and its hash there.
func (c *cache) place(k *Kind, key string) (*shard, uint64) {
	h := (maphash.String(c.seed, key) ^ k.salt) & c.bits
	return &c.shards[h&uint64(c.n-1)], h
}

// A use says how an instance is used.
type use struct {
	pin   bool  // it must not be evicted until release
	later bool  // by a caller that comes back to it
	at    int64 // when; 0 = only the order matters
}

// get returns the instance of a key, nil if there is none, and marks it as the
// latest used.
func (c *cache) get(k *Kind, key string, u use) *Instance {
	s, h := c.place(k, key)
	s.mu.Lock()
	in := s.find(h, k, key)
	if in != nil {
		if u.pin {
			in.pins.Add(1)
		}
		s.use(in, u.at)
		later := u.later && !in.early
		in.early = false
		switch o := &s.segments[in.segment]; {
		case in.segment == usedOnce && later:
			c.move(s, in, usedAgain)
		case in.segment == absent && u.pin:
			c.move(s, in, usedOnce)
		case o.end.next != in:
			in.unlink()
			o.pushFront(in)
		}
	}
	s.mu.Unlock()
	return in
}

// peek returns the instance of a key, nil if there is none. It does not count
// as a use.
func (c *cache) peek(k *Kind, key string) *Instance {
	s, h := c.place(k, key)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.find(h, k, key)
}

// link puts in into a segment, as the latest used.
func (c *cache) link(s *shard, in *Instance, to segment) {
	in.segment = to
	s.segments[to].pushFront(in)
	s.segments[to].n.Add(1)
	c.has[to].count.Add(1)
	c.has[to].bytes.Add(in.counted.bytes())
}

func (c *cache) unlink(s *shard, in *Instance) {
	in.unlink()
	s.segments[in.segment].n.Add(-1)
	c.has[in.segment].count.Add(-1)
	c.has[in.segment].bytes.Add(-in.counted.bytes())
}

func (c *cache) move(s *shard, in *Instance, to segment) {
	c.unlink(s, in)
	c.link(s, in, to)
}

// add puts in into the cache, pinned, or returns the instance that is already
// there, pinned. If the cache is over its bounds, instances that nobody uses
// are evicted. If there is no room, ok is false and in is not kept.
//
// The instance keeps its own copy of the key: the caller's key may be a small
// part of a large text, such as a request's path, which would stay in memory
// with it.
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
	s.use(in, used)
	s.insert(h, in)
	c.link(s, in, usedOnce)
	if one := in.kind.single; one != nil {
		one.in.Store(in)
	}
	s.mu.Unlock()
	if c.shrink() {
		return in, true
	}
	c.remove(in)
	in.lock()
	in.m.dead = true
	in.unlock()
	return in, false
}

// setAside moves in, which nobody uses and whose state does not exist, to the
// segment that is evicted first.
func (c *cache) setAside(in *Instance) {
	s, h := c.place(in.kind, in.key)
	s.mu.Lock()
	if v := in.snapshot.Load(); s.find(h, in.kind, in.key) == in && in.pins.Load() == 0 && v != nil && !v.Exists() {
		c.move(s, in, absent)
	}
	s.mu.Unlock()
}

// shrink evicts until the cache is within its bounds. It reports false if
// everything that is left is in use.
func (c *cache) shrink() (ok bool) {
	for c.over() {
		in := c.evictOldest()
		if in == nil {
			return !c.over()
		}
		if v := in.snapshot.Load(); !v.Exists() {
			continue // nobody misses it
		}
		if c == c.engine.guests {
			c.engine.reportLost()
		}
		if o := c.engine.cfg.Observer; o != nil {
			o.Evicted(in.kind)
		}
	}
	return true
}

// over reports whether the cache is over one of its bounds.
func (c *cache) over() bool {
	count, bytes := c.count(), c.bytes()
	a := &c.has[absent]
	count -= min(a.count.Load(), absent.share(c.maxCount))
	bytes -= min(a.bytes.Load(), absent.share(c.maxBytes))
	return count > c.maxCount || bytes > c.maxBytes
}

// beyond reports whether a segment has more than its share.
func (c *cache) beyond(g segment) bool {
	t := &c.has[g]
	return t.count.Load() > g.share(c.maxCount) || t.bytes.Load() > g.share(c.maxBytes)
}

// evictOldest evicts one instance and returns it, nil if there was none to
// evict.
func (c *cache) evictOldest() *Instance {
	if c.beyond(absent) {
		if in := c.evictOldestOf(absent, absent); in != nil {
			return in
		}
	}
	if !c.beyond(usedAgain) {
		if in := c.evictOldestOf(usedOnce, usedOnce); in != nil {
			return in
		}
	}
	return c.evictOldestOf(usedOnce, usedAgain)
}

// evictOldestOf is evictOldest for some segments. It begins with a different
// shard each time. Shards that have less than their share come last: otherwise
// random changes would leave some of them nearly empty, and what is put into
// those would soon be evicted again.
func (c *cache) evictOldestOf(from, to segment) *Instance {
	first, count := c.nextShard.Add(1), int64(0)
	for g := from; g <= to; g++ {
		count += c.has[g].count.Load()
	}
	for _, all := range []bool{false, true} {
		for i := range c.n {
			s := &c.shards[(first+i)%c.n]
			if !all && s.n(from, to)*int64(c.n) < count {
				continue
			}
			if in := s.evictOldest(c, from, to); in != nil {
				return in
			}
		}
	}
	return nil
}

// evictOldest evicts the least recently used instance of the shard, in some
// segments, that is not in use. Instances in use that it meets count as just
// used, so that the next search does not meet them again. So do instances that
// were read through their kind, because such a read does not move them to the
// front, unless there is nothing else to evict.
func (s *shard) evictOldest(c *cache, from, to segment) *Instance {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.n(from, to)
	for i := range 2 * n {
		o := s.oldest(from, to)
		in := o.end.prev
		one := in.kind.single
		if (one == nil || !one.used.Swap(false) || i >= n) && c.evict(s, in, false) {
			return in
		}
		in.unlink()
		o.pushFront(in)
		s.use(in, 0)
	}
	return nil
}

// unlinkLocked removes in from the shard's map and list.
func (c *cache) unlinkLocked(s *shard, in *Instance) {
	_, h := c.place(in.kind, in.key)
	s.remove(h, in)
	c.unlink(s, in)
	if one := in.kind.single; one != nil {
		one.in.Store(nil)
	}
	in.counted = 0
}

// remove removes in from the cache, used or not. It reports false if in was not
// there any more.
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

// resize counts in with its present size. A caller that has changed the size
// calls it; if several do so, the last call counts the changes of all. first is the
// version of an instance that is about to be started: it is counted before
// anybody can use it.
func (c *cache) resize(in *Instance, first *Version) {
	s, h := c.place(in.kind, in.key)
	s.mu.Lock()
	grown := false
	if s.find(h, in.kind, in.key) == in {
		v := first
		if v == nil {
			v = in.snapshot.Load()
		}
		w := in.weigh(v)
		c.has[in.segment].bytes.Add(w.bytes() - in.counted.bytes())
		grown = w > in.counted
		in.counted = w
		if in.segment == absent && v.Exists() { // the group of another instance stored it
			c.move(s, in, usedOnce)
		}
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

// reportLost logs, at most once a minute, that ephemeral state was dropped
// because memory was full.
func (e *Engine) reportLost() {
	total := e.lost.Add(1)
	now := e.cfg.Now().Unix()
	if last := e.lostLogged.Load(); now-last >= 60 && e.lostLogged.CompareAndSwap(last, now) {
		e.cfg.Logger.Warn("ephemeral state was dropped to stay within MaxGuests and MaxBytes", "dropped_total", total)
	}
}

// Peek returns the committed version, expired or not, if it is in memory,
// otherwise nil. It does not count as a use.
func (e *Engine) Peek(k *Kind, key string) *Version {
	in := k.cache.peek(k, key)
	if in == nil {
		return nil
	}
	return in.snapshot.Load()
}
