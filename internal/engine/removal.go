package engine

import (
	"time"

	"github.com/stay-go/stay/internal/meta"
	"github.com/stay-go/stay/store"
)

// removal makes w the removal of the record that has the version base.
//
// A creation of that record whose answer is lost is sent again. It has the
// condition that there is no record, which holds again after a deletion. So if
// its writer may not know yet that the record was created, a tombstone stays for
// a while, and the creation meets it and finds its own name there. A tombstone
// is a record that has expired at once: everybody takes it for absent, the next
// creation replaces it, and a sweep removes it. The record that replaces it says
// so, and leaves a tombstone too: the creation of the first may still be in doubt.
func (e *Engine) removal(w *store.Write, base *Version, by meta.Writer) {
	w.Op = store.Delete
	if base.Revision == 0 || !base.inDoubt() && !base.again() {
		return
	}
	m := meta.Meta{Birth: uint64(base.birth), Deleted: true, By: by, Others: base.others()}
	w.Op, w.Meta, w.Expires = store.Put, m.Append(nil), e.cfg.Now().Truncate(time.Millisecond)
}

// inDoubt reports whether another node may be about to send the creation of v's
// record again: it has not written the record since, or so many have that this
// is not known. This engine has no other write under way for a record that it
// removes.
func (v *Version) inDoubt() bool {
	count := 0
	for w := range meta.Writers(v.others()) {
		if Birth(w.Birth()) == v.birth {
			return true
		}
		count++
	}
	return count == meta.MaxWriters-1
}
