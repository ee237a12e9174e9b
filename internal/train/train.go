// Package train fits a hypernetwork to repositories.
//
// The data are [Repository] values: a representation, and windows of test
// files with labelled assertion targets. A step generates the adapters of a
// few repositories, asks for the loss and the gradient of these adapters
// through a [compute.Backend] (the frozen base model, here or elsewhere), carries that
// gradient back through the hypernetwork, and updates its parameters.
//
// Validation happens on repositories that training never sees, and always
// compares three adapters on each: the repository's own, the checkpoint's
// average, and another repository's. Only a gap between them shows that a
// hypernetwork uses its input.
//
// With a recurrence over commits, data are [History] values, and a step goes over
// a segment of the commits of each of a few repositories; see [RecurrenceOptions].
//
// A run is a folder beside its configuration, with its name:
//
//	metrics.jsonl             one object per step and per validation
//	checkpoint.safetensors    the best head so far, for use
//	work/                     mined tasks and vectors; not meant to be kept
//	work/state.safetensors    everything that a resumed run needs
//
// Files are replaced atomically, state last. What happens at a step depends on
// the seed, the step's number and the state alone, so that a run that was cut
// continues to the same bits.
package train

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/compute"
	"github.com/code2lora/code2lora/internal/hypernet"
	"github.com/code2lora/code2lora/internal/kernel"
	"github.com/code2lora/code2lora/internal/memory"
	"github.com/code2lora/code2lora/internal/model"
)

// What is learned behind a target.
const (
	StopNext = "next" // the token that follows in the file: it leaves the target
	StopNone = "none" // nothing
)

// Options are the settings of the optimisation.
type Options struct {
	Seed           uint64  `yaml:"seed"`
	Epochs         int     `yaml:"epochs"`        // passes over the windows
	LearningRate   float64 `yaml:"learning_rate"` // peak
	FinalRate      float64 `yaml:"final_rate"`    // share of the peak at the end of the cosine
	MeanRate       float64 `yaml:"mean_rate"`     // factor on the learning rate of the average adapter's parameters
	Warmup         float64 `yaml:"warmup"`        // share of all steps
	WeightDecay    float64 `yaml:"weight_decay"`
	Clip           float64 `yaml:"clip"`             // largest norm of the gradient; 0: no limit
	TokensPerShare int     `yaml:"tokens_per_share"` // tokens of one repository in a step
	SharesPerStep  int     `yaml:"shares_per_step"`  // repositories in a step
	Accumulate     int     `yaml:"accumulate"`       // passes over the base per step, to bound memory; must divide into shares
	Precision      string  `yaml:"precision"`        // of the frozen products: float32, bfloat16, or int8 (forward on stored weights, backward in bfloat16)
	Detach         bool    `yaml:"detach"`           // see model.GradientOptions
	ValidateEvery  int     `yaml:"validate_every"`   // steps
	SaveEvery      int     `yaml:"save_every"`       // steps
	Patience       int     `yaml:"patience"`         // validations without improvement before stopping; 0: never
	// SharePrefixes puts windows that begin alike into the same share, where the
	// base computes the common part once. TokensPerShare doesn't count it again.
	SharePrefixes bool `yaml:"share_prefixes"`
	// TrunkCache bounds the files that keep what the layers below the lowest adapted
	// one compute, such as 8GiB; empty: none. See [compute.Trunk].
	TrunkCache string `yaml:"trunk_cache"`
	Stop       string `yaml:"stop"` // next or none
}

// leave reports whether it is learned how a target is left.
func (o *Options) leave() bool { return o.Stop != StopNone }

// DefaultOptions suit a hundred repositories and a model of 135M parameters.
func DefaultOptions() Options {
	return Options{
		Seed: 1, Epochs: 3, LearningRate: 2e-3, FinalRate: 0.05, MeanRate: 1, Warmup: 0.03, WeightDecay: 0.01, Clip: 1,
		Precision:      kernel.Float32.String(),
		TokensPerShare: 768, SharesPerStep: 4, Accumulate: 1, ValidateEvery: 50, SaveEvery: 25, Patience: 8, Stop: StopNext,
	}
}

