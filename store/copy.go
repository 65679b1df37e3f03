package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
)

// CopyOptions are the options of [Copy].
type CopyOptions struct {
	// DryRun compares the stores and writes nothing.
	DryRun bool
	// Progress, unless it is nil, is called after every few records with what
	// is done so far. Calls do not overlap.
	Progress func(CopyCount)
}

// A CopyCount says how far a [Copy] has come.
type CopyCount struct {
	// Records is how many records of the source have been compared with the
	// target, and Bytes how many bytes they have. Missing is how many of them
	// the target lacks. They are final before Copy writes.
	Records, Missing int
	Bytes            int64
	// Copied is how many records this call has written.
	Copied int
	// Verified is how many records have been read back from the target and are
	// the same there.
	Verified int
}

// Copy makes the records of from those of to as well, for example to move from
// one kind of store to another. Afterwards every record of from is in to, with
// the same value, meta, version and expiry, expired records included, and to has
// no others. Only revisions are given anew.
//
// No program may use either store meanwhile: stop them first. Copy works in
// three passes. The first one compares the stores, the second one writes what
// to lacks, and the third one compares them again, so a record that was changed
// during the copy is noticed.
//
// Copy only adds records, it changes and deletes none. Revisions of two stores do
// not compare, so nobody can tell which of two records is the newer one. If to
// has a record that from does not have, or has in another form, the first pass
// fails with a [CopyConflict], and nothing is written. So the target is an empty
// store, or one with an earlier copy of the same records. A Copy that was
// interrupted, by the end of ctx, by an error or by a crash, is finished by
// calling it again: it goes on with what is missing.
//
// If a record is too large for the target, the first pass fails with
// [ErrTooLarge], and nothing is written.
//
// The source must be able to list its keys ([Features].List). If the target
// cannot, records that only the target has are not noticed. A target that does
// not find expired records ([Features].Expire) does not get them.
//
// Copy reads each store two or three times. It keeps a few batches of records in
// memory, each of some MiB; of 64 records at most where the sizes in one module
// differ widely.
func Copy(ctx context.Context, from, to Store, options CopyOptions) (CopyCount, error) {
	lister, ok := from.(Lister)
	if !ok || !from.Features().List {
		return CopyCount{}, errors.New("store: copy: the source cannot list its records")
	}
	c := &copying{from: from, keys: lister, to: to, features: to.Features(), options: options}
	if others, ok := to.(Lister); ok && c.features.List {
		c.others = others
	}
	err := c.run(ctx)
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("store: copy: %w", context.Cause(ctx))
	}
	return c.count, err
}

// A CopyConflict is the error of [Copy] if the stores have different records.
// Its text names keys by what they begin with and by a hash, as logs do.
type CopyConflict struct {
	// Count is how many records differ, are in the target alone or, after the
	// copy, are missing there. Keys are the first of them, at most ten.
	Count int
	Keys  []string
	// Copied says that the target has been written, so something has changed
	// one of the stores meanwhile. Otherwise nothing was written.
	Copied bool
}

func (e *CopyConflict) Error() string {
	if e.Copied {
		return fmt.Sprintf("store: copy: %s changed during the copy: %s; stop all programs that use the stores, empty the target and copy again",
			number(e.Count, "record was", "records were"), hints(e.Keys, e.Count))
	}
	return fmt.Sprintf("store: copy: the target has %s that the source does not have or has in another form: %s; nothing was written: copy to an empty store, or empty the target",
		number(e.Count, "record", "records"), hints(e.Keys, e.Count))
}

// add counts a key, and keeps the first ones.
func (e *CopyConflict) add(key string) {
	if e.Count++; len(e.Keys) < 10 {
		e.Keys = append(e.Keys, key)
	}
}

// hints names keys in an error, of which there are count in all.
func hints(keys []string, count int) string {
	names := make([]string, 0, len(keys)+1)
	for _, key := range keys {
		names = append(names, hint(key))
	}
	if count > len(keys) {
		names = append(names, "and others")
	}
	return strings.Join(names, ", ")
}

// hint names a key in an error. Keys have the names of users at their end.
func hint(key string) string {
	scope, rest, _ := strings.Cut(key, "/")
	name, _, ok := strings.Cut(rest, "/")
	switch {
	case ok:
		return fmt.Sprintf("%s/%s/ with the hash %s", scope, name, hashOf(key))
	case scope == "stay":
		return key
	}
	return "the hash " + hashOf(key)
}

func number(n int, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, more)
}

