package pgserver

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Processes returns the server's process and its children.
func (s *Server) Processes() ([]int, error) {
	parent := s.p.Pid()
	all := []int{parent}
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	for _, path := range stats {
		fields, err := stat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH):
			continue // it has ended meanwhile
		case err != nil:
			return nil, err
		}
		if fields[statParent] == strconv.Itoa(parent) {
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			if err != nil {
				return nil, err
			}
			all = append(all, pid)
		}
	}
	return all, nil
}

// CPU returns the processor time that the server and its children have used
// since it began, those that have ended included.
func (s *Server) CPU() (time.Duration, error) {
	pids, err := s.Processes()
	if err != nil {
		return 0, err
	}
	var ticks int
	for i, pid := range pids {
		fields, err := stat(fmt.Sprintf("/proc/%d/stat", pid))
		switch {
		case i > 0 && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH)):
			continue
		case err != nil:
			return 0, err
		}
		used := fields[statUser : statSystem+1]
		if i == 0 {
			used = fields[statUser : statChildrenSystem+1]
		}
		for _, field := range used {
			n, err := strconv.Atoi(field)
			if err != nil {
				return 0, err
			}
			ticks += n
		}
	}
	return time.Duration(ticks) * time.Second / ticksPerSecond, nil
}

// Pause stops all of the server's processes where they are, until Resume, or for
// a minute if this process ends before that.
func (s *Server) Pause() error {
	s.p.Signal(syscall.SIGSTOP) // it starts no others from now on
	pids, err := s.Processes()
	if err != nil {
		s.p.Signal(syscall.SIGCONT)
		return err
	}
	s.paused = pids
	wake := "sleep 60; kill -CONT"
	for _, pid := range pids {
		_ = syscall.Kill(pid, syscall.SIGSTOP) // it may have ended
		wake += fmt.Sprintf(" %d", pid)
	}
	alarm := exec.Command("sh", "-c", wake)
	alarm.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // it outlives this process
	if err := alarm.Start(); err != nil {
		s.Resume()
		return err
	}
	s.alarm = alarm
	return nil
}

// Resume lets the server's processes go on.
func (s *Server) Resume() {
	for _, pid := range s.paused {
		_ = syscall.Kill(pid, syscall.SIGCONT)
	}
	s.paused = nil
	if s.alarm != nil {
		_ = syscall.Kill(-s.alarm.Process.Pid, syscall.SIGKILL)
		_ = s.alarm.Wait() // it was killed
		s.alarm = nil
	}
}

// ticksPerSecond is the unit of the times in stat: USER_HZ, which is 100 on
// every architecture that Go runs on.
const ticksPerSecond = 100

// Fields of stat after the name, see proc(5).
const (
	statParent         = 1
	statUser           = 11
	statSystem         = 12
	statChildrenSystem = 14
)

// stat returns the fields of a process after its name, which may hold anything.
func stat(path string) ([]string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if len(fields) <= statChildrenSystem {
		return nil, fmt.Errorf("%s has only %d fields", path, len(fields))
	}
	return fields, nil
}
