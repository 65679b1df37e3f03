package nodes_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/meta"
	"github.com/stay-go/stay/internal/testkit"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

// A deletion of a state that another node created leaves a tombstone, for whose
// time nobody sees anything of the state: no reader, no list, no hook of expiry,
// and no node whose clock is behind. A sweep removes it.
//
// Proves E5, N1.
func TestTombstoneOfADeletedStateIsSeenByNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := memstore.Shared(3)
		clock, behind := testkit.NewClock(), testkit.NewClock()
		clock.Advance(time.Minute)
		here, there := testkit.NewExpiring(t, shared[0], behind), testkit.NewExpiring(t, shared[1], clock)
		expired := 0
		module := stay.Module[testkit.Counter]{
			Name: "c", Persist: stay.PerUser, OnExpire: func(*stay.Call, *testkit.Counter) { expired++ },
		}
		a, b := stay.Register(here.App, module), stay.Register(there.App, module)
		testkit.MustUpdate(t, t.Context(), a.At("ann"))
		testkit.NoError(t, b.At("ann").Delete(t.Context()))
		if key := "user/c/ann"; !meta.Deleted(load(t, shared[2], key).Meta) {
			t.Fatalf("%s has no tombstone", key)
		}
		for _, s := range []*stay.State[testkit.Counter]{a, b} {
			if _, err := s.At("ann").Get(t.Context()); stay.CodeOf(err) != stay.ErrNotFound {
				t.Errorf("the deleted state is read: %v", err)
			}
		}
		for key, err := range b.Keys(t.Context()) {
			t.Errorf("the deleted state is listed: %q %v", key, err)
		}
		there.Sweep(time.Minute)
		if load(t, shared[2], "user/c/ann").Revision == 0 {
			t.Error("the tombstone was removed while a creation may be in doubt")
		}
		there.Sweep(time.Minute)
		if rec := load(t, shared[2], "user/c/ann"); rec.Revision != 0 {
			t.Error("the tombstone was not removed")
		}
		if events := there.Events.Take(); expired != 0 || len(events) > 0 {
			t.Errorf("%d hooks ran for a state that has not expired; events %q", expired, events)
		}
	})
}

// A state that is created over the tombstone of an earlier one is a state like
// any other, and no hook of expiry hears of the tombstone.
//
// Proves E5.
func TestStateIsCreatedOverATombstone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := memstore.Shared(2)
		c := testkit.NewClock()
		here, there := testkit.NewExpiring(t, shared[0], c), testkit.NewExpiring(t, shared[1], c)
		expired := 0
		module := stay.Module[testkit.Counter]{
			Name: "c", Persist: stay.PerUser, OnExpire: func(*stay.Call, *testkit.Counter) { expired++ },
		}
		a, b := stay.Register(here.App, module), stay.Register(there.App, module)
		for range 3 {
			testkit.MustUpdate(t, t.Context(), a.At("ann"))
			testkit.NoError(t, b.At("ann").Delete(t.Context()))
		}
		testkit.MustUpdate(t, t.Context(), a.At("ann"))
		testkit.MustUpdate(t, t.Context(), b.At("ann"))
		testkit.WantCount(t, t.Context(), a.At("ann"), 2)
		there.Sweep(time.Hour / 2)
		testkit.WantCount(t, t.Context(), a.At("ann"), 2)
		if expired != 0 {
			t.Errorf("%d hooks ran", expired)
		}
	})
}

