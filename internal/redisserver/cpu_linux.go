package redisserver

import (
	"time"

	"github.com/stay-go/stay/internal/process"
)

// CPU returns the processor time that the server has used since it began.
func (s *Server) CPU() (time.Duration, error) {
	stat, err := process.StatOf(s.p.Pid())
	return stat.Used + stat.Children, err
}
