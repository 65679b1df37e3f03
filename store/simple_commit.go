package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
)

// commit applies one group that CheckGroups did not reject.
func (s *simpleStore) commit(ctx context.Context, g Group) Result {
	keys := make([]string, len(g))
	for i, w := range g {
		keys[i] = w.Key
	}
	unlock, err := s.locks.lock(ctx, keys...)
	if err != nil {
		return Result{Outcome: Rejected, Err: err}
	}
	defer unlock()

	current := make([]Record, len(g))
	before := make([][]byte, len(g))
	holds := true
	for i, w := range g {
		rec, raw, err := s.get(ctx, w.Key)
		if err != nil {
			return Result{Outcome: Rejected, Err: err}
		}
		holds = holds && rec.Revision == w.Base
		current[i], before[i] = rec, raw
	}
	if !holds {
		return Result{Outcome: Conflict, Current: current}
	}
	return s.write(ctx, g, before)
}

// write makes the writes of a group whose conditions hold.
func (s *simpleStore) write(ctx context.Context, g Group, before [][]byte) Result {
	revs := make([]Revision, len(g))
	var made []int // indexes of the writes that were made
	for i := range g {
		w := &g[i]
		var err error
		switch {
		case w.Op == Put:
			revs[i] = s.next()
			err = s.set(ctx, w.Key, encodeEnvelope(w, revs[i]))
		case w.Op == Delete && w.Base != 0:
			err = s.set(ctx, w.Key, nil)
		case w.Op == Check:
			revs[i] = w.Base
			continue
		default:
			continue
		}
		if err != nil {
			return s.failed(ctx, g, before, made, i, err)
		}
		made = append(made, i)
	}
	return Result{Outcome: Applied, Revisions: revs}
}

// failed answers a group whose write i failed after those in made. A single
// write stays as the failure left it. In a group of several, all writes are
// undone, because a group is all or nothing.
func (s *simpleStore) failed(ctx context.Context, g Group, before [][]byte, made []int, i int, cause error) Result {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), repairTime)
	defer cancel()
	raw, err := s.simple.Load(ctx, simpleKey(g[i].Key))
	untouched := err == nil && sameRaw(raw, before[i])
	switch {
	case untouched && len(made) == 0:
		return Result{Outcome: Rejected, Err: cause}
	case len(g) == 1:
		return Result{Outcome: Unknown, Err: errors.Join(cause, err)}
	case !untouched:
		made = append(made, i)
	}
	s.mu.Lock()
	for _, i := range made {
		s.undo[g[i].Key] = before[i]
	}
	s.mu.Unlock()
	var errs []error
	for _, i := range made {
		errs = append(errs, s.repair(ctx, g[i].Key))
	}
	if err := errors.Join(errs...); err != nil {
		return Result{Outcome: Unknown, Err: errors.Join(cause, err)}
	}
	return Result{Outcome: Rejected, Err: cause}
}

// repair restores the value that a key had before a group was cut short, if one
// was. The caller holds the key's lock.
func (s *simpleStore) repair(ctx context.Context, key string) error {
	s.mu.Lock()
	raw, ok := s.undo[key]
	s.mu.Unlock()
	if !ok {
		return nil
	}
	if err := s.set(ctx, key, raw); err != nil {
		return fmt.Errorf("store: simple: undo a group that failed: %w", err)
	}
	s.mu.Lock()
	delete(s.undo, key)
	s.mu.Unlock()
	return nil
}

// set saves bytes under a key; nil deletes them.
func (s *simpleStore) set(ctx context.Context, key string, raw []byte) error {
	if raw == nil {
		if err := s.simple.Delete(ctx, simpleKey(key)); err != nil {
			return fmt.Errorf("store: simple: delete: %w", err)
		}
		return nil
	}
	if err := s.simple.Save(ctx, simpleKey(key), raw); err != nil {
		return fmt.Errorf("store: simple: save: %w", err)
	}
	return nil
}

// sameRaw compares bytes; nil means that there are none.
func sameRaw(a, b []byte) bool {
	return (a == nil) == (b == nil) && bytes.Equal(a, b)
}
