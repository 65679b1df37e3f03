package cloudflarestore

import (
	"crypto/rand"
	"sync"
)

// maxDoubts bounds how many objects are known to be in doubt one by one.
const maxDoubts = 10_000

// fences keep out groups that are still on their way when this process no longer
// waits for them (C6). Each commit names an epoch. After one whose outcome is
// unknown, the next one to the same object has a higher epoch, and raises the
// process's fence in the object to it in the same step. The object refuses what
// arrives with a lower one afterwards.
type fences struct {
	node string // names this store among those that write to the objects

	mu     sync.Mutex
	epoch  uint64            // of what is sent
	doubts map[string]uint64 // by object: the highest epoch with an unknown outcome
	rest   uint64            // the same for all objects that are not in doubts
}

func newFences() *fences {
	return &fences{node: rand.Text(), epoch: 1, doubts: map[string]uint64{}}
}

// begin returns the epoch of what is sent to an object next, and whether it raises
// the fence there.
func (f *fences) begin(object string) (epoch uint64, raise bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	doubted, ok := f.doubts[object]
	if !ok {
		doubted = f.rest
	}
	if doubted == 0 {
		return f.epoch, false
	}
	f.epoch = max(f.epoch, doubted+1)
	return f.epoch, true
}

// doubt notes that something with this epoch may arrive later.
func (f *fences) doubt(object string, epoch uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.doubts) >= maxDoubts {
		// From now on every commit raises the fence, which costs a row.
		f.rest = f.epoch
		clear(f.doubts)
		return
	}
	f.doubts[object] = max(f.doubts[object], epoch)
}

// raised notes that an object has its fence at this epoch.
func (f *fences) raised(object string, epoch uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if doubted, ok := f.doubts[object]; ok && doubted < epoch {
		delete(f.doubts, object)
	}
}
