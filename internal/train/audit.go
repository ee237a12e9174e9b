package train

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"sort"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/compute"
	"github.com/code2lora/code2lora/internal/hypernet"
	"github.com/code2lora/code2lora/internal/model"
)

// Score is the result of one kind of adapter on all tasks of an audit.
type Score struct {
	ExactMatch   Estimate `json:"exact_match"`   // share of tasks
	CrossEntropy Estimate `json:"cross_entropy"` // nats per target token
}

// Estimate is a mean with its 95 % confidence interval, from a bootstrap over
// repositories.
type Estimate struct {
	Mean float64 `json:"mean"`
	Low  float64 `json:"low"`
	High float64 `json:"high"`
}

// String gives the mean and the interval.
func (e Estimate) String() string { return fmt.Sprintf("%.4f [%.4f, %.4f]", e.Mean, e.Low, e.High) }

// Audit compares, on the same tasks, a repository's own adapter with the
// checkpoint's average adapter and with another repository's. A hypernetwork
// uses its input only if own beats both.
type Audit struct {
	Repositories int    `json:"repositories"`
	Tasks        int    `json:"tasks"`
	Base         *Score `json:"base,omitempty"`
	Own          Score  `json:"own"`
	Average      Score  `json:"average"`
	Stranger     Score  `json:"stranger"`
	// OwnAverage and OwnStranger are paired differences, own minus the other:
	// a negative cross-entropy and a positive exact match speak for own.
	OwnAverage  Score `json:"own_minus_average"`
	OwnStranger Score `json:"own_minus_stranger"`
}

// tally is the outcome of one repository's tasks under one adapter.
type tally struct{ tasks, exact, nll, tokens float64 }

// resamples is the number of bootstrap samples.
const resamples = 2000

// Auditor evaluates heads on repositories.
type Auditor struct {
	Base   compute.Backend
	Leaves func(token int32) bool
	// Tokens bounds one pass over the base; 0 means 1,024.
	Tokens int
}

// Audit scores every repository under its own adapter, the average adapter and
// that of the next repository in the list; with withBase also without one.
func (a *Auditor) Audit(ctx context.Context, head hypernet.Head, repos []*Repository, withBase bool) (*Audit, error) {
	subjects, err := ofRepositories(head, repos)
	if err != nil {
		return nil, err
	}
	out, _, err := a.audit(ctx, head, subjects, withBase)
	return out, err
}

// subject is a repository whose adapters are compared.
type subject struct {
	name      string
	occasions []occasion
}

// occasion is what a subject is asked under one own adapter: all there is with a
// snapshot, the tasks of a commit with a history.
type occasion struct {
	windows []Window
	own     func() (*adapter.Adapter, error)
}

// adapterOf chooses the adapter of occasion j of subject i; nil for none.
type adapterOf func(i, j int) (*adapter.Adapter, error)

// same chooses one adapter for everything.
func same(ad *adapter.Adapter) adapterOf {
	return func(int, int) (*adapter.Adapter, error) { return ad, nil }
}

// owns chooses the own adapters of subjects.
func owns(subjects []subject) adapterOf {
	return func(i, j int) (*adapter.Adapter, error) { return subjects[i].occasions[j].own() }
}

// strangers chooses adapters of the next subject, at its corresponding occasion.
func strangers(subjects []subject) adapterOf {
	return func(i, j int) (*adapter.Adapter, error) {
		other := subjects[(i+1)%len(subjects)].occasions
		return other[j*len(other)/len(subjects[i].occasions)].own()
	}
}

// ofRepositories are the subjects that repositories are, each with the adapter
// that a head makes of it.
func ofRepositories(head hypernet.Head, repos []*Repository) ([]subject, error) {
	own, err := ownAdapters(head, repos)
	if err != nil {
		return nil, err
	}
	out := make([]subject, len(repos))
	for i, r := range repos {
		out[i] = subject{r.Name, []occasion{{r.Windows, func() (*adapter.Adapter, error) { return own[i], nil }}}}
	}
	return out, nil
}

// audit compares own adapters, the average one of a head, and strange ones; it
// returns the tallies of each kind of adapter too.
func (a *Auditor) audit(ctx context.Context, head hypernet.Head, subjects []subject, withBase bool) (*Audit, map[string][]tally, error) {
	average, err := head.Average()
	if err != nil {
		return nil, nil, err
	}
	choose := map[string]adapterOf{"own": owns(subjects), "average": same(average), "stranger": strangers(subjects)}
	if withBase {
		choose["base"] = same(nil)
	}
	tallies := map[string][]tally{}
	for name, of := range choose {
		if tallies[name], err = a.tallies(ctx, subjects, of); err != nil {
			return nil, nil, err
		}
	}
	out := &Audit{Repositories: len(subjects)}
	for _, s := range subjects {
		for _, o := range s.occasions {
			out.Tasks += numTasksOf(o.windows)
		}
	}
	out.compare(tallies)
	return out, tallies, nil
}

