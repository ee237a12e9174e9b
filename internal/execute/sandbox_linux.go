package execute

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// A sandbox has three processes of this program, one in the other:
//
//	ours        starts the warden in namespaces of its own, kills it when time is up
//	warden      process 1 of the sandbox: makes the file system read-only, copies
//	            the working folder, watches memory
//	prisoner    gives up what it could do with namespaces, sets limits, and
//	            becomes the program
//
// When the warden ends, the kernel kills all that is left in its process
// namespace. The prisoner lives in a second user namespace, in which it is
// nobody: it cannot undo what the warden did.
const (
	wardenName   = "code2lora-sandbox-warden"
	prisonerName = "code2lora-sandbox-prisoner"
)

// Init must be called first in main, and in TestMain of tests that use [Run]:
// in the processes of a sandbox it does their work, and does not return.
func Init() {
	switch os.Args[0] {
	case wardenName:
		os.Exit(warden())
	case prisonerName:
		prisoner()
	}
}

// order is what the warden is told, on file descriptor 3.
type order struct {
	Program Program
	Limits  Limits
	UID     int // of the prisoner, in the warden's user namespace
}

// notice is what the warden tells in the end, on file descriptor 4.
type notice struct {
	Error     string `json:"error,omitempty"` // the sandbox could not be built
	ExitCode  int    `json:"exit_code"`
	OverLimit bool   `json:"over_limit"`
}

// nobody is the user that a prisoner is outside of all namespaces, where we are
// root and can choose.
const nobody = 65534

func run(ctx context.Context, p Program, l Limits) (*Outcome, error) {
	o := order{Program: p, Limits: l}
	ids := []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
	groups := []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	if os.Getuid() == 0 {
		o.UID = 1
		ids = append(ids, syscall.SysProcIDMap{ContainerID: 1, HostID: nobody, Size: 1})
		groups = append(groups, syscall.SysProcIDMap{ContainerID: 1, HostID: nobody, Size: 1})
	}
	told, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	orderR, orderW, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer orderW.Close()
	noticeR, noticeW, err := os.Pipe()
	if err != nil {
		orderR.Close()
		return nil, err
	}
	defer noticeR.Close()
	ctx, cancel := context.WithTimeout(ctx, l.Wall)
	defer cancel()
	kept := &head{most: l.Output}
	cmd := exec.CommandContext(ctx, "/proc/self/exe")
	cmd.Args = []string{wardenName}
	cmd.Env = []string{}
	cmd.Dir = p.Dir
	cmd.Stdout, cmd.Stderr = kept, kept
	cmd.ExtraFiles = []*os.File{orderR, noticeW}
	cmd.WaitDelay = 5 * time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET |
			syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS,
		UidMappings: ids, GidMappings: groups, Setsid: true, Pdeathsig: syscall.SIGKILL,
	}
	began := time.Now()
	err = cmd.Start()
	orderR.Close()
	noticeW.Close()
	if err != nil {
		if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EINVAL) {
			return nil, fmt.Errorf("%w: the kernel refuses user namespaces (%w): an administrator can allow them, see kernel.unprivileged_userns_clone and kernel.apparmor_restrict_unprivileged_userns", ErrUnsupported, err)
		}
		return nil, err
	}
	go func() {
		io.Copy(orderW, bytes.NewReader(told))
		orderW.Close()
	}()
	report, _ := io.ReadAll(io.LimitReader(noticeR, 64<<10))
	waitErr := cmd.Wait()
	out := &Outcome{ExitCode: -1, Output: kept.buf.Bytes(), Truncated: kept.dropped, Seconds: time.Since(began).Seconds()}
	if ctx.Err() != nil {
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			out.TimedOut = true
			return out, nil
		}
		return nil, ctx.Err()
	}
	var n notice
	if err := json.Unmarshal(report, &n); err != nil {
		return nil, fmt.Errorf("the sandbox ended without saying how: %w", errors.Join(waitErr, err))
	}
	if n.Error != "" {
		return nil, fmt.Errorf("%w: %s", ErrUnsupported, n.Error)
	}
	out.ExitCode, out.OverLimit = n.ExitCode, n.OverLimit
	return out, nil
}

// head keeps the beginning of what is written to it.
type head struct {
	most    int64
	buf     bytes.Buffer
	dropped bool
}

func (h *head) Write(p []byte) (int, error) {
	if room := h.most - int64(h.buf.Len()); int64(len(p)) > room {
		h.dropped = true
		h.buf.Write(p[:max(room, 0)])
	} else {
		h.buf.Write(p)
	}
	return len(p), nil
}

// environment is what a program finds: what it was given, and a home in its
// scratch folder.
func environment(given []string) []string {
	env := []string{"HOME=/tmp/home", "TMPDIR=/tmp", "LANG=C.UTF-8"}
	path := "PATH=/usr/local/bin:/usr/bin:/bin"
	for _, e := range given {
		if strings.HasPrefix(e, "PATH=") {
			path = e
			continue
		}
		env = append(env, e)
	}
	return append(env, path)
}
