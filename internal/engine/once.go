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
	maxNames = 256
	// nameMinutes is for how long.
	nameMinutes = 24 * 60
)

// A Name names a change. The zero Name names nothing.
type Name struct {
	ID    uint64
	Print uint32 // of what the change is made of; 0 = not known: it fits every other
}

// A NamedOp is an Op that may have a [Ref].Name.
type NamedOp interface {
	Op
	// Known is called in place of Run if the change was made before. The op
	// gets the state as it is now. A Run may still follow, if nothing was kept
	// of the change after all.
	Known()
}

var errReused = fail(Reused, "this was sent before with other content", nil)

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

// names returns the names that the version keeps.
func (v *Version) names() names {
	if v.rare == nil {
		return names{}
	}
	return v.rare.names
}

// knows reports whether a change of that name has made the version or an earlier
// one. It is an error if that one was made of something else.
func (v *Version) knows(name Name) (bool, error) {
	if v.rare == nil || name.ID == 0 {
		return false, nil
	}
	a, ok := meta.Find(v.rare.names.list(), name.ID)
	if ok && a.Print != name.Print && a.Print != 0 && name.Print != 0 {
		return false, errReused
	}
	return ok, nil
}

// namesAfter returns the names of the version that res makes of work.
func (e *Engine) namesAfter(k *Kind, work *Version, res *Result) names {
	n := work.names()
	if res.From != nil {
		n = n.join(res.From.names())
	}
	if n.roll == nil && res.Name.ID == 0 {
		return n
	}
	minute := uint32(e.cfg.Now().Unix() / 60) //nolint:gosec // good for some thousand years
	n = n.since(minute)
	if res.Name.ID != 0 {
		n = n.add(meta.Action{Name: res.Name.ID, Print: res.Name.Print, Minute: minute})
	}
	n, forgotten := n.bounded()
	if forgotten > 0 {
		e.forgot(k, forgotten)
	}
	return n
}

// forgot counts names that made room for others before their time, and warns of
// it once a minute for each module.
func (e *Engine) forgot(k *Kind, n int) {
	if e.cfg.Observer != nil {
		e.cfg.Observer.Forgotten(k, n)
	}
	if k.forgot.due(e.cfg.Now()) {
		e.cfg.Logger.Warn("a state gets so many actions with ids that it forgets the oldest before their time: "+
			"one that is sent again later takes effect again; keep the ids in the state if that may happen",
			"module", k.Name, "ids", maxNames, "within", time.Duration(nameMinutes)*time.Minute)
	}
}

// An hourglass says when something may be logged again: once a minute.
type hourglass struct{ last atomic.Int64 }

func (h *hourglass) due(at time.Time) bool {
	now := at.Unix()
	last := h.last.Load()
	return now-last >= 60 && h.last.CompareAndSwap(last, now)
}
