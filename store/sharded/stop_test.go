package sharded_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/sharded"
	"github.com/stay-go/stay/store/storefault"
)

// unlisted is a store that has groups at one home and cannot list its keys.
type unlisted struct{ atHome }

func (u unlisted) Features() store.Features {
	f := u.atHome.Features()
	f.List = false
	return f
}

// A login is a group as of a session that gets a user: session, user and key have
// different homes.
func login(n int) store.Group {
	return store.Group{
		{Key: fmt.Sprint("stay/session/s", n), Value: []byte("session")},
		{Key: fmt.Sprint("stay/user/u", n), Value: []byte("user")},
		{Op: store.Check, Key: fmt.Sprint("key/room/k", n)},
	}
}

// What a process has left that stopped within a group is finished by sweeps, also
// if nobody uses the records: the group is whole, and nothing else is stored.
//
// Proves C2, C4.
func TestSweepsFinishGroups(t *testing.T) {
	for name, place := range map[string]func(*memstore.Store) store.Store{
		"with List":    home,
		"without List": func(s *memstore.Store) store.Store { return unlisted{atHome{s}} },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				for calls := 1; calls < 12; calls++ {
					all := memstore.Shared(3)
					left := &budget{left: calls}
					stopped, other := over(t, budgeted{place(all[0]), left}), over(t, place(all[1]))
					stopped.Commit(t.Context(), []store.Group{login(1)})
					for range 3 {
						sleep(25 * time.Hour)
						if _, err := other.Expired(t.Context(), time.Now(), 10); err != nil {
							t.Fatal(err)
						}
					}
					keys, err := all[2].List(t.Context(), time.Time{}, "", "", 10)
					if err != nil {
						t.Fatal(err)
					}
					if want := []string{"stay/session/s1", "stay/user/u1"}; len(keys) != 0 && !slices.Equal(keys, want) {
						t.Errorf("a process that stopped after %d calls: %q are left below, want %q or nothing", calls, keys, want)
					}
					for i, key := range keys {
						if rec := load(t, other, key); string(rec.Value) != []string{"session", "user"}[i] {
							t.Errorf("a process that stopped after %d calls: %q is %q", calls, key, rec.Value)
						}
					}
				}
			})
		})
	}
}

func load(t *testing.T, s store.Store, key string) store.Record {
	t.Helper()
	recs, err := s.Load(context.Background(), []store.Read{{Key: key}})
	if err != nil {
		t.Fatal(err)
	}
	return recs[0]
}

// A process that was held up while others ended its group does not commit it
// afterwards, whatever the clock of somebody else's sweep says.
//
// Proves C2, C6.
func TestGroupThatWasEndedIsNotCommitted(t *testing.T) {
	for name, held := range map[string]time.Duration{"for a moment": time.Second, "for an hour": time.Hour} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				all := memstore.Shared(2)
				faulty := storefault.Wrap(atHome{all[0]}, nil)
				slow, other := over(t, faulty), over(t, atHome{all[1]})
				session := login(1)[0].Key
				gate := storefault.NewGate()
				faulty.Add(storefault.Rule{Op: storefault.Commit, Match: func(c storefault.Call) bool {
					return slices.Contains(c.Keys, "stay/user/u1")
				}, Times: 1, Fault: storefault.Stop(gate)})
				done := make(chan store.Result)
				go func() { done <- slow.Commit(context.Background(), []store.Group{login(1)})[0] }()
				if _, err := gate.Arrived(t.Context()); err != nil {
					t.Fatal(err)
				}
				// The session is locked, and somebody else wants to write it.
				res := other.Commit(t.Context(), []store.Group{{{Key: session, Value: []byte("other")}}})[0]
				if res.Outcome != store.Applied {
					t.Fatalf("%v (%v)", res.Outcome, res.Err)
				}
				sleep(held)
				for range 2 {
					if _, err := other.Expired(t.Context(), time.Now().Add(48*time.Hour), 10); err != nil {
						t.Fatal(err)
					}
				}
				gate.Open()
				if res := <-done; res.Outcome != store.Conflict && res.Outcome != store.Unknown {
					t.Errorf("the group was ended, and then: %v (%v)", res.Outcome, res.Err)
				}
				if rec := load(t, other, session); string(rec.Value) != "other" {
					t.Errorf("the session is %q", rec.Value)
				}
				if rec := load(t, other, "stay/user/u1"); rec.Revision != 0 {
					t.Errorf("a part of the group that was ended is there")
				}
			})
		})
	}
}

