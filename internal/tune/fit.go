package tune

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"time"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/compute"
	"github.com/code2lora/code2lora/internal/dataset"
	"github.com/code2lora/code2lora/internal/kernel"
	"github.com/code2lora/code2lora/internal/memory"
	"github.com/code2lora/code2lora/internal/model"
	"github.com/code2lora/code2lora/internal/train"
)

// Progress is what a fit reports after each step, and a line of its metrics.
// Validations have a line of their own.
type Progress struct {
	Step         int          `json:"step"` // steps done
	Steps        int          `json:"steps"`
	Epoch        int          `json:"epoch"`
	Loss         float64      `json:"loss"` // nats per labelled token
	LearningRate float64      `json:"learning_rate"`
	GradNorm     float64      `json:"grad_norm"`
	Tokens       int          `json:"tokens"`     // of this step's windows
	PerSecond    float64      `json:"per_second"` // tokens
	Draws        int          `json:"draws"`      // labelled tasks seen so far
	Validation   *train.Total `json:"validation,omitempty"`
	Best         bool         `json:"best,omitempty"` // the validation is the best so far
}

// Fit fits one adapter. Its folder has
//
//	adapter/                  the best adapter so far, in the native format
//	metrics.jsonl             a [Progress] per line
//	tune.json                 the [Result]; written last
//	work/state.safetensors    what a resumed fit needs; removed at the end
type Fit struct {
	Options    Options
	Base       compute.Backend
	Train      []*Repository
	Validation []*Repository // may be empty: then the last step is the best
	Leaves     func(token int32) bool
	EOS        int32 // for [StopEOS]; below 0: none
	// OwnOfTest allows the one repository of Train to be of the test split: what
	// its user could do with it. Nothing is chosen by it then.
	OwnOfTest bool
	// Identity names the data. A state or a result of another one is not
	// continued.
	Identity   string
	Provenance adapter.Provenance
	Begin      *adapter.Adapter // what the fit begins with; nil: nothing
	Model      *model.Model     // whose memory a pass needs; nil: not checked

	factors *factors
	optim   *train.AdamW
	plan    *plan
	steps   int
	state   state
	check   []*train.Repository // Validation, flat
}

// state is where a fit stands, apart from parameters and optimiser.
type state struct {
	Step           int          `json:"step"`
	Draws          int          `json:"draws"`
	Tokens         int          `json:"tokens"`
	Labels         int          `json:"labels"`
	BestStep       int          `json:"best_step"`
	Best           *train.Total `json:"best,omitempty"`
	BaseValidation *train.Total `json:"base_validation,omitempty"` // before the first step
	Waited         int          `json:"waited"`                    // validations since the best
	Stopped        bool         `json:"stopped"`                   // the patience ran out
	Seconds        float64      `json:"seconds"`
}

// allowed refuses repositories that must not be trained or chosen by.
func (f *Fit) allowed() error {
	if f.OwnOfTest {
		if len(f.Train) != 1 || len(f.Validation) != 0 {
			return errors.New("own tasks of a test repository: want that one repository, and nothing to choose by")
		}
		return nil
	}
	for _, r := range f.Train {
		if err := dataset.CheckTraining(r.Name, dataset.Train); err != nil {
			return err
		}
	}
	for _, r := range f.Validation {
		if len(f.Train) == 1 && r.Name == f.Train[0].Name {
			continue // its own validation tasks
		}
		if err := dataset.CheckTraining(r.Name, dataset.Validation); err != nil {
			return err
		}
	}
	return nil
}

// start prepares a fit from the beginning.
func (f *Fit) start() error {
	if err := errors.Join(f.Options.Validate(), f.allowed()); err != nil {
		return err
	}
	if NumTasks(f.Train) == 0 {
		return errors.New("no training tasks")
	}
	if f.Options.Stop == StopEOS && f.EOS < 0 {
		return errEOS
	}
	info := f.Base.Info()
	var err error
	if f.factors, err = newFactors(&f.Options, info.Config.Dims(), info.Config.HiddenSize); err != nil {
		return err
	}
	if f.Begin != nil {
		if err := f.factors.begin(f.Begin); err != nil {
			return err
		}
	}
	f.factors.adapter.Provenance = f.Provenance
	f.optim = train.NewAdamW(f.factors.params, f.Options.WeightDecay)
	f.plan = newPlan(f.Train, &f.Options)
	f.steps = f.plan.numSteps(&f.Options)
	f.state, f.check = state{}, nil
	for _, r := range f.Validation {
		if flat := r.flat(); len(flat.Windows) > 0 {
			f.check = append(f.check, flat)
		}
	}
	return f.needMemory()
}

