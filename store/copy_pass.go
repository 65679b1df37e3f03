package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// copyAtOnce is how many batches are under way at the same time.
	copyAtOnce = 4
	// copyBytes is about how many bytes of records a batch has, and copyMost how
	// many records. The first batches of a module have copyFirst records, since
	// nobody knows yet how large they are.
	copyBytes = 4 << 20
	copyMost  = 64
	copyFirst = 8
	// copyPage is how many keys are listed at once.
	copyPage = 1024
)

// pass calls visit with the records of the source in batches, several at once,
// and other with the keys that only the target has. It ends at the first error.
func (c *copying) pass(ctx context.Context, visit func(context.Context, []pair) error, other func(key string)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	free := make(chan struct{}, copyAtOnce)
	size := newBatchSize()
	start := func(keys []string) {
		select {
		case free <- struct{}{}:
		case <-ctx.Done():
			return
		}
		wg.Go(func() {
			defer func() { <-free }()
			if err := c.batch(ctx, keys, size, visit); err != nil {
				cancel(err)
			}
		})
	}
	err := c.batches(ctx, size, start, other)
	wg.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// batches cuts the keys of the source into batches, each of one module.
func (c *copying) batches(ctx context.Context, size *batchSize, start func(keys []string), other func(key string)) error {
	keys := keyList{of: c.keys, name: "source"}
	others := keyList{of: c.others, name: "target", done: c.others == nil || other == nil}
	var batch []string
	for {
		key, more, err := keys.next(ctx)
		if err != nil {
			return err
		}
		for {
			theirs, ok, err := others.peek(ctx)
			if err != nil {
				return err
			}
			if !ok || more && theirs > key {
				break
			}
			others.skip()
			if !more || theirs < key {
				other(theirs)
			}
		}
		if len(batch) > 0 && (!more || len(batch) >= size.now() || moduleOf(key) != moduleOf(batch[0])) {
			start(batch)
			if more && moduleOf(key) != moduleOf(batch[0]) {
				size.reset()
			}
			batch = nil
		}
		if !more {
			return nil
		}
		batch = append(batch, key)
	}
}

// batch loads records from both stores and visits them.
func (c *copying) batch(ctx context.Context, keys []string, size *batchSize, visit func(context.Context, []pair) error) error {
	reads := make([]Read, len(keys))
	for i, key := range keys {
		reads[i].Key = key
	}
	mine, err := loadAll(ctx, c.from, "source", reads)
	if err != nil {
		return err
	}
	theirs, err := loadAll(ctx, c.to, "target", reads)
	if err != nil {
		return err
	}
	bytes, now := 0, time.Now()
	pairs := make([]pair, 0, len(keys))
	for i := range keys {
		bytes += len(mine[i].Value) + len(mine[i].Meta)
		if mine[i].Revision == 0 || mine[i].Expired(now) && !c.features.Expire {
			continue
		}
		pairs = append(pairs, pair{&mine[i], &theirs[i]})
	}
	size.learn(len(keys), bytes)
	if err := visit(ctx, pairs); err != nil {
		return err
	}
	if c.options.Progress != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.options.Progress(c.count)
	}
	return nil
}

func loadAll(ctx context.Context, s Store, name string, reads []Read) ([]Record, error) {
	recs, err := s.Load(ctx, reads)
	if err != nil {
		return nil, fmt.Errorf("store: copy: read the %s: %w", name, err)
	}
	if len(recs) != len(reads) {
		return nil, errors.New("store: copy: the " + name + " did not answer every read")
	}
	return recs, nil
}

// moduleOf returns what a key has in common with those of its module.
func moduleOf(key string) string {
	scope, rest, _ := strings.Cut(key, "/")
	name, _, _ := strings.Cut(rest, "/")
	return key[:min(len(key), len(scope)+1+len(name))]
}

// A batchSize is how many records the next batch has.
type batchSize struct{ n atomic.Int64 }

func newBatchSize() *batchSize {
	b := &batchSize{}
	b.reset()
	return b
}

func (b *batchSize) now() int { return int(b.n.Load()) }
func (b *batchSize) reset()   { b.n.Store(copyFirst) }

// learn fits the size to a batch of n records with these bytes.
func (b *batchSize) learn(n, bytes int) {
	b.n.Store(int64(min(max(n*copyBytes/max(bytes, 1), 1), 2*n, copyMost)))
}

// A keyList are the keys of a store, read in pages. No record has expired in
// 1970, so expired ones are listed too.
type keyList struct {
	of   Lister
	name string
	page []string
	last string
	done bool // there are no more pages
}

// peek returns the next key; ok is false if there is none.
func (l *keyList) peek(ctx context.Context) (key string, ok bool, err error) {
	if len(l.page) == 0 && !l.done {
		page, err := l.of.List(ctx, time.Unix(0, 0), "", l.last, copyPage)
		if err != nil {
			return "", false, fmt.Errorf("store: copy: list the %s: %w", l.name, err)
		}
		l.page, l.done = page, len(page) < copyPage
	}
	if len(l.page) == 0 {
		return "", false, nil
	}
	return l.page[0], true, nil
}

func (l *keyList) skip() { l.last, l.page = l.page[0], l.page[1:] }

// next returns the next key and moves on.
func (l *keyList) next(ctx context.Context) (key string, ok bool, err error) {
	key, ok, err = l.peek(ctx)
	if ok {
		l.skip()
	}
	return key, ok, err
}
