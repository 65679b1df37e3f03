package main

import (
	"context"
	"time"

	"github.com/stay-go/stay/store"
)

// lookAgain is how often a history reads its record.
const lookAgain = 250 * time.Millisecond

// history calls fn with the record that has the key, and after each change, count
// times; 0 = until ctx ends.
func history(ctx context.Context, s store.Store, key string, count int, fn func(*store.Record) error) error {
	again := time.NewTicker(lookAgain)
	defer again.Stop()
	shown := store.Revision(0)
	for n := 0; ; {
		rec, err := load(ctx, s, key)
		if err != nil {
			return err
		}
		if n == 0 || rec.Revision != shown {
			if err := fn(&rec); err != nil {
				return err
			}
			if n++; n == count {
				return nil
			}
			shown = rec.Revision
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-again.C:
		}
	}
}
