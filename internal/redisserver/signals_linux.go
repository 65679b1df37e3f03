package redisserver

import (
	"syscall"
	"time"

	"github.com/stay-go/stay/internal/process"
)

// CPU returns the processor time that the server has used since it began.
func (s *Server) CPU() (time.Duration, error) {
	stat, err := process.StatOf(s.p.Pid())
	return stat.Used + stat.Children, err
}

// Pause stops the server where it is, until Resume.
func (s *Server) Pause() error {
	s.p.Signal(syscall.SIGSTOP)
	return nil
}

// Resume lets the server go on.
func (s *Server) Resume() { s.p.Signal(syscall.SIGCONT) }
