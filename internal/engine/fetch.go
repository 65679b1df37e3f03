package engine

import (
	"context"
	"fmt"
	"time"

	"github.com/stay-go/stay/store"
)

// fetch reads the record, if there can be one, and makes a version from it.
func (e *Engine) fetch(k *Kind, key string, isNew bool) (v *Version, phase string, err error) {
	rec := &store.Record{}
	if k.Backend != nil && !isNew {
		if rec, err = e.read(k, key); err != nil {
			return nil, "load", err
		}
	}
	v, err = e.decode(k, key, rec)
	return v, "decode", err
}

// read returns the record of a state. After a state has expired, its next use
// begins with a fresh one. If a hook must get the expired state, the expired
// record is set aside before it can be overwritten.
func (e *Engine) read(k *Kind, key string) (*store.Record, error) {
	e.observeMiss(k)
	if k.SetAside == nil {
		return k.Backend.read(k.Prefix+key, e.cfg.Now())
	}
	// At that time nothing had expired.
	rec, err := k.Backend.read(k.Prefix+key, time.UnixMilli(0))
	if err != nil || !rec.Expired(e.cfg.Now()) {
		return rec, err
	}
	ctx, cancel := context.WithTimeout(e.ctx, e.cfg.MaxWait)
	defer cancel()
	if err := k.SetAside(ctx, rec); err != nil {
		return nil, storeError(phaseLoad, err)
	}
	return &store.Record{Key: rec.Key}, nil
}

func (e *Engine) decode(k *Kind, key string, rec *store.Record) (v *Version, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fail(Internal, "panic while loading the state", fmt.Errorf("%v", p))
		}
	}()
	l, err := k.Type.Load(e.ctx, key, rec)
	if err != nil {
		return nil, err
	}
	v = &Version{Value: l.Value, Revision: rec.Revision, weight: weigh(l.Bytes)}
	v.setRare(l.Extra, nil)
	e.node.readMeta(v, rec.Meta, k.Backend == nil || k.Backend.features.SoleOwner)
	v.setExpires(rec.Expires)
	v.setDigest(e.digest(l.Encoded))
	return v, nil
}