// Validate reports every option that cannot work.
func (o *Options) Validate() error {
	var errs []error
	least := func(name string, v, least int) {
		if v < least {
			errs = append(errs, fmt.Errorf("%s %d: want at least %d", name, v, least))
		}
	}
	within := func(name string, v, lo, hi float64) {
		if !(v >= lo && v <= hi) {
			errs = append(errs, fmt.Errorf("%s %g: want %g to %g", name, v, lo, hi))
		}
	}
	least("epochs", o.Epochs, 1)
	least("tokens_per_share", o.TokensPerShare, 1)
	least("shares_per_step", o.SharesPerStep, 1)
	least("accumulate", o.Accumulate, 1)
	least("validate_every", o.ValidateEvery, 1)
	least("save_every", o.SaveEvery, 1)
	least("patience", o.Patience, 0)
	if _, err := kernel.ParsePrecision(o.Precision); err != nil {
		errs = append(errs, fmt.Errorf("precision: %w", err))
	}
	if o.TrunkCache != "" {
		if _, err := memory.ParseSize(o.TrunkCache); err != nil {
			errs = append(errs, fmt.Errorf("trunk_cache: %w", err))
		}
	}
	if o.Stop != StopNext && o.Stop != StopNone {
		errs = append(errs, fmt.Errorf("stop %q: want %s or %s", o.Stop, StopNext, StopNone))
	}
	within("learning_rate", o.LearningRate, 1e-9, 10)
	within("final_rate", o.FinalRate, 0, 1)
	within("mean_rate", o.MeanRate, 0, 100)
	within("warmup", o.Warmup, 0, 1)
	within("weight_decay", o.WeightDecay, 0, 10)
	within("clip", o.Clip, 0, math.MaxFloat64)
	return errors.Join(errs...)
}

// Progress is what a run reports after each step.
type Progress struct {
	Step         int     `json:"step"` // steps done
	Steps        int     `json:"steps"`
	Epoch        int     `json:"epoch"`
	Loss         float64 `json:"loss"` // nats per labelled token
	LearningRate float64 `json:"learning_rate"`
	GradNorm     float64 `json:"grad_norm"`
	Tokens       int     `json:"tokens"`     // through the base in this step
	PerSecond    float64 `json:"per_second"` // tokens
	Validation   *Audit  `json:"validation,omitempty"`
	Best         bool    `json:"best,omitempty"` // the validation is the best so far
}

// Run trains one head.
type Run struct {
	Options    Options
	Head       hypernet.Head
	Base       compute.Backend
	Train      []*Repository
	Validation []*Repository
	Leaves     func(token int32) bool // whether a token ends a target, for exact match
	// Identity names everything else that decides the run: configuration and
	// data. A state of another identity is not continued.
	Identity string

	state state
	plan  *plan
	optim *AdamW
}

// state is where a run stands, apart from parameters and optimiser.
type state struct {
	Step     int     `json:"step"`
	BestStep int     `json:"best_step"`
	BestLoss float64 `json:"best_loss"` // own cross-entropy of the best validation; 0: none yet
	Waited   int     `json:"waited"`    // validations since then
	Stopped  bool    `json:"stopped"`   // the patience ran out
}

// start prepares a run from the beginning; the head has been initialised. A
// step that was cut may have left gradients behind.
func (r *Run) start() error {
	if err := r.Options.Validate(); err != nil {
		return err
	}
	if len(r.Train) == 0 || NumTasks(r.Train) == 0 {
		return errors.New("no training tasks")
	}
	if len(r.Validation) < 2 {
		return fmt.Errorf("%d validation repositories: want at least 2, to compare own and strange adapters", len(r.Validation))
	}
	for _, p := range r.Head.Params() {
		clear(p.Grad)
	}
	o := r.Options
	r.plan = newPlan(r.Train, o)
	r.optim = NewAdamW(r.Head.Params(), o.WeightDecay)
	r.optim.Rate = o.rate
	return nil
}

