package process

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// A Stat is what the system says of a process.
type Stat struct {
	Parent int           // its number
	Used   time.Duration // processor time
	// Children is the processor time of its children that have ended.
	Children time.Duration
}

// ticksPerSecond is the unit of the times: USER_HZ, which is 100 on every
// architecture that Go runs on.
const ticksPerSecond = 100

// Fields of stat after the name, see proc(5).
const (
	statParent         = 1
	statUser           = 11
	statSystem         = 12
	statChildrenUser   = 13
	statChildrenSystem = 14
)

// StatOf says what there is to say of a process. The error of one that has ended is
// fs.ErrNotExist or ESRCH.
func StatOf(pid int) (s Stat, err error) {
	path := fmt.Sprintf("/proc/%d/stat", pid)
	text, err := os.ReadFile(path)
	if err != nil {
		return s, err
	}
	// The name may hold anything.
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if len(fields) <= statChildrenSystem {
		return s, fmt.Errorf("%s has only %d fields", path, len(fields))
	}
	var ticks [statChildrenSystem + 1]int
	for _, i := range []int{statParent, statUser, statSystem, statChildrenUser, statChildrenSystem} {
		if ticks[i], err = strconv.Atoi(fields[i]); err != nil {
			return s, fmt.Errorf("%s: %w", path, err)
		}
	}
	s.Parent = ticks[statParent]
	s.Used = time.Duration(ticks[statUser]+ticks[statSystem]) * time.Second / ticksPerSecond
	s.Children = time.Duration(ticks[statChildrenUser]+ticks[statChildrenSystem]) * time.Second / ticksPerSecond
	return s, nil
}
