package engine

import (
	"encoding/binary"
)

// writeID names one write of this engine; see metaCarries.
func (e *Engine) writeID() uint64 { return e.seq.Add(1) }

// A Birth tells a record from those that had the same key before it: it is
// given when the record is created and stays while it exists. 0 is that of a
// record which something else than an engine created.
type Birth uint64

// birth is that of a record which a write creates.
func (e *Engine) birth(seq uint64) Birth {
	return max(Birth(binary.BigEndian.Uint64(e.node[:])^seq), 1)
}

// Birth returns that of the record which has this version; 0 if there is none.
func (v *Version) Birth() Birth {
	if v.Revision == 0 {
		return 0
	}
	return v.birth
}

// A writer is an engine and the number of its last write. One without a number
// is nobody.
type writer struct {
	node [8]byte
	seq  uint64
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

// readMeta takes over what Record.Meta says. Bytes that are not ours say
// nothing.
func (v *Version) readMeta(meta []byte) {
	if len(meta) < metaHeader || meta[0] != metaFormat {
		return
	}
	v.birth = Birth(binary.BigEndian.Uint64(meta[1:]))
	var rest []byte
	v.writer, rest = nextWriter(meta[metaHeader:])
	if len(rest) > 0 {
		v.setRare(v.extra(), rest)
	}
}

// meta returns Record.Meta for v, whose encoded form is given: it is put behind
// that, if there is room, which saves an allocation.
func (v *Version) meta(encoded []byte) []byte {
	n := metaHeader + len(v.writer.node) + binary.MaxVarintLen64 + len(v.others())
	b := encoded[len(encoded):]
	if cap(b) < n {
		b = make([]byte, 0, n)
	}
	b = append(b, metaFormat)
	b = binary.BigEndian.AppendUint64(b, uint64(v.birth))
	return append(v.writer.append(b), v.others()...)
}

// follows makes v what the write seq stores over base.
func (e *Engine) follows(v, base *Version, seq uint64) {
	v.birth = base.birth
	if base.Revision == 0 {
		v.birth = e.birth(seq)
	}
	v.writer = writer{e.node, seq}
	others := base.others()
	if base.writer.seq != 0 && base.writer.node != e.node {
		others = e.before(base)
	}
	v.setRare(v.extra(), others)
}

// before lists who wrote a record up to base, but for this engine.
func (e *Engine) before(base *Version) []byte {
	b := base.writer.append(nil)
	n := 2 // with the one who writes next
	for rest := base.others(); len(rest) > 0 && n < metaWriters; {
		var w writer
		if w, rest = nextWriter(rest); w.seq != 0 && w.node != e.node {
			b = w.append(b)
			n++
		}
	}
	return b
}

func (w writer) append(b []byte) []byte {
	return binary.AppendUvarint(append(b, w.node[:]...), w.seq)
}

// nextWriter cuts the first writer off a list; it is nobody, and the rest is
// empty, where the list is over or is none.
func nextWriter(b []byte) (w writer, rest []byte) {
	if len(b) <= len(w.node) {
		return writer{}, nil
	}
	copy(w.node[:], b)
	seq, n := binary.Uvarint(b[len(w.node):])
	if n <= 0 {
		return writer{}, nil
	}
	w.seq = seq
	return w, b[len(w.node)+n:]
}

// metaCarries reports whether the write (node, seq) is among the last writes
// of the record.
func metaCarries(meta []byte, node [8]byte, seq uint64) bool {
	var v Version
	v.readMeta(meta)
	for w, rest := v.writer, v.others(); w.seq != 0; w, rest = nextWriter(rest) {
		if w == (writer{node, seq}) {
			return true
		}
	}
	return false
}
