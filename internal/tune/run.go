package tune

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/safetensors"
	"github.com/code2lora/code2lora/internal/store"
	"github.com/code2lora/code2lora/internal/train"
)

// Names of the files in a fit's folder.
const (
	ResultFile  = "tune.json"
	metricsFile = "metrics.jsonl"
	workDir     = "work"
	stateFile   = "state.safetensors"
	stateKey    = "code2lora.tune" // in the metadata of the state
)

// Result is what a fit came to.
type Result struct {
	Identity string       `json:"identity"` // digest of options, data and base
	Base     adapter.Base `json:"base"`
	Options  Options      `json:"options"`
	// Repository is that of a fit of its own tasks; OwnOfTest marks one of the
	// test split, which nothing was chosen by.
	Repository      string `json:"repository,omitempty"`
	OwnOfTest       bool   `json:"own_tasks_of_test,omitempty"`
	Repositories    int    `json:"repositories"`
	Tasks           int    `json:"tasks"` // different training tasks
	ValidationTasks int    `json:"validation_tasks"`
	Parameters      int    `json:"parameters"` // trained ones
	Steps           int    `json:"steps"`      // taken
	Draws           int    `json:"draws"`      // training tasks seen, repeated ones counted again
	Tokens          int    `json:"tokens"`     // through the base in training
	// Labels counts the tokens that were predicted, of which alone the output is
	// computed; 0 in a record of an earlier version.
	Labels  int     `json:"labels,omitempty"`
	Seconds float64 `json:"seconds"` // of steps and validations
	// BestStep is the step whose adapter was kept; 0 is the base, if no step was
	// better. SelectedBy is "cross_entropy" or "exact_match" on the validation
	// tasks, or "last step" without any.
	BestStep       int          `json:"best_step"`
	SelectedBy     string       `json:"selected_by"`
	Validation     *train.Total `json:"validation,omitempty"`
	BaseValidation *train.Total `json:"base_validation,omitempty"`
}

// lastStep is Result.SelectedBy without validation tasks.
const lastStep = "last step"

// ReadResult reads the result in a fit's folder.
func ReadResult(dir string) (*Result, error) {
	r := new(Result)
	return r, readJSON(filepath.Join(dir, ResultFile), r)
}

func readJSON(path string, v any) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

func writeJSON(path string, v any) error {
	return store.WriteFile(path, func(w io.Writer) error {
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		return enc.Encode(v)
	})
}

// savedState is the metadata of a state file.
type savedState struct {
	state
	AdamSteps int    `json:"adam_steps"`
	Identity  string `json:"identity"`
}

// identity is the digest of everything that decides the fit.
func (f *Fit) identity() (string, error) {
	info := f.Base.Info()
	text, err := json.Marshal([]any{f.Options, info.Base, f.Identity, f.OwnOfTest, names(f.Train), names(f.Validation)})
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), nil
}

func names(repos []*Repository) (all []string) {
	for _, r := range repos {
		all = append(all, fmt.Sprintf("%s %d", r.Name, NumTasks([]*Repository{r})))
	}
	return all
}

// errOther is returned for the folder of another fit.
var errOther = errors.New("a fit with other options, data or base: restore them, or remove the folder to start anew")

