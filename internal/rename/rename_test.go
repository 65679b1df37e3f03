package rename_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stay-go/stay/internal/meta"
	"github.com/stay-go/stay/internal/rename"
	"github.com/stay-go/stay/internal/testseed"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storetest"
)

// A store as seen by a module with former names keeps the rules of stores.
//
// Proves C1, C2, C3, C4, C6.
func TestARenamedModuleSeesAStore(t *testing.T) {
	storetest.Run(t, storetest.Harness{
		New: func(*testing.T) func(*testing.T) store.Store {
			return func(t *testing.T) store.Store { return seen(t, memstore.New()) }
		},
		Shared: func(*testing.T) func(*testing.T) store.Store {
			handles := memstore.Shared(8)
			return func(t *testing.T) store.Store {
				s := seen(t, handles[0])
				handles = handles[1:]
				return s
			}
		},
	})
}

// module is the store as the states of one module.
type module struct {
	*rename.Store
	long *sync.Map
}

func seen(t *testing.T, s rename.Whole) module {
	r := rename.New(s)
	r.Add(&rename.Prefixes{Now: "u/n/", Former: []string{"u/o/", "u/p/"}, Both: func(id string) {
		t.Errorf("%q is under several names", id)
	}})
	return module{r, &sync.Map{}}
}

// down makes the key of a state from a key of the suite. The longest are
// shortened, to leave room for the prefix.
func (m module) down(key string) string {
	switch n := len(key); {
	case n == 0:
		return ""
	case n > store.MaxKey-4 && n <= store.MaxKey:
		short := key[:n-8] + fmt.Sprint(n)
		m.long.Store(short, key)
		key = short
	}
	return "u/n/" + key
}

// up is the reverse of down.
func (m module) up(key string) string {
	key = strings.TrimPrefix(key, "u/n/")
	if long, ok := m.long.Load(key); ok {
		return long.(string)
	}
	return key
}

func (m module) Load(ctx context.Context, reads []store.Read) ([]store.Record, error) {
	below := slices.Clone(reads)
	for i := range below {
		below[i].Key = m.down(below[i].Key)
	}
	recs, err := m.Store.Load(ctx, below)
	for i := range recs {
		recs[i].Key = m.up(recs[i].Key)
	}
	return recs, err
}

func (m module) Commit(ctx context.Context, groups []store.Group) []store.Result {
	below := make([]store.Group, len(groups))
	for i, g := range groups {
		below[i] = slices.Clone(g)
		for j := range g {
			below[i][j].Key = m.down(g[j].Key)
		}
	}
	res := m.Store.Commit(ctx, below)
	for i := range res {
		for j := range res[i].Current {
			res[i].Current[j].Key = m.up(res[i].Current[j].Key)
		}
	}
	return res
}

func (m module) Expired(ctx context.Context, now time.Time, limit int) ([]store.Record, error) {
	recs, err := m.Store.Expired(ctx, now, limit)
	for i := range recs {
		recs[i].Key = m.up(recs[i].Key)
	}
	return recs, err
}

func (m module) List(ctx context.Context, now time.Time, prefix, after string, limit int) ([]string, error) {
	if after != "" {
		after = m.down(after)
	}
	keys, err := m.Store.List(ctx, now, "u/n/"+prefix, after, limit)
	for i := range keys {
		keys[i] = m.up(keys[i])
	}
	return keys, err
}

func (m module) Watch(ctx context.Context, announce func([]store.Change, bool)) error {
	return m.Store.Watch(ctx, func(changes []store.Change, lost bool) {
		for i := range changes {
			changes[i].Key = m.up(changes[i].Key)
		}
		announce(changes, lost)
	})
}

// A tombstone of a renamed module would hide what a release before creates, so
// the deletion is plain, under all names.
//
// Proves E5, M6.
func TestADeletionOfARenamedModuleLeavesNoTombstone(t *testing.T) {
	inner := memstore.New()
	s := rename.New(inner)
	s.Add(&rename.Prefixes{Now: "u/n/", Former: []string{"u/o/"}, Both: func(string) {}})
	defer s.Close()
	raw(t, inner, "u/o/x", "old")
	raw(t, inner, "u/n/x", "new")
	m := meta.Meta{Birth: 1, Deleted: true, By: meta.Writer{Seq: 1}}
	w := store.Write{Op: store.Put, Key: "u/n/x", Base: load(t, s, "u/n/x").Revision, Meta: m.Append(nil), Expires: time.Unix(1, 0)}
	if res := s.Commit(t.Context(), []store.Group{{w}}); res[0].Outcome != store.Applied {
		t.Fatalf("%+v", res[0])
	}
	for _, key := range []string{"u/o/x", "u/n/x"} {
		if rec := load(t, inner, key); rec.Revision != 0 {
			t.Errorf("%s has %+v", key, rec)
		}
	}
	if w.Op != store.Put {
		t.Error("the caller's write was changed")
	}
}