// compare fills in the scores of each kind of adapter: own, average, stranger,
// and base if it is there.
func (a *Audit) compare(tallies map[string][]tally) {
	own, average, stranger := tallies["own"], tallies["average"], tallies["stranger"]
	a.Own, a.Average, a.Stranger = summarize(own, nil), summarize(average, nil), summarize(stranger, nil)
	a.OwnAverage, a.OwnStranger = summarize(own, average), summarize(own, stranger)
	if b := tallies["base"]; b != nil {
		base := summarize(b, nil)
		a.Base = &base
	}
}

// tallies scores every subject under the adapters chosen for it.
func (a *Auditor) tallies(ctx context.Context, subjects []subject, of adapterOf) ([]tally, error) {
	all := make([]tally, len(subjects))
	for i, s := range subjects {
		for j, o := range s.occasions {
			ad, err := of(i, j)
			if err != nil {
				return nil, fmt.Errorf("repository %s: %w", s.name, err)
			}
			t, err := a.windows(ctx, o.windows, ad)
			if err != nil {
				return nil, fmt.Errorf("repository %s: %w", s.name, err)
			}
			all[i] = all[i].plus(t)
		}
	}
	return all, nil
}

// Total is how one adapter did on some tasks.
type Total struct {
	Tasks        int     `json:"tasks"`
	ExactMatch   float64 `json:"exact_match"`   // share of tasks
	CrossEntropy float64 `json:"cross_entropy"` // nats per target token
}

// Total scores all windows of repositories under one adapter, nil for none.
func (a *Auditor) Total(ctx context.Context, repos []*Repository, ad *adapter.Adapter) (Total, error) {
	var sum tally
	for _, r := range repos {
		t, err := a.windows(ctx, r.Windows, ad)
		if err != nil {
			return Total{}, fmt.Errorf("repository %s: %w", r.Name, err)
		}
		sum = sum.plus(t)
	}
	return Total{int(sum.tasks), ratio(sum.exact, sum.tasks), ratio(sum.nll, sum.tokens)}, nil
}

// windows scores windows under one adapter; those that begin with the same
// imports together.
func (a *Auditor) windows(ctx context.Context, ws []Window, ad *adapter.Adapter) (t tally, err error) {
	most := a.Tokens
	if most == 0 {
		most = 1024
	}
	var b model.Batch
	which := -1
	if ad != nil {
		b.Adapters, which = []*adapter.Adapter{ad}, 0
	}
	seqs, tokens := make([]model.Sequence, len(ws)), make([][]int32, len(ws))
	for i := range ws {
		seqs[i] = ws[i].sequence(which, true)
		tokens[i] = seqs[i].Tokens
	}
	for _, group := range compute.Group(tokens, most) {
		b.Sequences = nil
		for _, i := range group {
			b.Sequences = append(b.Sequences, seqs[i])
		}
		res, err := a.Base.Do(ctx, compute.NewRequest(a.Base, compute.Score, b, model.GradientOptions{}))
		if err != nil {
			return t, err
		}
		for k, i := range group {
			t.add(&ws[i], seqs[i].Labels, res.NLL[k], res.Argmax[k], a.Leaves)
		}
	}
	return t, nil
}

// add counts the tasks of one window; labels are in the order of its tasks.
func (t *tally) add(w *Window, labels []model.Label, nll []float32, best []int32, leaves func(int32) bool) {
	k := 0
	for _, s := range w.Tasks {
		exact := true
		for i := s.From; i < s.To; i++ {
			t.nll += float64(nll[k])
			t.tokens++
			exact = exact && best[k] == labels[k].Target
			k++
		}
		if s.To < len(w.Tokens) { // the label that leaves the target
			exact = exact && leaves(best[k])
			k++
		}
		t.tasks++
		if exact {
			t.exact++
		}
	}
}

// summarize returns the means over all tasks, with intervals from resampling
// repositories; with minus, of the paired differences to it.
func summarize(ts, minus []tally) Score {
	rng := rand.New(rand.NewPCG(17, 4))
	mean := func(pick []int, em bool) float64 {
		var a, b tally
		for _, i := range pick {
			a = a.plus(ts[i])
			if minus != nil {
				b = b.plus(minus[i])
			}
		}
		if em {
			return ratio(a.exact, a.tasks) - ratio(b.exact, b.tasks)
		}
		return ratio(a.nll, a.tokens) - ratio(b.nll, b.tokens)
	}
	all := make([]int, len(ts))
	for i := range all {
		all[i] = i
	}
	em, ce := make([]float64, resamples), make([]float64, resamples)
	pick := make([]int, len(ts))
	for i := range resamples {
		for j := range pick {
			pick[j] = rng.IntN(len(ts))
		}
		em[i], ce[i] = mean(pick, true), mean(pick, false)
	}
	return Score{ExactMatch: interval(mean(all, true), em), CrossEntropy: interval(mean(all, false), ce)}
}

func (t tally) plus(o tally) tally {
	return tally{t.tasks + o.tasks, t.exact + o.exact, t.nll + o.nll, t.tokens + o.tokens}
}

func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

// interval is the central 95 % of the samples around a mean.
func interval(mean float64, samples []float64) Estimate {
	sort.Float64s(samples)
	at := func(q float64) float64 { return samples[int(math.Round(q*float64(len(samples)-1)))] }
	return Estimate{Mean: mean, Low: at(0.025), High: at(0.975)}
}
