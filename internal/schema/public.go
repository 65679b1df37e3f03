package schema

import (
	"github.com/stay-go/stay/internal/schema/jsonwalk"
)

// Public returns the JSON that clients may see. It leaves out the fields tagged
// stay:"private", at any depth, and the fields that S does not know, because
// they may be private in the version that knows them. The arguments are the
// result of Encode and the extra that Encode was given. If there is nothing to
// leave out, Public returns encoded itself.
func (s *Schema) Public(encoded []byte, extra *Extra) ([]byte, error) {
	if !s.private && extra == nil {
		return encoded, nil
	}
	if err := jsonwalk.Check(encoded); err != nil {
		return nil, err
	}
	return s.top.public(make([]byte, 0, len(encoded)), jsonwalk.NewCursor(encoded), nil), nil
}

// Mask is what Masked shows in place of a value, in JSON.
const Mask = `"(private)"`

// Masked is Public for people who look after a program: the names of what Public
// leaves out stay, each with [Mask] in place of its value.
func (s *Schema) Masked(encoded []byte, extra *Extra) ([]byte, error) {
	if !s.private && extra == nil {
		return encoded, nil
	}
	if err := jsonwalk.Check(encoded); err != nil {
		return nil, err
	}
	return s.top.public(make([]byte, 0, len(encoded)), jsonwalk.NewCursor(encoded), []byte(Mask)), nil
}

// public appends the value at the cursor to out. A value that does not have the
// form that the node expects is null, or its type wrote it itself. What clients
// may not see is left out if mask is nil, else replaced by it.
func (n *node) public(out []byte, c *jsonwalk.Cursor, mask []byte) []byte {
	first := c.Kind()
	switch {
	case n.shape == pointer && first != 'n':
		return n.elem.public(out, c, mask)
	case n.shape == object && first == '{':
		return n.publicObject(out, c, mask)
	case n.shape == mapping && first == '{':
		w := objectWriter{out: append(out, '{')}
		for c.Enter(); c.More(); {
			w.name(c.Name())
			w.out = n.elem.public(w.out, c, mask)
		}
		return append(w.out, '}')
	case (n.shape == slice || n.shape == array) && first == '[':
		out = append(out, '[')
		more := false
		for c.Enter(); c.More(); more = true {
			if more {
				out = append(out, ',')
			}
			out = n.elem.public(out, c, mask)
		}
		return append(out, ']')
	}
	return append(out, c.Skip()...)
}

func (n *node) publicObject(out []byte, c *jsonwalk.Cursor, mask []byte) []byte {
	w := objectWriter{out: append(out, '{')}
	for c.Enter(); c.More(); {
		name := c.Name()
		i, known := n.position(name)
		if !known || n.fields[i].private {
			c.Skip()
			if mask != nil {
				w.name(name)
				w.out = append(w.out, mask...)
			}
			continue
		}
		w.name(name)
		w.out = n.fields[i].node.public(w.out, c, mask)
	}
	return append(w.out, '}')
}
