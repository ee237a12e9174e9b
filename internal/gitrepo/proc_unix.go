//go:build unix

package gitrepo

import (
	"os/exec"
	"syscall"
)

// isolate gives a child a session of its own: neither git nor ssh can then ask
// on the terminal, an interrupt at the keyboard reaches only us, and
// cancelling ends the helpers that git starts as well.
func isolate(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}
