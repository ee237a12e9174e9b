package train

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/code2lora/code2lora/internal/compute"
	"github.com/code2lora/code2lora/internal/dataset"
	"github.com/code2lora/code2lora/internal/evolve"
	"github.com/code2lora/code2lora/internal/hypernet"
	"github.com/code2lora/code2lora/internal/kernel"
	"github.com/code2lora/code2lora/internal/memory"
	"github.com/code2lora/code2lora/internal/safetensors"
	"github.com/code2lora/code2lora/internal/score"
)

// RecurrentJob is a configured training run of a recurrence with its head.
type RecurrentJob struct {
	RecurrentRun
	config *Config
	deps   Deps
	enc    string
	inputs *evolve.Inputs
	trunk  *compute.Trunk // nil without
}

// NewRecurrentJob prepares the histories of a configuration with a recurrence,
// and lays out and initialises what is trained.
func NewRecurrentJob(ctx context.Context, c *Config, d Deps) (*RecurrentJob, error) {
	if d.Report == nil {
		d.Report = func(string, ...any) {}
	}
	if c.Recurrence == nil {
		return nil, errors.New("the configuration has no recurrence section")
	}
	hs, err := LoadHistories(ctx, c, d)
	if err != nil {
		return nil, err
	}
	if len(hs.Train) == 0 {
		return nil, fmt.Errorf("%s has no training repository with tasks", c.BenchmarkDir())
	}
	for _, h := range hs.Train {
		if err := dataset.CheckTraining(h.Name, dataset.Train); err != nil {
			return nil, err
		}
	}
	gru, err := evolve.New(evolve.Options{Diff: len(hs.Train[0].Commits[0].Input), Repository: len(hs.Train[0].Repository), Hidden: c.Recurrence.Hidden})
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	head, err := evolve.NewHead(c.Head.Kind, c.Head.Options, d.Model.Config.Dims(), c.Recurrence.Hidden)
	if err != nil {
		return nil, fmt.Errorf("configuration: head: %w", err)
	}
	inputs := evolve.NewInputs(&c.Recurrence.Settings, gru.Options())
	if err := hs.standardize(inputs); err != nil {
		return nil, err
	}
	j := &RecurrentJob{config: c, deps: d, enc: hs.Encoder, inputs: inputs, RecurrentRun: RecurrentRun{
		Options: c.Train, Recurrence: c.Recurrence, Identity: c.Digest() + " " + hs.key, Head: head, GRU: gru,
		Train: hs.Train, Validation: hs.Validation,
		Leaves: func(id int32) bool { return score.Leaves(d.Tokenizer, id) },
	}}
	if err := j.init(); err != nil {
		return nil, err
	}
	j.Base, j.trunk, err = d.backend(c, head)
	return j, err
}

// Counts returns the numbers of repositories and of their tasks.
func (j *RecurrentJob) Counts() (train, tasks, validation, validationTasks int) {
	return len(j.Train), numTasks(j.Train), len(j.Validation), numTasks(j.Validation)
}

// init sets the values that everything begins with.
func (j *RecurrentJob) init() error {
	n := 0
	for _, p := range j.params() {
		size := 1
		for _, d := range p.Shape {
			size *= d
		}
		n += size
	}
	if err := memory.Need("the hypernetwork with its gradients and moments", 16*int64(n),
		"choose a smaller head or recurrence in the configuration, or close other programs"); err != nil {
		return err
	}
	seed := j.config.Train.Seed
	j.GRU.Init(seed)
	if err := j.fit(); err != nil {
		return err
	}
	j.Head.Init(seed)
	path := j.config.FromPath()
	if path == "" {
		return nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("head.from: %w", err)
	}
	from, err := hypernet.Load(path)
	if err != nil {
		return fmt.Errorf("head.from: %w", err)
	}
	if from.Base.SHA256 != j.deps.Base.SHA256 {
		return fmt.Errorf("head.from: checkpoint %s was trained for base %q, and the configuration has %q", path, from.Base.Name, j.deps.Base.Name)
	}
	copied, all := warmStart(j.Head, from.Head)
	if copied == 0 {
		return fmt.Errorf("head.from: checkpoint %s has a %s head with no parameter that one of this %s head is like: give it the same rank and modules",
			path, from.Head.Kind(), j.Head.Kind())
	}
	j.deps.Report("%d of %d parameters of the head begin as in %s", copied, all, path)
	j.Identity += fmt.Sprintf(" from %x", sha256.Sum256(data))
	return nil
}

