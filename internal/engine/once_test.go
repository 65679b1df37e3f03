package engine

import (
	"slices"
	"sync"
	"testing"

	"github.com/stay-go/stay/internal/meta"
)

func action(n int) meta.Action { return meta.Action{Name: uint64(n), Print: 1, Minute: uint32(n)} }

// ids returns the names of a list.
func ids(n names) (all []int) {
	for b := n.list(); len(b) > 0; b = b[meta.ActionSize:] {
		all = append(all, int(meta.ActionAt(b).Name))
	}
	return all
}

func upTo(n int) (all []int) {
	for i := range n {
		all = append(all, i)
	}
	return all
}

// A version's names stay as they are, whatever is made of it: if a run is dropped
// whose version shared the memory, the next has names of its own. Readers of all
// of them may be at work meanwhile.
//
// Proves L28, L30.
func TestTheNamesOfADroppedRunAreNotThoseOfTheNext(t *testing.T) {
	var readers sync.WaitGroup
	read := func(n names, want []int) {
		readers.Go(func() {
			if got := ids(n); !slices.Equal(got, want) {
				t.Errorf("names are %v, want %v", got, want)
			}
		})
	}
	var n names
	for i := range 100 {
		dropped := n.add(action(1000 + i))
		read(dropped, append(upTo(i), 1000+i))
		n = n.add(action(i))
		read(n, upTo(i+1))
	}
	readers.Wait()
}

// Two that go on from one version at the same time do not get the same memory.
//
// Proves L28.
func TestTwoWhoAddToTheSameNames(t *testing.T) {
	n := names{}.add(action(0)).add(action(1)).add(action(2)) // with room for more
	var both [8]names
	var adding sync.WaitGroup
	for i := range both {
		adding.Go(func() { both[i] = n.add(action(10 + i)) })
	}
	adding.Wait()
	for i := range both {
		if got := ids(both[i]); !slices.Equal(got, []int{0, 1, 2, 10 + i}) {
			t.Errorf("names are %v", got)
		}
	}
}

// To add a name copies the others only once in a while, and what is kept is
// bounded.
//
// Proves L31.
func TestNamesTakeBoundedMemory(t *testing.T) {
	var n names
	copies := 0
	const more = 20 * maxNames
	for i := range more {
		before := n.roll
		forgotten := 0
		n, forgotten = n.add(action(i)).bounded()
		if n.roll != before {
			copies++
		}
		if want := i >= maxNames; forgotten == 1 != want {
			t.Fatalf("%d: forgotten %d", i, forgotten)
		}
	}
	if got := ids(n); len(got) != maxNames || got[0] != more-maxNames {
		t.Errorf("%d names from %d", len(got), got[0])
	}
	if copies > 32 || n.bytes() > 2*(maxNames+1)*meta.ActionSize {
		t.Errorf("%d copies, %d bytes", copies, n.bytes())
	}
}

// The names of two states come together in the order of their times, and both
// stay as they are.
//
// Proves L31, L32.
func TestNamesOfTwoStatesAreJoined(t *testing.T) {
	a := names{}.add(action(1)).add(action(4)).add(action(6))
	b := names{}.add(action(2)).add(action(4)).add(action(9))
	for _, both := range []names{a.join(b), b.join(a)} {
		if got := ids(both); !slices.Equal(got, []int{1, 2, 4, 4, 6, 9}) {
			t.Errorf("names are %v", got)
		}
	}
	if got := ids(a.join(names{})); !slices.Equal(got, ids(a)) {
		t.Errorf("names are %v", got)
	}
	if got := ids(names{}.join(a)); !slices.Equal(got, ids(a)) {
		t.Errorf("names are %v", got)
	}
	if got := ids(a.since(nameMinutes + 5)); !slices.Equal(got, []int{6}) {
		t.Errorf("names are %v", got)
	}
	if got := a.since(0); got != a { // a clock that was set back
		t.Errorf("names are %v", ids(got))
	}
}

// What a record says is taken over, its latest names if there are too many, and
// does not stay tied to the bytes of the store.
//
// Proves L27, L31.
func TestNamesAreReadFromARecord(t *testing.T) {
	list := make([]byte, 0)
	for i := range maxNames + 3 {
		var b [meta.ActionSize]byte
		action(i).Put(b[:])
		list = append(list, b[:]...)
	}
	m := meta.Meta{Birth: 1, Actions: list}
	b := m.Append(nil)
	n := loadedNames(b)
	clear(b)
	if got := ids(n); !slices.Equal(got, upTo(maxNames + 3)[3:]) {
		t.Errorf("names are %v", got)
	}
	if got := loadedNames(nil); got != (names{}) {
		t.Errorf("names are %v", ids(got))
	}
}
