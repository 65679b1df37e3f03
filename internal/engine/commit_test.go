package engine

import (
	"testing"

	"github.com/stay-go/stay/internal/meta"
	"github.com/stay-go/stay/store"
)

// All records of a group that was sent twice and met a conflict show together
// whether it was applied: a record that is still, or again, the one that the
// group was to replace shows that it was not. For records whose condition held
// a store returns only the revision.
//
// Proves E5.
func TestConflictOfARepeatedGroupIsToldFromItsRecords(t *testing.T) {
	self, other := meta.Writer{Node: [8]byte{1}, Seq: 2}, meta.Writer{Node: [8]byte{1}, Seq: 1}
	base, checked := &Version{Revision: 5, birth: 7}, &Version{Revision: 3, birth: 9}
	later := encodeMeta(base, nil, other)
	for name, c := range map[string]struct {
		op      store.Op
		current store.Record
		want    conclusion
	}{
		"put, as it was":             {store.Put, store.Record{Revision: 5}, conflicted},
		"put, changed by others":     {store.Put, store.Record{Revision: 6, Meta: later}, conflicted},
		"put, absent":                {store.Put, store.Record{}, lost},
		"put, made by who knows":     {store.Put, store.Record{Revision: 6}, lost},
		"put, ours":                  {store.Put, store.Record{Revision: 6, Meta: encodeMeta(base, nil, self)}, vanished},
		"delete, as it was":          {store.Delete, store.Record{Revision: 5}, conflicted},
		"delete, changed by others":  {store.Delete, store.Record{Revision: 6, Meta: later}, conflicted},
		"delete, absent":             {store.Delete, store.Record{}, lost},
		"check, changed by somebody": {store.Check, store.Record{Revision: 6, Meta: later}, lost},
	} {
		in := &Instance{active: &active{m: machine{committed: base}}}
		b := &batch{request: request{by: self, sent: 2}, in: in, companions: companions{list: []Companion{{Base: checked}}}}
		b.writes[0] = store.Group{{Op: c.op, Base: 5}, {Op: store.Check, Base: 3}}
		res := store.Result{Outcome: store.Conflict, Current: []store.Record{c.current, {Revision: 4}}}
		if how := conflictOrOwn(b, res); how != c.want {
			t.Errorf("%s: %d, want %d", name, how, c.want)
		}
		b.sent = 1
		if how := conflictOrOwn(b, res); how != conflicted && c.want != vanished {
			t.Errorf("%s, sent once: %d, want %d", name, how, conflicted)
		}
	}
}
