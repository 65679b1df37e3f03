package storetest

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
)

// The breakages that take more than a few lines, and those of stores that
// outlive their handles.

func cloneGroups(groups []store.Group, edit func(*store.Write)) []store.Group {
	edited := make([]store.Group, len(groups))
	for i, g := range groups {
		edited[i] = slices.Clone(g)
		for j := range edited[i] {
			edit(&edited[i][j])
		}
	}
	return edited
}

func absent(g store.Group) []store.Record {
	recs := make([]store.Record, len(g))
	for i, w := range g {
		recs[i].Key = w.Key
	}
	return recs
}

// endsSoon reports whether a context has the short deadline of the rules about
// cancellation.
func endsSoon(ctx context.Context) bool {
	deadline, ok := ctx.Deadline()
	return ok && time.Until(deadline) < time.Second
}

// editKeys breaks a store by changing keys on their way in; on their way out
// they are as they were.
func editKeys(edit func(string) string) func(*broken) {
	return func(b *broken) {
		editWrites(func(w *store.Write) { w.Key = edit(w.Key) })(b)
		commit := b.commit
		b.commit = func(ctx context.Context, groups []store.Group) []store.Result {
			results := commit(ctx, groups)
			for i := range results {
				for j := range results[i].Current {
					results[i].Current[j].Key = groups[i][j].Key
				}
			}
			return results
		}
		b.load = func(ctx context.Context, reads []store.Read) ([]store.Record, error) {
			edited := slices.Clone(reads)
			for i := range edited {
				edited[i].Key = edit(edited[i].Key)
			}
			recs, err := b.Store.Load(ctx, edited)
			for i := range recs {
				recs[i].Key = reads[i].Key
			}
			return recs, err
		}
	}
}

func editList(edit func([]string) []string) func(*broken) {
	return func(b *broken) {
		b.list = func(ctx context.Context, now time.Time, prefix, after string, limit int) ([]string, error) {
			keys, err := b.Store.(store.Lister).List(ctx, now, prefix, after, limit)
			return edit(keys), err
		}
	}
}

// lag answers each read with the record that the read before it found.
func lag(b *broken) {
	var mu sync.Mutex
	last := map[string]store.Record{}
	b.load = func(ctx context.Context, reads []store.Read) ([]store.Record, error) {
		recs, err := b.Store.Load(ctx, reads)
		mu.Lock()
		defer mu.Unlock()
		for i := range recs {
			if old, ok := last[recs[i].Key]; ok {
				recs[i], last[recs[i].Key] = old, recs[i]
			} else {
				last[recs[i].Key] = recs[i]
			}
		}
		return recs, err
	}
}

// ignoreBase gives every write the base that makes it succeed.
func ignoreBase(b *broken) {
	var mu sync.Mutex
	meet := make(chan struct{})
	b.load = func(ctx context.Context, reads []store.Read) ([]store.Record, error) {
		recs, err := b.Store.Load(ctx, reads)
		// Two callers that read at once both have the record before either
		// writes, however the scheduler runs them. One alone goes on.
		select {
		case meet <- struct{}{}:
		case <-meet:
		case <-time.After(time.Millisecond):
		}
		return recs, err
	}
	b.commit = func(ctx context.Context, groups []store.Group) []store.Result {
		mu.Lock()
		defer mu.Unlock()
		return b.Store.Commit(ctx, cloneGroups(groups, func(w *store.Write) {
			if recs, err := b.Store.Load(ctx, []store.Read{{Key: w.Key}}); err == nil {
				w.Base = recs[0].Revision
			}
		}))
	}
}

// writeAsItGoes makes each write of a group by itself, until one fails.
func writeAsItGoes(b *broken) {
	b.commit = func(ctx context.Context, groups []store.Group) []store.Result {
		results := make([]store.Result, len(groups))
		for i, g := range groups {
			res := store.Result{Outcome: store.Applied}
			for j := range g {
				one := b.Store.Commit(ctx, []store.Group{g[j : j+1]})[0]
				runtime.Gosched()
				if one.Outcome != store.Applied {
					res = store.Result{Outcome: one.Outcome, Err: one.Err, Current: absent(g)}
					break
				}
				res.Revisions = append(res.Revisions, one.Revisions[0])
			}
			results[i] = res
		}
		return results
	}
}

// atHome breaks a store that has groups at one home only.
func atHome(how func(*broken)) func(*broken) {
	return func(b *broken) {
		how(b)
		b.features = func() store.Features {
			f := b.Store.Features()
			f.Groups, f.GroupsAtHome = false, true
			return f
		}
	}
}

// reuseBuffer hands out values that lie in one buffer.
func reuseBuffer(b *broken) {
	var mu sync.Mutex
	buf := make([]byte, 0, 1<<10)
	b.load = func(ctx context.Context, reads []store.Read) ([]store.Record, error) {
		recs, err := b.Store.Load(ctx, reads)
		mu.Lock()
		defer mu.Unlock()
		buf = buf[:0]
		for i := range recs {
			start := len(buf)
			buf = append(buf, recs[i].Value...)
			recs[i].Value = buf[start:len(buf):len(buf)]
		}
		return recs, err
	}
}

