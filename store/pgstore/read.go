package pgstore

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/stay-go/stay/store"
)

const (
	load = `
SELECT q.i, r.rev, r.expires, r.version,
	CASE WHEN r.rev <> q.have THEN r.meta END, CASE WHEN r.rev <> q.have THEN r.value END
FROM unnest($1::bytea[], $2::int8[]) WITH ORDINALITY AS q(key, have, i) JOIN stay_records r ON r.key = q.key`

	listExpired = `
SELECT key, rev, expires, version, meta, value FROM stay_records
WHERE expires <= $1 ORDER BY expires LIMIT $2`

	listKeys = `
SELECT key FROM stay_records
WHERE key >= $1 AND ($2::bytea IS NULL OR key < $2) AND (expires IS NULL OR expires > $3) ORDER BY key LIMIT $4`
)

// Load answers every read from one snapshot of the primary, in one round trip.
// A key that the store does not accept is absent.
func (s *Store) Load(ctx context.Context, reads []store.Read) ([]store.Record, error) {
	if err := s.begin(); err != nil {
		return nil, err
	}
	defer s.calls.Done()
	records := make([]store.Record, len(reads))
	keys, have := make([][]byte, len(reads)), make([]int64, len(reads))
	for i, r := range reads {
		keys[i], have[i] = []byte(r.Key), int64(r.Have)
	}
	err := s.read(ctx, func(rows pgx.Rows) error {
		for i := range reads {
			records[i] = store.Record{Key: reads[i].Key}
		}
		for rows.Next() {
			var i int64
			var row row
			if err := rows.Scan(&i, &row.rev, &row.expires, &row.version, &row.meta, &row.value); err != nil {
				return err
			}
			i--
			if rev := store.Revision(row.rev); rev == reads[i].Have {
				records[i].Revision = rev
			} else {
				records[i] = row.record(reads[i].Key)
			}
		}
		return nil
	}, load, keys, have)
	if err != nil {
		return nil, err
	}
	return records, nil
}

// Expired returns up to limit expired records, in the order in which they
// expired. It misses none.
func (s *Store) Expired(ctx context.Context, now time.Time, limit int) ([]store.Record, error) {
	if err := s.begin(); err != nil {
		return nil, err
	}
	defer s.calls.Done()
	var records []store.Record
	err := s.read(ctx, func(rows pgx.Rows) error {
		records = nil
		for rows.Next() {
			var key []byte
			var row row
			if err := rows.Scan(&key, &row.rev, &row.expires, &row.version, &row.meta, &row.value); err != nil {
				return err
			}
			records = append(records, row.record(string(key)))
		}
		return nil
	}, listExpired, now.UnixMilli(), max(limit, 0))
	if err != nil {
		return nil, err
	}
	return records, nil
}

// List returns keys as described in [store.Lister], from one snapshot per call.
func (s *Store) List(ctx context.Context, now time.Time, prefix, after string, limit int) ([]string, error) {
	if err := s.begin(); err != nil {
		return nil, err
	}
	defer s.calls.Done()
	from := []byte(prefix) // not nil, which would be NULL
	if after >= prefix {
		from = append([]byte(after), 0) // the next possible key
	}
	var keys []string
	err := s.read(ctx, func(rows pgx.Rows) error {
		keys = nil
		for rows.Next() {
			var key []byte
			if err := rows.Scan(&key); err != nil {
				return err
			}
			keys = append(keys, string(key))
		}
		return nil
	}, listKeys, from, endOf(prefix), now.UnixMilli(), max(limit, 0))
	if err != nil {
		return nil, err
	}
	return keys, nil
}

// endOf returns the first key after all keys that begin with prefix, nil if there
// is none.
func endOf(prefix string) []byte {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] != 0xff {
			return append([]byte(prefix[:i]), prefix[i]+1)
		}
	}
	return nil
}

// read runs a query and passes each what it answers. If the first attempt is not
// answered in time, or its connection breaks, a second one on another connection
// has much more time: the answer may be long.
func (s *Store) read(ctx context.Context, each func(pgx.Rows) error, query string, args ...any) error {
	ctx, cancel := context.WithTimeout(ctx, maxRead)
	defer cancel()
	first, end := context.WithTimeout(ctx, s.attempt)
	err := s.query(first, each, query, args)
	end()
	if err != nil && rolledBack(err) == nil && ctx.Err() == nil {
		err = s.query(ctx, each, query, args)
	}
	if err != nil {
		return unavailable(err)
	}
	return nil
}

func (s *Store) query(ctx context.Context, each func(pgx.Rows) error, query string, args []any) error {
	c, err := s.acquire(ctx)
	if err != nil {
		return err
	}
	defer c.Release()
	if s.proxied {
		return s.queryLent(ctx, c, each, query, args)
	}
	rows, err := c.Query(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	if err := each(rows); err != nil {
		return err
	}
	return rows.Err()
}

// queryLent is query on a connection that a proxy lends for this transaction. It
// may lead to another server than before.
func (s *Store) queryLent(ctx context.Context, c *pgxpool.Conn, each func(pgx.Rows) error, query string, args []any) error {
	var b pgx.Batch
	s.local.queue(&b)
	b.Queue(`SELECT pg_is_in_recovery()`).QueryRow(func(row pgx.Row) error {
		var standby bool
		if err := row.Scan(&standby); err != nil {
			return err
		}
		if standby {
			return errStandby
		}
		return nil
	})
	b.Queue(query, args...).Query(each)
	return c.SendBatch(ctx, &b).Close()
}

// A row is a record as the table has it.
type row struct {
	rev         int64
	expires     pgtype.Int8
	version     int64
	meta, value []byte
}

func (r *row) record(key string) store.Record {
	rec := store.Record{Key: key, Revision: store.Revision(r.rev), Version: int(r.version), Meta: r.meta, Value: r.value}
	if r.expires.Valid {
		rec.Expires = time.UnixMilli(r.expires.Int64).UTC()
	}
	return rec
}
