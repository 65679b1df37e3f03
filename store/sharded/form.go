package sharded

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/stay-go/stay/store"
)

// The first byte of the Meta of a record below says what the record is. Below
// 0x80 it is as its caller wrote it. Bytes from 0x80 on are for stores such as
// this one; a caller's Meta that begins with one is escaped.
const (
	escaped  = 0x80 // the caller's Meta follows
	explicit = 0x81 // the revision that callers see, in 8 bytes, and their Meta follow
	locked   = 0x82 // the record is a lock
	decided  = 0x83 // the record says what became of a transaction
)

// outside is the revision that callers see of a record with a revision below.
// Revisions that they see are even, so what nobody was given (a guess from what
// somebody was) has no place below.
func outside(below store.Revision) store.Revision { return 2 * below }

// below returns a Put with the Meta that it has below. If seen is not 0, the
// record goes on to have that revision for callers.
func below(w store.Write, seen store.Revision) store.Write {
	switch {
	case seen != 0:
		m := make([]byte, 9, 9+len(w.Meta))
		m[0] = explicit
		binary.BigEndian.PutUint64(m[1:], uint64(seen))
		w.Meta = append(m, w.Meta...)
	case len(w.Meta) > 0 && w.Meta[0] >= escaped:
		w.Meta = append([]byte{escaped}, w.Meta...)
	}
	return w
}

// A view is a record as callers see it, and what is stored for it.
type view struct {
	store.Record                // not if there is a lock
	at           store.Revision // below
	lock         *lock
}

// viewOf reads a record from below, with all its fields. Form errors are
// store.ErrCorrupt.
func viewOf(raw store.Record) (view, error) {
	v := view{Record: raw, at: raw.Revision}
	v.Revision = outside(raw.Revision)
	if raw.Revision == 0 || len(raw.Meta) == 0 || raw.Meta[0] < escaped {
		return v, nil
	}
	switch form, rest := raw.Meta[0], raw.Meta[1:]; {
	case form == escaped:
		v.Meta = rest
		return v, nil
	case form == explicit && len(rest) >= 8:
		v.Revision = store.Revision(binary.BigEndian.Uint64(rest))
		v.Meta = rest[8:]
		return v, nil
	case form == locked:
		if l, ok := parseLock(raw.Key, rest, raw.Value); ok {
			v.lock = l
			return v, nil
		}
	}
	return view{}, fmt.Errorf("sharded: %w: a record has a form that is damaged or of a later release", store.ErrCorrupt)
}

// A fate is what became of a transaction.
type fate byte

const (
	pending   fate = 0 // there is no record
	committed fate = 'c'
	aborted   fate = 'a'
)

// A lock stands in the place of a record while a group over several homes is
// under way. It holds the record, and what becomes of it.
type lock struct {
	tx  string // the key of the record that decides
	old store.Record
	// next says what becomes of old when the group is committed.
	next byte
	put  store.Write // for replace
}

const (
	keep    = 'k'
	remove  = 'd'
	replace = 'p'
)

// become returns what takes the place of a lock with a revision below.
func (l *lock) become(f fate, at store.Revision) store.Record {
	switch {
	case f != committed || l.next == keep:
		return l.old
	case l.next == replace:
		w := &l.put
		return store.Record{
			Key: l.old.Key, Revision: outside(at), Value: w.Value, Meta: w.Meta, Version: w.Version, Expires: w.Expires,
		}
	}
	return store.Record{Key: l.old.Key}
}

// longAgo is when a lock expires that holds no record: List leaves it out, and
// Expired finds it.
var longAgo = time.UnixMilli(1)

// write returns the Put of the lock over what is stored. The lock holds the
// values in its Value and the rest in its Meta, so that each is at most twice as
// long as the caller's, and something.
func (l *lock) write(at store.Revision) store.Write {
	w := store.Write{Op: store.Put, Key: l.old.Key, Base: at, Expires: l.old.Expires}
	if l.old.Revision == 0 {
		w.Expires = longAgo
	}
	m := append(make([]byte, 0, overhead+len(l.old.Meta)+len(l.put.Meta)), locked, l.next)
	m = appendText(m, l.tx)
	m = binary.AppendUvarint(m, uint64(l.old.Revision))
	m = appendSide(m, l.old.Value, l.old.Meta, l.old.Version, l.old.Expires)
	m = appendSide(m, l.put.Value, l.put.Meta, l.put.Version, l.put.Expires)
	m = append(m, l.old.Meta...)
	w.Meta = append(m, l.put.Meta...)
	w.Value = l.old.Value
	if len(l.put.Value) > 0 {
		w.Value = append(append(make([]byte, 0, len(l.old.Value)+len(l.put.Value)), l.old.Value...), l.put.Value...)
	}
	return w
}

