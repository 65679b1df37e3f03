package cloudflarestore

import (
	"fmt"
	"testing"
)

// TestDoubtsAreBounded has more objects in doubt than are known one by one. Each
// still gets its fence raised above what was sent before.
//
// Proves C6.
func TestDoubtsAreBounded(t *testing.T) {
	f := newFences()
	sent := map[string]uint64{}
	for i := range maxDoubts + 10 {
		object := fmt.Sprint(i)
		epoch, _ := f.begin(object)
		f.doubt(object, epoch)
		sent[object] = epoch
		if len(f.doubts) > maxDoubts {
			t.Fatalf("%d objects are known to be in doubt, the bound is %d", len(f.doubts), maxDoubts)
		}
	}
	for object, before := range sent {
		if epoch, raise := f.begin(object); !raise || epoch <= before {
			t.Fatalf("object %s: epoch %d comes after %d, and is raised: %v", object, epoch, before, raise)
		}
	}
}

// TestDoubtsEnd proves that an object whose fence was raised is not in doubt any more.
func TestDoubtsEnd(t *testing.T) {
	f := newFences()
	first, raise := f.begin("object")
	if raise {
		t.Error("a fence is raised without a doubt")
	}
	f.doubt("object", first)
	second, raise := f.begin("object")
	if !raise || second <= first {
		t.Fatalf("epoch %d comes after %d, and is raised: %v", second, first, raise)
	}
	if _, raise := f.begin("other"); raise {
		t.Error("another object is in doubt")
	}
	f.doubt("object", second) // another call
	f.raised("object", second)
	third, raise := f.begin("object")
	if !raise || third <= second {
		t.Fatalf("epoch %d comes after %d, and is raised: %v", third, second, raise)
	}
	f.raised("object", third)
	if _, raise := f.begin("object"); raise {
		t.Error("the object is still in doubt")
	}
}
