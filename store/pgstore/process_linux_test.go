package pgstore_test

import (
	"os/exec"
	"os/user"
	"strconv"
	"syscall"
)

// quit makes the server end at once, with its children.
const quit = syscall.SIGQUIT

// attach makes a user run the program, which ends with the tests.
func attach(cmd *exec.Cmd, u *user.User) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: quit}
	if u == nil {
		return
	}
	uid, _ := strconv.ParseUint(u.Uid, 10, 32)
	gid, _ := strconv.ParseUint(u.Gid, 10, 32)
	cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}
