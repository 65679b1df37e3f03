package engine

// A Use is what memory holds of one kind.
type Use struct {
	States  int   // that exist
	Bytes   int64 // estimated
	Unsaved int   // with changes that the store lacks
}

// Uses returns what memory holds of each kind. It looks at every instance, so it
// is for people and not for each request.
func (e *Engine) Uses() map[*Kind]Use {
	uses := map[*Kind]Use{}
	for _, c := range []*cache{e.instances, e.guests} {
		for i := range c.shards {
			s := &c.shards[i]
			s.mu.Lock()
			for in := range s.all {
				v := in.snapshot.Load()
				if v == nil || !v.Exists() {
					continue
				}
				u := uses[in.kind]
				u.States++
				u.Bytes += in.counted.bytes()
				if v.unsaved {
					u.Unsaved++
				}
				uses[in.kind] = u
			}
			s.mu.Unlock()
		}
	}
	return uses
}

// Watchers returns how many watch a state.
func (e *Engine) Watchers(k *Kind, key string) int { return e.topics.watchers(topicKey{k, key}) }

// AllWatchers returns how many watch states of each kind. It looks at every state
// that somebody watches, so it is for people and not for each request.
func (e *Engine) AllWatchers() map[*Kind]int {
	all := map[*Kind]int{}
	e.topics.each(func(k topicKey, n int) { all[k.kind.(*Kind)] += n })
	return all
}
