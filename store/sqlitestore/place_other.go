//go:build !linux

package sqlitestore

import "time"

// folderState is empty here: the store checks the files themselves.
type folderState struct{}

func lookAtFolder(string) (folderState, bool) { return folderState{}, false }

func (folderState) rested(time.Time) bool { return false }
