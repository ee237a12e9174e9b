// Package execute runs a repository's tests with an answer in place, so that an
// answer which differs in spelling but does the same counts.
//
// Test code is a stranger's program. It runs in a [Sandbox]: in a process that
// sees the file system read-only, a scratch folder apart, without network, with
// bounds on time, memory, processes and output, and with no way to leave
// anything behind, running or written.
package execute

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

// Limits bound what a program may use.
type Limits struct {
	Wall    time.Duration // from start to end
	Memory  int64         // bytes, of all its processes and of the files that it writes
	Output  int64         // bytes kept of what it prints
	Threads int           // processes and threads at a time
}

// DefaultLimits are enough for the tests of an ordinary library.
func DefaultLimits() Limits {
	return Limits{Wall: 60 * time.Second, Memory: 2 << 30, Output: 64 << 10, Threads: 256}
}

// Validate reports limits that cannot work.
func (l Limits) Validate() error {
	var errs []error
	if l.Wall < time.Millisecond {
		errs = append(errs, fmt.Errorf("time limit %v: want at least a millisecond", l.Wall))
	}
	if l.Memory < 64<<20 {
		errs = append(errs, fmt.Errorf("memory limit of %d bytes: want at least 64 MiB", l.Memory))
	}
	if l.Output < 0 {
		errs = append(errs, fmt.Errorf("output limit of %d bytes: want 0 or more", l.Output))
	}
	if l.Threads < 1 {
		errs = append(errs, fmt.Errorf("%d threads: want at least 1", l.Threads))
	}
	return errors.Join(errs...)
}

// Program is what to run.
type Program struct {
	// Dir is a folder whose copy is the program's working folder, /tmp/work. The
	// original cannot be reached for writing.
	Dir string
	// Replace has files of the copy with another content, by path in Dir.
	Replace map[string][]byte
	Argv    []string
	Env     []string // nothing of our own environment is passed on
	// Visible are folders that the program needs and could not see otherwise,
	// because of the rights of those around them, or because they are below /tmp.
	// What else is in a folder around that is closed to others stays hidden.
	Visible []string
}

// Outcome is how a program ended.
type Outcome struct {
	ExitCode  int // -1 if it was killed
	Output    []byte
	Truncated bool // Output is not all
	TimedOut  bool
	OverLimit bool // it was killed for its memory
	Seconds   float64
}

// ErrUnsupported is returned where programs cannot be confined.
var ErrUnsupported = errors.New("no sandbox on this machine")

// Run runs a program to its end, or to one of its limits. An error means that
// it could not be run; a program that fails has an [Outcome].
func Run(ctx context.Context, p Program, l Limits) (*Outcome, error) {
	if err := l.Validate(); err != nil {
		return nil, err
	}
	if len(p.Argv) == 0 {
		return nil, errors.New("no program to run")
	}
	info, err := os.Stat(p.Dir)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("%s is not a folder", p.Dir)
	}
	return run(ctx, p, l)
}
