package sqlitestore

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/stay-go/stay/store"
)

// Load answers every read from one snapshot of the database, which has
// everything that was applied before Load began. A key that the store does not
// accept is absent.
func (s *Store) Load(ctx context.Context, reads []store.Read) ([]store.Record, error) {
	if err := s.begin(); err != nil {
		return nil, err
	}
	defer s.calls.Done()
	records := make([]store.Record, len(reads))
	err := s.read(ctx, func(c *conn) error {
		if len(reads) == 1 {
			return c.record(&records[0], reads[0].Key, reads[0].Have)
		}
		return c.snapshot(func() error {
			for i, r := range reads {
				if err := ctx.Err(); err != nil {
					return err
				}
				if err := c.record(&records[i], r.Key, r.Have); err != nil {
					return err
				}
			}
			return nil
		})
	})
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
	if limit <= 0 {
		return nil, ctx.Err()
	}
	var records []store.Record
	err := s.read(ctx, func(c *conn) error {
		records = records[:0]
		rows := c.query(listExpired, integer(now.UnixMilli()), integer(int64(limit)))
		for ctx.Err() == nil && rows.next() {
			records = append(records, store.Record{Key: rows.text(0)})
			fill(&records[len(records)-1], &rows, 1)
		}
		return errors.Join(rows.close(), ctx.Err())
	})
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
	if limit <= 0 {
		return nil, ctx.Err()
	}
	from := []byte(prefix) // not nil, which would be NULL
	if after >= prefix {
		from = append([]byte(after), 0) // the next possible key
	}
	var keys []string
	err := s.read(ctx, func(c *conn) error {
		keys = keys[:0]
		rows := c.query(listKeys, blob(from), blob(endOf(prefix)), integer(now.UnixMilli()), integer(int64(limit)))
		for ctx.Err() == nil && rows.next() {
			keys = append(keys, rows.text(0))
		}
		return errors.Join(rows.close(), ctx.Err())
	})
	if err != nil {
		return nil, err
	}
	return keys, nil
}

// endOf returns the first key after all keys that begin with prefix.
func endOf(prefix string) []byte {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] != 0xff {
			return append([]byte(prefix[:i]), prefix[i]+1)
		}
	}
	return bytes.Repeat([]byte{0xff}, store.MaxKey+1)
}

// read runs f on a reader connection. If something failed on a connection, it
// is not used again.
func (s *Store) read(ctx context.Context, f func(*conn) error) error {
	var c *conn
	err := patiently(ctx, busyWait, func() (err error) {
		if c == nil {
			c, err = s.readers.take(ctx) // may have to open it
		}
		if err == nil {
			err = f(c)
		}
		return err
	})
	switch {
	case c == nil:
		return s.failed(err)
	case err != nil:
		s.readers.drop(c)
		return s.failed(err)
	}
	s.readers.put(c)
	return nil
}

// snapshot runs f in a transaction, so that everything it reads is from one
// moment.
func (c *conn) snapshot(f func() error) error {
	if _, err := c.exec(begin); err != nil {
		return err
	}
	if err := f(); err != nil {
		c.rollback()
		return err
	}
	_, err := c.exec(commit)
	return err
}

// record reads the record of key k into r. If it has the revision have, only
// Key and Revision are filled in.
func (c *conn) record(r *store.Record, k string, have store.Revision) error {
	*r = store.Record{Key: k}
	if len(k) > store.MaxKey {
		return nil
	}
	rows := c.query(get, integer(int64(have)), key(k))
	if rows.next() {
		fill(r, &rows, 0)
	}
	if have != 0 && r.Revision == have {
		*r = store.Record{Key: k, Revision: have}
	}
	return rows.close()
}

// fill sets all of r except the key from revision, expires, version, meta and
// value, which begin at a column.
func fill(r *store.Record, row *rows, column int32) {
	r.Revision = store.Revision(row.integer(column))
	if !row.null(column + 1) {
		r.Expires = time.UnixMilli(row.integer(column + 1)).UTC()
	}
	r.Version = int(row.integer(column + 2))
	r.Meta = row.blob(column + 3)
	// SQLite does not distinguish an empty value from none; a record always has
	// a value.
	if r.Value = row.blob(column + 4); r.Value == nil {
		r.Value = []byte{}
	}
}