// A reader does not wait for a group that is under way; a writer waits a moment,
// and the next one not at all.
//
// Proves C2.
func TestNobodyWaitsForAStoppedProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := memstore.Shared(2)
		stopped, other := over(t, budgeted{atHome{all[0]}, &budget{left: 3}}), over(t, atHome{all[1]})
		stopped.Commit(t.Context(), []store.Group{login(1)})
		began := time.Now()
		if rec := load(t, other, "stay/session/s1"); rec.Revision != 0 {
			t.Errorf("a reader sees %v of a group that is not decided", rec)
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("a reader has waited for %v", took)
		}
		res := other.Commit(t.Context(), []store.Group{{{Key: "stay/session/s1"}}})[0]
		if res.Outcome != store.Applied {
			t.Errorf("%v (%v)", res.Outcome, res.Err)
		}
		if took := time.Since(began); took < 200*time.Millisecond || took > 300*time.Millisecond {
			t.Errorf("a writer has waited for %v", took)
		}
	})
}

// A reader that sees a lock again after a while ends its group, so that it is not
// asked for at each read.
//
// Proves C2.
func TestReadersEndWhatHasStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := memstore.Shared(2)
		stopped := over(t, budgeted{atHome{all[0]}, &budget{left: 3}})
		count := &counted{Store: atHome{all[1]}}
		other := over(t, count)
		stopped.Commit(t.Context(), []store.Group{login(1)})
		load(t, other, "stay/session/s1")
		sleep(time.Second)
		load(t, other, "stay/session/s1")
		before := count.loads.Load()
		load(t, other, "stay/session/s1")
		if got := count.loads.Load() - before; got != 1 {
			t.Errorf("a read of what was locked a second ago takes %d calls", got)
		}
	})
}

// counted counts calls.
type counted struct {
	store.Store
	loads, commits atomic.Int64
	groups         atomic.Int64
}

func (c *counted) Load(ctx context.Context, reads []store.Read) ([]store.Record, error) {
	c.loads.Add(1)
	return c.Store.Load(ctx, reads)
}

func (c *counted) Commit(ctx context.Context, groups []store.Group) []store.Result {
	c.commits.Add(1)
	c.groups.Add(int64(len(groups)))
	return c.Store.Commit(ctx, groups)
}

