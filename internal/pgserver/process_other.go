//go:build !linux

package pgserver

import (
	"errors"
	"os"
	"os/exec"
	"os/user"
	"time"
)

// quit makes the server end at once.
var quit = os.Kill

// attach does nothing: run this process as the user who may run the server.
func attach(*exec.Cmd, *user.User) {}

var errNotLinux = errors.New("only Linux tells which processes a server has")

// Processes returns the server's process and its children, on Linux.
func (s *Server) Processes() ([]int, error) { return nil, errNotLinux }

// CPU returns the processor time of the server and its children, on Linux.
func (s *Server) CPU() (time.Duration, error) { return 0, errNotLinux }
