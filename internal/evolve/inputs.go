package evolve

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/code2lora/code2lora/internal/embedding"
	"github.com/code2lora/code2lora/internal/hypernet"
)

// What a step reads: Settings.Input.
const (
	InputDiff       = "diff"       // the vector of the diff, as the released checkpoint
	InputRepository = "repo_state" // the vector of the repository at the commit
	InputBoth       = "concat"     // the one of the diff, then that of the repository
)

// Which commits step a state: Settings.Commits.
const (
	// CommitsTests are those that change a Python test file, as the commits of the
	// benchmark do. What others change is in the diff of the next such commit.
	CommitsTests = "tests"
	CommitsAll   = "all"
)

// Which state a task of a commit was trained with: Settings.Context.
const (
	ContextAfter  = "after"  // the one that has been stepped by the commit, as in the paper
	ContextBefore = "before" // the one of the kept commit before: what may be known of the task
)

// Settings are the options of a recurrence that its tensors don't tell.
type Settings struct {
	Input string      `json:"input" yaml:"input"`
	Diff  DiffOptions `json:"diff" yaml:"diff"`
	// Standardize is what is done to vectors of repositories and steps first:
	// none, as in the paper, or zscore, over the training repositories. A vector
	// that is zero, of nothing read, stays so.
	Standardize string     `json:"standardize" yaml:"standardize"`
	Clip        float64    `json:"clip" yaml:"clip"` // largest magnitude of a standardised value; 0: no limit
	Truncation  Truncation `json:"truncation" yaml:"truncation"`
	Commits     string     `json:"commits" yaml:"commits"`
	Context     string     `json:"context" yaml:"context"`
}

// DefaultSettings are those of the paper, but for standardised inputs: vectors of
// hidden states have so much in common that a recurrence hardly tells them apart.
func DefaultSettings() Settings {
	return Settings{Input: InputDiff, Diff: DefaultDiffOptions(), Standardize: hypernet.StandardizeScore, Clip: 5,
		Truncation: DefaultTruncation(), Commits: CommitsTests, Context: ContextAfter}
}

// Validate reports every setting that cannot work.
func (s *Settings) Validate() error {
	errs := []error{s.Diff.Validate(), s.Truncation.Validate()}
	choice := func(name, value string, allowed ...string) {
		if !slices.Contains(allowed, value) {
			errs = append(errs, fmt.Errorf("%s %q: want one of %q", name, value, allowed))
		}
	}
	choice("input", s.Input, InputDiff, InputRepository, InputBoth)
	choice("standardize", s.Standardize, hypernet.StandardizeNone, hypernet.StandardizeScore)
	choice("commits", s.Commits, CommitsTests, CommitsAll)
	choice("context", s.Context, ContextAfter, ContextBefore)
	if !(s.Clip >= 0) || math.IsInf(s.Clip, 0) {
		errs = append(errs, fmt.Errorf("clip %g: want 0 (no limit) or more", s.Clip))
	}
	return errors.Join(errs...)
}

// inputSize is the length of a step's input, from those of its parts.
func (s *Settings) inputSize(diff, repository int) int {
	switch s.Input {
	case InputRepository:
		return repository
	case InputBoth:
		return diff + repository
	}
	return diff
}

// Inputs standardise what a [GRU] reads.
type Inputs struct{ Repository, Step hypernet.Standardizer }

// NewInputs returns inputs for a recurrence of the given sizes, which still have
// to be fitted if they standardise.
func NewInputs(s *Settings, o Options) *Inputs {
	of := func(name string, dim int) hypernet.Standardizer {
		return hypernet.Standardizer{Options: hypernet.InputOptions{Tensor: name, Dim: dim, Standardize: s.Standardize, Clip: s.Clip}}
	}
	return &Inputs{of("repository", o.Repository), of("step", o.Diff)}
}

// Fit measures the vectors of the training repositories, and of their steps.
// Those that are zero don't count.
func (in *Inputs) Fit(repositories, steps [][]float32) error {
	for _, f := range []struct {
		s  *hypernet.Standardizer
		vs [][]float32
	}{{&in.Repository, repositories}, {&in.Step, steps}} {
		if f.s.Options.Standardize == hypernet.StandardizeNone {
			continue
		}
		if err := f.s.Fit(slices.DeleteFunc(slices.Clone(f.vs), isZero)); err != nil {
			return fmt.Errorf("vectors of %s: %w", f.s.Options.Tensor, err)
		}
	}
	return nil
}

// Transform standardises a vector, which it doesn't change.
func Transform(s *hypernet.Standardizer, v []float32) ([]float32, error) {
	if len(v) == s.Options.Dim && isZero(v) {
		return slices.Clone(v), nil
	}
	return s.Transform(v)
}

func isZero(v []float32) bool { return !slices.ContainsFunc(v, func(x float32) bool { return x != 0 }) }

// tensors adds what has been measured to ts.
func (in *Inputs) tensors(ts hypernet.TensorMap) {
	for _, s := range []*hypernet.Standardizer{&in.Repository, &in.Step} {
		if s.Options.Standardize != hypernet.StandardizeNone {
			name, shape := inputPrefix+s.Options.Tensor, []int{s.Options.Dim}
			ts[name+".mean"] = embedding.Tensor{Shape: shape, Data: s.Mean}
			ts[name+".std"] = embedding.Tensor{Shape: shape, Data: s.Std}
		}
	}
}

// inputPrefix begins the names of the tensors of [Inputs].
const inputPrefix = "input."

// take moves its tensors out of ts.
func (in *Inputs) take(ts hypernet.TensorMap) error {
	for _, s := range []*hypernet.Standardizer{&in.Repository, &in.Step} {
		if s.Options.Standardize == hypernet.StandardizeNone {
			continue
		}
		for _, part := range []struct {
			name string
			dst  *[]float32
		}{{".mean", &s.Mean}, {".std", &s.Std}} {
			name := inputPrefix + s.Options.Tensor + part.name
			t, ok := ts[name]
			if !ok {
				return fmt.Errorf("recurrence: tensor %q is missing, and standardize is %q", name, s.Options.Standardize)
			}
			if want := []int{s.Options.Dim}; !slices.Equal(t.Shape, want) {
				return fmt.Errorf("recurrence: tensor %q: shape %v, want %v", name, t.Shape, want)
			}
			*part.dst = t.Data
			delete(ts, name)
		}
		for i, v := range s.Std {
			if v < 0 {
				return fmt.Errorf("recurrence: value %d of tensor %q is %g: a standard deviation is not negative", i, inputPrefix+s.Options.Tensor+".std", v)
			}
		}
	}
	return nil
}
