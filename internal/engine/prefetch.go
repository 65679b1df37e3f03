package engine

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/stay-go/stay/store"
)

// Prefetch loads the states of refs that are not in memory, with one call of
// Store.Load for each store, however many states there are. On a store with
// several owners the same call asks whether the states in memory are still what
// the store has, and brings them up to date (N1). Everything stays in memory
// until release is called, and the caller must call it. errs holds, for each
// ref, the error of its load; these errors have been reported.
//
// States that are never stored, or cannot be stored yet, are left to their
// first use.
func (e *Engine) Prefetch(ctx context.Context, refs []Ref) (errs []error, release func()) {
	errs = make([]error, len(refs))
	if !e.Begin() {
		for i := range errs {
			errs[i] = errClosed()
		}
		return errs, func() {}
	}
	defer e.End()
	pinned := make([]*Instance, len(refs))
	missing, joined := map[*Backend][]read{}, map[*Backend][]read{}
	for i := range refs {
		ref := &refs[i]
		b := ref.Kind.Backend
		if b == nil || ref.New {
			continue
		}
		in := e.find(ref, true)
		switch {
		case in == nil:
			if errs[i] = e.awaitHooks(ctx, ref.Kind); errs[i] != nil {
				break
			}
			var mine bool
			if in, mine, errs[i] = e.place(ref, false); mine {
				missing[b] = append(missing[b], read{in: in})
			}
		case !b.features.SoleOwner:
			if v := in.snapshot.Load(); v != nil {
				missing[b] = append(missing[b], read{in: in, have: v, ref: i})
			} else {
				joined[b] = append(joined[b], read{in: in, ref: i})
			}
		}
		pinned[i] = in
	}
	e.compare(ctx, missing, errs)
	// A load that was already under way may have read an earlier record.
	for _, reads := range joined {
		for i := range reads {
			r := &reads[i]
			if errs[r.ref] = e.wait(ctx, r.in); errs[r.ref] == nil {
				r.have = r.in.snapshot.Load()
			}
		}
	}
	for b, reads := range joined {
		joined[b] = slices.DeleteFunc(reads, func(r read) bool { return r.have == nil })
	}
	e.compare(ctx, joined, errs)
	for i, in := range pinned {
		if in == nil {
			continue
		}
		if errs[i] == nil {
			errs[i] = e.wait(ctx, in)
		}
		if errs[i] != nil {
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

// compare makes the reads of each store, and records the errors of instances
// that could not be compared.
func (e *Engine) compare(ctx context.Context, all map[*Backend][]read, errs []error) {
	for b, reads := range all {
		if len(reads) == 0 {
			continue
		}
		for i, err := range e.readAll(ctx, b, reads) {
			if reads[i].have != nil {
				errs[reads[i].ref] = err
			}
		}
	}
}

// place puts an instance that must still be loaded into the cache, pinned. If
// another caller was faster, mine is false: the instance is that caller's, and
// its load, by that caller, has begun after the caller of place looked for it.
func (e *Engine) place(ref *Ref, ahead bool) (in *Instance, mine bool, err error) {
	k, c := ref.Kind, ref.Kind.cache
	in = &Instance{kind: k, key: ref.Key, early: true}
	if k.Debounce > 0 {
		e.debounced(in)
	}
	l := in.startLoading()
	l.ahead = ahead
	got, ok := c.add(in, 0)
	if got != in {
		return got, false, nil
	}
	if !ok {
		l.failed(fail(Busy, "too many states are in use at once", errors.New("raise MaxInstances or MaxBytes")))
		e.release(in)
		return nil, false, l.err
	}
	return in, true, nil
}

// A read is an instance that takes part in one call of Store.Load: to be loaded
// or, if it has a version, to be compared.
type read struct {
	in   *Instance
	have *Version
	ref  int // the index of its ref
}

// readAll makes the reads of one store in one call: here if that does not wait,
// otherwise under the engine's own context, so that a caller who leaves does
// not end it for others. It returns the errors of instances that could not be
// compared. The error of a load goes to the callers that wait for the instance.
func (e *Engine) readAll(ctx context.Context, b *Backend, reads []read) []error {
	if b.features.Immediate && !slices.ContainsFunc(reads, func(r read) bool { return r.in.kind.RunsUserCode }) {
		return e.fetchAll(b, reads)
	}
	compares := slices.ContainsFunc(reads, func(r read) bool { return r.have != nil })
	if !compares && !b.features.Immediate {
		all := make([]*Instance, len(reads))
		for i, r := range reads {
			all[i] = r.in
		}
		e.fetchSoon(b, all...)
		return nil
	}
	got := make(chan []error, 1)
	if !e.Go(func(context.Context) {
		errs := slices.Repeat([]error{errEnded}, len(reads))
		defer func() { got <- errs }()
		errs = e.fetchAll(b, reads)
	}) {
		err := errClosed()
		for _, r := range reads {
			r.failed(e, "", err)
		}
		return slices.Repeat([]error{err}, len(reads))
	}
	if !compares {
		return nil
	}
	t := time.NewTimer(e.cfg.MaxWait) // it may first wait for other calls
	defer t.Stop()
	select {
	case errs := <-got:
		return errs
	case <-ctx.Done():
		return slices.Repeat([]error{fail(Unavailable, "gave up waiting for the state to be read", ctx.Err())}, len(reads))
	case <-t.C:
		return slices.Repeat([]error{failAt(phaseLoad, Unavailable, "the state could not be read in time", nil)}, len(reads))
	}
}

// failed ends the loading of an instance.
func (r *read) failed(e *Engine, phase string, err error) {
	if r.have == nil {
		e.endLoading(r.in, nil, phase, err)
	}
}

// fetchAll reads the records and makes versions from them. User code, which may
// end its goroutine, gets its own goroutine.
func (e *Engine) fetchAll(b *Backend, reads []read) []error {
	errs := make([]error, len(reads))
	recs, err := e.ask(b, reads)
	for i, r := range reads {
		switch {
		case err != nil:
			errs[i] = err
			r.failed(e, "load", err)
		case r.have != nil:
		case !r.in.kind.RunsUserCode:
			e.decodeInto(r.in, &recs[i])
		case !e.Go(func(context.Context) { e.decodeInto(r.in, &recs[i]) }):
			r.failed(e, "", errClosed())
		}
	}
	for i, r := range reads { // after the reads that callers wait for: a hook may end the goroutine
		if err == nil && r.have != nil {
			errs[i] = e.overtake(b, r, &recs[i])
		}
	}
	return errs
}

// maxLooks bounds the reads of a state that is deleted and created again all
// the time.
const maxLooks = 8

// overtake brings an instance up to date with the store's record, unless it
// still has the version that the read named.
func (e *Engine) overtake(b *Backend, r read, rec *store.Record) error {
	for range maxLooks {
		now, err := e.follow(r.in, r.have, rec)
		if now == nil {
			return err
		}
		r.have = now
		recs, err := e.ask(b, []read{r})
		if err != nil {
			return err
		}
		rec = &recs[0]
	}
	return failAt(phaseLoad, Unavailable, "the state kept being deleted while it was read", nil)
}

// follow is overtake for one read of the store. A write of this engine that is
// under way may have reached the store already, or others have overtaken it.
// Then readers see the record, and the instance lives on to receive the answer.
//
// An absent record has no revision that says whether it is earlier or later
// than what the instance has received meanwhile. Then follow returns that
// version, for another read.
func (e *Engine) follow(in *Instance, have *Version, rec *store.Record) (now *Version, err error) {
	v := have
	switch {
	case rec.Revision != have.recordRevision():
		if v, err = e.decode(in.kind, in.key, rec); err != nil {
			e.discard(in)
			e.cfg.Report(in.kind, in.key, "decode", err)
			return nil, err
		}
	case rec.Revision != 0:
		return nil, nil
	}
	in.lock()
	now = in.snapshot.Load()
	switch {
	case now != have && (v.recordRevision() == 0) != (now.recordRevision() == 0):
		in.unlock()
		return now, nil
	case now != have && now.recordRevision() >= v.recordRevision():
		in.unlock()
		return nil, nil // it was brought up to date meanwhile
	}
	later := v.Revision > have.Revision
	ok := v == have || later && in.m.advance(v) ||
		in.m.shut && (metaCarries(rec.Meta, in.writing) || later && v.birth == have.birth)
	if in.m.shut && (!ok || v.Revision == 0) {
		in.m.kill() // the write at the store may be out of date: see conclude
	}
	in.publish(v)
	in.unlock()
	switch {
	case !ok:
		e.discard(in)
	case v != have:
		in.kind.cache.resize(in, nil)
	}
	return nil, nil
}

func (e *Engine) decodeInto(in *Instance, rec *store.Record) {
	var v *Version
	err := errEnded
	defer func() { e.endLoading(in, v, "decode", err) }()
	v, err = e.decode(in.kind, in.key, rec)
}

// endLoading ends the loading of in, as load does. A failure without a phase is
// not the state's failure and is not reported. Nor is a record that cannot be
// read while nobody asks for it, because it was loaded ahead: whoever uses the
// state loads it again. A failure of the store concerns the whole call.
func (e *Engine) endLoading(in *Instance, v *Version, phase string, err error) {
	l := in.underway()
	if l.ahead {
		defer e.arrived(in)
	}
	if err != nil {
		e.discard(in)
		if unseen := l.ahead && phase == "decode" && in.pins.Load() == 1; phase != "" && !unseen {
			e.cfg.Report(in.kind, in.key, phase, err)
		}
		l.failed(err)
		return
	}
	in.started(l, v)
}

// ask reads the records of instances from their store, with one call.
func (e *Engine) ask(b *Backend, reads []read) ([]store.Record, error) {
	asked := make([]store.Read, len(reads))
	for i, r := range reads {
		asked[i] = store.Read{Key: r.in.kind.Prefix + r.in.key}
		if r.have != nil {
			asked[i].Have = r.have.recordRevision()
		} else {
			e.observeMiss(r.in.kind)
		}
	}
	return b.readAll(asked)
}
