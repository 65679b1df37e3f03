package engine

import "context"

// add adds the query of a fetch to those that wait. It reports false if there
// are no loaders any more.
func (qs *queries) add(q *query) bool {
	qs.mu.Lock()
	defer qs.mu.Unlock()
	if qs.stopped {
		return false
	}
	qs.waiting = append(qs.waiting, q)
	qs.next()
	return true
}

// runLoader makes calls for fetches until the engine ends. If a store ends its
// goroutine (runtime.Goexit), another one goes on.
func (l *lane) runLoader() {
	over := false
	defer func() {
		if !over && !l.start(func(context.Context) { l.runLoader() }) {
			l.refuseFetches()
		}
	}()
	for {
		select {
		case <-l.queries.loaders:
			l.lead(nil)
		case <-l.ctx.Done():
			over = true
			l.refuseFetches()
			return
		}
	}
}

// refuseFetches ends the fetches that no loader makes any more.
func (l *lane) refuseFetches() {
	for _, f := range l.queries.end() {
		f.refuse()
	}
}

// end is called when a loader ends. It returns the fetches that are left.
func (qs *queries) end() (fetches []receiver) {
	qs.mu.Lock()
	defer qs.mu.Unlock()
	qs.stopped = true
	var rest []*query
	for _, q := range qs.waiting {
		if q.then != nil {
			fetches = append(fetches, q.then)
		} else {
			rest = append(rest, q)
		}
	}
	qs.waiting = rest
	for {
		select {
		case <-qs.loaders: // a call that no loader makes
			qs.calls--
			qs.open = false
		default:
			qs.next()
			return fetches
		}
	}
}