// A node that has written a state after it created it knows that it did, and a
// node that removes its own state has nothing in doubt: then nothing stays.
//
// Proves E5.
func TestDeletionLeavesNothingWhereNoCreationIsInDoubt(t *testing.T) {
	shared := memstore.Shared(3)
	module := stay.Module[testkit.Counter]{Name: "c", Persist: stay.Global}
	a := stay.Register(testkit.NewApp(t, shared[0], nil), module)
	b := stay.Register(testkit.NewApp(t, shared[1], nil), module)
	testkit.MustUpdate(t, t.Context(), a)
	testkit.NoError(t, a.Delete(t.Context()))
	if rec := load(t, shared[2], "global/c/"); rec.Revision != 0 {
		t.Error("a record stays of a state that its creator removed")
	}
	testkit.MustUpdate(t, t.Context(), a)
	testkit.MustUpdate(t, t.Context(), a)
	testkit.NoError(t, b.Delete(t.Context()))
	if rec := load(t, shared[2], "global/c/"); rec.Revision != 0 {
		t.Error("a record stays of a state that its creator has changed since")
	}
}

// A deletion in doubt that leaves a tombstone is one deletion: what others create
// meanwhile stays.
//
// Proves E5.
func TestDeletionInDoubtThatLeavesATombstoneHappensOnce(t *testing.T) {
	for name, fault := range map[string]storefault.Fault{"stored": storefault.HangAfter(), "not stored": storefault.Hang()} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				shared := memstore.Shared(2)
				st := storefault.Wrap(shared[0], nil)
				module := stay.Module[testkit.Counter]{Name: "c", Persist: stay.Global}
				here := stay.Register(testkit.NewApp(t, st, nil), module)
				there := stay.Register(testkit.NewApp(t, shared[1], nil), module)
				testkit.MustUpdate(t, t.Context(), there)
				testkit.WantCount(t, t.Context(), here, 1)
				st.Add(storefault.Rule{Op: storefault.Commit, Times: 1, Fault: fault})
				told := make(chan error, 1)
				go func() { told <- here.Delete(context.Background()) }()
				synctest.Wait() // now it hangs
				if name == "not stored" {
					testkit.NoError(t, there.Delete(t.Context()))
				}
				testkit.MustUpdate(t, t.Context(), there)
				testkit.NoError(t, <-told)
				testkit.WantCount(t, t.Context(), there, 1)
				testkit.WantCount(t, t.Context(), here, 1)
			})
		})
	}
}

// A creation in doubt does not come back either after the state was deleted,
// created again and deleted once more, by whomever.
//
// Proves E5.
func TestCreationInDoubtDoesNotComeBackAfterTwoDeletions(t *testing.T) {
	for name, changes := range map[string]int{"by its creator": 1, "after a change of its creator": 2} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				shared := memstore.Shared(3)
				st := storefault.Wrap(shared[0], nil)
				module := stay.Module[testkit.Counter]{Name: "c", Persist: stay.Global}
				here := stay.Register(testkit.NewApp(t, st, nil), module)
				there := stay.Register(testkit.NewApp(t, shared[1], nil), module)
				third := stay.Register(testkit.NewApp(t, shared[2], nil), module)
				st.Add(storefault.Rule{Op: storefault.Commit, Key: "global/c/", Times: 1, Fault: storefault.HangAfter()})
				told := make(chan error, 1)
				go func() {
					_, err := here.Update(context.Background(), testkit.Increment)
					told <- err
				}()
				synctest.Wait() // it is stored, and the answer hangs
				testkit.NoError(t, there.Delete(t.Context()))
				for range changes {
					testkit.MustUpdate(t, t.Context(), third)
				}
				deletes := third
				if changes > 1 {
					deletes = there
				}
				testkit.NoError(t, deletes.Delete(t.Context()))
				if err := <-told; err != nil {
					testkit.WantCode(t, err, stay.ErrUnknown)
				}
				testkit.WantCount(t, t.Context(), there, 0)
				testkit.WantCount(t, t.Context(), here, 0)
			})
		})
	}
}

// load returns what the store has under a key.
func load(t *testing.T, s store.Store, key string) store.Record {
	t.Helper()
	recs, err := s.Load(t.Context(), []store.Read{{Key: key}})
	if err != nil {
		t.Fatal(err)
	}
	return recs[0]
}
