package engine

import (
	"encoding/binary"

	"github.com/stay-go/stay/store"
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
	if v.Revision == 0 || len(v.Meta) < metaHeader || v.Meta[0] != metaFormat {
		return 0
	}
	return Birth(binary.BigEndian.Uint64(v.Meta[1:]))
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

// nextMeta is the Meta of the write seq over the record with revision base and
// this Meta.
func (e *Engine) nextMeta(prev []byte, base store.Revision, seq uint64) []byte {
	b := make([]byte, 0, metaHeader+8+min(len(prev), 64)+binary.MaxVarintLen64)
	b = append(b, metaFormat)
	birth := e.birth(seq)
	if base != 0 {
		birth = (&Version{Revision: base, Meta: prev}).Birth()
	}
	b = binary.BigEndian.AppendUint64(b, uint64(birth))
	b = append(b, e.node[:]...)
	b = binary.AppendUvarint(b, seq)
	n := 1
	eachWriter(prev, func(w [8]byte, s uint64) bool {
		if w != e.node {
			b = append(b, w[:]...)
			b = binary.AppendUvarint(b, s)
			n++
		}
		return n < metaWriters
	})
	return b
}

// eachWriter calls fn for the writers in meta until it returns false. Bytes
// that are not ours hold none.
func eachWriter(meta []byte, fn func(node [8]byte, seq uint64) bool) {
	if len(meta) < metaHeader || meta[0] != metaFormat {
		return
	}
	for meta = meta[metaHeader:]; len(meta) > 8; {
		var w [8]byte
		copy(w[:], meta)
		seq, n := binary.Uvarint(meta[8:])
		if n <= 0 || !fn(w, seq) {
			return
		}
		meta = meta[8+n:]
	}
}

// metaCarries reports whether the write (node, seq) is among the last writes
// of the record.
func metaCarries(meta []byte, node [8]byte, seq uint64) bool {
	found := false
	eachWriter(meta, func(w [8]byte, s uint64) bool {
		found = w == node && s == seq
		return !found
	})
	return found
}