// A group at one home costs what it costs below, and so do reads. One over n homes
// takes a call more for each home, and three to begin and to end.
//
// Proves C2.
func TestCalls(t *testing.T) {
	count := &counted{Store: atHome{memstore.New()}}
	s := over(t, count)
	want := func(what string, loads, commits int64, do func()) {
		t.Helper()
		count.loads.Store(0)
		count.commits.Store(0)
		do()
		if l, c := count.loads.Load(), count.commits.Load(); l != loads || c != commits {
			t.Errorf("%s: %d loads and %d commits, want %d and %d", what, l, c, loads, commits)
		}
	}
	var revs []store.Revision
	apply := func(g ...store.Write) func() {
		return func() {
			t.Helper()
			res := s.Commit(t.Context(), []store.Group{g})[0]
			if res.Outcome != store.Applied {
				t.Fatalf("%v (%v)", res.Outcome, res.Err)
			}
			revs = res.Revisions
		}
	}
	want("a creation", 0, 1, apply(store.Write{Key: "session/cart/s"}, store.Write{Key: "stay/session/s"}))
	want("a change", 0, 1, func() {
		apply(store.Write{Key: "session/cart/s", Base: revs[0]}, store.Write{Op: store.Check, Key: "stay/session/s", Base: revs[1]})()
	})
	want("a read", 1, 0, func() { load(t, s, "session/cart/s") })
	session := revs[1]
	want("a group over two homes", 1, 4, func() {
		apply(store.Write{Key: "stay/session/s", Base: session}, store.Write{Key: "stay/user/ann"})()
	})
	session, user := revs[0], revs[1]
	want("a read after it", 1, 0, func() { load(t, s, "stay/session/s") })
	want("a change after it", 0, 1, apply(store.Write{Op: store.Check, Key: "stay/session/s", Base: session}, store.Write{Key: "session/m/s"}))
	want("a group over three homes", 1, 5, apply(
		store.Write{Op: store.Check, Key: "stay/session/s", Base: session}, store.Write{Op: store.Check, Key: "stay/user/ann", Base: user},
		store.Write{Key: "key/room/x"}))
	// Another process does not know whose revisions were kept.
	other := over(t, count)
	s = other
	want("a change by another process", 0, 2, apply(store.Write{Op: store.Check, Key: "stay/session/s", Base: session}, store.Write{Key: "session/n/s"}))
	want("a conflict over two homes", 1, 0, func() {
		res := s.Commit(t.Context(), []store.Group{{{Key: "stay/session/s"}, {Key: "stay/user/ann"}}})[0]
		if res.Outcome != store.Conflict {
			t.Errorf("%v (%v)", res.Outcome, res.Err)
		}
	})
	// All of a call that is at one home is one call below.
	count.groups.Store(0)
	want("many groups", 0, 1, func() {
		groups := make([]store.Group, 50)
		for i := range groups {
			groups[i] = store.Group{{Key: fmt.Sprint("user/m/", i)}}
		}
		s.Commit(t.Context(), groups)
	})
	if got := count.groups.Load(); got != 50 {
		t.Errorf("%d groups below, want 50", got)
	}
}

// Within one store of a router, a group may have any homes.
//
// Proves C2.
func TestHomesInOneStoreNeedNoLocks(t *testing.T) {
	count := &counted{Store: memstore.New()}
	r, err := sharded.OpenRouter(t.Context(), map[string]store.Store{"one": struct{ store.Store }{count}})
	if err != nil {
		t.Fatal(err)
	}
	s := over(t, r)
	before := count.commits.Load()
	if res := s.Commit(t.Context(), []store.Group{login(1)})[0]; res.Outcome != store.Applied {
		t.Errorf("%v (%v)", res.Outcome, res.Err)
	}
	if got := count.commits.Load() - before; got != 1 {
		t.Errorf("%d calls, want one", got)
	}
}

// The keys of the store's own are nobody else's.
//
// Proves C6.
func TestOwnKeysAreReserved(t *testing.T) {
	s := over(t, routed(t, memstore.New(), memstore.New()))
	for _, key := range []string{"stay/tx/x", "stay/layout"} {
		if res := s.Commit(t.Context(), []store.Group{{{Key: key}}})[0]; res.Outcome != store.Rejected {
			t.Errorf("a write of %q: %v", key, res.Outcome)
		}
		if rec := load(t, s, key); rec.Revision != 0 {
			t.Errorf("%q is %v", key, rec)
		}
	}
	long := strings.Repeat("k", store.MaxKey)
	res := s.Commit(t.Context(), []store.Group{{{Key: long}, {Key: long[1:]}, {Key: long[2:]}, {Key: long[3:]}, {Key: long[4:]}}})[0]
	if res.Outcome != store.Rejected && res.Outcome != store.Applied {
		t.Errorf("long keys: %v (%v)", res.Outcome, res.Err)
	}
}

