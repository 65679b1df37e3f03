// Package running knows which goroutines run a change of state, so that a
// program in development can be told of a mistake that its context does not
// show.
package running

import (
	"bytes"
	"runtime"
	"sync"
)

// A Set has the goroutines that run a change. The zero Set is empty and ready
// for use. Its methods may be called concurrently. Each call costs about a
// microsecond.
type Set struct {
	running sync.Map // the id of a goroutine to what it runs
}

// Enter notes that the calling goroutine runs a change of the module, until it
// calls what Enter returns.
func (s *Set) Enter(module string) (leave func()) {
	id := goroutine()
	outer, _ := s.running.Swap(id, module)
	return func() {
		if outer != nil {
			s.running.Store(id, outer)
			return
		}
		s.running.Delete(id)
	}
}

// Within returns the module whose change the calling goroutine runs, and false if
// it runs none.
func (s *Set) Within() (module string, ok bool) {
	v, ok := s.running.Load(goroutine())
	module, _ = v.(string)
	return module, ok
}

// goroutine returns the id of the calling goroutine, from the first line of its
// stack: "goroutine 7 [running]:".
func goroutine() string {
	var line [64]byte
	b := line[:runtime.Stack(line[:], false)]
	b = bytes.TrimPrefix(b, []byte("goroutine "))
	id, _, _ := bytes.Cut(b, []byte(" "))
	return string(id)
}
