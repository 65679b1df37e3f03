package sqlitestore

import (
	"syscall"
	"time"
)

// folderState shows whether names in a folder may have changed: removing,
// renaming or creating one sets the change time of the folder, which nothing
// else can set back.
type folderState struct {
	identity
	changed int64
}

// lookAtFolder returns the state of a folder; false if it cannot be read.
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
