package engine

import (
	"context"
	"errors"
	"time"

	"github.com/stay-go/stay/internal/meta"
)

// find returns the instance of ref if it is in memory. Expired instances are
// returned only while an answer of the store is outstanding. With pin, the
// instance cannot be evicted until release.
func (e *Engine) find(ref *Ref, pin bool) *Instance {
	c := ref.Kind.cache
	for {
		in := c.get(ref.Kind, ref.Key, use{pin: pin, later: !ref.First, at: e.timeOfUse(ref)})
		if in == nil {
			return nil
		}
		v := in.snapshot.Load()
		if v == nil || v.expires == 0 {
			return in
		}
		if ref.Now.IsZero() {
			ref.Now = e.cfg.Now()
		}
		if !v.expired(ref.Now) || !e.endExpired(in, ref.Now) {
			return in
		}
		if pin {
			e.release(in)
		}
	}
}

// timeOfUse returns the time of use, which is kept only for state that is only
// in memory.
func (e *Engine) timeOfUse(ref *Ref) int64 {
	if ref.Kind.Backend != nil {
		return 0
	}
	if ref.Now.IsZero() {
		ref.Now = e.cfg.Now()
	}
	return ref.Now.UnixNano()
}

// acquire returns the instance of ref, pinned and loaded.
func (e *Engine) acquire(ctx context.Context, ref *Ref) (*Instance, error) {
	in := e.find(ref, true)
	for in != nil {
		if v := in.snapshot.Load(); v == nil || !v.expired(ref.Now) {
			break
		}
		err := e.waitFor(ctx, in.whenLeft())
		e.release(in)
		if err != nil {
			return nil, err
		}
		in = e.find(ref, true)
	}
	if in == nil {
		err := e.awaitHooks(ctx, ref.Kind)
		if err != nil {
			return nil, err
		}
		if in, err = e.makeRoom(ctx, ref); err != nil {
			return nil, err
		}
	} else if in.snapshot.Load() != nil {
		e.observeHit(ref.Kind)
	}
	if err := e.wait(ctx, in); err != nil {
		e.release(in)
		return nil, err
	}
	return in, nil
}

// acquireToChange is acquire for a caller that may change the state. If the
// state's record has expired, the change would replace it, so it is set aside
// first if a hook must hear of it.
func (e *Engine) acquireToChange(ctx context.Context, ref *Ref) (*Instance, error) {
	for {
		in, err := e.acquire(ctx, ref)
		if err != nil || in.kind.SetAside == nil {
			return in, err
		}
		v := in.snapshot.Load()
		if v.overExpired() == 0 {
			return in, nil
		}
		did, err := e.setAside(in, v)
		if err == nil && !did {
			return in, nil
		}
		e.discard(in)
		e.release(in)
		if err != nil {
			return nil, err
		}
	}
}

// setAside sets the expired record aside over which v is absent, and reports
// whether the instance has to be loaded again.
func (e *Engine) setAside(in *Instance, v *Version) (did bool, err error) {
	ctx, cancel := context.WithTimeout(e.ctx, e.cfg.MaxWait)
	defer cancel()
	rec, err := in.kind.Backend.read(in.kind.Prefix + in.key)
	switch {
	case err != nil || rec.Revision != v.overExpired():
		return true, err
	case meta.Deleted(rec.Meta):
		return false, nil // it has not expired
	}
	if did, err = in.kind.SetAside(ctx, rec); err != nil {
		err = storeError(phaseLoad, err)
	}
	return did, err
}

// makeRoom creates the instance of ref. If memory is full of instances that are
// being saved, it waits until one can leave; the search for room has begun
// these saves. It does not wait for instances whose saves have failed.
func (e *Engine) makeRoom(ctx context.Context, ref *Ref) (*Instance, error) {
	began := time.Now()
	for pause := time.Millisecond; ; pause = min(2*pause, 16*time.Millisecond) {
		hope := e.hope()
		in, err := e.create(ref)
		if err == nil || ref.Kind.Backend == nil || time.Since(began) > e.cfg.MaxWait || !hope && !e.hope() {
			return in, err
		}
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return nil, fail(Busy, "gave up waiting for room in memory", ctx.Err())
		}
	}
}

