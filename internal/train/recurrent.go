package train

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/compute"
	"github.com/code2lora/code2lora/internal/embedding"
	"github.com/code2lora/code2lora/internal/evolve"
	"github.com/code2lora/code2lora/internal/hypernet"
	"github.com/code2lora/code2lora/internal/model"
)

// RecurrentRun trains a recurrence over commits with its head. What it reads is
// standardised already.
type RecurrentRun struct {
	Options    Options
	Recurrence *RecurrenceOptions
	Head       hypernet.ContextHead
	GRU        *evolve.GRU
	Base       compute.Backend
	Train      []*History
	Validation []*History
	Leaves     func(token int32) bool // whether a token ends a target, for exact match
	Identity   string                 // see [Run]

	state state
	lanes [][]float32 // state that each lane has reached; nil before its first segment
	plan  *schedule
	optim *AdamW
}

// Do trains as [Run.Do] does. The head's average and what it centres on are
// measured again at each validation, from the contexts that the training
// repositories then have.
func (r *RecurrentRun) Do(ctx context.Context, dir, metricsPath string, best func(Progress) error, report func(Progress)) error {
	return runSteps(ctx, r, r.Options, dir, metricsPath, best, report)
}

// params are all that is trained.
func (r *RecurrentRun) params() []*hypernet.Param {
	return slices.Concat(r.GRU.Params(), r.Head.Params())
}

func (r *RecurrentRun) start() error {
	if err := errors.Join(r.Options.Validate(), r.Recurrence.Validate()); err != nil {
		return err
	}
	if numTasks(r.Train) == 0 {
		return errors.New("no training tasks")
	}
	if len(r.Validation) < 2 {
		return fmt.Errorf("%d validation repositories: want at least 2, to compare own and strange adapters", len(r.Validation))
	}
	params := r.params()
	for _, p := range params {
		clear(p.Grad)
	}
	r.lanes = make([][]float32, r.Options.SharesPerStep)
	r.plan = newSchedule(r.Train, r.Options, r.Recurrence.Truncation)
	r.optim = NewAdamW(params, r.Options.WeightDecay)
	own := map[*hypernet.Param]bool{}
	for _, p := range r.GRU.Params() {
		own[p] = true
	}
	r.optim.Rate = func(p *hypernet.Param) float64 {
		if own[p] {
			return r.Recurrence.Rate
		}
		return r.Options.rate(p)
	}
	return nil
}

func (r *RecurrentRun) steps() int { return len(r.plan.steps) }

func (r *RecurrentRun) position() *state { return &r.state }

// pass is a lane's turn under way.
type pass struct {
	turn
	walk     *evolve.Walk
	losses   []lossAt
	contexts [][]float32 // of each of losses
}

// step takes one optimiser step.
func (r *RecurrentRun) step(ctx context.Context, steps int) (Progress, error) {
	began, at := time.Now(), r.state.Step
	p := Progress{Step: at + 1, Steps: steps, Epoch: r.plan.epochs[at]}
	losses := r.plan.draw(at, r.Train, r.Options, r.Recurrence)
	passes := make([]*pass, len(losses))
	for i, t := range r.plan.steps[at] {
		var err error
		if passes[i], err = r.walk(t, losses[i]); err != nil {
			return p, fmt.Errorf("repository %s: %w", r.Train[t.history].Name, err)
		}
	}
	labels := 0
	for _, ps := range passes {
		for _, l := range ps.losses {
			for i := range l.windows {
				labels += len(l.windows[i].labels(r.Options.leave()))
			}
		}
	}
	parts := min(r.Options.Accumulate, len(passes))
	for i := range parts {
		loss, tokens, err := r.accumulate(ctx, passes[i*len(passes)/parts:(i+1)*len(passes)/parts], 1/float32(max(1, labels)))
		if err != nil {
			return p, err
		}
		p.Loss += loss
		p.Tokens += tokens
	}
	for _, ps := range passes {
		ps.walk.Backward()
	}
	if err := r.Options.update(&p, r.params(), r.optim, &r.state, steps); err != nil {
		return p, err
	}
	for _, ps := range passes {
		r.lanes[ps.lane] = ps.walk.State()
	}
	p.PerSecond = perSecond(p.Tokens, began)
	return p, nil
}

