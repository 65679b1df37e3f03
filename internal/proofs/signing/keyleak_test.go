package signing_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
)

// oneRevision is a store whose record of the keys has revision 1 for ever, as
// if somebody wrote each of its values by hand.
type oneRevision struct{ store.Store }

func (s oneRevision) Load(ctx context.Context, reads []store.Read) ([]store.Record, error) {
	asked := append([]store.Read(nil), reads...)
	for i := range asked {
		if asked[i].Key == keysRecord {
			asked[i].Have = 0
		}
	}
	recs, err := s.Store.Load(ctx, asked)
	for i := range recs {
		if recs[i].Key != keysRecord || recs[i].Revision == 0 {
			continue
		}
		recs[i].Revision = 1
		if reads[i].Have == 1 {
			recs[i] = store.Record{Key: keysRecord, Revision: 1}
		}
	}
	return recs, err
}

func (s oneRevision) Commit(ctx context.Context, groups []store.Group) []store.Result {
	if w := &groups[0][0]; w.Key == keysRecord && w.Base == 1 {
		recs, err := s.Store.Load(ctx, []store.Read{{Key: keysRecord}})
		if err != nil {
			return []store.Result{{Outcome: store.Rejected, Err: err}}
		}
		w.Base = recs[0].Revision
	}
	res := s.Store.Commit(ctx, groups)
	if groups[0][0].Key == keysRecord && len(res[0].Revisions) == 1 {
		res[0].Revisions[0] = 1
	}
	return res
}

// A leaked key whose record is deleted by hand is given up by every node within
// two minutes, and all take the new one, even if the new record has the
// revision of the old one.
//
// Proves W1.
func TestALeakedKeyIsGivenUpByEveryNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clk, handles := testkit.NewClock(), memstore.Shared(4)
		opts := stay.Options{Clock: clk.Now}
		var nodes []*keyNode
		for _, h := range handles[:3] {
			nodes = append(nodes, newKeyNode(t, oneRevision{h}, opts))
		}
		leaked, old := nodes[0].sign(t)
		for _, n := range nodes {
			n.wantVerify(t, leaked, true)
		}
		testkit.Sleep(aSweep)
		for _, n := range nodes {
			n.wantVerify(t, leaked, true) // as long as the record is there
		}

		deleteKeys(t, handles[3])
		clk.Advance(aSweep)
		testkit.Sleep(aSweep)
		wantKeys(t, handles[3], 1)
		for i, n := range nodes {
			n.wantVerify(t, leaked, false)
			fresh, key := n.sign(t)
			if key == old {
				t.Errorf("node %d signs with the leaked key", i)
			}
			for _, other := range nodes {
				other.wantVerify(t, fresh, true)
			}
		}
	})
}

// A key that is put in the place of another by hand, without a word about the
// revision, is the key of every node from then on.
//
// Proves W1.
func TestKeysThatAreReplacedByHandAreTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clk, handles := testkit.NewClock(), memstore.Shared(2)
		n := newKeyNode(t, oneRevision{handles[0]}, stay.Options{Clock: clk.Now})
		before, _ := n.sign(t)
		other := newKeyNode(t, memstore.New(), stay.Options{Clock: clk.Now})
		foreign, _ := other.sign(t)
		replacement, _ := keysIn(t, other.store)
		rec, _ := keysIn(t, handles[1])
		mustCommit(t, handles[1], store.Write{Key: keysRecord, Base: rec.Revision, Value: replacement.Value, Version: rec.Version})
		testkit.Sleep(aSweep)
		n.wantVerify(t, before, false)
		n.wantVerify(t, foreign, true)
	})
}
