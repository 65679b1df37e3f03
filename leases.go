package stay

import (
	"context"
	"crypto/rand"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/stay-go/stay/internal/engine"
	"github.com/stay-go/stay/internal/keyspace"
	"github.com/stay-go/stay/internal/presence"
	"github.com/stay-go/stay/store"
)

const (
	// leaseTime is how long what a node has said of its pages is believed.
	leaseTime = 30 * time.Second
	// leaseEvery is how often it says so again, and looks at what others say.
	leaseEvery = 10 * time.Second
	// leaseRest is how long the goroutine rests between two rounds.
	leaseRest = 50 * time.Millisecond
	// leasePace is how often it says so at most.
	leasePace = time.Second
	// maxLease is how large the part of one node may be, in bytes.
	maxLease = 64 << 10
	// leasesAtOnce is how many are written at the same time.
	leasesAtOnce = 16
	// lastTime is how long App.Close waits for what the node says at its end.
	lastTime = time.Second
)

// fitting returns as many of the counts as have room for most bytes; the others are
// a number, for which there is always room.
func fitting(counts []presence.Count, most int) []presence.Count {
	size := 0
	for i, c := range counts {
		v := visitor{Session: c.Session, User: []byte(c.User)}
		if size += v.size(); size > most {
			return presence.Most(counts, i)
		}
	}
	return counts
}

// leases are what this node says in stores that others use. A goroutine says it
// again and again while there is somebody to speak of.
type leases struct {
	app  *registry
	node string // the name of this node in the records

	mu      sync.Mutex
	kinds   map[*engine.Kind]*engine.Kind // of the records, by those of the states
	all     map[presence.Place]*lease
	working bool
	poke    chan struct{} // has the goroutine look earlier
	watch   *engine.Watch // of all records
}

// A lease is what this node says of one state. The goroutine has all but changed.
type lease struct {
	*leases
	presence.Place
	module  *module
	kind    *engine.Kind // of the record
	watched *engine.Watched
	changed bool      // who is present here has changed since said
	tried   time.Time // when it was last written, or was to be
	said    []presence.Count
	written bool             // the record may have it
	others  []presence.Count // what other nodes say
	as      store.Revision   // of the record that says so, or an earlier one
	over    time.Time        // when the first of what they say is over; zero = never
}

func (l *leases) init(app *registry) {
	l.app, l.node = app, rand.Text()
	l.kinds = map[*engine.Kind]*engine.Kind{}
	l.all, l.poke, l.watch = map[presence.Place]*lease{}, make(chan struct{}, 1), engine.NewWatch()
	app.told = l.changed
}

