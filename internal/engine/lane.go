package engine

import (
	"context"
	"fmt"
	"iter"
	"sync"
	"sync/atomic"

	"github.com/stay-go/stay/store"
)

// A lane is the way to one place of a store. Places fail one by one, so each lane
// has calls, committers and outages of its own: what one place does not answer
// holds up nobody at another. Most stores are one place.
type lane struct {
	*Backend
	absent string // the key of a record that does not exist, at this place

	pulse   pulse
	queries queries

	queue    []outgoing // guarded by Backend.mu, like the next two
	standIns int        // committers beside the first
	stopped  bool
	signal   chan struct{}
	took     atomic.Int64 // nanoseconds that the last call of Commit took
}

func (l *lane) init(b *Backend, absent string) {
	l.Backend, l.absent, l.signal = b, absent, make(chan struct{}, 1)
	l.queries.begin(b.ctx)
	l.queries.loaders = make(chan struct{}, maxLoads)
}

func (l *lane) wake() {
	select {
	case l.signal <- struct{}{}:
	default:
	}
}

// lanes are those of the places of one store, by the names of the places. There
// are few places, and a lane lasts as long as the engine.
type lanes struct {
	mu sync.RWMutex
	of map[string]*lane
}

// lane returns that of a key, which is given in two parts.
func (b *Backend) lane(prefix, key string) *lane {
	if b.placer == nil {
		return &b.main
	}
	return b.laneAt(b.placer.Place(prefix + key))
}

// laneOf returns that of a group. Groups over several places have one lane.
func (b *Backend) laneOf(g store.Group) *lane {
	if b.placer == nil {
		return &b.main
	}
	place := b.placer.Place(g[0].Key)
	for i := 1; i < len(g); i++ {
		if b.placer.Place(g[i].Key) != place {
			return &b.main
		}
	}
	return b.laneAt(place)
}

func (b *Backend) laneAt(place string) *lane {
	b.lanes.mu.RLock()
	l := b.lanes.of[place]
	b.lanes.mu.RUnlock()
	if l != nil {
		return l
	}
	l, added := b.addLane(place)
	if added && !b.features.Immediate {
		l.begin()
	}
	return l
}

// begin starts the goroutines of the lane.
func (l *lane) begin() {
	if !l.start(func(context.Context) { l.run() }) {
		l.refuseAll()
	}
	for range maxLoads {
		if !l.start(func(context.Context) { l.runLoader() }) {
			l.refuseFetches()
		}
	}
}

func (b *Backend) addLane(place string) (l *lane, added bool) {
	b.lanes.mu.Lock()
	defer b.lanes.mu.Unlock()
	if l = b.lanes.of[place]; l != nil {
		return l, false
	}
	l = new(lane)
	l.init(b, b.absentAt(place))
	if b.lanes.of == nil {
		b.lanes.of = map[string]*lane{}
	}
	b.lanes.of[place] = l
	return l, true
}

// maxAbsent bounds the search for a key at a place: one of a thousand places has
// one among so many.
const maxAbsent = 1 << 14

// absentAt returns the key of a record that does not exist at a place.
func (b *Backend) absentAt(place string) string {
	for i := range maxAbsent {
		if key := fmt.Sprint(b.main.absent, "/", i); b.placer.Place(key) == place {
			return key
		}
	}
	return b.main.absent
}

// all yields all lanes.
func (b *Backend) all() iter.Seq[*lane] {
	return func(yield func(*lane) bool) {
		if !yield(&b.main) {
			return
		}
		b.lanes.mu.RLock()
		defer b.lanes.mu.RUnlock()
		for _, l := range b.lanes.of {
			if !yield(l) {
				return
			}
		}
	}
}

// goneFor returns the error of a group that is not sent because of an outage, nil
// if there is none at any of its places.
func (l *lane) goneFor(g store.Group) error {
	if err := l.pulse.gone(); err != nil || l.placer == nil || l != &l.main {
		return err
	}
	l.lanes.mu.RLock()
	defer l.lanes.mu.RUnlock()
	for i := range g {
		if other := l.lanes.of[l.placer.Place(g[i].Key)]; other != nil {
			if err := other.pulse.gone(); err != nil {
				return err
			}
		}
	}
	return nil
}

// Check returns nil if the store answers, at one of its places at least: what is
// at the others cannot be used, and all else can.
func (b *Backend) Check(ctx context.Context) error {
	if b.placer == nil {
		return b.main.check(ctx)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var all []*lane
	for l := range b.all() {
		all = append(all, l)
	}
	answers := make(chan error, len(all))
	for _, l := range all {
		if !b.start(func(context.Context) { answers <- l.check(ctx) }) {
			answers <- store.ErrClosed
		}
	}
	var first error
	for range all {
		err := <-answers
		if err == nil {
			return nil
		}
		if first == nil {
			first = err
		}
	}
	return first
}

// byLane sorts what is at several places.
func byLane[R any](b *Backend, all []R, key func(R) string) map[*lane][]R {
	by := map[*lane][]R{}
	for _, r := range all {
		l := b.laneAt(b.placer.Place(key(r)))
		by[l] = append(by[l], r)
	}
	return by
}