// walk steps over the commits of a turn.
func (r *RecurrentRun) walk(t turn, losses []lossAt) (*pass, error) {
	h, ps := r.Train[t.history], &pass{turn: t, losses: losses}
	// The schedule has cut the segment already; with draws, not every commit with
	// tasks has a loss, and a walk could not tell.
	o := evolve.Truncation{Steps: r.Recurrence.Truncation.Steps}
	var err error
	if t.from == 0 {
		ps.walk, err = r.GRU.Walk(h.Repository, o)
	} else {
		ps.walk, err = r.GRU.Resume(r.lanes[t.lane], o)
	}
	if err != nil {
		return nil, err
	}
	for i := range t.to - t.from {
		c, err := ps.walk.Step(h.Commits[t.from+i].Input)
		if err != nil {
			return nil, fmt.Errorf("commit %s: %w", h.Commits[t.from+i].ID, err)
		}
		if n := len(ps.contexts); n < len(losses) && losses[n].commit == i {
			ps.contexts = append(ps.contexts, c)
		}
	}
	return ps, nil
}

// accumulate adds the gradients of some passes to the head, each label weighted,
// and to their walks; it returns their loss and number of tokens.
func (r *RecurrentRun) accumulate(ctx context.Context, passes []*pass, weight float32) (loss float64, tokens int, err error) {
	var b model.Batch
	var back []func(*adapter.Adapter)
	for _, ps := range passes {
		for i, l := range ps.losses {
			a, tape, err := r.Head.GenerateContext(ps.contexts[i])
			if err != nil {
				return 0, 0, fmt.Errorf("repository %s: %w", r.Train[ps.history].Name, err)
			}
			b.Adapters = append(b.Adapters, a)
			back = append(back, func(grad *adapter.Adapter) {
				tape.Backward(grad)
				ps.walk.AddGradAt(l.commit, tape.ContextGrad())
			})
			for k := range l.windows {
				seq := l.windows[k].sequence(len(b.Adapters)-1, r.Options.leave())
				for j := range seq.Labels {
					seq.Labels[j].Weight = weight
				}
				tokens += len(seq.Tokens)
				b.Sequences = append(b.Sequences, seq)
			}
		}
	}
	if len(b.Sequences) == 0 {
		return 0, 0, nil
	}
	res, err := r.Base.Do(ctx, compute.NewRequest(r.Base, compute.Gradient, b, model.GradientOptions{Detach: r.Options.Detach}))
	if err != nil {
		return 0, 0, err
	}
	for i, f := range back {
		f(res.Grads[i])
	}
	return res.Loss, tokens, nil
}

// fit measures what the head keeps of the training repositories: one context of
// each, at places that are spread over their histories.
func (r *RecurrentRun) fit() error {
	var all [][]float32
	for i, h := range r.Train {
		cs, err := contexts(r.GRU, h, []int{(2*i + 1) * len(h.Commits) / (2 * len(r.Train))})
		if err != nil {
			return err
		}
		all = append(all, cs...)
	}
	if err := evolve.FitHead(r.Head, all); err != nil {
		return fmt.Errorf("head: %w", err)
	}
	return nil
}

// audit fits the head again and compares adapters on the validation repositories.
func (r *RecurrentRun) audit(ctx context.Context) (*Audit, error) {
	if err := r.fit(); err != nil {
		return nil, err
	}
	subjects, err := ofHistories(r.GRU, r.Head, r.Validation, r.Recurrence.ValidationCommits)
	if err != nil {
		return nil, err
	}
	auditor := Auditor{Base: r.Base, Leaves: r.Leaves}
	out, _, err := auditor.audit(ctx, r.Head, subjects, false)
	return out, err
}

// recurrentState is the metadata of a recurrent run's state file.
type recurrentState struct {
	savedState
	Lanes   [][]float32                 `json:"lanes"` // as in the run
	Buffers map[string]embedding.Tensor `json:"buffers"`
}

func (r *RecurrentRun) save(path string) error {
	s := recurrentState{savedState{r.state, r.Options.Seed, r.steps(), r.Identity, r.optim.t}, r.lanes, r.Head.Buffers()}
	return SaveState(path, stateKey, s, r.params(), r.optim)
}

func (r *RecurrentRun) load(path string) error {
	var s recurrentState
	check := func() error {
		if err := s.check(r.Options.Seed, r.steps(), r.Identity); err != nil {
			return err
		}
		if len(s.Lanes) != len(r.lanes) {
			return fmt.Errorf("states of %d lanes, want %d", len(s.Lanes), len(r.lanes))
		}
		for i, h := range s.Lanes {
			if h != nil && len(h) != r.Recurrence.Hidden {
				return fmt.Errorf("the state of lane %d has %d values, want %d", i, len(h), r.Recurrence.Hidden)
			}
		}
		return r.Head.SetBuffers(s.Buffers)
	}
	if err := LoadState(path, stateKey, &s, check, r.params(), r.optim); err != nil {
		return err
	}
	r.state, r.optim.t, r.lanes = s.state, s.AdamSteps, s.Lanes
	return nil
}
