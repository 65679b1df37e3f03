//go:build !linux

package pgstore_test

import (
	"os"
	"os/exec"
	"os/user"
)

// quit makes the server end at once.
var quit = os.Kill

// attach does nothing: run the tests as the user who may run the server.
func attach(*exec.Cmd, *user.User) {}
