package train

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/code2lora/code2lora/internal/hypernet"
	"github.com/code2lora/code2lora/internal/store"
)

// Names of the files in a run's folder; see the package comment.
const (
	CheckpointFile = "checkpoint.safetensors"
	stateFile      = "state.safetensors"
)

// Do trains until the last epoch has ended, the patience runs out or ctx ends.
// The state in the folder dir, if there is one, is continued; metrics are
// appended to the given file. best is called with each validation that is the
// best so far, to store the head.
//
// When ctx ends, the state after the last whole step is saved and the error is
// that of ctx. A validation belongs to its step: when ctx ends during one, the
// state stays as it was last saved.
func (r *Run) Do(ctx context.Context, dir, metricsPath string, best func(Progress) error, report func(Progress)) error {
	return runSteps(ctx, r, r.Options, dir, metricsPath, best, report)
}

// ErrRunning is returned when another process trains the same run.
var ErrRunning = errors.New("another process is training this run")

// Lock keeps other processes from training the run that has its state in
// the folder dir, and removes from both folders the unfinished files of earlier
// ones that were killed.
func Lock(dir, results string) (unlock func(), err error) {
	unlock, ok, err := store.TryLock(filepath.Join(dir, "lock"))
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, fmt.Errorf("%s: %w", dir, ErrRunning)
	}
	for _, d := range []string{dir, results} {
		if err := store.RemoveTemps(d); err != nil {
			unlock()
			return nil, err
		}
	}
	return unlock, nil
}

// audit compares adapters on the validation repositories.
func (r *Run) audit(ctx context.Context) (*Audit, error) {
	auditor := Auditor{Base: r.Base, Leaves: r.Leaves}
	return auditor.Audit(ctx, r.Head, r.Validation, false)
}

// position is where the run stands.
func (r *Run) position() *state { return &r.state }

// Checkpoint describes the head as it is now.
func (r *Run) Checkpoint(info hypernet.Info) *hypernet.Checkpoint {
	info.Repositories, info.Tasks, info.Step = len(r.Train), NumTasks(r.Train), r.state.Step
	return &hypernet.Checkpoint{Info: info, Head: r.Head}
}
