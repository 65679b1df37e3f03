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

// fetchSoon loads instances of one place that were put into the cache.
func (e *Engine) fetchSoon(l *lane, all ...*Instance) {
	f := &fetch{engine: e}
	f.then, f.err = f, errEnded
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
