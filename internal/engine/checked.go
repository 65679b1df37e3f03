package engine

import (
	"context"
	"errors"

	"github.com/stay-go/stay/store"
)

// A checked is a store whose answers are complete: Load returns a record for
// each read or an error, and Commit returns a result for each group.
type checked struct{ store.Store }

func (c checked) Load(ctx context.Context, reads []store.Read) ([]store.Record, error) {
	recs, err := c.Store.Load(ctx, reads)
	if err == nil && len(recs) != len(reads) {
		return nil, errNoRecords
	}
	return recs, err
}

// Commit leaves the outcome of a group unknown if the store's answer is too
// short: nobody knows then what the store did, and the engine asks again.
func (c checked) Commit(ctx context.Context, groups []store.Group) []store.Result {
	res := c.Store.Commit(ctx, groups)
	for i := range min(len(res), len(groups)) {
		if res[i].Outcome == store.Applied && len(res[i].Revisions) != len(groups[i]) {
			res[i] = store.Result{Err: errors.New("the store answered without a revision for each write")}
		}
	}
	for len(res) < len(groups) {
		res = append(res, store.Result{Err: errors.New("the store did not answer the write")})
	}
	return res
}
