package redisstore

import "sync"

// A fence keeps out groups that are still on their way when this process no longer
// waits for them (C6). Each group that is sent names an epoch. After one whose
// outcome is unknown, the next has a higher epoch, and raises the fence on the
// server to it in the same step in which it is applied. The server refuses what
// arrives with a lower one afterwards.
type fence struct {
	mu      sync.Mutex
	epoch   uint64 // of what is sent
	doubted uint64 // the highest one with an unknown outcome
	raised  uint64 // the server's fence is at least here, or need not be
}

func newFence() *fence { return &fence{epoch: 1, raised: 1} }

// begin returns the epoch of what is sent next, and whether it raises the fence.
func (f *fence) begin() (epoch uint64, raise bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.doubted >= f.epoch {
		f.epoch++
	}
	return f.epoch, f.raised < f.epoch
}

// doubt notes that something with this epoch may arrive later.
func (f *fence) doubt(epoch uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.doubted = max(f.doubted, epoch)
}

// answered notes that the server has dealt with something of this epoch.
func (f *fence) answered(epoch uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.raised = max(f.raised, epoch)
}
