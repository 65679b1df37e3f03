package engine

import (
	"context"

	"github.com/stay-go/stay/store"
)

// largeRecord is the length of a value from which on it is decoded in a
// goroutine of its own: the others of its call must not wait for it.
const largeRecord = 16 << 10

// A fetch loads instances with one query. Its callers wait for the instances,
// and may leave, so it is not they who make the call: if no other call takes it
// along, a loader does. With a goroutine for each fetch, much of the time of a
// load went into growing its stack, since a call of the store goes deep.
type fetch struct {
	query
	engine *Engine
	of     []*Instance
	pair   struct { // the memory for a few
		of    [2]*Instance
		reads [2]store.Read
	}
}

// fetchSoon loads instances that were put into the cache.
// They are at one place.
func (e *Engine) fetchSoon(l *lane, all ...*Instance) {
	f := &fetch{engine: e}
	f.fetch, f.err = f, errEnded
	f.of, f.reads = append(f.pair.of[:0], all...), f.pair.reads[:0]
	for _, in := range all {
		f.reads = append(f.reads, store.Read{Key: in.kind.Prefix + in.key})
		e.observeMiss(in.kind)
	}
	switch gone := l.pulse.gone(); {
	case gone != nil:
		f.err = gone
		f.deliver()
	case !l.queries.add(&f.query):
		f.refuse()
	}
}

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

// runLoader makes calls for fetches until the engine ends.
func (l *lane) runLoader() {
	for {
		select {
		case <-l.queries.loaders:
			l.lead(nil)
		case <-l.ctx.Done():
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
func (qs *queries) end() (fetches []*fetch) {
	qs.mu.Lock()
	defer qs.mu.Unlock()
	qs.stopped = true
	var rest []*query
	for _, q := range qs.waiting {
		if q.fetch != nil {
			fetches = append(fetches, q.fetch)
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

// refuse ends the loads because the engine has ended, which is no failure of a
// state.
func (f *fetch) refuse() {
	for _, in := range f.of {
		f.engine.endLoading(in, nil, "", errClosed())
	}
}

// deliver makes versions from what was read. User code, which may end its
// goroutine, gets its own goroutine.
func (f *fetch) deliver() {
	e := f.engine
	for i, in := range f.of {
		switch {
		case f.err != nil:
			e.endLoading(in, nil, "load", storeError(phaseLoad, f.err))
		case !in.kind.RunsUserCode && len(f.recs[i].Value) < largeRecord:
			e.decodeInto(in, &f.recs[i])
		case !e.Go(func(context.Context) { e.decodeInto(in, &f.recs[i]) }):
			e.endLoading(in, nil, "", errClosed())
		}
	}
}
