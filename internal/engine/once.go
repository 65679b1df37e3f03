package engine

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/stay-go/stay/internal/meta"
)

// A change that has a name takes effect once, however often it is made. The
// version that it makes keeps the name, and so do the versions after it, so the
// very commit that makes the change makes it known: no crash can come between.
// The name is looked up in the working version, with the turn taken. So a change
// that is made again while the first is on its way waits for that one, as a run
// without a change.
//
// A reader never looks at names, and a state without names has none of this.

const (
	// maxNames is how many names a state keeps.
	maxNames = meta.MaxActions
	// nameMinutes is for how long.
	nameMinutes = 24 * 60
)

// A Name names a change. The zero Name names nothing.
type Name struct {
	ID    uint64
	Print uint32 // of what the change is made of; 0 = not known: it fits every other
}

// names are those that a version keeps, the oldest first: the bytes between from
// and to of a roll that the versions of an instance share, since each of them has
// the names of the one before it, and one more.
type names struct {
	roll     *roll // nil: none
	from, to int32
}

// A roll is memory for names. What was written never changes. The next bytes
// belong to whoever gets them: if two versions go on from the same one, as after
// a run whose result was dropped, the second gets a roll of its own.
type roll struct {
	bytes []byte
	used  atomic.Int32
}

// newRoll returns a roll that begins with the list, which it takes over up to
// its capacity.
func newRoll(list []byte) *roll {
	r := &roll{bytes: list[:cap(list)]}
	r.used.Store(int32(len(list))) //nolint:gosec // a few kB
	return r
}

// loadedNames returns the names in Record.Meta.
func loadedNames(b []byte) names {
	list := meta.ActionsOf(b)
	if len(list) == 0 {
		return names{}
	}
	list = list[max(0, len(list)-maxNames*meta.ActionSize):]
	return names{roll: newRoll(slices.Clip(slices.Clone(list))), to: int32(len(list))} //nolint:gosec // bounded
}

// list returns the names as in Record.Meta. It must not be changed.
func (n names) list() []byte {
	if n.roll == nil {
		return nil
	}
	return n.roll.bytes[n.from:n.to:n.to]
}

func (n names) len() int { return int(n.to-n.from) / meta.ActionSize }

// bytes is how much memory the names take.
func (n names) bytes() int {
	if n.roll == nil {
		return 0
	}
	return len(n.roll.bytes)
}

// since returns the names without those that are too old.
func (n names) since(minute uint32) names {
	for n.from < n.to && int64(minute)-int64(meta.ActionAt(n.roll.bytes[n.from:]).Minute) > nameMinutes {
		n.from += meta.ActionSize
	}
	if n.from == n.to {
		return names{}
	}
	return n
}

// bounded returns the names that are kept, and how many are not, although they
// are not too old.
func (n names) bounded() (kept names, forgotten int) {
	if over := n.len() - maxNames; over > 0 {
		n.from += int32(over * meta.ActionSize) //nolint:gosec // bounded by the length
		return n, over
	}
	return n, 0
}

// add returns the names with one more.
func (n names) add(a meta.Action) names {
	if r := n.roll; r != nil && int(n.to)+meta.ActionSize <= len(r.bytes) && r.used.CompareAndSwap(n.to, n.to+meta.ActionSize) {
		a.Put(r.bytes[n.to:])
		n.to += meta.ActionSize
		return n
	}
	old := n.list()
	list := append(make([]byte, 0, 2*(len(old)+meta.ActionSize)), old...)
	list = list[:len(old)+meta.ActionSize]
	a.Put(list[len(old):])
	return names{roll: newRoll(list), to: int32(len(list))} //nolint:gosec // bounded
}

// join returns the names of both, in the order of their times.
func (n names) join(other names) names {
	a, b := n.list(), other.list()
	if len(a) == 0 || len(b) == 0 {
		if len(a) == 0 {
			return other
		}
		return n
	}
	list := make([]byte, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		first := &a
		if meta.ActionAt(b).Minute < meta.ActionAt(a).Minute {
			first = &b
		}
		list = append(list, (*first)[:meta.ActionSize]...)
		*first = (*first)[meta.ActionSize:]
	}
	list = append(append(list, a...), b...)
	return names{roll: newRoll(list), to: int32(len(list))} //nolint:gosec // bounded
}

// An hourglass says when something may be logged again: once a minute.
type hourglass struct{ last atomic.Int64 }

func (h *hourglass) due(at time.Time) bool {
	now := at.Unix()
	last := h.last.Load()
	return now-last >= 60 && h.last.CompareAndSwap(last, now)
}
