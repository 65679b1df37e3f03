//go:build !linux

package workerd

import "errors"

// Pause stops the server where it is, on Linux.
func (s *Server) Pause() error { return errors.New("only Linux can do this with a server") }

// Resume lets the server go on, on Linux.
func (s *Server) Resume() {}