// A change of a record under a former name is announced as one of the record that
// a read finds.
//
// Proves M6, N2.
func TestChangesUnderFormerNamesAreAnnounced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := memstore.New()
		s := rename.New(inner)
		s.Add(&rename.Prefixes{Now: "u/n/", Former: []string{"u/o/", "u/p/"}, Both: func(string) {}})
		defer s.Close()
		var mu sync.Mutex
		var got []store.Change
		go func() {
			_ = s.Watch(t.Context(), func(changes []store.Change, _ bool) {
				mu.Lock()
				defer mu.Unlock()
				got = append(got, changes...)
			})
		}()
		synctest.Wait()
		want := []store.Change{}
		raw(t, inner, "u/p/x", "oldest")
		want = append(want, store.Change{Key: "u/n/x", Revision: load(t, s, "u/n/x").Revision})
		old := raw(t, inner, "u/o/x", "old")
		want = append(want, store.Change{Key: "u/n/x", Revision: load(t, s, "u/n/x").Revision})
		raw(t, inner, "u/n/x", "new")
		want = append(want, store.Change{Key: "u/n/x", Revision: load(t, s, "u/n/x").Revision})
		other := raw(t, inner, "u/other/x", "another module")
		want = append(want, store.Change{Key: "u/other/x", Revision: other})
		if res := inner.Commit(t.Context(), []store.Group{{{Op: store.Delete, Key: "u/o/x", Base: old}}}); res[0].Outcome != store.Applied {
			t.Fatalf("%+v", res[0])
		}
		want = append(want, store.Change{Key: "u/n/x"})
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		if !slices.Equal(got, want) {
			t.Errorf("announced %v, want %v", got, want)
		}
	})
}

// raw puts a record into the store under a key.
func raw(t *testing.T, s store.Store, key, value string) store.Revision {
	t.Helper()
	res := s.Commit(t.Context(), []store.Group{{{Op: store.Put, Key: key, Value: []byte(value)}}})
	if res[0].Outcome != store.Applied {
		t.Fatalf("%+v", res[0])
	}
	return res[0].Revisions[0]
}

func load(t *testing.T, s store.Store, key string) store.Record {
	t.Helper()
	recs, err := s.Load(t.Context(), []store.Read{{Key: key}})
	if err != nil {
		t.Fatal(err)
	}
	return recs[0]
}

// The revisions that callers see grow when a record moves, although the
// revisions of the two keys do not compare, and an old revision never fits the
// present record.
//
// Proves C3.
func TestRevisionsGrowAcrossAMove(t *testing.T) {
	s := memstore.New()
	for range 20 {
		rev := raw(t, s, "u/p/ann", "")
		s.Commit(t.Context(), []store.Group{{{Op: store.Delete, Key: "u/p/ann", Base: rev}}})
	}
	raw(t, s, "u/p/ann", "one")
	m := rename.New(perKey{s})
	m.Add(&rename.Prefixes{Now: "u/n/", Former: []string{"u/o/", "u/p/"}, Both: func(string) {}})
	before := load(t, m, "u/n/ann")
	res := m.Commit(t.Context(), []store.Group{{{Op: store.Put, Key: "u/n/ann", Base: before.Revision, Value: []byte("two")}}})[0]
	if res.Outcome != store.Applied || res.Revisions[0] <= before.Revision {
		t.Fatalf("after revision %d the move has %+v", before.Revision, res)
	}
	after := load(t, m, "u/n/ann")
	if after.Revision != res.Revisions[0] || string(after.Value) != "two" || load(t, s, "u/p/ann").Revision != 0 {
		t.Errorf("after the move there is %+v", after)
	}
	for _, base := range []store.Revision{before.Revision, 0, res.Revisions[0] & (1<<62 - 1)} {
		got := m.Commit(t.Context(), []store.Group{{{Op: store.Put, Key: "u/n/ann", Base: base}}})[0]
		if got.Outcome != store.Conflict || !reflect.DeepEqual(got.Current, []store.Record{after}) {
			t.Errorf("on revision %d: %+v, want a conflict with %+v", base, got, after)
		}
	}
}

// perKey is a store whose revisions are much larger for older names.
type perKey struct{ *memstore.Store }

const older = 1 << 40

func (s perKey) Load(ctx context.Context, reads []store.Read) ([]store.Record, error) {
	recs, err := s.Store.Load(ctx, reads)
	for i := range recs {
		if strings.HasPrefix(recs[i].Key, "u/p/") && recs[i].Revision != 0 {
			recs[i].Revision += older
		}
	}
	return recs, err
}

func (s perKey) Commit(ctx context.Context, groups []store.Group) []store.Result {
	groups = slices.Clone(groups)
	for n, g := range groups {
		g = slices.Clone(g)
		groups[n] = g
		for i := range g {
			if strings.HasPrefix(g[i].Key, "u/p/") && g[i].Base != 0 {
				g[i].Base -= older
			}
		}
	}
	return s.Store.Commit(ctx, groups)
}

