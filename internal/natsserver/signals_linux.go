package natsserver

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// Pause stops the server where it is, until Resume. It returns when all of its
// threads have stopped.
func (s *Server) Pause() error {
	s.p.Signal(syscall.SIGSTOP)
	for {
		threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", s.p.Pid()))
		if err != nil {
			return err
		}
		stopped := 0
		for _, thread := range threads {
			if text, err := os.ReadFile(thread); err == nil && bytes.Contains(text, []byte(") T ")) {
				stopped++
			}
		}
		if stopped == len(threads) {
			return nil
		}
	}
}

// Resume lets the server go on.
func (s *Server) Resume() { s.p.Signal(syscall.SIGCONT) }
