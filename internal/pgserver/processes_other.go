//go:build !linux

package pgserver

import (
	"errors"
	"time"
)

var errNotLinux = errors.New("only Linux tells which processes a server has")

// Processes returns the server's process and its children, on Linux.
func (s *Server) Processes() ([]int, error) { return nil, errNotLinux }

// CPU returns the processor time of the server and its children, on Linux.
func (s *Server) CPU() (time.Duration, error) { return 0, errNotLinux }

// Pause stops the server's processes where they are, on Linux.
func (s *Server) Pause() error { return errNotLinux }

// Resume lets the server's processes go on, on Linux.
func (s *Server) Resume() {}
