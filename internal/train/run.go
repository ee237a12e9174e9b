package train

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

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
	if err := r.start(); err != nil {
		return err
	}
	unlock, err := Lock(dir, filepath.Dir(metricsPath))
	if err != nil {
		return err
	}
	defer unlock()
	state := filepath.Join(dir, stateFile)
	if err := r.load(state); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("resuming %s: %w", dir, err)
	}
	log, err := OpenMetrics(metricsPath, r.state.Step)
	if err != nil {
		return err
	}
	defer log.Close()
	steps := r.steps()
	saved := r.state
	for r.state.Step < steps && !r.state.Stopped {
		p, err := r.step(ctx, steps)
		if err == nil {
			err = log.Add(p)
		}
		if err != nil {
			if ctx.Err() != nil && r.state.Step > saved.Step {
				err = errors.Join(ctx.Err(), r.save(state))
			}
			return err
		}
		report(p)
		if r.state.Step%r.Options.ValidateEvery == 0 || r.state.Step == steps {
			if err := r.validate(ctx, p, log, best, report); err != nil {
				// Resume before this step: the validation belongs to it.
				return err
			}
		}
		if r.state.Step%r.Options.SaveEvery == 0 || r.state.Step == steps || r.state.Stopped {
			if err := r.save(state); err != nil {
				return err
			}
			saved = r.state
		}
	}
	return nil
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

// validate audits the head and keeps account of the best.
func (r *Run) validate(ctx context.Context, p Progress, log *Metrics, best func(Progress) error, report func(Progress)) error {
	began := time.Now()
	auditor := Auditor{Base: r.Base, Leaves: r.Leaves}
	audit, err := auditor.Audit(ctx, r.Head, r.Validation, false)
	if err != nil {
		return fmt.Errorf("validation after step %d: %w", p.Step, err)
	}
	p.Validation, p.Tokens = audit, 0
	p.PerSecond = perSecond(audit.Tasks, began)
	if loss := audit.Own.CrossEntropy.Mean; r.state.BestLoss == 0 || loss < r.state.BestLoss {
		r.state.BestLoss, r.state.BestStep, r.state.Waited = loss, p.Step, 0
		p.Best = true
		if err := best(p); err != nil {
			return err
		}
	} else {
		r.state.Waited++
		r.state.Stopped = r.Options.Patience > 0 && r.state.Waited >= r.Options.Patience
	}
	if err := log.Add(p); err != nil {
		return err
	}
	report(p)
	return nil
}

// Checkpoint describes the head as it is now.
func (r *Run) Checkpoint(info hypernet.Info) *hypernet.Checkpoint {
	info.Repositories, info.Tasks, info.Step = len(r.Train), NumTasks(r.Train), r.state.Step
	return &hypernet.Checkpoint{Info: info, Head: r.Head}
}
