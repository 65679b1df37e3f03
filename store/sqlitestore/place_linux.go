package sqlitestore

import (
	"syscall"
	"time"
)

// folderState tells whether names in a folder may have changed: whatever
// removes, renames or makes one sets the time at which the folder changed,
// which nobody else can set.
type folderState struct {
	identity
	changed int64
}

// lookAtFolder returns the state of a folder; false if it cannot be told.
func lookAtFolder(path string) (folderState, bool) {
	var st syscall.Stat_t
	if err := syscall.Stat(path, &st); err != nil {
		return folderState{}, false
	}
	return folderState{identity{st.Dev, st.Ino}, syscall.TimespecToNsec(st.Ctim)}, true
}

// rested reports whether the folder has not changed for so long that the next
// change has another time, however coarse the clock of its file system.
func (f folderState) rested(now time.Time) bool {
	return now.Sub(time.Unix(0, f.changed)) > 3*time.Second
}
