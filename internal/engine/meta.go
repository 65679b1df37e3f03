package engine

import (
	"encoding/binary"
	"iter"
	"slices"
	"sync/atomic"
)

// Record.Meta holds the record's birth and its writers, the latest first: a
// format byte, 8 bytes of birth, then for each of up to 8 writers its 8 bytes
// and the number of its last write. A writer has one write under way for a key,
// and sends it again until it knows the outcome, so its last number is enough
// to find its own write.
const (
	metaFormat  = 2
	metaHeader  = 9
	metaWriters = 8
)

// A node is an engine as a writer of records.
type node struct {
	id     [8]byte
	writes atomic.Uint64
}

// nextWrite returns the name of the next write of this engine.
func (n *node) nextWrite() writer { return writer{n.id, n.writes.Add(1)} }

// A writer is an engine and the number of its last write. A writer without a
// number does not exist.
type writer struct {
	node [8]byte
	seq  uint64
}

// newBirth is the birth of a record that the write creates.
func (w writer) newBirth() Birth {
	return max(Birth(binary.BigEndian.Uint64(w.node[:])^w.seq), 1)
}

// readMeta copies the contents of Record.Meta to v, without the writers if none
// of them can be at work any more. It ignores bytes that an engine did not
// write.
func (n *node) readMeta(v *Version, meta []byte, alone bool) {
	v.birth = birthOf(meta)
	if alone {
		return
	}
	var others []byte
	count := 1 // this engine included
	for w := range writersOf(meta) {
		if w.node != n.id && count < metaWriters {
			others = w.append(others)
			count++
		}
	}
	v.setRare(rare{v.extra(), others, v.overExpired()})
}

// birthOf returns the birth in Record.Meta, 0 if there is none.
func birthOf(meta []byte) Birth {
	if len(meta) < metaHeader || meta[0] != metaFormat {
		return 0
	}
	return Birth(binary.BigEndian.Uint64(meta[1:]))
}

// BirthOf is the birth of the record with this Meta.
func BirthOf(meta []byte) Birth { return birthOf(meta) }

// follows turns v into the version that a write stores over base.
func (v *Version) follows(base *Version, by writer) {
	v.birth = base.birth
	if base.Revision == 0 {
		v.birth = by.newBirth()
	}
	v.setRare(rare{extra: v.extra(), others: base.others()})
}

// encodeMeta returns Record.Meta for v, which a write stores. If there is room,
// it is put behind the encoded value, which saves an allocation.
func encodeMeta(v *Version, encoded []byte, by writer) []byte {
	n := metaHeader + len(by.node) + binary.MaxVarintLen64 + len(v.others())
	b := encoded[len(encoded):]
	if cap(b) < n {
		b = make([]byte, 0, n)
	}
	b = append(b, metaFormat)
	b = binary.BigEndian.AppendUint64(b, uint64(v.birth))
	return append(by.append(b), v.others()...)
}

func (w writer) append(b []byte) []byte {
	return binary.AppendUvarint(append(b, w.node[:]...), w.seq)
}

// writersOf yields the writers in Record.Meta, up to the first empty one.
func writersOf(meta []byte) iter.Seq[writer] {
	if len(meta) < metaHeader || meta[0] != metaFormat {
		return writersIn(nil)
	}
	return writersIn(meta[metaHeader:])
}

// writersIn is writersOf for the part of Record.Meta behind the header.
func writersIn(list []byte) iter.Seq[writer] {
	return func(yield func(writer) bool) {
		for b := list; len(b) > 8; {
			var w writer
			copy(w.node[:], b)
			seq, n := binary.Uvarint(b[8:])
			if n <= 0 {
				return
			}
			w.seq = seq
			if !yield(w) {
				return
			}
			b = b[8+n:]
		}
	}
}

// metaCarries reports whether a write is among the last writes of the record.
func metaCarries(meta []byte, by writer) bool {
	for w := range writersOf(meta) {
		if w == by {
			return true
		}
	}
	return false
}

// metaGoesBackTo reports whether the writers in Record.Meta go back to base,
// over which this node has sent a write: then it carries that write if it was
// applied. Otherwise later writers may have pushed it out.
func metaGoesBackTo(meta []byte, base *Version, node [8]byte) bool {
	known := slices.Collect(writersIn(base.others()))
	count := 0
	for w := range writersOf(meta) {
		if w.node == node || slices.Contains(known, w) {
			return true
		}
		count++
	}
	return count < metaWriters
}
