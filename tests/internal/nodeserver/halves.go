package main

import (
	"context"

	"github.com/stay-go/stay/store"
)

// halves commits a group over several homes as one group for each home.
type halves struct{ listing }

// Commit implements store.Store.
func (s halves) Commit(ctx context.Context, groups []store.Group) []store.Result {
	results := make([]store.Result, len(groups))
	for i, g := range groups {
		results[i] = s.commit(ctx, g)
	}
	return results
}

func (s halves) commit(ctx context.Context, g store.Group) store.Result {
	var homes []string
	parts := map[string]store.Group{}
	places := map[string][]int{}
	reads := make([]store.Read, len(g))
	for i, w := range g {
		home := store.Home(w.Key)
		if parts[home] == nil {
			homes = append(homes, home)
		}
		parts[home], places[home] = append(parts[home], w), append(places[home], i)
		reads[i] = store.Read{Key: w.Key}
	}
	if len(homes) == 1 {
		return s.Store.Commit(ctx, []store.Group{g})[0]
	}
	current, err := s.Load(ctx, reads)
	if err != nil {
		return store.Result{Outcome: store.Rejected, Err: err}
	}
	for i, w := range g {
		if current[i].Revision != w.Base {
			return store.Result{Outcome: store.Conflict, Current: current}
		}
	}
	all := store.Result{Outcome: store.Applied, Revisions: make([]store.Revision, len(g))}
	for _, home := range homes {
		r := s.Store.Commit(ctx, []store.Group{parts[home]})[0]
		if r.Outcome != store.Applied {
			return store.Result{Outcome: store.Unknown, Err: store.ErrUnavailable}
		}
		for k, i := range places[home] {
			all.Revisions[i] = r.Revisions[k]
		}
	}
	return all
}
