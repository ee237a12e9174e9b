package train

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path/filepath"
	"time"

	"github.com/code2lora/code2lora/internal/hypernet"
)

// trainer is what a run trains, step by step.
type trainer interface {
	// start prepares a run from the beginning.
	start() error
	// steps returns the number of steps of the whole run.
	steps() int
	// position is where the run stands.
	position() *state
	// step takes one step of so many.
	step(ctx context.Context, steps int) (Progress, error)
	// audit validates what has been trained so far.
	audit(ctx context.Context) (*Audit, error)
	save(path string) error
	// load reads what save wrote; see [Run].
	load(path string) error
}

// runSteps trains as [Run.Do] says.
func runSteps(ctx context.Context, t trainer, o Options, dir, metricsPath string, best func(Progress) error, report func(Progress)) error {
	if err := t.start(); err != nil {
		return err
	}
	unlock, err := Lock(dir, filepath.Dir(metricsPath))
	if err != nil {
		return err
	}
	defer unlock()
	path, at := filepath.Join(dir, stateFile), t.position()
	if err := t.load(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("resuming %s: %w", dir, err)
	}
	log, err := OpenMetrics(metricsPath, at.Step)
	if err != nil {
		return err
	}
	defer log.Close()
	steps := t.steps()
	saved := *at
	for at.Step < steps && !at.Stopped {
		p, err := t.step(ctx, steps)
		if err == nil {
			err = log.Add(p)
		}
		if err != nil {
			if ctx.Err() != nil && at.Step > saved.Step {
				err = errors.Join(ctx.Err(), t.save(path))
			}
			return err
		}
		report(p)
		if at.Step%o.ValidateEvery == 0 || at.Step == steps {
			if err := validate(ctx, t, o, p, log, best, report); err != nil {
				// Resume before this step: the validation belongs to it.
				return err
			}
		}
		if at.Step%o.SaveEvery == 0 || at.Step == steps || at.Stopped {
			if err := t.save(path); err != nil {
				return err
			}
			saved = *at
		}
	}
	return nil
}

// validate audits what is trained and keeps account of the best.
func validate(ctx context.Context, t trainer, o Options, p Progress, log *Metrics, best func(Progress) error, report func(Progress)) error {
	began, at := time.Now(), t.position()
	audit, err := t.audit(ctx)
	if err != nil {
		return fmt.Errorf("validation after step %d: %w", p.Step, err)
	}
	p.Validation, p.Tokens = audit, 0
	p.PerSecond = perSecond(audit.Tasks, began)
	if loss := audit.Own.CrossEntropy.Mean; at.BestLoss == 0 || loss < at.BestLoss {
		at.BestLoss, at.BestStep, at.Waited = loss, p.Step, 0
		p.Best = true
		if err := best(p); err != nil {
			return err
		}
	} else {
		at.Waited++
		at.Stopped = o.Patience > 0 && at.Waited >= o.Patience
	}
	if err := log.Add(p); err != nil {
		return err
	}
	report(p)
	return nil
}

// update takes the optimiser's step with the gradients of params, and notes it
// in p.
func (o *Options) update(p *Progress, params []*hypernet.Param, optim *AdamW, at *state, steps int) error {
	p.GradNorm = Clip(params, o.Clip)
	if math.IsNaN(p.GradNorm) || math.IsInf(p.GradNorm, 0) {
		return fmt.Errorf("step %d: the gradient is not finite (loss %g): lower the learning rate", p.Step, p.Loss)
	}
	p.LearningRate = learningRate(at.Step, steps, int(o.Warmup*float64(steps)), o.LearningRate, o.FinalRate)
	optim.Step(params, p.LearningRate)
	at.Step++
	return nil
}

// rate is the factor on the learning rate of a parameter.
func (o *Options) rate(p *hypernet.Param) float64 {
	if hypernet.IsMean(p) {
		return o.MeanRate
	}
	return 1
}
