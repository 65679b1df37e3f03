//go:build !linux

package redisserver

import (
	"errors"
	"time"
)

var errNotLinux = errors.New("only Linux can do this with a server")

// CPU returns the processor time of the server, on Linux.
func (s *Server) CPU() (time.Duration, error) { return 0, errNotLinux }

// Pause stops the server where it is, on Linux.
func (s *Server) Pause() error { return errNotLinux }

// Resume lets the server go on, on Linux.
func (s *Server) Resume() {}
