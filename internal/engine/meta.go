package engine

import (
	"encoding/binary"
	"iter"
)

// writeID names one write of this engine; see metaCarries.
func (e *Engine) writeID() uint64 { return e.seq.Add(1) }

// A Birth tells a record from those that had the same key before it: it is
// given when the record is created and stays while it exists. 0 is that of a
// record which something else than an engine created.
type Birth uint64

// newBirth is that of a record which a write creates.
func (e *Engine) newBirth(seq uint64) Birth {
	return max(Birth(binary.BigEndian.Uint64(e.node[:])^seq), 1)
}

// Birth returns that of the record which has this version; 0 if there is none.
func (v *Version) Birth() Birth {
	if v.Revision == 0 {
		return 0
	}
	return v.birth
}

// Record.Meta holds the record's birth and who wrote it, the latest first: a
// format byte, 8 bytes of birth, then for each of up to 8 writers its 8 bytes
// and the number of its last write. A writer has one write under way for a key,
// and sends it again until it knows what became of it, so its last number is
// enough to find its own.
const (
	metaFormat  = 2
	metaHeader  = 9
	metaWriters = 8
)

// A writer is an engine and the number of its last write. One without a number
// is nobody.
type writer struct {
	node [8]byte
	seq  uint64
}

// readMeta takes over what Record.Meta says, without the writers if none of
// them can be at work any more. Bytes that are not ours say nothing.
func (e *Engine) readMeta(v *Version, meta []byte, alone bool) {
	v.birth = birthOf(meta)
	if alone {
		return
	}
	var others []byte
	n := 1 // with this engine
	for w := range writersOf(meta) {
		if w.node != e.node && n < metaWriters {
			others = w.append(others)
			n++
		}
	}
	v.setRare(v.extra(), others)
}

// birthOf returns the birth in Record.Meta, 0 if there is none.
func birthOf(meta []byte) Birth {
	if len(meta) < metaHeader || meta[0] != metaFormat {
		return 0
	}
	return Birth(binary.BigEndian.Uint64(meta[1:]))
}

// follows makes v what the write seq stores over base.
func (e *Engine) follows(v, base *Version, seq uint64) {
	v.birth = base.birth
	if base.Revision == 0 {
		v.birth = e.newBirth(seq)
	}
	v.setRare(v.extra(), base.others())
}

// meta returns Record.Meta for v, which the write seq stores. It is put behind
// the encoded value, if there is room, which saves an allocation.
func (e *Engine) meta(v *Version, encoded []byte, seq uint64) []byte {
	n := metaHeader + len(e.node) + binary.MaxVarintLen64 + len(v.others())
	b := encoded[len(encoded):]
	if cap(b) < n {
		b = make([]byte, 0, n)
	}
	b = append(b, metaFormat)
	b = binary.BigEndian.AppendUint64(b, uint64(v.birth))
	return append(writer{e.node, seq}.append(b), v.others()...)
}

func (w writer) append(b []byte) []byte {
	return binary.AppendUvarint(append(b, w.node[:]...), w.seq)
}

// writersOf yields the writers in Record.Meta, up to what is none.
func writersOf(meta []byte) iter.Seq[writer] {
	return func(yield func(writer) bool) {
		if len(meta) < metaHeader || meta[0] != metaFormat {
			return
		}
		for b := meta[metaHeader:]; len(b) > 8; {
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

// metaCarries reports whether the write (node, seq) is among the last writes
// of the record.
func metaCarries(meta []byte, node [8]byte, seq uint64) bool {
	for w := range writersOf(meta) {
		if w == (writer{node, seq}) {
			return true
		}
	}
	return false
}
