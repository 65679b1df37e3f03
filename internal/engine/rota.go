package engine

import (
	"encoding/binary"
	"slices"
	"time"

	"github.com/stay-go/stay/internal/meta"
	"github.com/stay-go/stay/store"
)

// A rota is the nodes that take turns at a state which several of them want: the
// node after the one that wrote the state last is next. So a turn that passes on
// writes nothing, and the rota's record, which is beside the state's, changes
// only when nodes come and go: a node far from the store could not join a record
// that changed all the time.
//
// It is a hint and no lock: the law is the base of each write, and a node that
// does not know of the rota does no harm.
//
// Record.Value has a format byte, then for each node its 8 bytes and its
// patience in milliseconds.
type rota []place

const (
	rotaFormat  = 1
	rotaVersion = 1                // of the record
	rotaTime    = 10 * time.Minute // after it a sweep removes what nodes have left behind
	maxRota     = 32               // nodes in it
)

// A place is that of one node.
type place struct {
	node [8]byte
	// patience is how long the others wait in the node's turn while nothing
	// happens. Each of them measures it by its own clock.
	patience time.Duration
}

// The bounds of a patience.
const (
	minPatience = 50 * time.Millisecond
	maxPatience = time.Second
)

// readRota returns the rota in a record, nil if it has none that this release
// can read.
func readRota(rec *store.Record) (r rota) {
	b := rec.Value
	if rec.Revision == 0 || rec.Version != rotaVersion || len(b) == 0 || b[0] != rotaFormat {
		return nil
	}
	for b = b[1:]; len(b) > 0; {
		var p place
		if len(b) <= len(p.node) {
			return nil
		}
		copy(p.node[:], b)
		ms, n := binary.Uvarint(b[len(p.node):])
		if n <= 0 || len(r) == maxRota || r.at(p.node) >= 0 {
			return nil
		}
		p.patience = min(max(time.Duration(min(ms, 1<<20))*time.Millisecond, minPatience), maxPatience) //nolint:gosec // bounded
		r, b = append(r, p), b[len(p.node)+n:]
	}
	return r
}

// write returns the write that replaces the record with this revision by r.
func (r rota) write(key string, base store.Revision, now time.Time) store.Write {
	if len(r) == 0 {
		return store.Write{Op: store.Delete, Key: key, Base: base}
	}
	b := []byte{rotaFormat}
	for _, p := range r {
		b = append(b, p.node[:]...)
		b = binary.AppendUvarint(b, uint64(p.patience.Milliseconds())) //nolint:gosec // not negative
	}
	return store.Write{Op: store.Put, Key: key, Base: base, Version: rotaVersion, Value: b, Expires: now.Add(rotaTime).Truncate(time.Millisecond)}
}

// at returns the index of a node, -1 if it is not there.
func (r rota) at(node [8]byte) int {
	return slices.IndexFunc(r, func(p place) bool { return p.node == node })
}

// last returns the index of the node that wrote the state last, -1 if none of
// them is among the last writers; b is Meta of the state's record. It is the
// turn of the node after it.
func (r rota) last(b []byte) int {
	for w := range meta.WritersOf(b) {
		if i := r.at(w.Node); i >= 0 {
			return i
		}
	}
	return -1
}

// with returns the rota with one place more, if there is room: before the node
// that wrote last, so nobody's turn is taken away.
func (r rota) with(p place, last int) rota {
	switch {
	case len(r) >= maxRota:
		return r
	case last < 0:
		last = len(r)
	}
	return slices.Insert(slices.Clone(r), last, p)
}

// without returns the rota without a node.
func (r rota) without(node [8]byte) rota {
	return slices.DeleteFunc(slices.Clone(r), func(p place) bool { return p.node == node })
}
