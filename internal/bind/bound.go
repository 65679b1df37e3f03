package bind

import (
	"cmp"
	"fmt"
	"slices"
)

// Limits of a payload. A few bytes can become a large value, such as {} in a
// list of structs. So the limit is on the memory that the value takes, and not
// on the length of the payload.
const (
	// maxMemory is what any payload up to usualSize may take. Longer payloads
	// may take a proportional amount: 16 bytes for each byte of the payload.
	maxMemory = 16 * usualSize
	usualSize = 1 << 20 // the default limit of a body in package web
	// Short payloads may take smallMemory, and 64 bytes for each of their bytes.
	// That is more than lists of small objects take that become maps, and so
	// little that it takes many payloads to use much memory.
	smallMemory = 1 << 20
	// MaxValues is how many values a form may have. Each takes about 100 bytes
	// in url.Values, and no page has as many inputs.
	MaxValues = 10_000
	// maxDepth is how deeply JSON may be nested. Each level takes a part of the
	// stack.
	maxDepth = 1000
	// maxDots is how many dots a name in a form may have.
	maxDots = 100
)

// An allowance is how many bytes of memory a payload may still take.
type allowance int

func allowanceFor(size int) allowance {
	return allowance(min(smallMemory+64*size, maxMemory/usualSize*max(size, usualSize)))
}

// take takes the memory of n things of a size from the allowance.
func (a *allowance) take(n int, size uintptr) error {
	if size == 0 || n == 0 {
		return nil
	}
	if uintptr(n) > uintptr(*a)/size {
		return &Error{Message: "the payload takes more memory than is allowed: send less", TooLarge: true}
	}
	*a -= allowance(uintptr(n) * size)
	return nil
}

// takeText takes the memory that a type may keep when it decodes n bytes
// itself. The type has to bound everything else that it makes from them.
func (a *allowance) takeText(n int) error { return a.take(1, uintptr(n)+16) }

// A map keeps up to eight entries in one group, and more in tables that are
// never more than about half empty. Keys and values that are larger than 128
// bytes are kept elsewhere.
const (
	mapHeader  = 48
	mapGroup   = 8
	mapInPlace = 128
)

// takeMap takes the memory of a map that has room for n entries.
func (a *allowance) takeMap(n int, key, elem uintptr) error {
	if err := a.take(1, mapHeader); err != nil || n < long {
		return err
	}
	return a.take(n, 3*slot(key, elem))
}

// takeEntry takes the memory of entry i of a map that was made with room for n.
func (a *allowance) takeEntry(i, n int, key, elem uintptr) error {
	size := outside(key) + outside(elem)
	switch {
	case i == 0:
		size += key + elem // the entry is first read into these
		if n < long {
			size += mapGroup * slot(key, elem)
		}
	case i == mapGroup && n < long:
		size += long * 3 * slot(key, elem)
	}
	return a.take(1, size)
}

// slot is the memory in a map for an entry, and outside is its memory
// elsewhere.
func slot(key, elem uintptr) uintptr {
	return 1 + inside(key) + inside(elem)
}

func inside(size uintptr) uintptr {
	if size > mapInPlace {
		return 8 // a pointer
	}
	return size
}

func outside(size uintptr) uintptr {
	if size > mapInPlace {
		return size
	}
	return 0
}

// A length is how many members the list or object that begins at pos has.
type length struct{ pos, members int }

// long is the number of members from which knowing it beforehand pays off.
const long = 16

// survey goes through valid JSON once and returns the lengths of the long lists
// and objects, in their order, so that they can be made with the right size. It
// fails if they are nested too deeply.
func survey(data []byte) ([]length, error) {
	if len(data) < 2*long {
		return nil, nil
	}
	var lengths []length
	var room [32]length
	open := room[:0]
	for i := 0; i < len(data); i++ {
		switch data[i] {
		case '"':
			for i++; data[i] != '"'; i++ {
				if data[i] == '\\' {
					i++
				}
			}
		case '[', '{':
			if len(open) == maxDepth {
				return nil, &Error{Message: fmt.Sprintf("the payload is nested deeper than %d levels", maxDepth), Malformed: true}
			}
			open = append(open, length{i, 1})
		case ',':
			open[len(open)-1].members++
		case ']', '}':
			if l := open[len(open)-1]; l.members >= long {
				lengths = append(lengths, l)
			}
			open = open[:len(open)-1]
		}
	}
	slices.SortFunc(lengths, func(a, b length) int { return cmp.Compare(a.pos, b.pos) })
	return lengths, nil
}