// Do trains; the best checkpoint is kept in the run's folder. See [Job.Do].
func (j *RecurrentJob) Do(ctx context.Context, report func(Progress)) error {
	restore, err := j.deps.setPrecision(j.config, j.Base)
	if err != nil {
		return err
	}
	defer restore()
	if err := j.needMemory(); err != nil {
		return err
	}
	dir := j.config.Dir()
	best := func(p Progress) error {
		loss := p.Validation.Own.CrossEntropy.Mean
		return evolve.Save(filepath.Join(dir, CheckpointFile), j.Checkpoint(&loss), safetensors.F16)
	}
	defer j.deps.reportTrunk(j.trunk)
	return j.RecurrentRun.Do(ctx, filepath.Join(dir, "work"), filepath.Join(dir, metricsFile), best, report)
}

// Checkpoint is what is trained as it is now, with a validation's loss or nil.
func (j *RecurrentJob) Checkpoint(loss *float64) *evolve.Checkpoint {
	return &evolve.Checkpoint{Head: j.Head, GRU: j.GRU, Inputs: j.inputs, Settings: j.Recurrence.Settings, Info: hypernet.Info{
		Name: j.config.Name, Base: j.deps.Base, Encoder: j.enc, Config: j.config.Digest(), Tool: j.deps.Tool,
		Repositories: len(j.Train), Tasks: numTasks(j.Train), Step: j.state.Step, ValidationLoss: loss,
		SpaceWithTarget: j.config.Data.SpaceWithTarget,
	}}
}

// needMemory returns an error if there is too little memory for the largest pass
// over the base; see [Job.needMemory].
func (j *RecurrentJob) needMemory() error {
	average, err := j.Head.Average()
	if err != nil {
		return err
	}
	moments := 0
	for _, p := range j.params() {
		moments += 2 * 4 * len(p.Value)
	}
	most := j.largestPass()
	_, least := j.deps.Model.GradientBytes(kernel.CurrentPrecision(), most.tokens, most.labels, average.Rank)
	bytes := least + int64(moments) + int64(2*4*most.shares*average.NumParameters())
	return memory.Need(fmt.Sprintf("a pass over %d tokens with %d adapters, the most of a training step,", most.tokens, most.shares), bytes,
		"lower recurrence.loss_commits or train.tokens_per_share, or raise train.accumulate to up to train.shares_per_step")
}

// largestPass returns the most tokens, labels and adapters that a pass over the
// base has. They may be of different passes.
func (r *RecurrentRun) largestPass() (most largest) {
	plan := newSchedule(r.Train, r.Options, r.Recurrence.Truncation)
	for step := range plan.steps {
		losses := plan.draw(step, r.Train, r.Options, r.Recurrence)
		parts := min(r.Options.Accumulate, len(losses))
		for i := range parts {
			var l largest
			for _, at := range slices.Concat(losses[i*len(losses)/parts : (i+1)*len(losses)/parts]...) {
				l.shares++
				for k := range at.windows {
					seq := at.windows[k].sequence(0, r.Options.leave())
					l.tokens, l.labels = l.tokens+len(seq.Tokens), l.labels+len(seq.Labels)
				}
			}
			most = largest{max(most.tokens, l.tokens), max(most.labels, l.labels), max(most.shares, l.shares)}
		}
	}
	return most
}
