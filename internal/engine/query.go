package engine

import (
	"context"
	"runtime"
	"sync"

	"github.com/stay-go/stay/store"
)

// Limits of calls of Store.Load.
const (
	// maxLoads is how many are under way: one alone would let everybody wait
	// for what is left of it, and with more of them fewer queries are joined.
	maxLoads = 2
	// maxReads is how many reads are joined into one.
	maxReads = 512
)

// A query is what one caller reads from a store. Queries that wait while calls
// are under way go into the next call together. No query joins a call that was
// sent already: the store may have read before that caller asked (N1).
type query struct {
	reads []store.Read
	recs  []store.Record
	err   error
	// lead tells one that waits: true, to make the next call; false, that it
	// is answered. It is nil for a fetch, and for one that has not waited.
	lead chan bool
	then receiver // of a fetch; nil: of a caller that waits
}

// A receiver is told about the answer of a query for which nobody waits.
type receiver interface {
	// deliver is called when the query has its answer.
	deliver()
	// refuse is called instead if the engine ends before.
	refuse()
}

// queries are those of one lane. Callers that wait make the calls themselves,
// and take fetches along. Where only fetches wait, a loader makes the call.
type queries struct {
	mu      sync.Mutex
	waiting []*query
	calls   int           // under way, or about to be sent
	open    bool          // one of them is about to be sent, and takes along who waits
	loaders chan struct{} // has a token for each call that a loader is to make
	stopped bool          // there are no loaders

	engine, ctx context.Context // ctx is that of calls
	cancel      context.CancelFunc
}

// readAll returns records with one call, which may also be for others.
func (l *lane) readAll(reads []store.Read) ([]store.Record, error) {
	if err := l.pulse.gone(); err != nil {
		return nil, storeError(phaseLoad, err)
	}
	q := &query{reads: reads, err: errEnded}
	if l.features.Immediate {
		q.recs, q.err = l.load(reads)
	} else if l.queries.enter(q) || <-q.lead {
		l.lead(q)
	}
	if q.err != nil {
		return nil, storeError(phaseLoad, q.err)
	}
	return q.recs, nil
}

// enter reports whether q makes a call at once. Otherwise it waits.
func (qs *queries) enter(q *query) bool {
	qs.mu.Lock()
	defer qs.mu.Unlock()
	if !qs.open && qs.calls < maxLoads {
		qs.calls++
		qs.open = true
		return true
	}
	q.lead = make(chan bool, 1)
	qs.waiting = append(qs.waiting, q)
	return false
}

// lead makes a call for q and for those that wait; q is nil for a loader.
func (l *lane) lead(q *query) {
	all := l.queries.gather(q)
	defer func() {
		l.queries.leave()
		for _, other := range all {
			if other.then == nil && other != q {
				other.lead <- false
			}
		}
		for _, other := range all { // which takes longer
			if other.then != nil {
				other.then.deliver()
			}
		}
	}()
	if len(all) > 0 { // an outage may have answered them
		l.answer(all)
	}
}

// gather yields until no more queries come, and returns those of one call.
func (qs *queries) gather(q *query) (all []*query) {
	for before := -1; ; {
		qs.mu.Lock()
		now := len(qs.waiting)
		if now == before || now >= maxReads {
			break
		}
		before = now
		qs.mu.Unlock()
		runtime.Gosched()
	}
	defer qs.mu.Unlock()
	n, taken := 0, 0
	if q != nil {
		all, n = append(all, q), len(q.reads)
	}
	for ; taken < len(qs.waiting); taken++ {
		if n += len(qs.waiting[taken].reads); n > maxReads && len(all)+taken > 0 {
			break
		}
	}
	all = append(all, qs.waiting[:taken]...)
	qs.waiting = append([]*query(nil), qs.waiting[taken:]...)
	qs.open = false
	qs.next()
	return all
}

// leave ends a call.
func (qs *queries) leave() {
	qs.mu.Lock()
	defer qs.mu.Unlock()
	qs.calls--
	qs.next()
}

// next has the first that waits make a call, if there may be another one.
func (qs *queries) next() {
	if len(qs.waiting) == 0 || qs.open || qs.calls >= maxLoads {
		return
	}
	qs.calls++
	qs.open = true
	if first := qs.waiting[0]; first.then == nil {
		first.lead <- true
		qs.waiting = qs.waiting[1:]
		return
	}
	qs.loaders <- struct{}{} // has room for all calls
}

// stop ends all queries because of an outage: those that wait get its error, and
// calls under way are given up. The caller delivers the fetches.
func (qs *queries) stop(err error) (fetches []receiver) {
	qs.mu.Lock()
	defer qs.mu.Unlock()
	for _, q := range qs.waiting {
		if q.err = err; q.then != nil {
			fetches = append(fetches, q.then)
			continue
		}
		q.lead <- false
	}
	qs.waiting = nil
	qs.cancel()
	qs.begin(qs.engine)
	return fetches
}

// begin makes the context of calls, which ends with an outage.
func (qs *queries) begin(engine context.Context) {
	qs.engine = engine
	qs.ctx, qs.cancel = context.WithCancel(engine)
}

func (qs *queries) context() context.Context {
	qs.mu.Lock()
	defer qs.mu.Unlock()
	return qs.ctx
}

// answer asks the store for what all of them read. If the cause of an error can
// be one of the records, the others are not to suffer from it.
func (l *lane) answer(all []*query) {
	reads, at := join(all)
	recs, err := l.load(reads)
	if err != nil && len(all) > 1 && l.causedByRecord(err) {
		half := len(all) / 2
		l.answer(all[:half])
		l.answer(all[half:])
		return
	}
	for _, q := range all {
		if q.err = err; err == nil {
			q.recs = q.pick(recs, at)
		}
	}
}

// causedByRecord reports whether the cause of an error of Store.Load can be one of
// the records. At a place that answers otherwise it can be one about which another
// place would have to be asked.
func (l *lane) causedByRecord(err error) bool {
	if !unavailable(err) {
		return true
	}
	if l.placer == nil || l.pulse.gone() != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(l.queries.context(), firstAttempt)
	defer cancel()
	return l.ask(ctx) == nil
}

// join returns the reads of all, each key once, and their places; no places for
// a single query. The record must be complete if not all have the same
// revision.
func join(all []*query) (reads []store.Read, at map[string]int) {
	if len(all) == 1 {
		return all[0].reads, nil
	}
	at = map[string]int{}
	for _, q := range all {
		for _, r := range q.reads {
			i, ok := at[r.Key]
			switch {
			case !ok:
				at[r.Key] = len(reads)
				reads = append(reads, r)
			case reads[i].Have != r.Have:
				reads[i].Have = 0
			}
		}
	}
	return reads, at
}

// pick returns the records that q reads. Several queries may get one record, so
// nobody modifies it.
func (q *query) pick(recs []store.Record, at map[string]int) []store.Record {
	if at == nil {
		return recs
	}
	mine := make([]store.Record, len(q.reads))
	for i, r := range q.reads {
		mine[i] = recs[at[r.Key]]
		if r.Have != 0 && mine[i].Revision == r.Have {
			mine[i] = store.Record{Key: r.Key, Revision: r.Have}
		}
	}
	return mine
}