// create puts an instance into the cache and begins to load it. If another
// caller was faster, it returns that caller's instance.
func (e *Engine) create(ref *Ref) (*Instance, error) {
	k, c := ref.Kind, ref.Kind.cache
	isNew := ref.New
	in := &Instance{kind: k, key: ref.Key, fresh: ref.New || k.Backend == nil}
	if k.Debounce > 0 {
		e.debounced(in)
		// Another call of the same request may have created the record since,
		// and the instance may have left memory again. The store would refuse a
		// change that overlooks that, but the store is asked only after the
		// change was acknowledged.
		isNew = false
	}
	inline := !k.RunsUserCode && (isNew || k.Backend == nil || k.Backend.features.Immediate)
	l := in.startLoading()
	got, ok := c.add(in, e.timeOfUse(ref))
	if got != in {
		return got, nil
	}
	if !ok {
		l.failed(fail(Busy, "too many states are in use at once", errors.New("raise MaxInstances, MaxBytes or MaxGuests")))
		e.release(in)
		return nil, l.err
	}
	switch {
	case inline:
		e.load(in, l, isNew)
	case k.Backend != nil && !isNew && !k.Backend.features.Immediate:
		e.fetchSoon(k.Backend, in)
	case !e.Go(func(context.Context) { e.load(in, l, isNew) }):
		e.discard(in)
		l.failed(errClosed())
	}
	return in, nil
}

// load brings the state into memory; all callers wait for this one load. A
// failed load is forgotten at once, so that the next caller tries again. So is
// a load whose goroutine a hook has ended.
func (e *Engine) load(in *Instance, l *loading, isNew bool) {
	var v *Version
	phase, err := "decode", fail(Internal, "the goroutine that loaded the state ended early (runtime.Goexit)", nil)
	defer func() {
		if err != nil {
			e.discard(in)
			e.cfg.Report(in.kind, in.key, phase, err)
			l.failed(err)
			return
		}
		in.started(l, v)
	}()
	v, phase, err = e.fetch(in.kind, in.key, isNew)
}

// wait returns when the instance is loaded.
func (e *Engine) wait(ctx context.Context, in *Instance) error {
	if in.snapshot.Load() != nil {
		return nil
	}
	l := in.underway()
	if l == nil {
		return nil
	}
	if err := e.waitFor(ctx, l.done); err != nil {
		return err
	}
	return l.err
}

func (e *Engine) waitFor(ctx context.Context, done <-chan struct{}) error {
	t := time.NewTimer(e.cfg.MaxWait)
	defer t.Stop()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return failAt(phaseLoad, Unavailable, "gave up waiting for the state to be loaded", ctx.Err())
	case <-t.C:
		return failAt(phaseLoad, Unavailable, "the state could not be loaded in time", nil)
	}
}

// release undoes the pin of acquire. A state that does not exist is not kept if
// the store need not be asked for it. Otherwise it is kept only if it takes no
// room from others.
func (e *Engine) release(in *Instance) {
	if in.pins.Add(-1) > 0 {
		return
	}
	v := in.snapshot.Load()
	switch {
	case v != nil && !v.Exists() && in.fresh:
		in.kind.cache.discardUnused(in)
	case in.kind.Backend != nil && e.evictAtOnce.Load():
		in.kind.cache.evictUnused(in)
	case v != nil && !v.Exists():
		in.kind.cache.setAside(in)
	}
}

// Get returns the committed version of ref. The caller must not change it. If a
// state is absent, and nobody can have stored it or it is never stored, Get
// makes it and does not keep it, so reading uses no memory.
func (e *Engine) Get(ctx context.Context, ref *Ref) (*Version, error) {
	if v := e.Hit(ref); v != nil {
		return v, nil
	}
	if !e.Begin() {
		return nil, errClosed()
	}
	defer e.End()
	if ref.New || ref.Kind.Backend == nil {
		if in := e.find(ref, false); in == nil || in.snapshot.Load() == nil {
			v, phase, err := e.fetch(ref.Kind, ref.Key, true)
			if err != nil {
				e.cfg.Report(ref.Kind, ref.Key, phase, err)
				return nil, err
			}
			return v, nil
		}
	}
	counted := *ref
	counted.First = true // Hit has counted this use
	in, err := e.acquire(ctx, &counted)
	if err != nil {
		return nil, err
	}
	defer e.release(in)
	return in.snapshot.Load(), nil
}

// Recall returns the committed version of a state that is stored and in memory,
// whatever the store has by now. Otherwise it returns nil, also while nobody
// knows whether the store answers: a read that fails leaves no doubt.
func (e *Engine) Recall(ref *Ref) *Version {
	if b := ref.Kind.Backend; b == nil || b.pulse.probed.Load() {
		return nil
	}
	in := e.find(ref, false)
	if in == nil {
		return nil
	}
	if v := in.snapshot.Load(); v != nil && v.Revision != 0 && !v.unsaved && !v.expired(ref.Now) {
		return v
	}
	return nil
}

// Latest returns the same as Get for the only state of a kind with Single. It
// returns nil if only Get can answer: the state is not in memory, or it
// expires.
func (e *Engine) Latest(k *Kind) *Version {
	in := k.single.in.Load()
	if in == nil {
		return nil
	}
	v := in.snapshot.Load()
	if v == nil || v.expires != 0 {
		return nil
	}
	if !k.single.used.Load() {
		k.single.used.Store(true)
	}
	e.observeHit(k)
	return v
}
