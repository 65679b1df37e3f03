package engine

import "context"

// Hit returns what Get would return, if that needs no load, otherwise nil.
func (e *Engine) Hit(ref *Ref) *Version {
	in := e.find(ref, false)
	if in == nil {
		return nil
	}
	v := in.snapshot.Load()
	if v == nil || v.expired(ref.Now) {
		return nil
	}
	e.observeHit(ref.Kind)
	return v
}

// aheadShare is the part of MaxInstances that states loaded ahead may take
// before they are used. Nobody may evict them meanwhile.
const aheadShare = 16

// Ahead begins to load the states of refs that are not in memory: the first one,
// which the caller is about to need, and with the same call of Store.Load those
// that it is likely to need next. It does not wait; the next use of a state does,
// and learns about errors. A state is left to its next use where that is not
// possible: because its store is another one or is called directly, or because
// memory is small or full.
func (e *Engine) Ahead(ctx context.Context, refs ...Ref) {
	b := refs[0].Kind.Backend
	if b == nil || b.features.Immediate || !e.Begin() {
		return
	}
	defer e.End()
	if n := int64(len(refs)); e.ahead.Add(n)*aheadShare > e.instances.maxCount {
		e.ahead.Add(-n)
		return
	}
	var placed []*Instance
	for i := range refs {
		var in *Instance
		if ref := &refs[i]; ref.Kind.Backend == b && !ref.New && e.awaitHooks(ctx, ref.Kind) == nil {
			in = e.placeAhead(ref)
		}
		if in != nil {
			placed = append(placed, in)
		} else if i == 0 {
			break // whoever has begun to load it has begun with the others, too
		}
	}
	e.ahead.Add(int64(len(placed) - len(refs)))
	if len(placed) > 0 {
		// The first one comes last: when its caller goes on, the others are there.
		placed = append(placed[1:len(placed):len(placed)], placed[0])
		e.fetchSoon(b, placed...)
	}
}

// placeAhead is place for a state that nobody uses yet. It returns nil if there
// is nothing to load.
func (e *Engine) placeAhead(ref *Ref) *Instance {
	if ref.Kind.cache.peek(ref.Kind, ref.Key) != nil {
		return nil
	}
	in, mine, err := e.place(ref, true)
	if err != nil {
		return nil
	}
	if !mine {
		e.release(in)
		return nil
	}
	return in
}

// arrived ends what Ahead began for an instance.
func (e *Engine) arrived(in *Instance) {
	e.release(in)
	e.ahead.Add(-1)
}
