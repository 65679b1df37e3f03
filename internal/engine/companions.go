package engine

import (
	"slices"

	"github.com/stay-go/stay/store"
)

// accompany adds the writes of companions to a request.
func (e *Engine) accompany(r *request, list []Companion) (companions, error) {
	left := make([]*Version, len(list))
	for i, c := range list {
		w := store.Write{Op: store.Check, Key: c.Kind.Prefix + c.Key, Base: c.Base.recordRevision()}
		var next *Version
		if c.Value != nil {
			encoded, err := c.Kind.Type.Encode(c.Value, nil)
			if err != nil {
				return companions{}, err
			}
			next = &Version{Value: c.Value, weight: weigh(c.Bytes)}
			next.setDigest(e.digest(encoded))
			next.follows(c.Base, r.by)
			next.setExpires(c.Expires)
			w.Op, w.Version, w.Value, w.Meta, w.Expires = store.Put, c.Kind.Version, slices.Clip(encoded), encodeMeta(next, encoded, r.by), next.Expires()
		}
		r.writes[0] = append(r.writes[0], w)
		left[i] = next
	}
	return companions{list, left}, nil
}

// discardAll discards the companions of a group, because their records may have
// changed by now.
func (e *Engine) discardAll(cs *companions) {
	for _, c := range cs.list {
		e.discardKey(c.Kind, c.Key)
	}
}

// advanceAll publishes the states that a group wrote besides that of its own
// instance.
func (e *Engine) advanceAll(cs *companions, revs []store.Revision) {
	for i, c := range cs.list {
		v := cs.left[i]
		if v == nil || i+1 >= len(revs) {
			continue
		}
		v.Revision = revs[i+1]
		e.advance(c.Kind, c.Key, v)
	}
}

func (e *Engine) advance(k *Kind, key string, v *Version) {
	defer e.changed(k, key) // also if it is not in memory
	if !k.Backend.features.SoleOwner {
		// Another owner may have replaced or deleted the record by now, and a
		// reader may have asked the store already. An instance that is new to
		// memory must have been loaded after the arrival of every reader who
		// did not find it: see Prefetch. So this one is discarded.
		e.discardKey(k, key)
		return
	}
	c := k.cache
	in := c.get(k, key, use{})
	if in == nil && k.Backend.features.Immediate {
		// Commits may finish in another order, so a later one may have replaced
		// this version already, and its instance may have been evicted.
		return
	}
	if in == nil {
		in = &Instance{kind: k, key: key}
		in.start(v)
		if got, ok := c.add(in, 0); got == in {
			if ok {
				c.resize(in, nil)
			}
			in.pins.Add(-1)
			return
		} else {
			got.pins.Add(-1)
			in = got
		}
	}
	in.lock()
	ok := in.m.committed != nil && in.m.advance(v)
	if ok {
		in.publish(in.m.committed)
	}
	in.unlock()
	if !ok {
		e.discard(in)
		return
	}
	c.resize(in, nil)
}
