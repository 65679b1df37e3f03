package pgstore_test

import (
	"context"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/stay-go/stay/internal/storekit"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/pgstore"
)

// TestFailover proves that a store connects to the primary of several hosts, that
// it goes on with a standby that takes over, and that no revision of a write that
// was lost then is given again.
//
// Proves C1, C3, C6.
func TestFailover(t *testing.T) {
	t.Parallel()
	first := ownServer(t)
	second := first.standby(t)

	if st, err := pgstore.Open(storekit.Within(t), second.URL()); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("Open on a standby: %v, %v", st, err)
	}
	pool, err := pgxpool.New(storekit.Within(t), second.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	if st, err := pgstore.New(storekit.Within(t), pool); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("New on a standby: %v, %v", st, err)
	}

	st := open(t, first.URLBy(second.Address()+","+first.Address()))
	kept := storekit.Put(t, st, "key", 0, "kept")

	// The standby has this write, and not the next ones.
	if err := errors.Join(second.CatchUp(storekit.Within(t), first.Server), second.Detach(storekit.Within(t))); err != nil {
		t.Fatal(err)
	}
	lost := kept
	for range 100 { // a standby is ahead of the values of a sequence that it has seen used
		lost = storekit.Put(t, st, "key", lost, "lost")
	}

	first.Kill()
	if err := second.Promote(storekit.Within(t)); err != nil {
		t.Fatal(err)
	}
	ctx := storekit.Within(t)
	var records []store.Record
	for {
		if records, err = st.Load(ctx, []store.Read{{Key: "key", Have: lost}}); err == nil || ctx.Err() != nil {
			break
		}
	}
	if err != nil || records[0].Revision != kept || string(records[0].Value) != "kept" {
		t.Fatalf("after the failover: %+v, %v", records, err)
	}
	var r store.Result
	for r.Outcome != store.Applied && r.Outcome != store.Conflict && ctx.Err() == nil {
		r = st.Commit(context.Background(), []store.Group{{{Key: "key", Base: kept, Value: []byte("after")}}})[0]
	}
	if r.Outcome != store.Applied || r.Revisions[0] <= lost {
		t.Errorf("%v at %v, and the lost writes went up to %d: %v", r.Outcome, r.Revisions, lost, r.Err)
	}
}
