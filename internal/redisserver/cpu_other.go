//go:build !linux

package redisserver

import (
	"errors"
	"time"
)

// CPU returns the processor time of the server, on Linux.
func (s *Server) CPU() (time.Duration, error) {
	return 0, errors.New("only Linux tells how much processor time a server has used")
}