// Run fits the adapter in the folder dir, or continues there; a finished one is
// returned as it is. When ctx ends, the state after the last whole step is kept
// and the error is that of ctx. report may be nil.
func (f *Fit) Run(ctx context.Context, dir string, report func(Progress)) (*Result, error) {
	if report == nil {
		report = func(Progress) {}
	}
	if err := f.start(); err != nil {
		return nil, err
	}
	id, err := f.identity()
	if err != nil {
		return nil, err
	}
	work := filepath.Join(dir, workDir)
	unlock, err := train.Lock(work, dir)
	if err != nil {
		return nil, err
	}
	defer unlock()
	switch done, err := ReadResult(dir); {
	case err == nil && done.Identity == id:
		return done, os.RemoveAll(filepath.Join(work, stateFile))
	case err == nil:
		return nil, fmt.Errorf("%s: %w", dir, errOther)
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	path := filepath.Join(work, stateFile)
	if err := f.load(path, id); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("resuming %s: %w", dir, err)
	}
	at := f.state.Step
	if f.state.BaseValidation == nil && at == 0 {
		at = -1 // the validation of the base comes again
	}
	log, err := train.OpenMetrics(filepath.Join(dir, metricsFile), at)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	if err := f.loop(ctx, dir, id, log, report); err != nil {
		return nil, err
	}
	if f.state.Best == nil {
		if err := f.keep(dir); err != nil {
			return nil, err
		}
		f.state.BestStep = f.state.Step
	}
	r := f.result(id)
	if err := writeJSON(filepath.Join(dir, ResultFile), r); err != nil {
		return nil, err
	}
	return r, os.Remove(path)
}

// loop takes the steps that are left.
func (f *Fit) loop(ctx context.Context, dir, id string, log *train.Metrics, report func(Progress)) error {
	validate := func(p Progress) error {
		if len(f.check) == 0 {
			return nil
		}
		p, err := f.validate(ctx, dir, p)
		if err != nil {
			return err // resume before this step: the validation belongs to it
		}
		report(p)
		return log.Add(p)
	}
	path := filepath.Join(dir, workDir, stateFile)
	saved := f.state.Step
	if f.state.Step == 0 && f.state.BaseValidation == nil {
		if err := validate(Progress{Steps: f.steps}); err != nil {
			return err
		}
	}
	for f.state.Step < f.steps && !f.state.Stopped {
		p, err := f.step(ctx)
		if err == nil {
			err = log.Add(p)
		}
		if err != nil {
			if ctx.Err() != nil && f.state.Step > saved {
				err = errors.Join(ctx.Err(), f.save(path, id))
			}
			return err
		}
		report(p)
		if f.state.Step%f.Options.ValidateEvery == 0 || f.state.Step == f.steps {
			if err := validate(p); err != nil {
				return err
			}
		}
		if f.state.Step%f.Options.SaveEvery == 0 || f.state.Step == f.steps || f.state.Stopped {
			if err := f.save(path, id); err != nil {
				return err
			}
			saved = f.state.Step
		}
	}
	return nil
}

// keep writes the adapter as it is now.
func (f *Fit) keep(dir string) error {
	return adapter.WriteNative(AdapterDir(dir), f.factors.adapter, adapter.Options{DType: safetensors.DType(f.Options.Store)})
}

func (f *Fit) save(path, id string) error {
	return train.SaveState(path, stateKey, savedState{f.state, f.optim.Steps(), id}, f.factors.params, f.optim)
}

func (f *Fit) load(path, id string) error {
	var s savedState
	check := func() error {
		if s.Identity != id {
			return errOther
		}
		return nil
	}
	if err := train.LoadState(path, stateKey, &s, check, f.factors.params, f.optim); err != nil {
		return err
	}
	f.state = s.state
	f.optim.SetSteps(s.AdamSteps)
	return nil
}

func (f *Fit) result(id string) *Result {
	s := f.state
	r := &Result{
		Identity: id, Base: f.Provenance.Base, Options: f.Options, OwnOfTest: f.OwnOfTest,
		Repositories: len(f.Train), Tasks: NumTasks(f.Train), ValidationTasks: NumTasks(f.Validation),
		Parameters: f.factors.numParameters(), Steps: s.Step, Draws: s.Draws, Tokens: s.Tokens, Labels: s.Labels, Seconds: s.Seconds,
		BestStep: s.BestStep, SelectedBy: f.Options.Select, Validation: s.Best, BaseValidation: s.BaseValidation,
	}
	if len(f.check) == 0 {
		r.SelectedBy = lastStep
	}
	if f.Provenance.Repository != "" {
		r.Repository = f.Provenance.Repository
	}
	return r
}
