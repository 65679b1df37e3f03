package powercut

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
)

// settle takes over what became of calls that had not returned when their
// program ended: they were done, or in part, or not at all, but whichever it
// was, the next program sees it and a sync of it makes it durable. It fails if
// the folder then differs from the one that was found: the trace does not show
// all that happened.
func (d *Disk) settle(found map[string][]byte) error {
	for base := range found {
		d.name(base)
	}
	for _, base := range slices.Sorted(maps.Keys(d.names)) {
		content, exists := found[base]
		n := d.names[base]
		n.settle(exists)
		if (n.now != nil) != exists {
			return fmt.Errorf("%s should be there: %t, and it is: %t", base, n.now != nil, exists)
		}
		if n.now == nil || Volatile(base) {
			continue
		}
		n.now.settle(content)
		if got := n.now.content(); !bytes.Equal(got, content) {
			return fmt.Errorf("%s has %d bytes that are not the %d that the trace shows", base, len(content), len(got))
		}
	}
	return nil
}

func (n *name) settle(exists bool) {
	n.pending = slices.DeleteFunc(n.pending, func(ch *change) bool { return !ch.done && exists })
	for _, ch := range n.pending {
		if !ch.done { // it was deleted
			ch.done, n.now = true, nil
		}
	}
	if n.now == nil && exists { // the call that created it did not return
		n.now = &file{}
		n.pending = append(n.pending, &change{to: n.now, done: true})
	}
}

func (f *file) settle(found []byte) {
	size := int64(len(found))
	f.pending = slices.DeleteFunc(f.pending, func(w *write) bool {
		switch {
		case w.done:
		case w.data == nil:
			return w.offset != size
		default:
			end := min(w.offset+int64(len(w.data)), size)
			if end <= w.offset {
				return true
			}
			w.data = found[w.offset:end]
		}
		w.done = true
		return false
	})
}

// content is what programs read from the file.
func (f *file) content() []byte {
	out := slices.Clone(f.synced)
	for _, w := range f.pending {
		out = w.apply(out)
	}
	return out
}
