package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/stay-go/stay/store"
)

// An env serves the check of one rule. Its methods fail the rule if the store's
// answer is not one that the method allows. Only the goroutine of the check may
// call them.
type env struct {
	t      tb
	ctx    context.Context
	now    time.Time
	seed   uint64
	seeded bool // whether the seed was used
	open   func() store.Store
	shared bool
	place  place
	// store is the handle in use; shared rules open others beside it.
	store   store.Store
	f       store.Features
	handles []store.Store
	cancel  context.CancelFunc
}

func newEnv(t tb, seed uint64, open func() store.Store, shared bool) *env {
	ctx, cancel := context.WithTimeout(context.Background(), 4*patience)
	e := &env{
		t:      t,
		ctx:    ctx,
		cancel: cancel,
		// Near the present, and the same within the hour for every run. What
		// expires after it has not expired by any clock.
		now:    time.Now().Truncate(time.Hour).Add(2 * time.Hour),
		seed:   seed,
		open:   open,
		shared: shared,
	}
	e.store = e.handle()
	e.f = e.store.Features()
	return e
}

// handle opens another handle on the same place.
func (e *env) handle() store.Store {
	s := e.open()
	e.handles = append(e.handles, s)
	return s
}

// reopen closes the store and opens it again.
func (e *env) reopen() { e.reopenAfter(func() {}) }

// reopenAfter closes the store, calls do, and opens the store again.
func (e *env) reopenAfter(do func()) {
	e.t.Helper()
	if err := e.store.Close(); err != nil {
		e.t.Fatalf("Close: %v", err)
	}
	e.handles = nil
	do()
	e.store = e.handle()
}

// closeAll closes what is open. Closing twice is allowed (C7).
func (e *env) closeAll() {
	for _, s := range e.handles {
		if err := s.Close(); err != nil {
			e.t.Errorf("Close: %v", err)
		}
	}
	e.handles = nil
	e.cancel()
}

// rand returns a source that depends on the seed and on n, for example one for
// each goroutine. If the rule fails, the seed is printed.
func (e *env) rand(n uint64) *rand.Rand {
	e.seeded = true
	return rand.New(rand.NewPCG(e.seed, n))
}

func (e *env) advance(d time.Duration) { e.now = e.now.Add(d) }

// put makes a Put whose bytes are derived from value.
func put(key string, base store.Revision, value string) store.Write {
	return store.Write{
		Op:      store.Put,
		Key:     key,
		Base:    base,
		Value:   []byte(value),
		Meta:    []byte("meta of " + value),
		Version: len(value),
	}
}

// expiring makes a Put that expires.
func expiring(key string, base store.Revision, value string, at time.Time) store.Write {
	w := put(key, base, value)
	w.Expires = at
	return w
}

func del(key string, base store.Revision) store.Write {
	return store.Write{Op: store.Delete, Key: key, Base: base}
}

func check(key string, base store.Revision) store.Write {
	return store.Write{Op: store.Check, Key: key, Base: base}
}

// commit makes one call and checks the form of its results.
func (e *env) commit(groups ...store.Group) []store.Result {
	e.t.Helper()
	results := e.store.Commit(e.ctx, groups)
	if err := wellFormed(groups, results); err != nil {
		e.t.Fatalf("%v", err)
	}
	return results
}

// one makes a call with one group.
func (e *env) one(writes ...store.Write) store.Result {
	e.t.Helper()
	return e.commit(writes)[0]
}

// apply makes a call with one group that must be Applied.
func (e *env) apply(writes ...store.Write) []store.Revision {
	e.t.Helper()
	res := e.one(writes...)
	if res.Outcome != store.Applied {
		e.t.Fatalf("%s: %s, want applied", describe(writes), resultText(res))
	}
	return res.Revisions
}

// put1 applies one Put and returns its revision.
func (e *env) put1(key string, base store.Revision, value string) store.Revision {
	e.t.Helper()
	return e.apply(put(key, base, value))[0]
}

// conflict makes a call with one group that must be a Conflict.
func (e *env) conflict(writes ...store.Write) store.Result {
	e.t.Helper()
	res := e.one(writes...)
	if res.Outcome != store.Conflict {
		e.t.Fatalf("%s: %s, want conflict", describe(writes), resultText(res))
	}
	return res
}

// rejected fails unless the result is Rejected with an error that is target;
// nil means any error.
func (e *env) rejected(res store.Result, target error, what string) {
	e.t.Helper()
	if res.Outcome != store.Rejected {
		e.t.Errorf("%s: %s, want rejected", what, resultText(res))
		return
	}
	if target != nil && !errors.Is(res.Err, target) {
		e.t.Errorf("%s: rejected with %q, which is not %q", what, res.Err, target)
	}
}

// loadAll makes one Load.
func (e *env) loadAll(reads ...store.Read) []store.Record {
	e.t.Helper()
	recs, err := e.store.Load(e.ctx, reads)
	if err != nil {
		e.t.Fatalf("Load: %v", err)
	}
	if len(recs) != len(reads) {
		e.t.Fatalf("Load of %d reads returned %d records", len(reads), len(recs))
	}
	for i := range recs {
		if recs[i].Key != reads[i].Key {
			e.t.Fatalf("Load: record %d has key %q, want that of its read, %q", i, recs[i].Key, reads[i].Key)
		}
	}
	return recs
}

