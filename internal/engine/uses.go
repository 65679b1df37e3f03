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

// Watchers calls f for each Watch of a state. Nobody begins or ends to watch
// meanwhile, so f must not wait.
func (e *Engine) Watchers(k *Kind, key string, f func(*Watch)) {
	e.topics.eachOf(topicKey{k, key}, f)
}

// AllWatchers calls f for each Watch of each state, as Watchers does. It looks at
// every state that somebody watches, so it is for people and not for each request.
func (e *Engine) AllWatchers(f func(k *Kind, key string, w *Watch)) {
	e.topics.each(func(k topicKey, w *Watch) { f(k.kind.(*Kind), k.key, w) })
}
