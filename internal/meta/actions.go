package meta

import "encoding/binary"

// ActionSize is the length of an action in a list.
const ActionSize = 16

// An Action is what a record keeps of a change that takes effect once: the name
// of the change, a print of what it was made of, and when that was. A reader
// that does not know the section may use the record: it makes the change again
// if it is asked to.
type Action struct {
	Name   uint64
	Print  uint32 // 0 = not known
	Minute uint32 // since 1970
}

// Put writes the action to the beginning of b.
func (a Action) Put(b []byte) {
	binary.BigEndian.PutUint64(b, a.Name)
	binary.BigEndian.PutUint32(b[8:], a.Print)
	binary.BigEndian.PutUint32(b[12:], a.Minute)
}

// ActionAt reads the action at the beginning of b.
func ActionAt(b []byte) Action {
	return Action{
		Name: binary.BigEndian.Uint64(b), Print: binary.BigEndian.Uint32(b[8:]), Minute: binary.BigEndian.Uint32(b[12:]),
	}
}

// Find returns the action with the name in a list, the latest if there are
// several.
func Find(list []byte, name uint64) (a Action, ok bool) {
	for i := len(list) - ActionSize; i >= 0; i -= ActionSize {
		if binary.BigEndian.Uint64(list[i:]) == name {
			return ActionAt(list[i:]), true
		}
	}
	return Action{}, false
}
