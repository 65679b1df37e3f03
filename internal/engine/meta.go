package engine

import (
	"slices"
	"sync/atomic"

	"github.com/stay-go/stay/internal/meta"
)

// A node is an engine as a writer of records.
type node struct {
	id     [8]byte
	writes atomic.Uint64
}

// nextWrite returns the name of the next write of this engine.
func (n *node) nextWrite() meta.Writer { return meta.Writer{Node: n.id, Seq: n.writes.Add(1)} }

// readMeta copies the contents of Record.Meta to v, without the writers if none
// of them can be at work any more. The names of a state that has expired are not
// those of the next one.
func (n *node) readMeta(v *Version, b []byte, alone bool) {
	v.birth = birthOf(b)
	known := loadedNames(b)
	if alone {
		if known.roll != nil {
			v.setRare(rare{extra: v.extra(), expired: v.overExpired(), names: known, again: v.again()})
		}
		return
	}
	var others []byte
	count := 1 // this engine included
	for w := range meta.WritersOf(b) {
		if w.Node != n.id && count < meta.MaxWriters {
			others = w.Append(others)
			count++
		}
	}
	v.setRare(rare{v.extra(), others, v.overExpired(), known, v.again() || meta.Again(b)})
}

func birthOf(b []byte) Birth { return Birth(meta.Birth(b)) }

// follows turns v into the version that a write stores over base.
func (v *Version) follows(base *Version, by meta.Writer) {
	v.birth = base.birth
	if base.Revision == 0 {
		v.birth = Birth(by.Birth())
	}
	v.setRare(rare{extra: v.extra(), others: base.others(), names: v.names(), again: base.again()})
}

// encodeMeta returns Record.Meta for v, which a write stores. If there is room,
// it is put behind the encoded value, which saves an allocation.
func encodeMeta(v *Version, encoded []byte, by meta.Writer) []byte {
	m := meta.Meta{Birth: uint64(v.birth), By: by, Others: v.others(), Actions: v.names().list(), Again: v.again()}
	b := encoded[len(encoded):]
	if n := m.Len(); cap(b) < n {
		b = make([]byte, 0, n)
	}
	return m.Append(b)
}

// metaCarries reports whether a write is among the last writes of the record.
func metaCarries(b []byte, by meta.Writer) bool {
	for w := range meta.WritersOf(b) {
		if w == by {
			return true
		}
	}
	return false
}

// metaGoesBackTo reports whether the writers in Record.Meta go back to base,
// over which this node has sent a write: then it carries that write if it was
// applied. Otherwise later writers may have pushed it out.
func metaGoesBackTo(b []byte, base *Version, node [8]byte) bool {
	known := slices.Collect(meta.Writers(base.others()))
	count := 0
	for w := range meta.WritersOf(b) {
		if w.Node == node || slices.Contains(known, w) {
			return true
		}
		count++
	}
	return count < meta.MaxWriters
}
