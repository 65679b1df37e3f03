//go:build !linux

package sqlitestore

import "time"

// folderState is nothing here: the files themselves are looked at.
type folderState struct{}

func lookAtFolder(string) (folderState, bool) { return folderState{}, false }

func (folderState) rested(time.Time) bool { return false }
