// Package process runs programs that end with the test that has started them,
// however the test ends.
package process

import (
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// A Process is a program that runs. Its methods may be called concurrently.
type Process struct {
	cmd  *exec.Cmd
	done chan struct{}
	err  error // what Wait has returned, once done is closed
}

// Start starts the command. The system sends it the signal if the caller's
// process ends first; where the system cannot, it does not.
func Start(cmd *exec.Cmd, last syscall.Signal) (*Process, error) {
	p := &Process{cmd: cmd, done: make(chan struct{})}
	cmd.WaitDelay = 10 * time.Second // children of the program may keep its output open
	attach(cmd, last)
	started := make(chan error, 1)
	go func() {
		defer close(p.done)
		// Linux sends the signal at the end of the thread.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			p.err = cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// Pid is the number of the process.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Signal sends a signal. A process that has ended gets none.
func (p *Process) Signal(s syscall.Signal) {
	select {
	case <-p.done:
	default:
		_ = p.cmd.Process.Signal(s)
	}
}

// Done is closed when the process has ended and all of its output was written.
func (p *Process) Done() <-chan struct{} { return p.done }

// End sends a signal, waits for the end, and returns what the process has ended
// with. A process that is stopped goes on first.
func (p *Process) End(s syscall.Signal) error {
	if p.cmd.Process.Signal(s) != nil {
		_ = p.cmd.Process.Kill() // not every system knows the signal
	}
	p.resume()
	<-p.done
	return p.err
}
