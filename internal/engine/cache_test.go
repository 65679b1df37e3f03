package engine

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stay-go/stay/internal/testseed"
)

// States whose keys have the same hash are distinguished, in whatever order
// they come and go.
//
// Proves E6.
func TestKeysWithTheSameHashAreToldApart(t *testing.T) {
	seed := testseed.New(t)
	random := rand.New(rand.NewPCG(seed, 0))
	for _, bits := range []uint64{0, 1, 7, ^uint64(0)} {
		c := newCache(&Engine{}, 1<<20, 1<<40)
		c.bits = bits
		kinds := []*Kind{{Name: "a"}, {Name: "b"}}
		type name struct {
			kind *Kind
			key  string
		}
		there := map[name]*Instance{}
		for range 5000 {
			n := name{kinds[random.IntN(2)], fmt.Sprint(random.IntN(40))}
			in := there[n]
			if got := c.get(n.kind, n.key, use{}); got != in {
				t.Fatalf("%d bits: get of %s %q returned %p, want %p", bits, n.kind.Name, n.key, got, in)
			}
			switch {
			case in == nil:
				in = &Instance{kind: n.kind, key: n.key}
				if got, ok := c.add(in, 0); got != in || !ok {
					t.Fatalf("%d bits: add of %s %q returned another", bits, n.kind.Name, n.key)
				}
				there[n] = in
			case !c.remove(in):
				t.Fatalf("%d bits: %s %q could not be removed", bits, n.kind.Name, n.key)
			default:
				delete(there, n)
			}
		}
		if got := int(c.count()); got != len(there) || got != len(c.all()) {
			t.Errorf("%d bits: %d are counted and %d found, want %d", bits, got, len(c.all()), len(there))
		}
	}
}
