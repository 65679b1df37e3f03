package process

import (
	"os/exec"
	"syscall"
)

func attach(cmd *exec.Cmd, last syscall.Signal) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = last
}

func (p *Process) resume() { p.Signal(syscall.SIGCONT) }

// RunAs has a user run the command.
func RunAs(cmd *exec.Cmd, uid, gid int) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
}