// A restart makes revisions start over: it shows those of a key counted from
// an offset, the revision that the key had when it was forgotten.
type restart struct {
	mu      sync.Mutex
	offset  map[string]store.Revision // in force
	deleted map[string]store.Revision // last revision of keys that were deleted
}

func newRestart() *restart {
	return &restart{offset: map[string]store.Revision{}, deleted: map[string]store.Revision{}}
}

// forget puts the offsets of deleted keys in force.
func (r *restart) forget() {
	for key, rev := range r.deleted {
		r.offset[key] = rev
	}
}

func (r *restart) show(key string, rev store.Revision) store.Revision {
	if rev > r.offset[key] {
		return rev - r.offset[key]
	}
	return rev
}

func (r *restart) apply(b *broken, atDeletion bool) {
	b.load = func(ctx context.Context, reads []store.Read) ([]store.Record, error) {
		r.mu.Lock()
		defer r.mu.Unlock()
		inner := slices.Clone(reads)
		for i := range inner {
			inner[i].Have = 0
		}
		recs, err := b.Store.Load(ctx, inner)
		for i := range recs {
			recs[i].Revision = r.show(recs[i].Key, recs[i].Revision)
			if recs[i].Revision == reads[i].Have {
				recs[i] = store.Record{Key: recs[i].Key, Revision: recs[i].Revision}
			}
		}
		return recs, err
	}
	b.commit = func(ctx context.Context, groups []store.Group) []store.Result {
		r.mu.Lock()
		defer r.mu.Unlock()
		inner := cloneGroups(groups, func(w *store.Write) {
			if w.Base != 0 {
				w.Base += r.offset[w.Key]
			}
		})
		results := b.Store.Commit(ctx, inner)
		for i, g := range inner {
			for j := range results[i].Current {
				results[i].Current[j].Revision = r.show(g[j].Key, results[i].Current[j].Revision)
			}
			for j := range results[i].Revisions {
				results[i].Revisions[j] = r.show(g[j].Key, results[i].Revisions[j])
				if g[j].Op == store.Delete && g[j].Base != 0 {
					r.deleted[g[j].Key] = g[j].Base
				}
			}
		}
		if atDeletion {
			r.forget()
		}
		return results
	}
}

func restartAtDeletion(b *broken) { newRestart().apply(b, true) }

// A placeBreakage is a breakage that shows between handles on one place.
type placeBreakage struct {
	name   string
	place  func() func(*testing.T) store.Store
	caught []string
}

// kept returns a place for memory stores that declare that they are durable,
// and are, because the place keeps the records.
func kept(how func(*broken)) func(*testing.T) store.Store {
	handles := memstore.Shared(100)
	return func(*testing.T) store.Store {
		s := handles[0]
		handles = handles[1:]
		return breakStore(s, func(b *broken) {
			b.features = durable(b)
			how(b)
		})
	}
}

func durable(b *broken) func() store.Features {
	return func() store.Features {
		f := b.Store.Features()
		f.Durable, f.SoleOwner = true, true
		return f
	}
}

var durableBreakages = []placeBreakage{
	{"nothing is kept", func() func(*testing.T) store.Store {
		return func(*testing.T) store.Store {
			return breakStore(memstore.New(), func(b *broken) { b.features = durable(b) })
		}
	}, []string{"C5 survives reopening", "C5 groups survive reopening", "C3 grows across reopening", "Model"}},
	{"revisions start over when the store is opened", func() func(*testing.T) store.Store {
		r := newRestart()
		open := kept(func(b *broken) { r.apply(b, false) })
		return func(t *testing.T) store.Store {
			r.forget()
			return open(t)
		}
	}, []string{"C3 grows across reopening"}},
}

var sharedBreakages = []placeBreakage{
	{"handles share nothing", func() func(*testing.T) store.Store {
		return func(*testing.T) store.Store { return memstore.Shared(1)[0] }
	}, []string{
		"Shared reads see writes of others", "Shared compare-and-swap", "Shared increments", "Shared groups",
		"Shared histories", "Shared expiry",
	}},
	{"a handle claims to be the owner", func() func(*testing.T) store.Store {
		handles := memstore.Shared(8)
		return func(*testing.T) store.Store {
			s := handles[0]
			handles = handles[1:]
			return breakStore(s, func(b *broken) { b.features = durable(b) })
		}
	}, []string{"Shared declares itself"}},
	{"a handle reads from its own cache", func() func(*testing.T) store.Store {
		handles := memstore.Shared(8)
		return func(*testing.T) store.Store {
			s := handles[0]
			handles = handles[1:]
			return breakStore(s, lag)
		}
	}, []string{"Shared reads see writes of others"}},
	{"a handle announces what it has changed itself", func() func(*testing.T) store.Store {
		handles := memstore.Shared(8)
		return func(*testing.T) store.Store {
			s := handles[0]
			handles = handles[1:]
			return breakStore(s, ownChanges)
		}
	}, []string{"Watch announces what others change", "Watch lets a reader follow others"}},
	{"closing one handle closes all", func() func(*testing.T) store.Store {
		one := memstore.Shared(1)[0]
		return func(*testing.T) store.Store { return one }
	}, []string{"Shared close"}},
}
