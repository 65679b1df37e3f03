package engine

import (
	"fmt"

	"github.com/stay-go/stay/internal/meta"
	"github.com/stay-go/stay/store"
)

// fetch reads the record, if there can be one, and makes a version from it.
func (e *Engine) fetch(k *Kind, key string, isNew bool) (v *Version, phase string, err error) {
	rec := &store.Record{}
	if k.Backend != nil && !isNew {
		e.observeMiss(k)
		if rec, err = k.Backend.read(k.Prefix + key); err != nil {
			return nil, "load", err
		}
	}
	v, err = e.decode(k, key, rec)
	return v, "decode", err
}

// decode makes a version from a record. After a state has expired, its next use
// begins with the initial state.
func (e *Engine) decode(k *Kind, key string, rec *store.Record) (v *Version, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fail(Internal, "panic while loading the state", fmt.Errorf("%v", p))
		}
	}()
	if !meta.Usable(rec.Meta) {
		return nil, fail(Corrupt, "the record was written by a later release, and this one must not use it", nil)
	}
	var expired store.Revision
	deleted := meta.Deleted(rec.Meta)
	if !rec.Expires.IsZero() && rec.Expired(e.cfg.Now()) || deleted { // clocks differ
		expired, rec = rec.Revision, &store.Record{Key: rec.Key}
	}
	l, err := k.Type.Load(e.ctx, key, rec)
	if err != nil {
		return nil, err
	}
	v = &Version{Value: l.Value, Revision: rec.Revision, weight: weigh(l.Bytes)}
	v.setRare(rare{extra: l.Extra, expired: expired, again: deleted})
	e.node.readMeta(v, rec.Meta, k.Backend == nil || k.Backend.features.SoleOwner)
	v.setExpires(rec.Expires)
	v.setDigest(e.digest(l.Encoded))
	return v, nil
}
