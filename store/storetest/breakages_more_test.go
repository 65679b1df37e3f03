package storetest

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/stay-go/stay/store"
)

// Breakages of lists and of Close.
var moreBreakages = []breakage{
	{"lists are unsorted", editList(func(keys []string) []string { slices.Reverse(keys); return keys }), []string{"List order and paging"}},
	{"a page starts with the key named", func(b *broken) {
		b.list = func(ctx context.Context, now time.Time, prefix, after string, limit int) ([]string, error) {
			recs, err := b.Store.Load(ctx, []store.Read{{Key: after}})
			keys, _ := b.Store.(store.Lister).List(ctx, now, prefix, after, limit)
			if after != "" && recs[0].Revision != 0 {
				keys = append([]string{after}, keys...)
			}
			return keys[:min(len(keys), limit)], err
		}
	}, []string{"List order and paging"}},
	{"prefixes are compared without case", func(b *broken) {
		b.list = func(ctx context.Context, now time.Time, prefix, after string, limit int) ([]string, error) {
			keys, err := b.Store.(store.Lister).List(ctx, now, "", after, 1<<30)
			keys = slices.DeleteFunc(keys, func(k string) bool {
				return len(k) < len(prefix) || !strings.EqualFold(k[:len(prefix)], prefix)
			})
			return keys[:min(len(keys), limit)], err
		}
	}, []string{"List prefix"}},
	{"the key named replaces the prefix", func(b *broken) {
		b.list = func(ctx context.Context, now time.Time, prefix, after string, limit int) ([]string, error) {
			if after != "" {
				prefix = ""
			}
			return b.Store.(store.Lister).List(ctx, now, prefix, after, limit)
		}
	}, []string{"List after outside the prefix", "List prefix"}},
	{"lists ignore expiry", func(b *broken) {
		b.list = func(ctx context.Context, _ time.Time, prefix, after string, limit int) ([]string, error) {
			return b.Store.(store.Lister).List(ctx, time.Time{}, prefix, after, limit)
		}
	}, []string{"List present only", "Model"}},
	{"a page is filtered after it was cut", func(b *broken) {
		b.list = func(ctx context.Context, now time.Time, prefix, after string, limit int) ([]string, error) {
			keys, err := b.Store.(store.Lister).List(ctx, time.Time{}, prefix, after, limit)
			return slices.DeleteFunc(keys, func(k string) bool {
				recs, _ := b.Store.Load(ctx, []store.Read{{Key: k}})
				return recs[0].Revision == 0
			}), err
		}
	}, []string{"List many"}},

	{"features change with Close", func(b *broken) {
		closed := false
		b.close = func() error { closed = true; return b.Store.Close() }
		b.features = func() store.Features {
			if closed {
				return store.Features{}
			}
			return b.Store.Features()
		}
	}, []string{"C5 features are constant"}},
	{"closing twice is an error", func(b *broken) {
		var once sync.Once
		b.close = func() error {
			err := errBroken
			once.Do(func() { err = b.Store.Close() })
			return err
		}
	}, []string{"C7 close twice"}},
	{"Close closes nothing", func(b *broken) { b.close = func() error { return nil } }, []string{"C7 closed"}},
	{"writes after Close are unknown", editResults(func(_ store.Group, res *store.Result) {
		if errors.Is(res.Err, store.ErrClosed) {
			res.Outcome = store.Unknown
		}
	}), []string{"C7 closed"}},
	{"writes after Close conflict", editResults(func(g store.Group, res *store.Result) {
		if errors.Is(res.Err, store.ErrClosed) {
			*res = store.Result{Outcome: store.Conflict, Current: absent(g)}
		}
	}), []string{"C7 close while calls are under way", "C7 closed"}},
	{"a goroutine stays", func(b *broken) {
		stop := make(chan struct{})
		var once sync.Once
		go func() { <-stop }()
		// Ends the goroutines that the breakage leaves behind, once the rule has
		// checked.
		runtime.AddCleanup(b, func(stop chan struct{}) { close(stop) }, stop)
		b.close = func() (err error) {
			once.Do(func() { err = b.Store.Close() })
			return err
		}
	}, []string{"C7 no goroutine left"}},
}
