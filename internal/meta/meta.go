// Package meta defines the bytes in the Meta of a record.
//
// They begin with a form byte and 8 bytes of birth. Sections follow, in
// ascending order of their tags: a tag byte, a length as in encoding/binary's
// Uvarint, and so many bytes. A reader skips a section that it does not know, so
// a later release can add one; a writer that does not know it drops it. A tag
// with the highest bit set says that who does not know the section must not use
// the record.
//
// A form byte with the highest bit set is not the engine's. It belongs to stores
// that stand on other stores and have to say more of a record, such as that it
// is locked. They pass all other bytes through unchanged, so what one store holds
// can be given to such a store later.
package meta

import (
	"encoding/binary"
	"iter"
	"math/bits"

	"github.com/stay-go/stay/store"
)

const (
	form   = 3
	header = 9
)

// The tags of the sections.
const (
	tagWriters = 1
	tagDeleted = 2
	tagActions = 3
	tagAgain   = 4
	// unknown sections from here on forbid the use of the record
	mandatory = 0x80
)

// What a record names.
const (
	MaxWriters = 8
	MaxActions = 256
)

// Max is how many bytes the encoded form has at most: with all that a record may
// name, and each section with the two bytes of a length that it then has at most.
const Max = header + 1 + 2 + MaxWriters*(8+binary.MaxVarintLen64) + 2 + 1 + 2 + MaxActions*ActionSize + 2

// A Writer is a node and the number of its last write. A node has one write
// under way for a key, and sends it again until it knows the outcome, so its
// last number is enough to find its own write.
type Writer struct {
	Node [8]byte
	Seq  uint64
}

// Birth returns the birth of a record that the write creates. It is not 0.
func (w Writer) Birth() uint64 {
	return max(binary.BigEndian.Uint64(w.Node[:])^w.Seq, 1)
}

// Append appends the writer to a list of writers.
func (w Writer) Append(list []byte) []byte {
	return binary.AppendUvarint(append(list, w.Node[:]...), w.Seq)
}

// Writers yields the writers in a list, the latest first, up to the first that
// is damaged.
func Writers(list []byte) iter.Seq[Writer] {
	return func(yield func(Writer) bool) {
		for b := list; len(b) > 8; {
			var w Writer
			copy(w.Node[:], b)
			seq, n := binary.Uvarint(b[8:])
			if n <= 0 {
				return
			}
			w.Seq = seq
			if !yield(w) {
				return
			}
			b = b[8+n:]
		}
	}
}

// A Meta is what an engine knows of a record beside its value.
type Meta struct {
	Birth   uint64 // 0 = it was not created by an engine
	Deleted bool   // the record is a tombstone: what was there is deleted
	By      Writer // the last writer
	Others  []byte // the list of the writers before it
	Actions []byte // the list of the actions that made it, the oldest first
	Again   bool   // the record was created in the place of a tombstone
}

// Len returns how long the encoded form is.
func (m *Meta) Len() int {
	writers := len(m.By.Node) + uvarintLen(m.By.Seq) + len(m.Others)
	n := header + 1 + uvarintLen(uint64(writers)) + writers
	if m.Deleted {
		n += 2
	}
	if k := len(m.Actions); k > 0 {
		n += 1 + uvarintLen(uint64(k)) + k
	}
	if m.Again {
		n += 2
	}
	return n
}

func uvarintLen(n uint64) int { return (bits.Len64(n|1) + 6) / 7 }

// Append appends the encoded form.
func (m *Meta) Append(b []byte) []byte {
	b = append(b, form)
	b = binary.BigEndian.AppendUint64(b, m.Birth)
	var buf [8 + binary.MaxVarintLen64]byte
	by := m.By.Append(buf[:0])
	b = append(b, tagWriters)
	b = binary.AppendUvarint(b, uint64(len(by)+len(m.Others)))
	b = append(append(b, by...), m.Others...)
	if m.Deleted {
		b = append(b, tagDeleted, 0)
	}
	if len(m.Actions) > 0 {
		b = append(b, tagActions)
		b = binary.AppendUvarint(b, uint64(len(m.Actions)))
		b = append(b, m.Actions...)
	}
	if m.Again {
		b = append(b, tagAgain, 0)
	}
	return b
}

// own reports whether an engine wrote the bytes.
func own(b []byte) bool { return len(b) >= header && b[0] == form }

// Birth returns the birth of a record, 0 if an engine did not create it.
func Birth(b []byte) uint64 {
	if !own(b) {
		return 0
	}
	return binary.BigEndian.Uint64(b[1:])
}

// WritersOf yields the writers of a record, the latest first.
func WritersOf(b []byte) iter.Seq[Writer] { return Writers(section(b, tagWriters)) }

// Deleted reports whether the record is a tombstone.
func Deleted(b []byte) bool { return section(b, tagDeleted) != nil }

// Again reports whether the record was created in the place of a tombstone.
func Again(b []byte) bool { return section(b, tagAgain) != nil }

// ActionsOf returns the list of the actions that made a record. It is part of b.
// A list whose length is damaged says nothing.
func ActionsOf(b []byte) []byte {
	list := section(b, tagActions)
	if len(list)%ActionSize != 0 {
		return nil
	}
	return list
}

// Removes reports whether a write removes a record, or leaves a tombstone.
func Removes(w *store.Write) bool { return w.Op == store.Delete || Deleted(w.Meta) }

// section returns the contents of a section; nil if there is none.
func section(b []byte, want byte) []byte {
	for tag, data := range sections(b) {
		if tag == want {
			return data
		}
	}
	return nil
}

// sections yields the sections of a record up to the first that is damaged.
func sections(b []byte) iter.Seq2[byte, []byte] {
	return func(yield func(byte, []byte) bool) {
		if !own(b) {
			return
		}
		for b = b[header:]; len(b) > 1; {
			n, k := binary.Uvarint(b[1:])
			if k <= 0 || n > uint64(len(b)-1-k) {
				return
			}
			data := b[1+k:][:n:n]
			if !yield(b[0], data) {
				return
			}
			b = b[1+k+int(n):] //nolint:gosec // bounded by the length
		}
	}
}

// Usable reports whether this release knows all that it must know to use a
// record with these bytes.
func Usable(b []byte) bool {
	for tag := range sections(b) {
		if tag >= mandatory {
			return false
		}
	}
	return true
}
