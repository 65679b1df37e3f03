package engine

import (
	"context"
	"errors"
	"time"

	"github.com/stay-go/stay/store"
)

// Prefetch loads the states of refs that are not in memory, with one call of
// Store.Load for each store however many they are. What it loads, and what was
// there, stays in memory until release is called, which must be done. errs
// holds for each ref why its state could not be loaded; that was reported.
//
// What is never stored, or cannot be stored yet, is left to whoever uses it.
func (e *Engine) Prefetch(ctx context.Context, refs []Ref) (errs []error, release func()) {
	errs = make([]error, len(refs))
	if !e.Begin() {
		for i := range errs {
			errs[i] = fail(Closed, "the app is closed", nil)
		}
		return errs, func() {}
	}
	defer e.End()
	pinned := make([]*Instance, len(refs))
	missing := map[*Backend][]*Instance{}
	for i := range refs {
		ref := &refs[i]
		b := ref.Kind.Backend
		if b == nil || ref.New {
			continue
		}
		in := e.find(ref, true)
		if in == nil {
			var mine bool
			if in, mine, errs[i] = e.place(ref); mine {
				missing[b] = append(missing[b], in)
			}
		}
		pinned[i] = in
	}
	for b, ins := range missing {
		e.loadAll(b, ins)
	}
	for i, in := range pinned {
		if in == nil {
			continue
		}
		if errs[i] = e.wait(ctx, in); errs[i] != nil {
			e.release(in)
			pinned[i] = nil
		}
	}
	return errs, func() {
		for _, in := range pinned {
			if in != nil {
				e.release(in)
			}
		}
	}
}

// place puts an instance that is yet to be loaded into the cache, pinned. mine
// is false if somebody else was quicker: then it is theirs, and loaded by them.
func (e *Engine) place(ref *Ref) (in *Instance, mine bool, err error) {
	k, c := ref.Kind, e.cacheOf(ref.Kind)
	in = &Instance{kind: k, key: ref.Key, cache: c, loaded: make(chan struct{})}
	in.m.limits = &e.limits
	if k.Backend.features.Immediate {
		in.m.limits = &e.single
	}
	got, evicted, ok := c.add(in, time.Time{})
	if got != in {
		return got, false, nil
	}
	e.reportEvicted(k, evicted)
	if !ok {
		in.loadErr = fail(Busy, "too much is in use at once", errors.New("raise MaxInstances or MaxBytes"))
		close(in.loaded)
		e.release(in)
		return nil, false, in.loadErr
	}
	return in, true, nil
}

// loadAll loads instances of one store in one call: here if that does not
// wait, else under the engine's own context, so that a caller who leaves does
// not end it for others.
func (e *Engine) loadAll(b *Backend, ins []*Instance) {
	if b.features.Immediate {
		e.fetchAll(b, ins)
		return
	}
	if !e.Go(func(context.Context) { e.fetchAll(b, ins) }) {
		for _, in := range ins {
			e.loaded(in, nil, "", fail(Closed, "the app is closed", nil))
		}
	}
}

// fetchAll reads the records of ins and makes versions of them. Code of the
// user's, which may end its goroutine, gets one of its own.
func (e *Engine) fetchAll(b *Backend, ins []*Instance) {
	recs, err := b.loadAll(ins)
	for i, in := range ins {
		switch {
		case err != nil:
			e.loaded(in, nil, "load", err)
		case !in.kind.Hooked:
			e.decodeInto(in, &recs[i])
		case !e.Go(func(context.Context) { e.decodeInto(in, &recs[i]) }):
			e.loaded(in, nil, "", fail(Closed, "the app is closed", nil))
		}
	}
}

func (e *Engine) decodeInto(in *Instance, rec *store.Record) {
	var v *Version
	err := fail(Internal, "the goroutine that loaded the state was ended", nil)
	defer func() { e.loaded(in, v, "decode", err) }()
	v, err = e.decode(in.kind, in.key, rec)
}

// loaded ends the loading of in, as load does. A failure without a phase is
// not the state's and is not reported.
func (e *Engine) loaded(in *Instance, v *Version, phase string, err error) {
	if err != nil {
		in.loadErr = err
		e.kill(in)
		if phase != "" {
			e.cfg.Report(in.kind, in.key, phase, err)
		}
		close(in.loaded)
		return
	}
	in.mu.Lock()
	in.start(v)
	in.mu.Unlock()
	close(in.loaded)
	in.cache.resize(in, v.size(in.key))
}

// loadAll reads the records of ins.
func (b *Backend) loadAll(ins []*Instance) ([]store.Record, error) {
	reads := make([]store.Read, len(ins))
	for i, in := range ins {
		reads[i] = store.Read{Key: in.kind.Prefix + in.key}
	}
	ctx, cancel := context.WithTimeout(b.engine.ctx, b.engine.cfg.MaxWait)
	defer cancel()
	recs, err := b.store.Load(ctx, b.engine.cfg.Now(), reads)
	if err != nil {
		return nil, storeError(err)
	}
	if len(recs) != len(reads) {
		return nil, fail(Internal, "the store did not answer the read", nil)
	}
	return recs, nil
}