// List names what a group has created whose process stopped before it was done, and
// not what such a group has deleted.
//
// Proves C2.
func TestListSeesCommittedGroups(t *testing.T) {
	for _, name := range []string{"created", "deleted"} {
		all := memstore.Shared(2)
		calls := 3 // read, lock, decide
		left := &budget{left: calls}
		stopped, other := over(t, budgeted{atHome{all[0]}, left}), over(t, atHome{all[1]})
		g := login(1)[:2]
		want := []string{"stay/session/s1", "stay/user/u1"}
		if name == "deleted" {
			res := other.Commit(t.Context(), []store.Group{{g[0]}})[0]
			g[0] = store.Write{Op: store.Delete, Key: g[0].Key, Base: res.Revisions[0]}
			want = want[1:]
		}
		if res := stopped.Commit(t.Context(), []store.Group{g})[0]; res.Outcome != store.Applied {
			t.Fatalf("%s: %v (%v)", name, res.Outcome, res.Err)
		}
		keys, err := other.List(t.Context(), time.Now(), "", "", 10)
		if err != nil || !slices.Equal(keys, want) {
			t.Errorf("%s: List names %q (%v), want %q", name, keys, err, want)
		}
	}
}

// A group whose decision may still arrive is ended before a later group with its
// keys is answered, whatever the answer.
//
// Proves C6.
func TestDecisionDoesNotArriveAfterLaterGroups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := memstore.Shared(2)
		faulty := storefault.Wrap(atHome{all[0]}, nil)
		s := over(t, faulty)
		gate := storefault.NewGate()
		decides := func(c storefault.Call) bool { return slices.Contains(c.Keys, "stay/user/u1") }
		ends := func(c storefault.Call) bool {
			return len(c.Keys) == 1 && strings.HasPrefix(c.Keys[0], "stay/tx/")
		}
		faulty.Add(storefault.Rule{Op: storefault.Commit, Match: decides, Times: 1, Fault: storefault.Late(gate, nil)})
		faulty.Add(storefault.Rule{Op: storefault.Commit, Match: ends, Times: 1, Fault: storefault.Drop(nil)})
		if res := s.Commit(t.Context(), []store.Group{login(1)})[0]; res.Outcome != store.Unknown {
			t.Fatalf("a decision that is held up: %v (%v)", res.Outcome, res.Err)
		}
		res := s.Commit(t.Context(), []store.Group{{{Key: "stay/user/u1", Base: 98}, {Key: "key/room/other"}}})[0]
		if res.Outcome != store.Conflict {
			t.Fatalf("a group that names a wrong revision: %v (%v)", res.Outcome, res.Err)
		}
		gate.Open()
		synctest.Wait() // what was held up has arrived, or never does
		if rec := load(t, all[1], "stay/user/u1"); rec.Revision != 0 {
			t.Errorf("the group was applied after a later one was answered: %v", rec)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

// A slow store takes a millisecond for each call, and counts groups that end others.
type slowStore struct {
	store.Store
	ended *atomic.Int64
}

func (s slowStore) Load(ctx context.Context, reads []store.Read) ([]store.Record, error) {
	sleep(time.Millisecond)
	return s.Store.Load(ctx, reads)
}

func (s slowStore) Commit(ctx context.Context, groups []store.Group) []store.Result {
	sleep(time.Millisecond)
	for _, g := range groups {
		for _, w := range g {
			if strings.HasPrefix(w.Key, "stay/tx/") && w.Op == store.Put && w.Value[0] == 'a' {
				s.ended.Add(1)
			}
		}
	}
	return s.Store.Commit(ctx, groups)
}

// Groups over the same homes, in whatever order they name them, wait for each other
// in a line and not in a circle.
//
// Proves C2.
func TestGroupsDoNotWaitInACircle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := memstore.Shared(3)
		var ended atomic.Int64
		keys := []string{"user/m/a", "user/m/b", "user/m/c"}
		var wg sync.WaitGroup
		for i, m := range all {
			s := over(t, slowStore{atHome{m}, &ended})
			for k := range 2 {
				wg.Go(func() {
					for n := range 15 {
						recs, err := s.Load(t.Context(), []store.Read{{Key: keys[0]}, {Key: keys[1]}, {Key: keys[2]}})
						if err != nil {
							t.Error(err)
							return
						}
						g := store.Group{{Key: keys[0], Base: recs[0].Revision}, {Key: keys[1], Base: recs[1].Revision}, {Key: keys[2], Base: recs[2].Revision}}
						if (i+k+n)%2 == 0 {
							slices.Reverse(g)
						}
						if res := s.Commit(t.Context(), []store.Group{g})[0]; res.Outcome != store.Applied && res.Outcome != store.Conflict {
							t.Errorf("%v (%v)", res.Outcome, res.Err)
						}
					}
				})
			}
		}
		wg.Wait()
		if n := ended.Load(); n > 0 {
			t.Errorf("%d groups were ended, because others had waited for them", n)
		}
	})
}

