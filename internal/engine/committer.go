package engine

import (
	"context"
	"runtime"
	"slices"
	"time"

	"github.com/stay-go/stay/store"
)

// Limits of calls of Store.Commit.
const (
	maxGroups     = 512
	maxGroupBytes = 8 << 20
	// maxCommits is how many are under way, while the first ones take long.
	maxCommits = 3
)

// A committer commits the writes in the queue, one call of Store.Commit after
// the other. It never waits for time to pass: it first lets every runnable
// goroutine join, and writes that arrive during a call go into the next one.
//
// One committer is enough while the store answers. When a call takes long,
// another committer stands in until it ends: the connection of that call may be
// broken, and the other writes must not wait for it. Calls under way never have
// a key in common (C6).

// run is the committer that lasts as long as the engine.
func (l *lane) run() {
	l.commitUntil(nil)
	l.refuseAll()
}

// commitUntil commits until the end, or that of the engine.
func (l *lane) commitUntil(end <-chan struct{}) {
	for {
		l.commitReady()
		select {
		case <-l.signal:
		case <-end:
			return
		case <-l.ctx.Done():
			return
		}
	}
}

// commitReady commits until nothing is left in the queue that can be sent.
func (l *lane) commitReady() {
	for {
		l.gather()
		some, late := l.take(time.Now())
		for _, o := range late {
			o.conclude(rejected, o.head().errLate())
		}
		switch {
		case len(some) > 0:
			l.commit(some)
		case len(late) == 0:
			return
		}
	}
}

// gather yields until the queue stops growing.
func (l *lane) gather() {
	for n := -1; ; {
		l.mu.Lock()
		now := len(l.queue)
		l.mu.Unlock()
		if now == n || now >= maxGroups {
			return
		}
		n = now
		runtime.Gosched()
	}
}

// take removes the writes that fit into one call, and those that are late. Keys
// of all calls under way are distinct. Only a group of several writes can have a
// key that another group has too; such a group waits for a later call.
func (l *lane) take(now time.Time) (some, late []outgoing) {
	l.mu.Lock()
	defer l.mu.Unlock()
	several := len(l.under) > 0
	for _, o := range l.queue {
		several = several || len(o.head().all()) > 1
	}
	var keys map[string]bool
	if several {
		keys = make(map[string]bool, len(l.queue)+1)
	}
	for _, call := range l.under {
		for _, o := range call {
			claim(keys, o.head().all())
		}
	}
	var rest []outgoing
	bytes := 0
	for i, o := range l.queue {
		r := o.head()
		if r.late(now) {
			late = append(late, o)
			continue
		}
		if len(some) == maxGroups || (bytes+r.bytes > maxGroupBytes && len(some) > 0) {
			rest = append(rest, l.queue[i:]...)
			break
		}
		if several && !claim(keys, r.all()) {
			rest = append(rest, o)
			continue
		}
		bytes += r.bytes
		some = append(some, o)
	}
	l.queue = rest
	if len(some) > 0 {
		l.under = append(l.under, some)
	}
	return some, late
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

// late reports whether a write has waited for longer than MaxWait and was not
// stored. Otherwise, when the store hangs, the writes in the queue would wait
// for one attempt after the other.
func (r *request) late(now time.Time) bool {
	return !r.patient && r.sent == 0 && now.Sub(r.queued) > r.backend.maxWait
}

func (r *request) errLate() error {
	if r.tries > 0 {
		return storeError(phaseSave, context.DeadlineExceeded)
	}
	return failAt(phaseSave, Busy, "too many changes wait to be stored", nil)
}

// commit makes one call, and passes on its answer.
func (l *lane) commit(some []outgoing) {
	began := time.Now()
	groups := make([]store.Group, len(some))
	var attempt time.Duration
	bytes := 0
	for i, o := range some {
		r := o.head()
		attempt = max(attempt, r.attempt(began))
		if r.tries == 0 {
			r.answers = l.pulse.answers.Load()
		}
		r.tries++
		r.sent++
		groups[i], bytes = r.all(), bytes+r.bytes
	}
	attempt = min(attempt+time.Duration(bytes)*time.Second/bytesPerSecond, l.commitTimeout)
	ctx, cancel := context.WithTimeout(l.ctx, attempt)
	defer cancel()
	ended := make(chan struct{})
	help := time.AfterFunc(l.long(), func() { l.standIn(ended) })
	res := l.checked.Commit(ctx, groups)
	help.Stop()
	close(ended)
	l.took.Store(int64(time.Since(began)))
	l.arrived(some)
	if slices.ContainsFunc(res, answer) {
		l.pulse.answered()
	}
	for i, o := range some {
		if ctx.Err() != nil && o.head().untouched(res[i]) {
			l.send(o)
			continue
		}
		o.settle(res[i])
	}
}

// answer reports whether a result shows that the store works.
func answer(res store.Result) bool {
	return res.Outcome == store.Applied || res.Outcome == store.Conflict || res.Outcome == store.Rejected && !unavailable(res.Err)
}

// long is after how long a call of Store.Commit takes long.
func (l *lane) long() time.Duration {
	return min(max(100*time.Millisecond, 2*time.Duration(l.took.Load())), time.Second)
}

// standIn has another committer work until a call that takes long has ended.
func (l *lane) standIn(ended <-chan struct{}) {
	l.mu.Lock()
	more := l.standIns < maxCommits-1
	if more {
		l.standIns++
	}
	l.mu.Unlock()
	if !more {
		return
	}
	over := func() {
		l.mu.Lock()
		l.standIns--
		l.mu.Unlock()
	}
	if !l.start(func(context.Context) {
		defer over()
		l.commitUntil(ended)
	}) {
		over()
	}
}

// arrived takes a call that has ended out of those under way. Other lanes may have
// waited for its keys.
func (l *lane) arrived(some []outgoing) {
	l.mu.Lock()
	l.under = slices.DeleteFunc(l.under, func(call []outgoing) bool { return &call[0] == &some[0] })
	l.mu.Unlock()
	if l.placer != nil {
		for other := range l.all() {
			other.wake()
		}
	}
}

// refuseAll refuses the writes that are left in the queue when the engine
// stops.
func (l *lane) refuseAll() {
	l.mu.Lock()
	all := l.queue
	l.queue, l.stopped = nil, true
	l.mu.Unlock()
	for _, o := range all {
		refuse(o)
	}
}