// A check of a record under a former name fails if the record has moved, and
// otherwise holds.
//
// Proves C2.
func TestAConditionHoldsWhereverTheRecordIs(t *testing.T) {
	s := memstore.New()
	m := rename.New(s)
	m.Add(&rename.Prefixes{Now: "u/n/", Former: []string{"u/o/"}, Both: func(string) {}})
	raw(t, s, "u/o/ann", "one")
	rec := load(t, m, "u/n/ann")
	check := func(base store.Revision) store.Outcome {
		return m.Commit(t.Context(), []store.Group{{
			{Op: store.Check, Key: "u/n/ann", Base: base}, {Op: store.Check, Key: "other", Base: 0},
		}})[0].Outcome
	}
	if got := [...]store.Outcome{check(rec.Revision), check(0)}; got != [...]store.Outcome{store.Applied, store.Conflict} {
		t.Errorf("before the move the checks are %v", got)
	}
	m.Commit(t.Context(), []store.Group{{{Op: store.Put, Key: "u/n/ann", Base: rec.Revision}}})
	if got := [...]store.Outcome{check(rec.Revision), check(0)}; got != [...]store.Outcome{store.Conflict, store.Conflict} {
		t.Errorf("after the move the checks are %v", got)
	}
}

// A store whose revisions leave no room for the name is refused, not misread.
//
// Proves C3.
func TestRevisionsWithoutRoomAreRefused(t *testing.T) {
	s := memstore.New()
	raw(t, s, "u/o/ann", "one")
	m := rename.New(huge{s})
	m.Add(&rename.Prefixes{Now: "u/n/", Former: []string{"u/o/"}, Both: func(string) {}})
	if recs, err := m.Load(t.Context(), []store.Read{{Key: "u/n/ann"}}); !errors.Is(err, rename.ErrRevision) {
		t.Errorf("read: %+v, %v", recs, err)
	}
}

type huge struct{ *memstore.Store }

func (s huge) Load(ctx context.Context, reads []store.Read) ([]store.Record, error) {
	recs, err := s.Store.Load(ctx, reads)
	for i := range recs {
		if recs[i].Revision != 0 {
			recs[i].Revision |= 1 << 62
		}
	}
	return recs, err
}

// A record is one record to its callers, under any name that it began with: a
// write on the revision that was seen is applied, every other write is not, and
// a deleted record is gone.
//
// Proves C1, C2, C3.
func TestARecordIsOneUnderAllNames(t *testing.T) {
	seed, former := testseed.New(t), []string{"u/o/", "u/p/", "u/q/"}
	for round := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, round))
		s := memstore.Shared(3)
		var stores []*rename.Store
		for i := range 2 {
			m := rename.New(s[i])
			m.Add(&rename.Prefixes{Now: "u/n/", Former: former, Both: func(string) {}})
			stores = append(stores, m)
		}
		var want string                                                 // the value; "" if there is no record
		for i, name := range []string{"u/q/", "u/p/", "u/o/", "u/n/"} { // the newest counts
			if r.IntN(2) == 0 {
				want = fmt.Sprint("first", i)
				raw(t, s[2], name+"ann", want)
			}
		}
		seen := []store.Revision{0}
		for i := range 12 {
			m := stores[r.IntN(2)]
			if name := r.IntN(4); name > 0 && r.IntN(4) == 0 { // another release creates one
				if key := former[name-1] + "ann"; load(t, s[2], key).Revision == 0 {
					was := load(t, m, "u/n/ann").Revision
					raw(t, s[2], key, fmt.Sprint("other", i))
					if is := load(t, m, "u/n/ann").Revision; is != was {
						want = fmt.Sprint("other", i)
					}
				}
			}
			rec := load(t, m, "u/n/ann")
			if string(rec.Value) != want || rec.Revision == 0 != (want == "") {
				t.Fatalf("round %d: there is %+v, want %q", round, rec, want)
			}
			if !slices.Contains(seen, rec.Revision) {
				seen = append(seen, rec.Revision)
			}
			w := store.Write{Op: store.Op(r.IntN(3)), Key: "u/n/ann", Base: seen[r.IntN(len(seen))], Value: []byte(fmt.Sprint(i))}
			if r.IntN(2) == 0 {
				w.Base = rec.Revision
			}
			res := m.Commit(t.Context(), []store.Group{{w, {Op: store.Check, Key: "x"}}})[0]
			fits := w.Base == rec.Revision
			switch {
			case fits != (res.Outcome == store.Applied):
				t.Fatalf("round %d: %+v on %+v: %+v", round, w, rec, res)
			case !fits && res.Current[0].Revision != rec.Revision && (res.Current[0].Revision != 0 || rec.Revision > w.Base): // it may be under an older name than the written one
				t.Fatalf("round %d: the conflict has %+v, want %+v", round, res.Current, rec)
			case fits && w.Op == store.Put:
				want = string(w.Value)
			case fits && w.Op == store.Delete:
				want = ""
			}
		}
	}
}