// needMemory returns an error if there is too little memory for the largest
// pass: activations, and the adapter with gradient and moments.
func (f *Fit) needMemory() error {
	if f.Model == nil {
		return nil
	}
	tokens, labels := f.Options.TokensPerPass, 0
	for _, r := range f.Train {
		for _, w := range r.flat().Windows {
			tokens = max(tokens, len(w.Tokens))
			labels = max(labels, len(w.Tokens))
		}
	}
	a := f.factors.adapter
	_, least := f.Model.GradientBytes(kernel.CurrentPrecision(), tokens, max(labels, tokens/4), a.Rank)
	bytes := least + 4*int64(2*a.NumParameters()) + 4*3*int64(f.factors.numParameters())
	return memory.Need(fmt.Sprintf("a pass over %d tokens", tokens), bytes, "lower tokens_per_pass or data.window_tokens, or adapt fewer layers")
}

// step takes one optimiser step.
func (f *Fit) step(ctx context.Context) (Progress, error) {
	began := time.Now()
	o := &f.Options
	windows, epoch := f.plan.at(f.state.Step)
	p := Progress{Step: f.state.Step + 1, Steps: f.steps, Epoch: epoch, Draws: f.state.Draws + draw(windows)}
	labels := 0
	for _, w := range windows {
		labels += len(o.sequence(w, f.EOS).Labels)
	}
	for _, q := range f.factors.params {
		clear(q.Grad) // a step that was cut may have left some
	}
	for _, pass := range passes(windows, o.TokensPerPass) {
		b := model.Batch{Adapters: []*adapter.Adapter{f.factors.adapter}}
		for _, w := range pass {
			seq := o.sequence(w, f.EOS)
			for i := range seq.Labels {
				seq.Labels[i].Weight = 1 / float32(max(1, labels))
			}
			p.Tokens += len(seq.Tokens)
			b.Sequences = append(b.Sequences, seq)
		}
		res, err := f.Base.Do(ctx, compute.NewRequest(f.Base, compute.Gradient, b, model.GradientOptions{}))
		if err != nil {
			return p, err
		}
		p.Loss += res.Loss
		f.factors.addGradient(res.Grads[0])
	}
	p.GradNorm = train.Clip(f.factors.params, o.Clip)
	if math.IsNaN(p.GradNorm) || math.IsInf(p.GradNorm, 0) {
		return p, fmt.Errorf("step %d: %w (loss %g): lower the learning rate", p.Step, ErrDiverged, p.Loss)
	}
	p.LearningRate = o.rate(f.state.Step, f.steps)
	f.optim.Step(f.factors.params, p.LearningRate)
	f.state.Step, f.state.Draws, f.state.Tokens = p.Step, p.Draws, f.state.Tokens+p.Tokens
	f.state.Labels += labels
	seconds := time.Since(began).Seconds()
	f.state.Seconds += seconds
	if seconds > 0 {
		p.PerSecond = float64(p.Tokens) / seconds
	}
	return p, nil
}

// ErrDiverged is returned when a gradient is no number any more.
var ErrDiverged = errors.New("the gradient is not finite")

// validate scores the adapter as it is now, and keeps it if it is the best.
func (f *Fit) validate(ctx context.Context, dir string, p Progress) (Progress, error) {
	began := time.Now()
	auditor := train.Auditor{Base: f.Base, Leaves: f.Leaves, Tokens: f.Options.TokensPerPass}
	total, err := auditor.Total(ctx, f.check, f.factors.adapter)
	if err != nil {
		return p, fmt.Errorf("validation after step %d: %w", p.Step, err)
	}
	f.state.Seconds += time.Since(began).Seconds()
	p.Validation, p.Tokens, p.PerSecond = &total, 0, 0
	if p.Step == 0 {
		f.state.BaseValidation = &total
	}
	if f.state.Best == nil || f.Options.Better(total, *f.state.Best) {
		f.state.Best, f.state.BestStep, f.state.Waited = &total, p.Step, 0
		p.Best = true
		return p, f.keep(dir)
	}
	f.state.Waited++
	f.state.Stopped = f.Options.Patience > 0 && f.state.Waited >= f.Options.Patience
	return p, nil
}

// Better reports whether a beats b.
func (o *Options) Better(a, b train.Total) bool {
	if o.Select == ByExactMatch && a.ExactMatch != b.ExactMatch {
		return a.ExactMatch > b.ExactMatch
	}
	return a.CrossEntropy < b.CrossEntropy
}

// AdapterDir is the folder of the adapter in that of a fit.
func AdapterDir(dir string) string { return filepath.Join(dir, "adapter") }
