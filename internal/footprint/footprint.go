// Package footprint says how many bytes of the heap values take: the bytes that
// the allocator gives them, which are more than they ask for.
//
// It follows the allocator and the maps of the gc toolchain, and is right to
// within about a fifth. It does not count garbage that has not been collected
// yet.
package footprint

import "math/bits"

const (
	page   = 8 << 10 // the unit of the largest objects
	large  = 32 << 10
	header = 8 // of larger objects
)

// Bytes returns the bytes that an object of n bytes takes.
func Bytes(n int) int {
	switch {
	case n <= 0:
		return 0
	case n <= 32:
		return up(n, 8)
	case n > large-header:
		return up(n, page)
	case n > 512:
		n += header
	}
	// Eight sizes between two powers of two, at least sixteen bytes apart.
	return up(n, max(16, 1<<(bits.Len(uint(n-1))-4)))
}

// up rounds n up to a multiple of unit, a power of two.
func up(n, unit int) int { return (n + unit - 1) &^ (unit - 1) }

// The parts of a map.
const (
	mapHeader = 48
	mapTable  = 40
	groupSize = 8    // slots
	maxTable  = 1024 // slots
	maxSlot   = 128  // bytes; larger keys and elements are kept by pointer
	pointer   = 8    // bytes
)

// Map returns the bytes that a map with n entries takes, for keys and elements
// of the given sizes. What keys and elements point to is not counted.
func Map(n, key, elem int) int {
	if n == 0 {
		return mapHeader
	}
	beside := 0
	if key > maxSlot {
		key, beside = pointer, Bytes(key)
	}
	if elem > maxSlot {
		elem, beside = pointer, beside+Bytes(elem)
	}
	group := groupSize + groupSize*up(key+elem, max(aligned(key), aligned(elem), 1))
	size := mapHeader + n*beside
	if n <= groupSize {
		return size + Bytes(group)
	}
	slots := 1 << bits.Len(uint((n*8+6)/7-1)) // a table is filled to seven eighths
	table := min(slots, maxTable)
	return size + slots/table*(mapTable+Bytes(table/groupSize*group))
}

// aligned returns the greatest alignment that something of this size can need.
func aligned(size int) int { return min(size&-size, pointer) }