// A copying is a call of Copy.
type copying struct {
	from     Store
	keys     Lister // the source
	to       Store
	others   Lister // the target, nil if it cannot list
	features Features
	options  CopyOptions

	mu       sync.Mutex // guards what follows
	count    CopyCount
	conflict CopyConflict
	large    CopyConflict // the records that are too large for the target
	largest  int
}

func (c *copying) run(ctx context.Context) error {
	if err := c.pass(ctx, c.check, c.other); err != nil {
		return err
	}
	switch {
	case c.conflict.Count > 0:
		return &c.conflict
	case c.large.Count > 0:
		return fmt.Errorf("store: copy: %w: the target takes %d bytes, and %s more, at most %d: %s; nothing was written", ErrTooLarge,
			c.features.MaxValue, number(c.large.Count, "record has", "records have"), c.largest, hints(c.large.Keys, c.large.Count))
	case c.options.DryRun:
		return nil
	case c.count.Missing == 0:
		c.count.Verified = c.count.Records
		return nil
	}
	if err := c.pass(ctx, c.write, nil); err != nil {
		return err
	}
	if err := c.pass(ctx, c.verify, c.other); err != nil {
		return err
	}
	if c.conflict.Count > 0 {
		c.conflict.Copied = true
		return &c.conflict
	}
	return nil
}

// A pair is a record in both stores.
type pair struct {
	from, to *Record
}

func (p pair) missing() bool { return p.to.Revision == 0 }

// same reports whether both records are the same but for their revisions.
func (p pair) same() bool {
	return p.to.Revision != 0 && p.from.Version == p.to.Version &&
		bytes.Equal(p.from.Value, p.to.Value) && bytes.Equal(p.from.Meta, p.to.Meta) &&
		p.from.Expires.IsZero() == p.to.Expires.IsZero() && p.from.Expires.UnixMilli() == p.to.Expires.UnixMilli()
}

// check compares the records before anything is written.
func (c *copying) check(_ context.Context, pairs []pair) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range pairs {
		c.count.Records++
		c.count.Bytes += int64(len(p.from.Key) + len(p.from.Value) + len(p.from.Meta))
		size := max(len(p.from.Value), len(p.from.Meta))
		switch {
		case p.same():
		case !p.missing():
			c.conflict.add(p.from.Key)
		case c.features.MaxValue > 0 && size > c.features.MaxValue:
			c.large.add(p.from.Key)
			c.largest = max(c.largest, size)
		default:
			c.count.Missing++
		}
	}
	return nil
}

// verify compares the records after the missing ones were written.
func (c *copying) verify(_ context.Context, pairs []pair) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range pairs {
		if p.same() {
			c.count.Verified++
		} else {
			c.conflict.add(p.from.Key)
		}
	}
	return nil
}

// other takes down a record that only the target has.
func (c *copying) other(key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conflict.add(key)
}

// copyTries is how often records are sent whose outcome is unknown.
const copyTries = 6

// write writes the records that the target lacks. What somebody else has
// written meanwhile stays, and the next pass finds it.
func (c *copying) write(ctx context.Context, pairs []pair) error {
	var groups []Group
	for _, p := range pairs {
		if p.missing() {
			groups = append(groups, Group{{
				Op: Put, Key: p.from.Key, Value: p.from.Value, Meta: p.from.Meta, Version: p.from.Version, Expires: p.from.Expires,
			}})
		}
	}
	for try := 1; len(groups) > 0; try++ {
		var err error
		if groups, err = c.send(ctx, groups, try); err != nil || len(groups) == 0 {
			return err
		}
		select {
		case <-time.After(50 * time.Millisecond << try):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// send writes records and returns those whose outcome is unknown.
func (c *copying) send(ctx context.Context, groups []Group, try int) (unknown []Group, err error) {
	results := c.to.Commit(ctx, groups)
	if len(results) != len(groups) {
		return nil, errors.New("store: copy: the target did not answer for every record")
	}
	copied := 0
	for i, res := range results {
		switch {
		case res.Outcome == Applied, res.Outcome == Conflict && try > 1: // an earlier sending was applied
			copied++
		case res.Outcome == Conflict:
		case res.Outcome == Unknown && try < copyTries:
			unknown = append(unknown, groups[i])
		default:
			err = fmt.Errorf("store: copy: the target did not take %s: outcome %s: %w", hint(groups[i][0].Key), res.Outcome, res.Err)
		}
	}
	c.mu.Lock()
	c.count.Copied += copied
	c.mu.Unlock()
	return unknown, err
}