// A store that is in use can be given to New: its records are there, and are
// replaced by the revisions that they have now.
//
// Proves C1, C2, C3.
func TestRecordsFromBeforeAreThere(t *testing.T) {
	all := memstore.Shared(3)
	for i := range 5 { // so that revisions are not those of the first records
		all[0].Commit(t.Context(), []store.Group{{{Key: fmt.Sprint("key/m/", i)}}})
	}
	all[0].Commit(t.Context(), []store.Group{{{Key: "stay/session/s1", Value: []byte("before"), Meta: []byte{3, 1, 2}, Version: 4}}})
	first, second := over(t, atHome{all[1]}), over(t, atHome{all[2]})
	rec := load(t, first, "stay/session/s1")
	if rec.Revision == 0 || string(rec.Value) != "before" || string(rec.Meta) != "\x03\x01\x02" || rec.Version != 4 {
		t.Fatalf("a record from before: %v", rec)
	}
	g := login(1)
	g[0].Base = rec.Revision
	if res := first.Commit(t.Context(), []store.Group{g})[0]; res.Outcome != store.Applied {
		t.Fatalf("%v (%v)", res.Outcome, res.Err)
	}
	if res := second.Commit(t.Context(), []store.Group{g})[0]; res.Outcome != store.Conflict {
		t.Errorf("the revision from before, once more: %v (%v)", res.Outcome, res.Err)
	}
}

// What a process does not know the outcome of has a bound: beyond it, nothing is
// taken until the store answers.
//
// Proves C6.
func TestDoubtsAreBounded(t *testing.T) {
	faulty := storefault.Wrap(memstore.New(), nil)
	s := over(t, faulty)
	groups := func(from int) []store.Group {
		all := make([]store.Group, 5000)
		for i := range all {
			all[i] = store.Group{{Key: fmt.Sprint("key/m/", from+i)}}
		}
		return all
	}
	lost := faulty.Add(storefault.Rule{Op: storefault.Commit, Fault: storefault.Drop(nil)})
	for _, res := range s.Commit(t.Context(), groups(0)) {
		if res.Outcome != store.Unknown {
			t.Fatalf("a call that is lost: %v (%v)", res.Outcome, res.Err)
		}
	}
	for _, res := range s.Commit(t.Context(), groups(5000)) {
		if res.Outcome != store.Rejected || !errors.Is(res.Err, store.ErrUnavailable) {
			t.Fatalf("with too much in doubt: %v (%v)", res.Outcome, res.Err)
		}
	}
	lost.Remove()
	for _, res := range s.Commit(t.Context(), groups(2500)) {
		if res.Outcome != store.Applied {
			t.Fatalf("when the store answers again: %v (%v)", res.Outcome, res.Err)
		}
	}
}
