package redisstore

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/redis/rueidis"

	"github.com/stay-go/stay/store"
)

const (
	// maxReads bounds a script that reads.
	maxReads = 512

	// maxTries is how often a read is sent. On a client that is not ours, others
	// break connections too.
	maxTries = 5

	// maxNames is how many names a script looks at for List.
	maxNames = 1000
)

// Load answers up to 512 reads from one snapshot of the primary, in one round trip;
// with [Spread], those of each part.
func (s *Store) Load(ctx context.Context, reads []store.Read) ([]store.Record, error) {
	if err := s.begin(); err != nil {
		return nil, err
	}
	defer s.calls.Done()
	if len(s.parts) == 1 {
		return s.loadFrom(ctx, s.parts[0], reads)
	}
	records := make([]store.Record, len(reads))
	divided := s.divide(len(reads), func(i int) string { return reads[i].Key })
	err := s.each(func(i int, p *part) error {
		its := make([]store.Read, len(divided[i]))
		for j, place := range divided[i] {
			its[j] = reads[place]
		}
		found, err := s.loadFrom(ctx, p, its)
		for j := range found {
			records[divided[i][j]] = found[j]
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return records, nil
}

// each does something with all parts, several at a time, and returns one of their
// errors.
func (s *Store) each(do func(i int, p *part) error) error {
	errs := make([]error, len(s.parts))
	room := make(chan struct{}, maxConns)
	var all sync.WaitGroup
	for i, p := range s.parts {
		room <- struct{}{}
		all.Go(func() {
			errs[i] = do(i, p)
			<-room
		})
	}
	all.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) loadFrom(ctx context.Context, p *part, reads []store.Read) ([]store.Record, error) {
	records := make([]store.Record, 0, len(reads))
	for len(reads) > 0 {
		n := min(len(reads), maxReads)
		more, err := s.load(ctx, p, reads[:n])
		if err != nil {
			return nil, err
		}
		records, reads = append(records, more...), reads[n:]
	}
	return records, nil
}

func (s *Store) load(ctx context.Context, p *part, reads []store.Read) ([]store.Record, error) {
	record := p.key(ofRecord)
	keys, held := make([]string, len(reads)), make([]string, len(reads))
	for i, r := range reads {
		keys[i], held[i] = record+r.Key, revisionText(r.Have)
	}
	answers, err := s.read(ctx, loadScript, keys, held)
	if err != nil {
		return nil, err
	}
	if len(answers) != len(reads) {
		return nil, unavailable(errAnswer)
	}
	records := make([]store.Record, len(reads))
	for i := range answers {
		switch {
		case answers[i].IsNil():
			records[i] = store.Record{Key: reads[i].Key}
		case answers[i].IsInt64():
			records[i] = store.Record{Key: reads[i].Key, Revision: reads[i].Have}
		default:
			text, err := answers[i].ToString()
			if err != nil {
				return nil, unavailable(err)
			}
			if records[i], err = decode(reads[i].Key, text); err != nil {
				return nil, err
			}
		}
	}
	return records, nil
}

// Expired returns up to limit expired records, in the order in which they expired;
// with [Spread], those of each part. It misses none.
func (s *Store) Expired(ctx context.Context, now time.Time, limit int) ([]store.Record, error) {
	if err := s.begin(); err != nil {
		return nil, err
	}
	defer s.calls.Done()
	var records []store.Record
	for _, p := range s.parts {
		if len(records) >= limit {
			break
		}
		more, err := s.expired(ctx, p, now, limit-len(records))
		if err != nil {
			return nil, err
		}
		records = append(records, more...)
	}
	return records, nil
}

func (s *Store) expired(ctx context.Context, p *part, now time.Time, limit int) (records []store.Record, err error) {
	texts, err := s.texts(ctx, expiredScript, []string{p.key(ofExpires), p.key(ofNames)},
		[]string{strconv.FormatInt(now.UnixMilli(), 10), strconv.Itoa(limit), p.key(ofRecord)})
	if err != nil {
		return nil, err
	}
	for i := 0; i+1 < len(texts); i += 2 {
		rec, err := decode(texts[i], texts[i+1])
		if err != nil {
			return nil, err
		}
		records = append(records, rec)
	}
	return records, nil
}

// List returns keys as described in [store.Lister]. It looks at 1,000 keys in each
// round trip; with [Spread], in each part.
func (s *Store) List(ctx context.Context, now time.Time, prefix, after string, limit int) ([]string, error) {
	if err := s.begin(); err != nil {
		return nil, err
	}
	defer s.calls.Done()
	if len(s.parts) == 1 {
		return s.list(ctx, s.parts[0], now, prefix, after, limit)
	}
	found := make([][]string, len(s.parts))
	err := s.each(func(i int, p *part) (err error) {
		found[i], err = s.list(ctx, p, now, prefix, after, limit)
		return err
	})
	if err != nil {
		return nil, err
	}
	names := slices.Concat(found...)
	slices.Sort(names)
	return names[:min(len(names), max(limit, 0))], nil
}

func (s *Store) list(ctx context.Context, p *part, now time.Time, prefix, after string, limit int) ([]string, error) {
	from, to := "["+prefix, "+"
	if after >= prefix {
		from = "(" + after
	}
	if end := endOf(prefix); end != "" {
		to = "(" + end
	}
	var names []string
	for len(names) < limit {
		texts, err := s.texts(ctx, listScript, []string{p.key(ofNames)},
			[]string{from, to, strconv.FormatInt(now.UnixMilli(), 10), strconv.Itoa(min(limit-len(names), maxNames)), p.key(ofRecord)})
		if err != nil {
			return nil, err
		}
		if len(texts) == 0 {
			return nil, unavailable(errAnswer)
		}
		names = append(names, texts[1:]...)
		if texts[0] == "" {
			break
		}
		from = "(" + texts[0]
	}
	return names, nil
}

// endOf returns the first key after all keys that begin with prefix, "" if there
// is none.
func endOf(prefix string) string {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] != 0xff {
			return prefix[:i] + string([]byte{prefix[i] + 1})
		}
	}
	return ""
}

// texts runs a script that answers with texts.
func (s *Store) texts(ctx context.Context, script *rueidis.Lua, keys, args []string) ([]string, error) {
	answers, err := s.read(ctx, script, keys, args)
	if err != nil {
		return nil, err
	}
	texts := make([]string, len(answers))
	for i := range answers {
		if texts[i], err = answers[i].ToString(); err != nil {
			return nil, unavailable(err)
		}
	}
	return texts, nil
}

// read runs a script that reads. If an attempt is not answered in time, or its
// connection breaks, it is sent again on another connection, with much more time:
// the answer may be long.
func (s *Store) read(ctx context.Context, script *rueidis.Lua, keys, args []string) ([]rueidis.RedisMessage, error) {
	ctx, cancel := context.WithTimeout(ctx, maxRead)
	defer cancel()
	limit := s.attempt
	for try := 1; ; try++ {
		answers, err := s.do(ctx, limit, func(ctx context.Context) rueidis.RedisResult {
			return script.Exec(ctx, s.client, keys, args)
		}).ToArray()
		if err == nil {
			return answers, nil
		}
		if code(err) != "" || notSent(err) || ctx.Err() != nil || try == maxTries {
			return nil, unavailable(err)
		}
		limit = maxRead
	}
}
