package footprint_test

import (
	"fmt"
	"reflect"
	"runtime"
	"testing"

	"github.com/stay-go/stay/internal/footprint"
)

func heap() int {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// measured returns what one of the objects that the function makes takes.
func measured(n int, create func() any) int {
	keep := make([]any, n)
	before := heap()
	for i := range keep {
		keep[i] = create()
	}
	size := (heap() - before) / n
	runtime.KeepAlive(keep)
	return size
}

func wantAbout(t *testing.T, what string, got, want int) {
	t.Helper()
	if low, high := want-want/4-16, want+want/4+16; got < low || got > high {
		t.Errorf("%s: %d bytes are said, %d are taken", what, got, want)
	}
}

// The allocator is asked what objects and maps really take.
func TestSizesAreThoseOfTheAllocator(t *testing.T) {
	for _, n := range []int{1, 8, 9, 24, 33, 48, 65, 100, 129, 200, 257, 300, 513, 1000, 1025, 1500, 2049, 4000, 5000, 9000, 20_000, 32_760, 32_769, 40_000, 100_000} {
		if n%8 == 0 { // those that are smaller share objects
			wantAbout(t, fmt.Sprint(n, " bytes"), footprint.Bytes(n), measured(1000, func() any { return &make([]byte, n)[0] }))
		}
		p := n / 8
		if p > 0 {
			wantAbout(t, fmt.Sprint(p, " pointers"), footprint.Bytes(8*p), measured(1000, func() any { return &make([]*int, p)[0] }))
		}
	}
	type large struct{ A [20]*int }
	for _, c := range []struct {
		key, elem reflect.Type
	}{
		{reflect.TypeFor[string](), reflect.TypeFor[any]()},
		{reflect.TypeFor[int32](), reflect.TypeFor[bool]()},
		{reflect.TypeFor[int32](), reflect.TypeFor[int32]()},
		{reflect.TypeFor[uint16](), reflect.TypeFor[string]()},
		{reflect.TypeFor[int](), reflect.TypeFor[large]()},
	} {
		typ := reflect.MapOf(c.key, c.elem)
		for _, n := range []int{0, 1, 8, 9, 14, 15, 100, 112, 113, 800, 1000, 1600, 3000, 6000, 20_000} {
			size := measured(max(3, 20_000/(n+1)), func() any {
				m := reflect.MakeMapWithSize(typ, n)
				for i := range n {
					key := reflect.New(c.key).Elem()
					switch {
					case key.Kind() == reflect.String:
						key.SetString(short[i])
					case key.CanInt():
						key.SetInt(int64(i))
					default:
						key.SetUint(uint64(i))
					}
					m.SetMapIndex(key, reflect.Zero(c.elem))
				}
				return m.Interface()
			})
			wantAbout(t, fmt.Sprint(typ, " of ", n), footprint.Map(n, int(c.key.Size()), int(c.elem.Size())), size)
		}
	}
}

// short are strings that are made before anything is measured.
var short = func() (s [20_000]string) {
	for i := range s {
		s[i] = fmt.Sprint(i)
	}
	return s
}()
