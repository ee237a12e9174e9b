package train

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/code2lora/code2lora/internal/embedding"
	"github.com/code2lora/code2lora/internal/encoder"
	"github.com/code2lora/code2lora/internal/evolve"
	"github.com/code2lora/code2lora/internal/hypernet"
	"github.com/code2lora/code2lora/internal/repopeft"
)

// RecurrenceOptions configure the training of a recurrence over commits, with
// its head, on the evolution track of a benchmark.
//
// A step of the optimiser takes one segment, see [evolve.Truncation], of each of
// train.shares_per_step repositories; train.tokens_per_share bounds the tokens
// of each segment. Repositories follow each other in as many lanes, epoch after
// epoch, and a lane's state goes from segment to segment.
type RecurrenceOptions struct {
	evolve.Settings `yaml:",inline"`
	Hidden          int     `yaml:"hidden"` // size of the state
	Rate            float64 `yaml:"rate"`   // factor on the learning rate of the recurrence's parameters
	// TasksPerCommit is the number of tasks of a commit that are drawn for a
	// segment, at most.
	TasksPerCommit int `yaml:"tasks_per_commit"`
	// LossCommits is the number of commits with tasks that are drawn in a segment,
	// at most; the others are only stepped over. 0: all. Each has an adapter of its
	// own in memory.
	LossCommits int `yaml:"loss_commits"`
	// MaxCommits is the number of kept commits of a repository that are walked over,
	// the first ones; 0: all.
	MaxCommits int `yaml:"max_commits"`
	// ValidationCommits is the number of commits with tasks, evenly spread, that a
	// repository is validated at.
	ValidationCommits int `yaml:"validation_commits"`
}

// DefaultRecurrenceOptions are those of the paper where it says them.
func DefaultRecurrenceOptions() *RecurrenceOptions {
	return &RecurrenceOptions{Settings: evolve.DefaultSettings(), Hidden: 256, Rate: 1, TasksPerCommit: 8, LossCommits: 4, ValidationCommits: 4}
}

// Validate reports every option that cannot work.
func (o *RecurrenceOptions) Validate() error {
	errs := []error{o.Settings.Validate()}
	least := func(name string, v, least int) {
		if v < least {
			errs = append(errs, fmt.Errorf("%s %d: want at least %d", name, v, least))
		}
	}
	least("hidden", o.Hidden, 1)
	least("tasks_per_commit", o.TasksPerCommit, 1)
	least("loss_commits", o.LossCommits, 0)
	least("max_commits", o.MaxCommits, 0)
	least("validation_commits", o.ValidationCommits, 1)
	if !(o.Rate >= 0 && o.Rate <= 100) {
		errs = append(errs, fmt.Errorf("rate %g: want 0 to 100", o.Rate))
	}
	return errors.Join(errs...)
}

// validateRecurrence reports what of a configuration doesn't go with its
// recurrence, or with none.
func (c *Config) validateRecurrence() error {
	if c.Recurrence == nil {
		if c.Head.From != "" {
			return errors.New("head.from: only the head of a recurrence begins from a checkpoint, and there is no recurrence section")
		}
		return nil
	}
	var errs []error
	if err := c.Recurrence.Validate(); err != nil {
		errs = append(errs, fmt.Errorf("recurrence: %w", err))
	}
	if c.Data.Benchmark == "" {
		errs = append(errs, errors.New("recurrence: data.benchmark is missing, whose evolution track it is trained on"))
	}
	if !slices.Equal(c.Data.Tracks, []string{string(repopeft.Evolution)}) {
		errs = append(errs, fmt.Errorf("recurrence: data.tracks %q: want %q", c.Data.Tracks, repopeft.Evolution))
	}
	if c.Encoder.Kind == encoder.KindDescription {
		errs = append(errs, fmt.Errorf("recurrence: encoder.kind %s: it gives no vector of tensor %q", c.Encoder.Kind, embedding.Repository))
	}
	return errors.Join(errs...)
}

// FromPath is where the checkpoint lies that the head begins from, "" without.
func (c *Config) FromPath() string {
	if c.Head.From == "" || filepath.IsAbs(c.Head.From) {
		return c.Head.From
	}
	return filepath.Join(filepath.Dir(c.path), c.Head.From)
}

// warmStart copies to a new head what it shares with one that was trained for
// another input: the average adapter if it has one, and otherwise all but the
// trunk. It returns the number of parameters, and that of all.
func warmStart(head, from hypernet.Head) (copied, all int) {
	trained := map[string]*hypernet.Param{}
	for _, p := range from.Params() {
		trained[p.Name] = p
	}
	mean := slices.ContainsFunc(head.Params(), hypernet.IsMean)
	for _, p := range head.Params() {
		q := trained[p.Name]
		all++
		if q == nil || !slices.Equal(p.Shape, q.Shape) || mean && !hypernet.IsMean(p) || !mean && hypernet.IsTrunk(p) {
			continue
		}
		copy(p.Value, q.Value)
		copied++
	}
	return copied, all
}
