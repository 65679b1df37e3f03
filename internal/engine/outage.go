package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/stay-go/stay/store"
)

// The pauses between two probes.
const (
	probeMin = 50 * time.Millisecond
	probeMax = time.Second
)

// An outage is a time in which a store answers nobody. It begins when a caller
// has waited for as long as it may, nobody else was answered meanwhile, and a
// probe is not answered either. Then reads and writes fail at once, so that
// requests do not pile up, and one probe at a time asks the store. Writes that
// were sent and whose outcome is in doubt are sent again as ever. The first
// answer, to whomever, ends the outage.
//
// A store that answers, but fails, has no outage: its callers know at once. See
// [Backend.broken] for one that does not take what Debounce delayed.
type outage struct {
	cause error
	over  chan struct{}
}

var errSilent = errors.New("no answer")

// A pulse knows whether a store answers.
type pulse struct {
	answers atomic.Uint64 // how often the store has answered
	probed  atomic.Bool   // a probe asks it
	outage  atomic.Pointer[outage]
}

// answered notes that the store has answered a call.
func (p *pulse) answered() {
	p.answers.Add(1)
	if o := p.outage.Load(); o != nil && p.outage.CompareAndSwap(o, nil) {
		close(o.over)
	}
}

// gone returns the error of calls that are not made because of an outage, nil
// if there is none.
func (p *pulse) gone() error {
	if o := p.outage.Load(); o != nil {
		return o.cause
	}
	return nil
}

// heard notes how a call of Store.Load went.
func (p *pulse) heard(err error) {
	if err == nil || !unavailable(err) {
		p.answered()
	}
}

// silent is called by a caller whose patience is over; since is how often the
// store had answered when it began to wait, and cause its error.
func (l *lane) silent(since uint64, cause error) {
	if l.pulse.answers.Load() != since || l.features.Immediate || l.pulse.probed.Swap(true) {
		return
	}
	if cause == nil {
		cause = errSilent
	}
	l.start(func(ctx context.Context) {
		defer l.pulse.probed.Store(false)
		l.probe(ctx, fmt.Errorf("%w: it has answered nobody for a while: %w", store.ErrUnavailable, cause))
	})
}

// stop begins an outage.
func (l *lane) stop(cause error) *outage {
	o := &outage{cause: cause, over: make(chan struct{})}
	l.pulse.outage.Store(o)
	for _, f := range l.queries.stop(cause) {
		f.deliver()
	}
	for _, w := range l.unsent() {
		w.conclude(rejected, storeError(phaseSave, cause))
	}
	return o
}

// probe asks the store until it answers somebody. If it does not do so at once,
// an outage begins.
func (l *lane) probe(ctx context.Context, cause error) {
	since := l.pulse.answers.Load()
	l.askWithin(ctx, firstAttempt)
	if l.pulse.answers.Load() != since {
		return
	}
	o := l.stop(cause)
	for n, pause := 0, probeMin; ; n, pause = n+1, min(2*pause, probeMax) {
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-o.over:
			t.Stop()
			return
		case <-ctx.Done():
			t.Stop()
			return
		}
		// Short attempts notice soon that the way to the store is back, and now
		// and then a longer one gets through to a store that is slow.
		l.askWithin(ctx, firstAttempt<<(n%3))
	}
}

func (l *lane) askWithin(ctx context.Context, d time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, min(d, l.maxWait))
	defer cancel()
	_ = l.ask(ctx) // see pulse.heard
}

// unsent takes the writes out of the queue that were not sent, or did not reach
// the store.
func (l *lane) unsent() (some []outgoing) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.queue = slices.DeleteFunc(l.queue, func(o outgoing) bool {
		is := o.head().sent == 0
		if is {
			some = append(some, o)
		}
		return is
	})
	return some
}

// check returns nil if the store answers. During an outage it does not ask.
func (l *lane) check(ctx context.Context) error {
	if err := l.pulse.gone(); err != nil {
		return err
	}
	return l.ask(ctx)
}

// ask reads a record that does not exist.
func (l *lane) ask(ctx context.Context) error {
	_, err := l.checked.Load(ctx, []store.Read{{Key: l.absent}})
	l.pulse.heard(err)
	return err
}