func (e *env) load(key string) store.Record {
	e.t.Helper()
	return e.loadAll(store.Read{Key: key})[0]
}

// wantAbsent fails the rule unless the keys are absent.
func (e *env) wantAbsent(keys ...string) {
	e.t.Helper()
	for _, key := range keys {
		if rec := e.load(key); rec.Revision != 0 {
			e.t.Errorf("Load: %s, want absent", recordText(rec))
		} else if len(rec.Value)+len(rec.Meta) != 0 {
			e.t.Errorf("Load: the absent record %q has bytes", key)
		}
	}
}

// wantRecord fails the rule unless the key's record is the one that the write
// at that revision made.
func (e *env) wantRecord(w store.Write, rev store.Revision) {
	e.t.Helper()
	if err := sameRecord(e.load(w.Key), w, rev); err != nil {
		e.t.Errorf("Load: %v", err)
	}
}

// wantValue is wantRecord for a Put made by put.
func (e *env) wantValue(key string, rev store.Revision, value string) {
	e.t.Helper()
	e.wantRecord(put(key, 0, value), rev)
}

// expired calls Expired.
func (e *env) expired(limit int) []store.Record {
	e.t.Helper()
	recs, err := e.store.Expired(e.ctx, e.now, limit)
	if err != nil {
		e.t.Fatalf("Expired: %v", err)
	}
	return recs
}

// list calls List.
func (e *env) list(prefix, after string, limit int) []string {
	e.t.Helper()
	l, ok := e.store.(store.Lister)
	if !ok {
		e.t.Fatalf("Features.List is true, but the store has no List method")
	}
	keys, err := l.List(e.ctx, e.now, prefix, after, limit)
	if err != nil {
		e.t.Fatalf("List(%q, %q, %d): %v", prefix, after, limit, err)
	}
	return keys
}

// sameRecord compares a record with the Put that made it.
func sameRecord(rec store.Record, w store.Write, rev store.Revision) error {
	switch {
	case rec.Key != w.Key:
		return fmt.Errorf("record has key %q, want %q", rec.Key, w.Key)
	case rec.Revision != rev:
		return fmt.Errorf("%s, want revision %d", recordText(rec), rev)
	case !bytes.Equal(rec.Value, w.Value):
		return fmt.Errorf("%s: value is %s, want %s", recordText(rec), bytesText(rec.Value), bytesText(w.Value))
	case !bytes.Equal(rec.Meta, w.Meta):
		return fmt.Errorf("%s: meta is %s, want %s", recordText(rec), bytesText(rec.Meta), bytesText(w.Meta))
	case rec.Version != w.Version:
		return fmt.Errorf("%s: version is %d, want %d", recordText(rec), rec.Version, w.Version)
	case !rec.Expires.Equal(w.Expires.Truncate(time.Millisecond)):
		return fmt.Errorf("%s: expires %v, want %v", recordText(rec), rec.Expires, w.Expires.Truncate(time.Millisecond))
	}
	return nil
}

// wellFormed checks what must hold for the results of every call.
func wellFormed(groups []store.Group, results []store.Result) error {
	if len(results) != len(groups) {
		return fmt.Errorf("Commit of %d groups returned %d results", len(groups), len(results))
	}
	for i, res := range results {
		if err := wellFormedResult(groups[i], res); err != nil {
			return fmt.Errorf("group %d, %s: %w", i, describe(groups[i]), err)
		}
	}
	return nil
}

func wellFormedResult(g store.Group, res store.Result) error {
	switch res.Outcome {
	case store.Applied:
		if len(res.Revisions) != len(g) {
			return fmt.Errorf("applied with %d revisions for %d writes", len(res.Revisions), len(g))
		}
		for i, w := range g {
			rev := res.Revisions[i]
			if w.Op == store.Put && rev <= w.Base {
				return fmt.Errorf("applied: revision %d does not grow on %d", rev, w.Base)
			}
			if w.Op == store.Delete && rev != 0 {
				return fmt.Errorf("applied: revision of a Delete is %d, want 0", rev)
			}
			if w.Op == store.Check && rev != w.Base {
				return fmt.Errorf("applied: revision of a Check is %d, want its base %d", rev, w.Base)
			}
		}
	case store.Conflict:
		if len(res.Current) != len(g) {
			return fmt.Errorf("conflict with %d current records for %d writes", len(res.Current), len(g))
		}
		for i, w := range g {
			if res.Current[i].Key != w.Key {
				return fmt.Errorf("conflict: current record %d has key %q", i, res.Current[i].Key)
			}
		}
	case store.Rejected, store.Unknown:
		if res.Err == nil {
			return fmt.Errorf("%s without an error", res.Outcome)
		}
	default:
		return fmt.Errorf("outcome %d does not exist", res.Outcome)
	}
	return nil
}
