//go:build !unix

package gitrepo

import "os/exec"

// isolate has nothing to add where there are no sessions: cancelling ends git,
// and its helpers end with their pipes.
func isolate(*exec.Cmd) {}
