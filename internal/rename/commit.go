package rename

import (
	"context"
	"errors"
	"slices"

	"github.com/stay-go/stay/internal/meta"
	"github.com/stay-go/stay/store"
)

// errShort is the error of a store whose answer is too short.
var errShort = errors.New("the store did not answer all of the call")

// Commit implements store.Store. A write that replaces a record under a former
// name creates one under the present name and deletes the other, in one group:
// of two processes that do so one succeeds. A write that requires no record
// requires none under any name, and a write that deletes a record deletes it
// under all names.
func (s *Store) Commit(ctx context.Context, groups []store.Group) []store.Result {
	t := s.all.Load()
	if t == nil || !slices.ContainsFunc(groups, t.writes) {
		return s.Whole.Commit(ctx, groups)
	}
	return s.commit(ctx, t, groups)
}

// commit is Commit for groups that t translates.
func (s *Store) commit(ctx context.Context, t *table, groups []store.Group) []store.Result {
	groups = t.withoutTombstones(groups)
	former, err := s.former(ctx, t, groups)
	if err != nil {
		return slices.Repeat([]store.Result{{Outcome: store.Rejected, Err: err}}, len(groups))
	}
	plans := make([]plan, len(groups))
	made := make([]store.Group, len(groups))
	for i, g := range groups {
		plans[i] = plan{table: t, former: former, group: g}
		made[i] = plans[i].translate()
	}
	res := s.Whole.Commit(ctx, made)
	for i := range min(len(res), len(plans)) {
		res[i] = plans[i].answer(res[i])
	}
	return res
}

// writes reports whether the group is about a record that may be under several
// names.
func (t *table) writes(g store.Group) bool {
	return slices.ContainsFunc(g, func(w store.Write) bool {
		p, _ := t.of(w.Key)
		return p != nil
	})
}

// withoutTombstones returns the groups with deletions in place of tombstones. A
// tombstone under the present name would hide what a release before creates under
// a former one, and who removes it would remove that, too.
func (t *table) withoutTombstones(groups []store.Group) []store.Group {
	groups = slices.Clone(groups)
	for i, g := range groups {
		if !slices.ContainsFunc(g, func(w store.Write) bool { return meta.Deleted(w.Meta) }) {
			continue
		}
		groups[i] = slices.Clone(g)
		for j := range groups[i] {
			w := &groups[i][j]
			if p, _ := t.of(w.Key); p != nil && meta.Deleted(w.Meta) {
				*w = store.Write{Op: store.Delete, Key: w.Key, Base: w.Base}
			}
		}
	}
	return groups
}

// former returns the records under former names that the groups may have to
// delete, by key.
func (s *Store) former(ctx context.Context, t *table, groups []store.Group) (map[string]store.Record, error) {
	var reads []store.Read
	for _, g := range groups {
		for i := range g {
			w := &g[i]
			p, id := t.of(w.Key)
			if p == nil || w.Op != store.Delete || w.Base == 0 {
				continue
			}
			for name := range p.Former {
				reads = append(reads, store.Read{Key: p.key(name+1, id)})
			}
		}
	}
	if len(reads) == 0 {
		return nil, nil
	}
	recs, err := s.Whole.Load(ctx, reads)
	if err == nil && len(recs) != len(reads) {
		err = errShort
	}
	if err != nil {
		return nil, err
	}
	found := map[string]store.Record{}
	for _, rec := range recs {
		if rec.Revision != 0 {
			found[rec.Key] = rec
		}
	}
	return found, nil
}

// A plan is the translation of one group.
type plan struct {
	*table
	former map[string]store.Record // under former names
	group  store.Group
	made   store.Group
	steps  []step // one for each write of the group
}

// A step is the translation of one write: the writes of one state under several
// names.
type step struct {
	p     *Prefixes // nil: the write stays as it is
	id    string
	from  int   // index of the first write in the new group
	names []int // of what they are about
}

// translate returns the group that the store is to apply.
func (pl *plan) translate() store.Group {
	pl.steps = make([]step, len(pl.group))
	for i := range pl.group {
		w := pl.group[i]
		st := &pl.steps[i]
		st.from = len(pl.made)
		if st.p, st.id = pl.of(w.Key); st.p == nil {
			pl.made = append(pl.made, w)
			continue
		}
		if w.Base == 0 {
			pl.create(st, w)
		} else {
			pl.replace(st, w)
		}
	}
	return pl.made
}

// add adds a write of the state under the name.
func (pl *plan) add(st *step, name int, w store.Write) {
	w.Key = st.p.key(name, st.id)
	pl.made = append(pl.made, w)
	st.names = append(st.names, name)
}

// create translates a write that requires no record.
func (pl *plan) create(st *step, w store.Write) {
	pl.add(st, 0, w)
	for i := range st.p.Former {
		pl.add(st, i+1, store.Write{Op: store.Check})
	}
}

// replace translates a write that replaces a record, under the name that its
// base encodes. On a store without atomic groups a crash may leave both
// records, never no record.
func (pl *plan) replace(st *step, w store.Write) {
	under, base := split(w.Base)
	if under > len(st.p.Former) { // no caller was given such a revision
		under, base = 0, nameMask
	}
	w.Base = base
	switch {
	case under == 0:
		pl.add(st, 0, w)
	case w.Op == store.Put:
		w.Base = 0
		pl.add(st, 0, w)
		pl.add(st, under, store.Write{Op: store.Delete, Base: base})
	default:
		pl.add(st, 0, store.Write{Op: store.Check})
		pl.add(st, under, w)
	}
	for name := 1; name < under; name++ {
		pl.add(st, name, store.Write{Op: store.Check})
	}
	if w.Op != store.Delete {
		return
	}
	for name := under + 1; name <= len(st.p.Former); name++ {
		key := st.p.key(name, st.id)
		rec, ok := pl.former[key]
		if ok && !slices.ContainsFunc(pl.group, func(w store.Write) bool { return w.Key == key }) {
			pl.add(st, name, store.Write{Op: store.Delete, Base: rec.Revision})
		}
	}
}

// answer is the caller's result for the group.
func (pl *plan) answer(res store.Result) store.Result {
	switch {
	case res.Outcome == store.Applied && len(res.Revisions) != len(pl.made):
		return store.Result{Err: errShort}
	case res.Outcome == store.Applied:
		revs := make([]store.Revision, len(pl.steps))
		for i := range pl.steps {
			st, w := &pl.steps[i], &pl.group[i]
			switch {
			case st.p == nil:
				revs[i] = res.Revisions[st.from]
			case w.Op == store.Check:
				revs[i] = w.Base
			case w.Op == store.Put:
				revs[i] = present(0, res.Revisions[st.from])
			}
		}
		res.Revisions = revs
	case res.Outcome == store.Conflict && len(res.Current) == len(pl.made):
		current := make([]store.Record, len(pl.steps))
		for i := range pl.steps {
			current[i] = pl.current(&pl.steps[i], res.Current)
		}
		res.Current = current
	case res.Outcome == store.Conflict:
		res.Current = nil
	}
	return res
}

// current returns the record that the store has for one write.
func (pl *plan) current(st *step, all []store.Record) store.Record {
	if st.p == nil {
		return all[st.from]
	}
	rec, newest := store.Record{Key: st.p.key(0, st.id)}, Most+1
	for i, name := range st.names {
		if is := all[st.from+i]; is.Revision != 0 && name < newest {
			newest, rec = name, is
			rec.Key, rec.Revision = st.p.key(0, st.id), present(name, is.Revision)
		}
	}
	return rec
}
