package rename

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/stay-go/stay/store"
)

// Load implements store.Store: it reads a record under all names that its
// module has had, and answers with the one under the newest.
func (s *Store) Load(ctx context.Context, reads []store.Read) ([]store.Record, error) {
	t := s.all.Load()
	if t == nil || !slices.ContainsFunc(reads, t.reads) {
		return s.Whole.Load(ctx, reads)
	}
	asked := make([]store.Read, 0, 2*len(reads))
	for _, r := range reads {
		asked = t.ask(asked, r)
	}
	recs, err := s.Whole.Load(ctx, asked)
	if err != nil || len(recs) != len(asked) {
		return nil, err // without records: the caller sees that the answer is too short
	}
	out := make([]store.Record, len(reads))
	for i, r := range reads {
		p, id := t.of(r.Key)
		if p == nil {
			out[i], recs = recs[0], recs[1:]
			continue
		}
		n := len(p.Former) + 1
		if out[i], err = s.newest(ctx, p, id, recs[:n]); err != nil {
			return nil, err
		}
		recs = recs[n:]
	}
	return out, nil
}

// reads reports whether the record may be under several names.
func (t *table) reads(r store.Read) bool {
	p, _ := t.of(r.Key)
	return p != nil
}

// ask adds the reads of a record under all names, the newest first.
func (t *table) ask(asked []store.Read, r store.Read) []store.Read {
	p, id := t.of(r.Key)
	if p == nil {
		return append(asked, r)
	}
	have, rev := split(r.Have)
	for name := range len(p.Former) + 1 {
		one := store.Read{Key: p.key(name, id)}
		if name == have {
			one.Have = rev
		}
		asked = append(asked, one)
	}
	return asked
}

// newest returns the record under the newest of the names, as callers see it.
// recs are those under all names.
func (s *Store) newest(ctx context.Context, p *Prefixes, id string, recs []store.Record) (store.Record, error) {
	for name, rec := range recs {
		if rec.Revision == 0 {
			continue
		}
		if !p.told.Load() {
			if err := s.lookForBoth(ctx, p, id, name, recs); err != nil {
				return store.Record{}, err
			}
		}
		return p.show(name, id, rec)
	}
	return s.lookAgain(ctx, p, id)
}

// show is a record under the name as callers see it.
func (p *Prefixes) show(name int, id string, rec store.Record) (store.Record, error) {
	if rec.Revision > nameMask {
		return store.Record{}, ErrRevision
	}
	rec.Key, rec.Revision = p.key(0, id), present(name, rec.Revision)
	return rec, nil
}

// lookAgain looks once more for a record that was found under no name, one name
// after the other. A store may read the records of one call at different times,
// so another process may have moved it meanwhile, from a name that was not read
// yet to a name that was. Within one release, records move only to newer names.
func (s *Store) lookAgain(ctx context.Context, p *Prefixes, id string) (store.Record, error) {
	if !s.Features().SoleOwner {
		for name := len(p.Former) - 1; name >= 0; name-- {
			rec, err := s.one(ctx, p.key(name, id))
			if err != nil {
				return store.Record{}, err
			}
			if rec.Revision != 0 {
				return p.show(name, id, rec)
			}
		}
	}
	return store.Record{Key: p.key(0, id)}, nil
}

// lookForBoth reports a record that is under an older name, too. It reads that
// one again, because it may have moved while the records were read.
func (s *Store) lookForBoth(ctx context.Context, p *Prefixes, id string, newest int, recs []store.Record) error {
	for name := newest + 1; name < len(recs); name++ {
		if recs[name].Revision == 0 {
			continue
		}
		rec, err := s.one(ctx, p.key(name, id))
		if err != nil {
			return err
		}
		if rec.Revision != 0 && !p.told.Swap(true) {
			p.Both(id)
		}
	}
	return nil
}

// one reads one record of the store.
func (s *Store) one(ctx context.Context, key string) (store.Record, error) {
	recs, err := s.Whole.Load(ctx, []store.Read{{Key: key}})
	if err == nil && len(recs) != 1 {
		err = errShort
	}
	if err != nil {
		return store.Record{}, err
	}
	return recs[0], nil
}

// List implements store.Lister: a key that is under several names is in the
// list once.
func (s *Store) List(ctx context.Context, now time.Time, prefix, after string, limit int) ([]string, error) {
	t := s.all.Load()
	if t == nil {
		return s.Whole.List(ctx, now, prefix, after, limit)
	}
	p, begin := t.of(prefix)
	if p == nil {
		return s.Whole.List(ctx, now, prefix, after, limit)
	}
	after, ok := strings.CutPrefix(after, p.Now)
	if !ok {
		after = "" // the value before all keys, because no caller needs what comes behind them
	}
	var all []string
	// The oldest first: a record that moves meanwhile is found under both
	// names, and never under neither.
	for name := len(p.Former); name >= 0; name-- {
		from := ""
		if after != "" {
			from = p.key(name, after)
		}
		keys, err := s.Whole.List(ctx, now, p.key(name, begin), from, limit)
		if err != nil {
			return nil, err
		}
		for _, key := range keys {
			_, id := cut(key)
			all = append(all, p.key(0, id))
		}
	}
	slices.Sort(all)
	all = slices.Compact(all)
	return all[:min(len(all), limit)], nil
}
