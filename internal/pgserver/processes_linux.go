package pgserver

import (
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/stay-go/stay/internal/process"
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
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil {
			return nil, err
		}
		stat, err := process.StatOf(pid)
		switch {
		case errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH):
			continue // it has ended meanwhile
		case err != nil:
			return nil, err
		}
		if stat.Parent == parent {
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
	var used time.Duration
	for i, pid := range pids {
		stat, err := process.StatOf(pid)
		switch {
		case i > 0 && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH)):
			continue
		case err != nil:
			return 0, err
		}
		used += stat.Used
		if i == 0 {
			used += stat.Children
		}
	}
	return used, nil
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
