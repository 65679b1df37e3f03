package engine

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stay-go/stay/store"
)

// Bounds of one call of Store.Commit.
const (
	maxGroups     = 512
	maxGroupBytes = 8 << 20
)

// A Backend commits the batches of all instances of one store. For a store
// that waits for a disk or a server, one goroutine gathers what is ready and
// commits it in one call; an immediate store is called directly.
type Backend struct {
	engine   *Engine
	store    store.Store
	features store.Features

	mu      sync.Mutex
	queue   []*request
	stopped bool
	signal  chan struct{}
	took    atomic.Int64 // nanoseconds that the last call of Commit took
}

// A request is the batch of one instance on its way to the store. It is sent
// again, unchanged, until the answer is definite.
type request struct {
	in         *Instance // nil: a group's or a save
	group      *group
	save       *save
	backend    *Backend
	companions []Companion
	encoded    [][]byte  // of the companions
	doubted    time.Time // when its outcome was first unknown
	seq        uint64
	sent       int
	bytes      int
	writes     [1]store.Group
	one        [1]store.Write
}

func (r *request) all() store.Group { return r.writes[0] }

func newBackend(e *Engine, s store.Store) *Backend {
	b := &Backend{engine: e, store: s, features: s.Features(), signal: make(chan struct{}, 1)}
	if !b.features.Immediate {
		e.wg.Add(1)
		go func() {
			defer e.wg.Done()
			b.run()
		}()
	}
	return b
}

// Features returns what the store declares.
func (b *Backend) Features() store.Features { return b.features }

// Store returns the store itself, for calls that concern no instance.
func (b *Backend) Store() store.Store { return b.store }

// load reads one record as it is at a time.
func (b *Backend) load(key string, at time.Time) (*store.Record, error) {
	ctx, cancel := context.WithTimeout(b.engine.ctx, b.engine.cfg.MaxWait)
	defer cancel()
	recs, err := b.store.Load(ctx, at, []store.Read{{Key: key}})
	if err != nil {
		return nil, storeError(err)
	}
	if len(recs) != 1 {
		return nil, fail(Internal, "the store did not answer the read", nil)
	}
	return &recs[0], nil
}

// patience is how long the first member of a batch waits for others to run.
func (b *Backend) patience() time.Duration {
	return min(max(time.Millisecond, 20*time.Duration(b.took.Load())), 100*time.Millisecond)
}

// commit sends the batch of in, whose turn is shut, to the store.
func (e *Engine) commit(in *Instance) {
	if in.owed != nil && e.postpone(in) {
		return
	}
	work, base := in.m.working, in.m.committed
	if in.kind.Backend == nil {
		work.Revision = base.Revision + 1
		e.conclude(in, work.applied(), nil)
		return
	}
	req, _ := e.requests.Get().(*request)
	if req == nil {
		req = &request{}
	}
	req.in, req.backend, req.seq = in, in.kind.Backend, e.writeID()
	w := &req.one[0]
	*w = store.Write{Op: store.Put, Key: in.kind.Prefix + in.key, Base: base.Revision, Version: in.kind.Version}
	if work.gone {
		w.Op = store.Delete
	} else {
		e.stamp(in, base, work, req.seq, in.expires)
		w.Value, w.Meta, w.Expires = work.Encoded, work.Meta, work.Expires
	}
	req.writes[0] = req.one[:]
	if base.Revision == 0 && !work.gone && in.guard != nil {
		companions, err := in.guard.Create()
		if err == nil {
			err = e.accompany(req, companions)
		}
		if err != nil {
			e.conclude(in, rejected, err)
			return
		}
	}
	for i := range req.all() {
		req.bytes += len(req.all()[i].Value)
	}
	e.hold() // until the request is concluded
	in.kind.Backend.send(req)
}

// stamp completes a version that the write seq is about to store over base.
// expires is for a record that it creates.
func (e *Engine) stamp(in *Instance, base, v *Version, seq uint64, expires time.Time) {
	if !in.kind.Backend.features.SoleOwner {
		in.mu.Lock()
		in.writing = seq
		in.mu.Unlock()
	}
	v.Meta = e.nextMeta(base.Meta, base.Revision, seq)
	v.Expires = in.kind.expires(v, base.Revision == 0, expires, e.cfg.Now())
}

// accompany adds the writes that must be in the group which creates a record.
func (e *Engine) accompany(req *request, companions []Companion) error {
	for _, c := range companions {
		w := store.Write{Op: store.Check, Key: c.Kind.Prefix + c.Key, Base: c.Base}
		var encoded []byte
		if c.Value != nil {
			var err error
			if encoded, err = c.Kind.Type.Encode(c.Value, nil); err != nil {
				return err
			}
			w.Op, w.Version, w.Expires = store.Put, c.Kind.Version, c.Expires
			w.Value, w.Meta = encoded, e.nextMeta(c.Meta, c.Base, req.seq)
		}
		req.writes[0] = append(req.writes[0], w)
		req.encoded = append(req.encoded, encoded)
	}
	req.companions = companions
	return nil
}

