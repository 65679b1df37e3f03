package bind

import (
	"cmp"
	"fmt"
	"slices"
)

// What a payload may ask for. A few bytes of it can stand for a large value,
// such as {} in a list of structs, so that what is bound is measured by the
// memory that it takes and not by its length.
const (
	// maxMemory is what any payload up to usualSize may take, and what
	// longer ones may take in proportion: 16 bytes for each of their own.
	maxMemory = 16 * usualSize
	usualSize = 1 << 20 // the default limit of a body in package web
	// Short payloads may take smallMemory and 64 bytes for each of their own:
	// more than lists of small objects do that become maps, and little enough
	// that many payloads are needed to take much.
	smallMemory = 1 << 20
	// MaxValues is how many values a form may have. Each takes some 100 bytes
	// in url.Values, and no page has as many inputs.
	MaxValues = 10_000
	// maxDepth is how deeply JSON may be nested, for each level takes a part
	// of the stack.
	maxDepth = 1000
	// maxDots is how many dots a name in a form may have.
	maxDots = 100
)

// An allowance is how many bytes of memory a payload may still take.
type allowance int

func allowanceFor(size int) allowance {
	return allowance(min(smallMemory+64*size, maxMemory/usualSize*max(size, usualSize)))
}

// take asks for the memory of n things of a size.
func (a *allowance) take(n int, size uintptr) error {
	if size == 0 || n == 0 {
		return nil
	}
	if uintptr(n) > uintptr(*a)/size {
		return &Error{Message: "the payload stands for more than fits in memory: send less", TooLarge: true}
	}
	*a -= allowance(uintptr(n) * size)
	return nil
}

// takeText asks for what a type may keep of n bytes that it reads itself. What
// else it makes of them it has to bound for itself.
func (a *allowance) takeText(n int) error { return a.take(1, uintptr(n)+16) }

// Maps keep up to eight entries in one group and more of them in tables that are
// never more than about half empty. Keys and values that are larger than 128
// bytes are kept elsewhere.
const (
	mapHeader  = 48
	mapGroup   = 8
	mapInPlace = 128
)

// takeMap asks for a map that has room for n entries.
func (a *allowance) takeMap(n int, key, elem uintptr) error {
	if err := a.take(1, mapHeader); err != nil || n < long {
		return err
	}
	return a.take(n, 3*slot(key, elem))
}

// takeEntry asks for entry i of a map that was made with room for n.
func (a *allowance) takeEntry(i, n int, key, elem uintptr) error {
	size := outside(key) + outside(elem)
	switch {
	case i == 0:
		size += key + elem // in which they are read
		if n < long {
			size += mapGroup * slot(key, elem)
		}
	case i == mapGroup && n < long:
		size += long * 3 * slot(key, elem)
	}
	return a.take(1, size)
}

// slot is what a map has for an entry, and outside what it keeps elsewhere.
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

// A length is how many members the list or object has that begins at pos.
type length struct{ pos, members int }

// long is from how many members on it is worth to know it beforehand.
const long = 16

// survey goes through valid JSON once and returns the lengths of the long lists
// and objects, in their order, so that they are made as large as they need to
// be. It fails if they are nested too deeply.
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