// steps returns the number of steps of the whole run.
func (r *Run) steps() int {
	p := newPlan(r.Train, r.Options)
	n := 0
	for e := range r.Options.Epochs {
		p.shuffle(e)
		n += len(p.steps)
	}
	return n
}

// step takes one optimiser step.
func (r *Run) step(ctx context.Context, steps int) (Progress, error) {
	began := time.Now()
	o := r.Options
	shares, epoch := r.plan.at(r.state.Step)
	labels := 0
	for _, s := range shares {
		for _, w := range s.windows {
			labels += len(r.Train[s.repo].Windows[w].labels(o.leave()))
		}
	}
	p := Progress{Step: r.state.Step + 1, Steps: steps, Epoch: epoch}
	parts := min(o.Accumulate, len(shares))
	for i := range parts {
		part := shares[i*len(shares)/parts : (i+1)*len(shares)/parts]
		loss, tokens, err := r.accumulate(ctx, part, 1/float32(max(1, labels)))
		if err != nil {
			return p, err
		}
		p.Loss += loss
		p.Tokens += tokens
	}
	if err := o.update(&p, r.Head.Params(), r.optim, &r.state, steps); err != nil {
		return p, err
	}
	p.PerSecond = perSecond(p.Tokens, began)
	return p, nil
}

// perSecond is a rate since a time, or 0 if the clock has not moved: a metrics
// file has no infinity.
func perSecond(n int, began time.Time) float64 {
	if d := time.Since(began); d > 0 {
		return float64(n) / d.Seconds()
	}
	return 0
}

// accumulate adds the gradient of some shares to the head's parameters, each
// label weighted, and returns their loss and number of tokens.
func (r *Run) accumulate(ctx context.Context, shares []share, weight float32) (loss float64, tokens int, err error) {
	var b model.Batch
	var tapes []hypernet.Tape
	for _, s := range shares {
		repo := r.Train[s.repo]
		a, tape, err := r.Head.Generate(repo.Representation)
		if err != nil {
			return 0, 0, fmt.Errorf("repository %s: %w", repo.Name, err)
		}
		b.Adapters, tapes = append(b.Adapters, a), append(tapes, tape)
		for _, w := range s.windows {
			seq := repo.Windows[w].sequence(len(b.Adapters)-1, r.Options.leave())
			for i := range seq.Labels {
				seq.Labels[i].Weight = weight
			}
			tokens += len(seq.Tokens)
			b.Sequences = append(b.Sequences, seq)
		}
	}
	res, err := r.Base.Do(ctx, compute.NewRequest(r.Base, compute.Gradient, b, model.GradientOptions{Detach: r.Options.Detach}))
	if err != nil {
		return 0, 0, err
	}
	for i, tape := range tapes {
		tape.Backward(res.Grads[i])
	}
	return res.Loss, tokens, nil
}

// sequence lays out a window for the model; see labels. Nothing after the last label
// matters, so the sequence ends there.
func (w *Window) sequence(adapter int, leave bool) model.Sequence {
	ls := w.labels(leave)
	end := 0
	if len(ls) > 0 {
		end = ls[len(ls)-1].Pos + 1
	}
	return model.Sequence{Tokens: w.Tokens[:end], Labels: ls, Adapter: adapter}
}

// ownAdapters generates the adapter of every repository.
func ownAdapters(h hypernet.Head, repos []*Repository) ([]*adapter.Adapter, error) {
	var out []*adapter.Adapter
	for _, r := range repos {
		a, _, err := h.Generate(r.Representation)
		if err != nil {
			return nil, fmt.Errorf("repository %s: %w", r.Name, err)
		}
		out = append(out, a)
	}
	return out, nil
}
