package storetest

import (
	"context"
	"testing"
	"time"

	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
)

// A rewound is a place whose records can be put back to a copy. Their revisions
// begin again then, unless each life of the place has revisions above those of
// the lives before.
type rewound struct {
	records *memstore.Store
	copied  []store.Record
	life    int
	counts  bool // false: it is broken, and all lives have the same revisions
}

func (r *rewound) open(*testing.T) store.Store {
	return breakStore(r.records, func(b *broken) {
		b.close = func() error { return nil }
		above := store.Revision(0)
		if r.counts {
			above = store.Revision(r.life) << 32
		}
		show := func(recs []store.Record) {
			for i := range recs {
				if recs[i].Revision != 0 {
					recs[i].Revision += above
				}
			}
		}
		hide := func(rev store.Revision) store.Revision {
			if rev == 0 || rev > above {
				return rev - min(rev, above)
			}
			return 1 << 62 // of an earlier life
		}
		b.load = func(ctx context.Context, reads []store.Read) ([]store.Record, error) {
			inner := make([]store.Read, len(reads))
			for i, read := range reads {
				inner[i] = store.Read{Key: read.Key, Have: hide(read.Have)}
			}
			recs, err := r.records.Load(ctx, inner)
			show(recs)
			return recs, err
		}
		b.commit = func(ctx context.Context, groups []store.Group) []store.Result {
			results := r.records.Commit(ctx, cloneGroups(groups, func(w *store.Write) { w.Base = hide(w.Base) }))
			for i := range results {
				show(results[i].Current)
				for j, rev := range results[i].Revisions {
					if rev != 0 {
						results[i].Revisions[j] = rev + above
					}
				}
			}
			return results
		}
	})
}

func (r *rewound) save() {
	ctx := context.Background()
	keys, _ := r.records.List(ctx, time.Time{}, "", "", 1000)
	reads := make([]store.Read, len(keys))
	for i, key := range keys {
		reads[i].Key = key
	}
	r.copied, _ = r.records.Load(ctx, reads)
}

func (r *rewound) restore() {
	r.life++
	r.records = memstore.New()
	for _, rec := range r.copied {
		w := store.Write{Key: rec.Key, Value: rec.Value, Meta: rec.Meta, Version: rec.Version, Expires: rec.Expires}
		r.records.Commit(context.Background(), []store.Group{{w}})
	}
}

// rewindCaught are the rules about places that lose writes.
var rewindCaught = []string{"C3 grows across lost writes"}

// A store whose revisions begin again with a restored copy is caught, and one
// whose revisions go on passes.
//
// Proves C3.
func TestSuiteCatchesRewind(t *testing.T) {
	for name, counts := range map[string]bool{"revisions begin again": false, "revisions go on": true} {
		t.Run(name, func(t *testing.T) {
			h := Harness{Rewind: func(*testing.T) (open func(*testing.T) store.Store, save, restore func()) {
				r := &rewound{records: memstore.New(), counts: counts}
				return r.open, r.save, r.restore
			}}
			for _, rule := range rewindCaught {
				log, failed, err := fails(rule, h, memstore.New().Features())
				if err != nil || failed == counts {
					t.Errorf("rule %q: failed %v, %v: %s", rule, failed, err, log)
				}
			}
		})
	}
}