// overhead bounds what a lock has in its Meta beside those of its records: a key
// and some numbers.
const overhead = store.MaxKey + 128

func appendText(b []byte, text string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(text))), text...)
}

// appendSide appends what a record has but its bytes.
func appendSide(b, value, meta []byte, version int, expires time.Time) []byte {
	b = binary.AppendUvarint(b, uint64(len(value)))
	b = binary.AppendUvarint(b, uint64(len(meta)))
	b = binary.AppendVarint(b, int64(version))
	if expires.IsZero() {
		return append(b, 0)
	}
	return binary.AppendVarint(append(b, 1), expires.UnixMilli())
}

func parseLock(key string, meta, value []byte) (*lock, bool) {
	p := parser{b: meta}
	l := &lock{next: p.byte(), tx: p.text(), old: store.Record{Key: key}, put: store.Write{Key: key}}
	l.old.Revision = store.Revision(p.uvarint())
	oldValue, oldMeta := p.side(&l.old.Version, &l.old.Expires)
	putValue, putMeta := p.side(&l.put.Version, &l.put.Expires)
	l.old.Meta, l.put.Meta = p.take(oldMeta), p.take(putMeta)
	v := parser{b: value}
	l.old.Value, l.put.Value = v.take(oldValue), v.take(putValue)
	return l, !p.bad && !v.bad && len(p.b)+len(v.b) == 0
}

// decision returns the Put that creates the record of a transaction.
func decision(tx string, f fate, locks []held) store.Write {
	v := binary.AppendUvarint([]byte{byte(f)}, uint64(len(locks)))
	for _, h := range locks {
		v = appendText(v, h.lock.old.Key)
	}
	return store.Write{Op: store.Put, Key: tx, Value: v, Meta: []byte{decided}, Expires: time.Now().Add(recordTime)}
}

// fateOf reads the record of a transaction: what became of it, and which keys it
// has locked.
func fateOf(raw store.Record) (f fate, keys []string, err error) {
	if raw.Revision == 0 {
		return pending, nil, nil
	}
	p := parser{b: raw.Value}
	f = fate(p.byte())
	for n := p.uvarint(); n > 0 && !p.bad; n-- {
		keys = append(keys, p.text())
	}
	if p.bad || len(raw.Meta) != 1 || raw.Meta[0] != decided || f != committed && f != aborted {
		return pending, nil, fmt.Errorf("sharded: %w: the record of a transaction is damaged", store.ErrCorrupt)
	}
	return f, keys, nil
}

// A parser takes apart what the functions above put together.
type parser struct {
	b   []byte
	bad bool // something was missing
}

func (p *parser) take(n uint64) []byte {
	if n > uint64(len(p.b)) {
		p.bad = true
		return nil
	}
	b := p.b[:n:n]
	p.b = p.b[n:]
	return b
}

func (p *parser) byte() byte {
	if b := p.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (p *parser) uvarint() uint64 {
	n, k := binary.Uvarint(p.b)
	p.take(uint64(max(k, 0)))
	p.bad = p.bad || k <= 0
	return n
}

func (p *parser) varint() int64 {
	n, k := binary.Varint(p.b)
	p.take(uint64(max(k, 0)))
	p.bad = p.bad || k <= 0
	return n
}

func (p *parser) text() string { return string(p.take(p.uvarint())) }

func (p *parser) side(version *int, expires *time.Time) (value, meta uint64) {
	value, meta = p.uvarint(), p.uvarint()
	*version = int(p.varint())
	if p.byte() == 1 {
		*expires = time.UnixMilli(p.varint()).UTC()
	}
	return value, meta
}
