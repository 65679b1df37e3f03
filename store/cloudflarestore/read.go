package cloudflarestore

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/stay-go/stay/store"
)

const (
	// maxNames is how many keys one object is asked for at a time.
	maxNames = 1000

	// maxPages is how often Expired asks for objects that have something expired.
	maxPages = 10
)

// Load answers reads with one request, unless they are of more than 128 objects or
// their records are large. The reads of one object are from one moment.
func (s *Store) Load(ctx context.Context, reads []store.Read) ([]store.Record, error) {
	if err := s.begin(); err != nil {
		return nil, err
	}
	defer s.calls.Done()
	return s.load(ctx, reads)
}

func (s *Store) load(ctx context.Context, reads []store.Read) ([]store.Record, error) {
	records := make([]store.Record, len(reads))
	jobs := s.divide(len(reads), func(i int) string { return reads[i].Key })
	err := inRounds(jobs, func(some []*job) error {
		calls := make([]any, len(some))
		for k, j := range some {
			call := loadCall{Object: j.object, Room: maxRoom / len(some), Sole: len(some) == 1}
			for _, i := range j.places {
				call.Reads = append(call.Reads, wireRead{Key: []byte(reads[i].Key), Have: number(reads[i].Have)})
			}
			calls[k] = call
		}
		answers, err := answersTo[[]wireRecord](ctx, s, "load", calls)
		if err != nil {
			return err
		}
		for k, j := range some {
			if n := len(answers[k]); n > len(j.places) || n == 0 && len(some) == 1 {
				return unavailable(errAnswer)
			}
			for a := range answers[k] {
				i := j.places[a]
				records[i] = answers[k][a].record(reads[i].Key)
			}
			j.places = j.places[len(answers[k]):]
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return records, nil
}

// answersTo asks objects for something that changes nothing.
func answersTo[T any](ctx context.Context, s *Store, method string, calls []any) (decoded []T, err error) {
	err = s.retry(ctx, func(ctx context.Context) error {
		answers, err := s.ask(ctx, method, calls)
		if err != nil {
			return err
		}
		decoded = make([]T, len(answers))
		for i := range answers {
			if err := answers[i].into(&decoded[i]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, unavailable(err)
	}
	return decoded, nil
}

// askAll asks many objects for something that changes nothing.
func askAll[T any](ctx context.Context, s *Store, objects []string, method string, call func(object string) any) ([]T, error) {
	var all []T
	for names := range slices.Chunk(objects, maxCalls) {
		calls := make([]any, len(names))
		for i, name := range names {
			calls[i] = call(name)
		}
		some, err := answersTo[T](ctx, s, method, calls)
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	return all, nil
}

// Expired asks for expired records, and returns up to limit of them as they are a
// moment later, mostly those that expired first. It asks all objects, and with
// [ObjectPerHome] those that have been said to have some. It misses none.
func (s *Store) Expired(ctx context.Context, now time.Time, limit int) ([]store.Record, error) {
	if err := s.begin(); err != nil {
		return nil, err
	}
	defer s.calls.Done()
	if limit <= 0 {
		return nil, nil
	}
	if s.places.shards > 0 {
		return s.expired(ctx, s.places.all(), now, limit)
	}
	for page := 1; ; page++ {
		objects, err := s.due(ctx, now, limit)
		if err != nil {
			return nil, err
		}
		records, err := s.expired(ctx, objects, now, limit)
		// Objects that had none, since it was changed when their records expire, are
		// not due any more, and there may be others.
		if err != nil || len(records) == limit || len(objects) < limit || page == maxPages {
			return records, err
		}
	}
}

// due names up to limit objects that may have something expired, the first ones first.
func (s *Store) due(ctx context.Context, now time.Time, limit int) ([]string, error) {
	type home struct {
		Object string `json:"object"`
		At     int64  `json:"at"`
	}
	found, err := askAll[[]home](ctx, s, s.places.allBooks(), "due", func(object string) any {
		return dueCall{Object: object, Now: now.UnixMilli(), Limit: limit}
	})
	if err != nil {
		return nil, err
	}
	homes := slices.Concat(found...)
	slices.SortFunc(homes, func(a, b home) int { return cmp.Compare(a.At, b.At) })
	homes = homes[:min(limit, len(homes))]
	objects := make([]string, len(homes))
	for i := range homes {
		objects[i] = homes[i].Object
	}
	return objects, nil
}

// expired asks some objects for expired records.
func (s *Store) expired(ctx context.Context, objects []string, now time.Time, limit int) ([]store.Record, error) {
	type name struct {
		Key     []byte `json:"key"`
		Expires int64  `json:"expires"`
	}
	found, err := askAll[[]name](ctx, s, objects, "expired", func(object string) any {
		return expiredCall{Object: object, Book: s.places.book(object), Now: now.UnixMilli(), Limit: limit}
	})
	if err != nil {
		return nil, err
	}
	names := slices.Concat(found...)
	slices.SortFunc(names, func(a, b name) int { return cmp.Compare(a.Expires, b.Expires) })
	names = names[:min(limit, len(names))]
	reads := make([]store.Read, len(names))
	for i := range names {
		reads[i].Key = string(names[i].Key)
	}
	records, err := s.load(ctx, reads)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(records, func(r store.Record) bool { return r.Revision == 0 || !r.Expired(now) }), nil
}

// List returns keys as described in [store.Lister]. Each request asks all objects
// for some. With [ObjectPerHome] it returns none.
func (s *Store) List(ctx context.Context, now time.Time, prefix, after string, limit int) ([]string, error) {
	if err := s.begin(); err != nil {
		return nil, err
	}
	defer s.calls.Done()
	from := prefix
	if after >= prefix {
		from = after + "\x00"
	}
	below := endOf(prefix)
	var keys []string
	for len(keys) < limit && s.places.shards > 0 {
		page := min(maxNames, (limit-len(keys))/s.places.shards+16)
		found, err := askAll[[][]byte](ctx, s, s.places.all(), "list", func(object string) any {
			return listCall{Object: object, Now: now.UnixMilli(), From: []byte(from), Below: below, Limit: page}
		})
		if err != nil {
			return nil, err
		}
		some, whole := merge(found, page)
		keys = append(keys, some...)
		if whole {
			break
		}
		from = some[len(some)-1] + "\x00"
	}
	return keys[:min(len(keys), max(limit, 0))], nil
}

// merge puts pages of keys, one of each object, into one order. An object with a
// full page may have more after that, so what the others have after that has to
// wait, and whole is false.
func merge(pages [][][]byte, full int) (keys []string, whole bool) {
	whole = true
	var bound string
	for _, page := range pages {
		for _, key := range page {
			keys = append(keys, string(key))
		}
		if len(page) < full {
			continue
		}
		if last := string(page[len(page)-1]); whole || last < bound {
			whole, bound = false, last
		}
	}
	slices.Sort(keys)
	if whole {
		return keys, true
	}
	n, _ := slices.BinarySearch(keys, bound)
	return keys[:n+1], false
}

// endOf returns the first key after all keys that begin with prefix, nil if there is
// none.
func endOf(prefix string) []byte {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] != 0xff {
			return append([]byte(prefix[:i]), prefix[i]+1)
		}
	}
	return nil
}
