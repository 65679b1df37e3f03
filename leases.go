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
)

// A presenceRecord says who has pages of one state open on the nodes that follow
// it; nil if there is none. There is one for each such state, and not one for each
// node of it: so it is found without a list, which not all stores have.
type presenceRecord struct {
	Nodes map[string]nodePresence `json:"nodes"`
}

// A nodePresence is the part of one node. It does not change.
type nodePresence struct {
	Until    int64     `json:"until"` // in Unix milliseconds
	Visitors []visitor `json:"visitors"`
}

// A visitor is a presence.Count.
type visitor struct {
	Session string `json:"session,omitempty"`
	User    []byte `json:"user,omitempty"` // bytes, as keys are
	Pages   int    `json:"pages"`
	Since   int64  `json:"since"` // in Unix milliseconds
}

func (v *visitor) size() int { return 96 + 2*len(v.Session) + 2*len(v.User) }

func (r *presenceRecord) clone() *presenceRecord { //nolint:unused // systemType calls it by its constraint
	if r == nil {
		return nil
	}
	return &presenceRecord{Nodes: maps.Clone(r.Nodes)}
}

func (r *presenceRecord) memory() int {
	if r == nil {
		return 0
	}
	n := 0
	for node := range r.Nodes {
		n += 128 + len(node)
		for _, v := range r.Nodes[node].Visitors {
			n += v.size()
		}
	}
	return n
}

// until is when all of the record is over.
func (r *presenceRecord) until() (t time.Time) {
	for _, n := range r.Nodes {
		if end := time.UnixMilli(n.Until); end.After(t) {
			t = end
		}
	}
	return t
}

// others returns what nodes other than the given one say, as of now.
func (r *presenceRecord) others(node string, now time.Time) (all []presence.Count) {
	if r == nil {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(r.Nodes)) {
		n := r.Nodes[name]
		if name == node || !time.UnixMilli(n.Until).After(now) {
			continue
		}
		var counts []presence.Count
		for _, v := range n.Visitors {
			counts = append(counts, presence.Count{
				Visitor: presence.Visitor{Session: v.Session, User: string(v.User)}, Pages: v.Pages, Since: time.UnixMilli(v.Since),
			})
		}
		all = presence.Sum(counts, all)
	}
	return all
}

// with returns the record with the part of one node, nil if nothing is left.
func (r *presenceRecord) with(node string, counts []presence.Count, now time.Time) *presenceRecord {
	out := &presenceRecord{Nodes: map[string]nodePresence{}}
	if r != nil {
		for name, n := range r.Nodes {
			if name != node && time.UnixMilli(n.Until).After(now) {
				out.Nodes[name] = n
			}
		}
	}
	if len(counts) > 0 {
		n := nodePresence{Until: now.Add(leaseTime).UnixMilli()}
		for _, c := range counts {
			n.Visitors = append(n.Visitors, visitor{c.Session, []byte(c.User), c.Pages, c.Since.UnixMilli()})
		}
		out.Nodes[node] = n
	}
	if len(out.Nodes) == 0 {
		return nil
	}
	return out
}

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
	as      store.Revision   // of the record that says so
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
		l.working = l.app.engine.Go(l.work)
		return
	}
	select {
	case l.poke <- struct{}{}:
	default:
	}
}

// work keeps the leases until there are none.
func (l *leases) work(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var looked time.Time
	for {
		var woken bool
		select {
		case <-timer.C:
		case <-l.poke:
		case <-l.watch.C:
			woken = true
		case <-ctx.Done():
			l.release()
			return
		}
		timer.Reset(leaseRest) // what comes together is done together
		select {
		case <-timer.C:
		case <-ctx.Done():
			continue
		}
		now := time.Now()
		if all := now.Sub(looked) >= leaseEvery; all || woken {
			l.look(all)
			if all {
				looked = now
			}
		}
		l.renew(ctx, l.due(now))
		next, ok := l.next()
		if !ok {
			return
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
		if due := one.at(); !ok || due.Before(t) {
			t, ok = due, true
		}
	}
	l.working = ok
	return t, ok
}

// release ends to watch, as the App is closed. What was said is over after
// leaseTime.
func (l *leases) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, one := range l.all {
		if one.watched != nil {
			l.app.engine.Unwatch(one.watched)
		}
	}
	clear(l.all)
}

// renew writes leases. It reports the first failure: if the store fails, there are
// many.
func (l *leases) renew(ctx context.Context, due []*lease) {
	var (
		wg     sync.WaitGroup
		places = make(chan struct{}, leasesAtOnce)
		once   sync.Once
	)
	for _, one := range due {
		places <- struct{}{}
		wg.Go(func() {
			defer func() { <-places }()
			err := one.write(ctx)
			if err == nil || l.app.engine.Closing() {
				return
			}
			if e := toError(err); e.Phase != "load" { // which has been reported
				once.Do(func() { one.failed(ctx, e) })
			}
		})
	}
	wg.Wait()
}

func (one *lease) failed(ctx context.Context, e *Error) {
	m := one.module
	e.Module, e.Phase, e.KeyHash = m.name, "presence", keyHash(one.Key)
	m.app.report(m.onError, m.app.newCall(ctx, m.name, ""), e)
}

// write writes the lease, unless it says what it said less than leaseEvery ago.
func (one *lease) write(ctx context.Context) error {
	app := one.app
	counts := fitting(app.pages.Show(one.Place), min(maxLease, app.opts.MaxState/8))
	now := time.Now()
	if slices.Equal(counts, one.said) && now.Sub(one.tried) < leaseEvery {
		return nil
	}
	if one.watched == nil {
		one.watched = app.engine.Watch(one.watch, one.kind, one.Key)
	}
	one.tried = now
	ctx, cancel := context.WithTimeout(ctx, leaseEvery)
	defer cancel()
	one.written = one.written || len(counts) > 0
	_, err := app.engine.Update(ctx, &systemOp{
		app: app.base, ref: engine.Ref{Kind: one.kind, Key: one.Key},
		fn: func(v any) (engine.Result, error) {
			rec, at := v.(*presenceRecord), app.opts.Clock()
			room := app.opts.MaxState*3/4 - rec.with(one.node, nil, at).memory()
			next := rec.with(one.node, fitting(counts, room), at)
			return engine.Result{Value: next, Delete: next == nil && rec != nil}, nil
		},
	})
	if err != nil {
		return err
	}
	one.said, one.written = counts, len(counts) > 0
	one.look(true)
	return nil
}

// look looks at what other nodes say, and tells if that has changed: in all records,
// as what they say may be over, or in those that have changed.
func (l *leases) look(over bool) {
	l.mu.Lock()
	all := slices.Collect(maps.Values(l.all))
	l.mu.Unlock()
	for _, one := range all {
		one.look(over)
	}
}

func (one *lease) look(over bool) {
	app := one.app
	v := app.engine.Peek(one.kind, one.Key)
	if v == nil || v.Revision == one.as && !over {
		return
	}
	one.as = v.Revision
	others := v.Value.(*presenceRecord).others(one.node, app.opts.Clock())
	if slices.Equal(others, one.others) {
		return
	}
	one.others = others
	app.pages.Touch(one.Place)
}
