package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Close refuses new work, waits for work under way until ctx ends, stores the
// changes that Debounce delayed (see saveAll), ends everything in memory, then
// stops every goroutine and closes the stores. The error says what could not be
// saved. If everything was saved, it is the context's error if work or hooks
// were cut off, otherwise the first error of a store. The stores are closed in
// any case. A second call waits for the first to finish.
func (e *Engine) Close(ctx context.Context) error {
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		select {
		case <-e.closeDone:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	e.closed = true
	e.refuse.Store(true)
	e.end()
	e.mu.Unlock()
	defer close(e.closeDone)

	e.saves(e.instances.all()) // also if work under way takes too long
	e.hold()
	e.End() // closes drained if nothing is under way
	var err error
	select {
	case <-e.drained:
	case <-ctx.Done():
		err = ctx.Err()
	}
	e.saveAll(ctx)
	all := e.instances.all()
	if err == nil {
		err = e.endAll(ctx)
	}
	e.cancel()
	for _, in := range append(all, e.guests.all()...) {
		e.discard(in)
	}
	e.mu.Lock()
	e.stopped = true
	backends := slices.Collect(maps.Values(e.backends))
	e.mu.Unlock()
	e.wg.Wait()
	err = e.reportUnsaved(all, err)
	for _, b := range backends {
		if cerr := b.Store().Close(); err == nil {
			err = cerr
		}
	}
	return err
}

// Closing reports whether Close has begun: long work should come to an end.
func (e *Engine) Closing() bool { return e.refuse.Load() }

// Ending ends when Close begins.
func (e *Engine) Ending() context.Context { return e.ending }

// endAll ends everything in memory, and waits for the hooks until ctx ends.
func (e *Engine) endAll(ctx context.Context) error {
	done := make(chan struct{})
	if !e.Go(func(own context.Context) {
		defer close(done)
		for _, c := range []*cache{e.instances, e.guests} {
			for i, in := range c.all() {
				e.endState(in)
				if i%departuresAtOnce == 0 {
					e.departures.drain(own)
				}
			}
		}
		e.departures.drain(own)
	}) {
		return nil
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// saveAll saves everything, again and again, until ctx ends; if ctx has no
// deadline, for CommitTimeout.
func (e *Engine) saveAll(ctx context.Context) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, e.cfg.CommitTimeout)
		defer cancel()
	}
	for failures := 0; ; {
		under := e.saves(e.instances.all())
		if len(under) == 0 {
			return
		}
		failed := false
		for _, s := range under {
			select {
			case <-s.done:
				failed = failed || s.err != nil
			case <-ctx.Done():
				return
			}
		}
		if failed {
			failures++
			t := time.NewTimer(backoff(failures))
			select {
			case <-t.C:
			case <-ctx.Done():
				t.Stop()
				return
			}
		}
	}
}

// reportUnsaved reports what is still unsaved at the end of the engine.
func (e *Engine) reportUnsaved(all []*Instance, closing error) error {
	n := 0
	for _, in := range all {
		d := in.owed
		if d == nil {
			continue
		}
		in.lock()
		d.disarm()
		lost, cause := d.dirty(), d.cause
		in.unlock()
		if !lost {
			continue
		}
		if n++; closing == nil {
			closing = cause
		}
		e.cfg.Report(in.kind, in.key, "save", fail(Unavailable, "the app was closed before the last changes of the state could be stored: they are lost", cause))
	}
	if n == 0 {
		return closing
	}
	if closing == nil {
		closing = errors.New("the app was closed")
	}
	return fail(Unavailable, fmt.Sprintf("the last changes of %d states could not be stored: they are lost", n), closing)
}
