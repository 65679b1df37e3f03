package storekit

import (
	"os"
	"sync"
)

// A Shared is a server, or several, that all tests use which do not stop it. The
// first one that asks for it starts it, and TestMain ends it.
type Shared[S interface{ Kill() }] struct {
	parent string
	start  func(dir string) (S, error)

	once   sync.Once
	dir    string
	server S
	err    error
}

// Share makes a Shared that is started in a new folder below parent; "" means that of
// all temporary files.
func Share[S interface{ Kill() }](parent string, start func(dir string) (S, error)) *Shared[S] {
	return &Shared[S]{parent: parent, start: start}
}

// Get returns the server, or why there is none.
func (s *Shared[S]) Get() (S, error) {
	s.once.Do(func() {
		if s.dir, s.err = os.MkdirTemp(s.parent, "storekit"); s.err == nil {
			s.server, s.err = s.start(s.dir)
		}
	})
	return s.server, s.err
}

// Begun reports whether a test has asked for the server, and it was started.
func (s *Shared[S]) Begun() bool { return s.dir != "" && s.err == nil }

// End ends the server, if a test has asked for it, and removes its folder.
func (s *Shared[S]) End() {
	if s.dir == "" {
		return
	}
	if s.Begun() {
		s.server.Kill()
	}
	_ = os.RemoveAll(s.dir)
}

// Memory returns a folder in memory, "" if the system has none: there a server that
// syncs each change does not wait for a disk.
func Memory() string {
	const dir = "/dev/shm"
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return ""
	}
	return dir
}