// send commits the request now or puts it into the queue.
func (b *Backend) send(req *request) {
	e := b.engine
	if e.ctx.Err() != nil {
		e.refuseRequest(req)
		return
	}
	if b.features.Immediate {
		req.sent++
		res := b.store.Commit(e.ctx, e.cfg.Now(), req.writes[:])
		e.settle(req, resultAt(res, 0, len(req.all())))
		return
	}
	b.mu.Lock()
	if b.stopped {
		b.mu.Unlock()
		e.refuseRequest(req)
		return
	}
	b.queue = append(b.queue, req)
	b.mu.Unlock()
	select {
	case b.signal <- struct{}{}:
	default:
	}
}

// run is the committer. It never waits for a time to pass: it lets whoever is
// runnable join first, and what arrives during a commit makes the next one.
func (b *Backend) run() {
	done := b.engine.ctx.Done()
	for {
		select {
		case <-b.signal:
		case <-done:
			b.refuse()
			return
		}
		for {
			b.gather()
			reqs := b.take()
			if len(reqs) == 0 {
				break
			}
			b.commit(reqs)
		}
	}
}

// gather yields until the queue stops growing.
func (b *Backend) gather() {
	for n := -1; ; {
		b.mu.Lock()
		now := len(b.queue)
		b.mu.Unlock()
		if now == n || now >= maxGroups {
			return
		}
		n = now
		runtime.Gosched()
	}
}

// take removes what fits into one call. Keys of one call are distinct: only
// groups of several writes can name a key that another group names too, and
// wait for the next call then.
func (b *Backend) take() []*request {
	b.mu.Lock()
	defer b.mu.Unlock()
	several := false
	for _, r := range b.queue {
		several = several || len(r.all()) > 1
	}
	var keys map[string]bool
	if several {
		keys = make(map[string]bool, len(b.queue)+1)
	}
	var reqs, rest []*request
	bytes := 0
	for i, r := range b.queue {
		if len(reqs) == maxGroups || (bytes+r.bytes > maxGroupBytes && len(reqs) > 0) {
			rest = append(rest, b.queue[i:]...)
			break
		}
		if several && !claim(keys, r.all()) {
			rest = append(rest, r)
			continue
		}
		bytes += r.bytes
		reqs = append(reqs, r)
	}
	b.queue = rest
	return reqs
}

func claim(keys map[string]bool, g store.Group) bool {
	for i := range g {
		if keys[g[i].Key] {
			return false
		}
	}
	for i := range g {
		keys[g[i].Key] = true
	}
	return true
}

func (b *Backend) commit(reqs []*request) {
	e := b.engine
	groups := make([]store.Group, len(reqs))
	for i, r := range reqs {
		r.sent++
		groups[i] = r.all()
	}
	ctx, cancel := context.WithTimeout(e.ctx, e.cfg.CommitTimeout)
	began := time.Now()
	res := b.store.Commit(ctx, e.cfg.Now(), groups)
	b.took.Store(int64(time.Since(began)))
	cancel()
	for i, r := range reqs {
		e.settle(r, resultAt(res, i, len(r.all())))
	}
}

// refuse ends what is left in the queue when the engine stops.
func (b *Backend) refuse() {
	b.mu.Lock()
	reqs := b.queue
	b.queue, b.stopped = nil, true
	b.mu.Unlock()
	for _, r := range reqs {
		b.engine.refuseRequest(r)
	}
}

// refuseRequest ends a request that will not be sent, or not once more.
func (e *Engine) refuseRequest(req *request) {
	if req.sent > 0 {
		e.giveUp(req, store.ErrClosed)
		return
	}
	e.end(req, rejected, fail(Closed, "the app is closed", nil))
}

// resultAt guards against a store that answers too little: then nobody knows
// what it did, and it is asked again.
func resultAt(res []store.Result, i, writes int) store.Result {
	if i >= len(res) {
		return store.Result{Err: errors.New("the store did not answer the write")}
	}
	r := res[i]
	if r.Outcome == store.Applied && len(r.Revisions) != writes {
		return store.Result{Err: errors.New("the store answered without a revision for each write")}
	}
	return r
}

// settle turns the store's answer into what the instance is told.
func (e *Engine) settle(req *request, res store.Result) {
	if req.save != nil {
		e.settleSave(req, res)
		return
	}
	switch res.Outcome {
	case store.Applied:
		if req.group != nil {
			req.group.number(res.Revisions)
			e.end(req, applied, nil)
			return
		}
		in := req.in
		in.m.working.Revision = res.Revisions[0]
		e.advanceAll(req, res.Revisions)
		e.end(req, in.m.working.applied(), nil)
		if req.sent == 1 { // nobody else has it any more
			*req = request{}
			e.requests.Put(req)
		}
	case store.Conflict:
		e.end(req, e.conflictOrOwn(req, res), nil)
	case store.Rejected:
		if req.sent > 1 {
			// An earlier sending may have been applied all the same.
			e.sendAgain(req, res.Err)
			return
		}
		err := storeError(res.Err)
		if e.ctx.Err() != nil {
			err = fail(Closed, "the app is closed", res.Err)
		}
		e.end(req, rejected, err)
	default:
		e.sendAgain(req, res.Err)
	}
}

