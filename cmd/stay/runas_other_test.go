//go:build !linux

package main_test

import (
	"os/exec"
	"os/user"
)

// runAs does nothing: run the tests as the user who may run the server.
func runAs(*exec.Cmd, *user.User) {}
