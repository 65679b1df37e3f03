package schema

import (
	"github.com/stay-go/stay/internal/footprint"
	"github.com/stay-go/stay/internal/schema/jsonwalk"
)

// An Extra holds the fields of a stored record that its struct does not know,
// at every depth reached through structs. It never changes once Decode has
// returned it, and a nil Extra holds nothing.
type Extra struct {
	// members are the unknown fields as they were written: "name":value.
	members [][]byte
	// fields holds the Extras of the structs below, by the position of the
	// field that leads there.
	fields map[int]*Extra
}

func (x *Extra) add(name, value []byte) {
	m := make([]byte, 0, len(name)+1+len(value))
	m = append(m, name...)
	m = append(m, ':')
	x.members = append(x.members, append(m, value...))
}

func (x *Extra) put(field int, below *Extra) {
	if x.fields == nil {
		x.fields = make(map[int]*Extra)
	}
	x.fields[field] = below
}

// Bytes returns about how many bytes x takes in memory.
func (x *Extra) Bytes() int {
	if x == nil {
		return 0
	}
	const list, pointer = 24, 8
	bytes := footprint.Bytes(list+pointer) + footprint.Bytes(cap(x.members)*list)
	for _, m := range x.members {
		bytes += footprint.Bytes(cap(m))
	}
	if x.fields != nil {
		bytes += footprint.Map(len(x.fields), pointer, pointer)
		for _, below := range x.fields {
			bytes += below.Bytes()
		}
	}
	return bytes
}

// orNil returns nil if x holds nothing.
func (x *Extra) orNil() *Extra {
	if len(x.members) == 0 && len(x.fields) == 0 {
		return nil
	}
	return x
}

// splice returns encoded with the unknown fields in their places.
func (s *Schema) splice(encoded []byte, x *Extra) []byte {
	out := make([]byte, 0, len(encoded)+x.size())
	return s.top.splice(out, jsonwalk.NewCursor(encoded), x)
}

// splice appends the object at the cursor to out, with what x has for it.
func (n *node) splice(out []byte, c *jsonwalk.Cursor, x *Extra) []byte {
	w := objectWriter{out: append(out, '{')}
	written := make(map[int]bool, len(x.fields))
	for c.Enter(); c.More(); {
		name := c.Name()
		w.name(name)
		i, known := n.position(name)
		if below := x.fields[i]; known && below != nil {
			written[i] = true
			if c.Kind() == '{' {
				w.out = n.fields[i].node.object().splice(w.out, c, below)
				continue
			}
		}
		w.out = append(w.out, c.Skip()...)
	}
	for i, f := range n.fields {
		// A struct that was omitted because it is zero keeps its unknown
		// fields; a pointer that was omitted is nil.
		if below := x.fields[i]; below != nil && !written[i] && f.node.shape == object {
			w.name(quote(f.Name))
			w.out = f.node.splice(w.out, jsonwalk.NewCursor([]byte("{}")), below)
		}
	}
	for _, m := range x.members {
		w.comma()
		w.out = append(w.out, m...)
	}
	return append(w.out, '}')
}

// size returns about how many bytes splice adds.
func (x *Extra) size() int {
	size := 0
	for _, m := range x.members {
		size += len(m) + 1
	}
	for _, below := range x.fields {
		size += below.size()
	}
	return size
}

// An objectWriter appends the members of a JSON object.
type objectWriter struct {
	out  []byte
	more bool
}

func (w *objectWriter) comma() {
	if w.more {
		w.out = append(w.out, ',')
	}
	w.more = true
}

// name takes the name as it is written in JSON.
func (w *objectWriter) name(quoted []byte) {
	w.comma()
	w.out = append(w.out, quoted...)
	w.out = append(w.out, ':')
}