// conflictOrOwn tells a conflict with others from one with an earlier sending
// of the same request.
func (e *Engine) conflictOrOwn(req *request, res store.Result) conclusion {
	for _, rec := range res.Current {
		if metaCarries(rec.Meta, e.node, req.seq) {
			return vanished // applied; load what is there now
		}
	}
	g := req.all()
	if req.sent > 1 && len(g) == 1 && g[0].Op == store.Delete && len(res.Current) == 1 && res.Current[0].Revision == 0 {
		return vanished
	}
	return conflicted
}

// sendAgain repeats a request whose outcome nobody knows, until it is known
// or CommitTimeout is over.
func (e *Engine) sendAgain(req *request, cause error) {
	if req.doubted.IsZero() {
		req.doubted = time.Now()
	}
	if time.Since(req.doubted) < e.cfg.CommitTimeout {
		wait := time.Millisecond << min(req.sent, 8)
		if e.Go(func(ctx context.Context) {
			t := time.NewTimer(wait)
			defer t.Stop()
			select {
			case <-t.C:
				req.backend.send(req)
			case <-ctx.Done():
				e.giveUp(req, cause)
			}
		}) {
			return
		}
	}
	e.giveUp(req, cause)
}

func (e *Engine) giveUp(req *request, cause error) {
	err := fail(Unknown, "the store did not say whether the change was stored", cause)
	e.end(req, lost, err)
}

// A conclusion is the machine's event for the end of a batch.
type conclusion uint8

const (
	applied conclusion = iota
	vanished
	conflicted
	rejected
	lost
)

// applied is the conclusion when the store has v: what was deleted is made
// anew for whoever comes next.
func (v *Version) applied() conclusion {
	if v.gone {
		return vanished
	}
	return applied
}

// end concludes a request.
func (e *Engine) end(req *request, how conclusion, cause error) {
	if req.save != nil {
		if how == rejected {
			req.save.req = nil
		}
		e.saveFailed(req.save, cause)
		return
	}
	defer e.End()
	if req.group != nil {
		req.group.conclude(how, cause)
		return
	}
	if how == conflicted || how == vanished || how == lost {
		for _, c := range req.companions {
			e.Drop(c.Kind, c.Key)
		}
	}
	e.conclude(req.in, how, cause)
}

// conclude ends the batch of in and answers everybody.
func (e *Engine) conclude(in *Instance, how conclusion, cause error) {
	var eff effects
	in.mu.Lock()
	before := in.m.committed.size(in.key)
	switch how {
	case applied:
		eff = in.m.applied()
		in.snapshot.Store(in.m.committed)
	case vanished:
		eff = in.m.gone()
	case conflicted:
		eff = in.m.conflict()
	case rejected:
		eff = in.m.rejected()
	case lost:
		eff = in.m.lost()
	}
	in.guard = nil
	if in.owed != nil {
		in.owed.concluded(e, in, how)
	}
	dead, now := in.m.dead, in.m.committed.size(in.key)
	last, leaves, idle := in.m.committed, in.leaves, in.idle
	if how == vanished && in.m.working.gone {
		last, leaves = in.m.working, true
	}
	in.mu.Unlock()
	if dead {
		if in.cache.remove(in) && leaves {
			e.departures.add(in, last, idle)
		}
	} else if now != before {
		in.cache.resize(in, now)
	}
	eff.cause = cause
	e.tell(in, eff)
}

// advanceAll publishes what a group wrote beside its own instance.
func (e *Engine) advanceAll(req *request, revs []store.Revision) {
	for i, c := range req.companions {
		if c.Value == nil || i+1 >= len(revs) {
			continue
		}
		w := &req.all()[i+1]
		e.advance(c.Kind, c.Key, &Version{
			Value: c.Value, Encoded: req.encoded[i], Meta: w.Meta, Revision: revs[i+1], Expires: w.Expires,
		})
	}
}

func (e *Engine) advance(k *Kind, key string, v *Version) {
	c := e.cacheOf(k)
	in := c.get(k, key, false, e.touch(k))
	if in == nil && k.Backend.features.Immediate {
		// Commits overtake each other here, so a later one may have replaced
		// this version already, and its instance may have been evicted.
		return
	}
	if in == nil {
		in = &Instance{kind: k, key: key, cache: c}
		in.m.limits = &e.limits
		if k.Backend.features.Immediate {
			in.m.limits = &e.single
		}
		in.start(v)
		if got, _, ok := c.add(in, e.touch(k)); got == in {
			if ok {
				c.resize(in, v.size(key))
			}
			in.pins.Add(-1)
			return
		} else {
			got.pins.Add(-1)
			in = got
		}
	}
	in.mu.Lock()
	ok := in.m.committed != nil && in.m.advance(v)
	if ok {
		in.snapshot.Store(in.m.committed)
	}
	in.mu.Unlock()
	if !ok {
		e.kill(in)
	}
}
