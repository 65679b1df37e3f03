package main

import (
	"context"

	"github.com/stay-go/stay/internal/meta"
	"github.com/stay-go/stay/store"
)

// nameless is Record.Meta without the names of what has made the record.
func nameless(b []byte) []byte {
	if meta.ActionsOf(b) == nil {
		return b
	}
	m := meta.Meta{Birth: meta.Birth(b), Deleted: meta.Deleted(b), Again: meta.Again(b)}
	for w := range meta.WritersOf(b) {
		if m.By.Seq == 0 {
			m.By = w
		} else {
			m.Others = w.Append(m.Others)
		}
	}
	return m.Append(nil)
}

// forgetful stores a change without its name.
type forgetful struct{ listing }

// Commit implements store.Store.
func (s forgetful) Commit(ctx context.Context, groups []store.Group) []store.Result {
	less := make([]store.Group, len(groups))
	for i, g := range groups {
		for _, w := range g {
			w.Meta = nameless(w.Meta)
			less[i] = append(less[i], w)
		}
	}
	return s.Store.Commit(ctx, less)
}

// blinkered shows its node no names, so that it knows those of its own changes only.
type blinkered struct{ listing }

// Load implements store.Store.
func (s blinkered) Load(ctx context.Context, reads []store.Read) ([]store.Record, error) {
	records, err := s.Store.Load(ctx, reads)
	for i := range records {
		records[i].Meta = nameless(records[i].Meta)
	}
	return records, err
}

// Commit implements store.Store.
func (s blinkered) Commit(ctx context.Context, groups []store.Group) []store.Result {
	results := s.Store.Commit(ctx, groups)
	for _, r := range results {
		for i := range r.Current {
			r.Current[i].Meta = nameless(r.Current[i].Meta)
		}
	}
	return results
}
