package engine

import (
	"slices"

	"github.com/stay-go/stay/store"
)

// accompany adds the writes that must be in the group which creates a record.
func (e *Engine) accompany(req *request, companions []Companion) error {
	for _, c := range companions {
		w := store.Write{Op: store.Check, Key: c.Kind.Prefix + c.Key, Base: c.Base.Revision}
		var next *Version
		if c.Value != nil {
			encoded, err := c.Kind.Type.Encode(c.Value, nil)
			if err != nil {
				return err
			}
			next = &Version{Value: c.Value, weight: weigh(c.Bytes)}
			next.setDigest(e.digest(encoded))
			e.follows(next, c.Base, req.seq)
			next.setExpires(c.Expires)
			w.Op, w.Version, w.Value, w.Meta, w.Expires = store.Put, c.Kind.Version, slices.Clip(encoded), e.meta(next, encoded, req.seq), next.Expires()
		}
		req.writes[0] = append(req.writes[0], w)
		req.left = append(req.left, next)
	}
	req.companions = companions
	return nil
}

// advanceAll publishes what a group wrote beside its own instance.
func (e *Engine) advanceAll(req *request, revs []store.Revision) {
	for i, c := range req.companions {
		v := req.left[i]
		if v == nil || i+1 >= len(revs) {
			continue
		}
		v.Revision = revs[i+1]
		e.advance(c.Kind, c.Key, v)
	}
}

func (e *Engine) advance(k *Kind, key string, v *Version) {
	if !k.Backend.features.SoleOwner {
		// Another owner may have replaced or deleted it by now, and a reader may
		// have asked the store already. So here an instance that is new to memory
		// was always loaded later than whoever did not find it came: see Prefetch.
		e.discardKey(k, key)
		return
	}
	c := k.cache
	in := c.get(k, key, use{})
	if in == nil && k.Backend.features.Immediate {
		// Commits overtake each other here, so a later one may have replaced
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
