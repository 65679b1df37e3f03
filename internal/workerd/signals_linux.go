package workerd

import "syscall"

// Pause stops the server where it is, until Resume.
func (s *Server) Pause() error {
	s.p.Signal(syscall.SIGSTOP)
	return nil
}

// Resume lets the server go on.
func (s *Server) Resume() { s.p.Signal(syscall.SIGCONT) }
