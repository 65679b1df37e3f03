//go:build !linux

package faults_test

import "testing"

// fullDisk needs a small disk of its own.
func fullDisk(t *testing.T) {
	t.Log("NOT TESTED: a disk that is full. Only on Linux is one mounted")
	t.Skip("no mount here")
}