// kind returns that of the records that say who is present at states of a kind. It is
// nil where no other node has these states.
func (l *leases) kind(k *engine.Kind) *engine.Kind {
	if k.Backend == nil || k.Backend.Features().SoleOwner {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.kinds[k] == nil {
		l.kinds[k] = l.app.engine.Kind(engine.Kind{
			Name: "presence", Prefix: keyspace.Present(k.Prefix), Backend: k.Backend, Version: 1, OwnKeys: k.OwnKeys,
			Type:   systemType[*presenceRecord, presenceRecord]{what: "list of who is present"},
			Expiry: func(v any) time.Time { return v.(*presenceRecord).until() },
		})
	}
	return l.kinds[k]
}

// elsewhere returns who has pages of a state open on other nodes.
func (l *leases) elsewhere(ctx context.Context, at presence.Place) ([]presence.Count, error) {
	kind := l.kind(at.Kind)
	if kind == nil {
		return nil, nil
	}
	now := l.app.opts.Clock()
	ref := engine.Ref{Kind: kind, Key: at.Key, Now: now}
	if err := l.app.sync(ctx, ref); err != nil {
		return nil, err
	}
	v, err := l.app.engine.Get(ctx, &ref)
	if err != nil {
		return nil, err
	}
	return v.Value.(*presenceRecord).others(l.node, now), nil
}

// changed notes that who is present at a place of this node may have changed. It
// does not wait.
func (l *leases) changed(at presence.Place) {
	m, kind := l.app.moduleOf(at.Kind), l.kind(at.Kind)
	if m == nil || kind == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	one := l.all[at]
	if one == nil {
		one = &lease{leases: l, Place: at, module: m, kind: kind}
		l.all[at] = one
	}
	one.changed = true
	if !l.working {
		l.working = l.begin()
		return
	}
	select {
	case l.poke <- struct{}{}:
	default:
	}
}

// begin begins the goroutine. It is work for which App.Close waits, and ends when
// that begins.
func (l *leases) begin() bool {
	e := l.app.engine
	if !e.Begin() {
		return false
	}
	if !e.Go(func(ctx context.Context) {
		defer e.End()
		if l.work(ctx) {
			l.release(ctx)
		}
	}) {
		e.End()
		return false
	}
	return true
}

// work keeps the leases until there are none, or until App.Close begins: then it
// reports true.
func (l *leases) work(ctx context.Context) (closing bool) {
	ending := l.app.engine.Ending().Done()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	l.app.engine.Go(func(context.Context) { // gives up what is under way then
		defer cancel()
		select {
		case <-ending:
		case <-ctx.Done():
		}
	})
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		var woken bool
		select {
		case <-timer.C:
		case <-l.poke:
		case <-l.watch.C:
			woken = true
		case <-ctx.Done():
			return true
		}
		timer.Reset(leaseRest) // what comes together is done together
		select {
		case <-timer.C:
		case <-ctx.Done():
			continue
		}
		now := time.Now()
		l.look(ctx, now, woken)
		l.renew(ctx, l.due(now))
		next, ok := l.next()
		if !ok {
			return false
		}
		timer.Reset(time.Until(next))
	}
}

// due returns the leases that are to be written.
func (l *leases) due(now time.Time) (all []*lease) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, one := range l.all {
		if !one.at().After(now) {
			one.changed = false
			all = append(all, one)
		}
	}
	return all
}

// at is when the lease is to be written.
func (one *lease) at() time.Time {
	if one.changed {
		return one.tried.Add(leasePace)
	}
	return one.tried.Add(leaseEvery)
}

// next is when the next lease is to be written. It reports false if there is none;
// then the goroutine ends.
func (l *leases) next() (t time.Time, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for at, one := range l.all {
		if !one.changed && one.said == nil && !one.written {
			if one.watched != nil {
				l.app.engine.Unwatch(one.watched)
			}
			delete(l.all, at)
			continue
		}
		t, ok = earliest(time.Time{}, t, one.at(), one.over), true
	}
	l.working = ok
	return t, ok
}

// release says for the last time who is present, as the App is closed: its pages are
// pages that have gone. What cannot be said in time is over after leaseTime.
func (l *leases) release(ctx context.Context) {
	l.mu.Lock()
	all := slices.Collect(maps.Values(l.all))
	clear(l.all)
	l.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, lastTime)
	defer cancel()
	l.each(all, func(one *lease) {
		if one.watched != nil {
			l.app.engine.Unwatch(one.watched)
		}
		if one.written && ctx.Err() == nil {
			_ = one.say(ctx, one.counts(), presence.Grace)
		}
	})
}

// each calls fn for all, for some at the same time.
func (*leases) each(all []*lease, fn func(*lease)) {
	var wg sync.WaitGroup
	places := make(chan struct{}, leasesAtOnce)
	for _, one := range all {
		places <- struct{}{}
		wg.Go(func() {
			defer func() { <-places }()
			fn(one)
		})
	}
	wg.Wait()
}

// renew writes leases. It reports the first failure: if the store fails, there are
// many.
func (l *leases) renew(ctx context.Context, due []*lease) {
	var once sync.Once
	l.each(due, func(one *lease) {
		err := one.write(ctx)
		if err == nil || l.app.engine.Closing() {
			return
		}
		if e := toError(err); e.Phase != "load" { // which has been reported
			once.Do(func() { one.failed(ctx, e) })
		}
	})
}

func (one *lease) failed(ctx context.Context, e *Error) {
	m := one.module
	e.Module, e.Phase, e.KeyHash = m.name, "presence", keyHash(one.Key)
	m.app.report(m.onError, m.app.newCall(ctx, m.name, ""), e)
}

// counts are who is present here, as far as a lease has room for it.
func (one *lease) counts() []presence.Count {
	return fitting(one.app.pages.Show(one.Place), min(maxLease, one.app.opts.MaxState/8))
}

// write writes the lease, unless it says what it said less than leaseEvery ago.
func (one *lease) write(ctx context.Context) error {
	counts, now := one.counts(), time.Now()
	if slices.Equal(counts, one.said) && now.Sub(one.tried) < leaseEvery {
		return nil
	}
	if one.watched == nil {
		one.watched = one.app.engine.Watch(one.watch, one.kind, one.Key)
	}
	one.tried = now
	ctx, cancel := context.WithTimeout(ctx, leaseEvery)
	defer cancel()
	one.written = one.written || len(counts) > 0
	if err := one.say(ctx, counts, leaseTime); err != nil {
		return err
	}
	one.said, one.written = counts, len(counts) > 0
	one.look(ctx)
	return nil
}

// say has the record say who is present here, for so long.
func (one *lease) say(ctx context.Context, counts []presence.Count, d time.Duration) error {
	app := one.app
	_, err := app.engine.UpdateBegun(ctx, &leaseOp{systemOp{
		app: app.base, ref: engine.Ref{Kind: one.kind, Key: one.Key},
		fn: func(v any) (engine.Result, error) {
			rec, at := v.(*presenceRecord), app.opts.Clock()
			room := app.opts.MaxState*3/4 - rec.with(one.node, nil, at, at).memory()
			next := rec.with(one.node, fitting(counts, room), at, at.Add(d))
			return engine.Result{Value: next, Delete: next == nil && rec != nil}, nil
		},
	}})
	return err
}

// A leaseOp is a systemOp that asks for nothing before: it always has something to
// commit, which shows what others have said meanwhile.
type leaseOp struct{ systemOp }

// Resolve implements engine.Op.
func (o *leaseOp) Resolve(context.Context, bool) (*engine.Ref, error) { return &o.ref, nil }

// look looks at what other nodes say, in the records in which some of it is over,
// and if woken in those that have changed.
func (l *leases) look(ctx context.Context, now time.Time, woken bool) {
	ctx, cancel := context.WithTimeout(ctx, leaseEvery)
	defer cancel()
	l.mu.Lock()
	all := slices.Collect(maps.Values(l.all))
	l.mu.Unlock()
	for _, one := range all {
		if woken && one.is() != one.as || !one.over.IsZero() && !one.over.After(now) {
			one.look(ctx)
		}
	}
}

// is returns the revision of the record as far as this node knows.
func (one *lease) is() store.Revision {
	if one.watched == nil {
		return one.as
	}
	return one.app.engine.Noticed(one.watched)
}

// look reads the record, which may have left memory, and tells if what other nodes
// say has changed. After a failure the next write looks again.
func (one *lease) look(ctx context.Context) {
	app, now, is := one.app, one.app.opts.Clock(), one.is()
	one.over = time.Time{}
	v, err := app.engine.Get(ctx, &engine.Ref{Kind: one.kind, Key: one.Key, Now: now})
	if err != nil {
		return
	}
	rec := v.Value.(*presenceRecord)
	if next := rec.next(one.node, now); !next.IsZero() {
		one.over = time.Now().Add(max(next.Sub(now), leasePace)) // the clock may stand still
	}
	others := rec.others(one.node, now)
	one.as = is
	if slices.Equal(others, one.others) {
		return
	}
	one.others = others
	app.pages.Touch(one.Place)
}
