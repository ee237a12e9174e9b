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
	out, _, err := a.audit(ctx, head, repos, withBase)
	return out, err
}

// audit is Audit; it returns the tallies of each kind of adapter too.
func (a *Auditor) audit(ctx context.Context, head hypernet.Head, repos []*Repository, withBase bool) (*Audit, map[string][]tally, error) {
	own, err := ownAdapters(head, repos)
	if err != nil {
		return nil, nil, err
	}
	average, err := head.Average()
	if err != nil {
		return nil, nil, err
	}
	choose := map[string]func(i int) *adapter.Adapter{
		"own":      func(i int) *adapter.Adapter { return own[i] },
		"average":  func(int) *adapter.Adapter { return average },
		"stranger": func(i int) *adapter.Adapter { return own[(i+1)%len(own)] },
	}
	if withBase {
		choose["base"] = func(int) *adapter.Adapter { return nil }
	}
	tallies := map[string][]tally{}
	for name, adapterOf := range choose {
		if tallies[name], err = a.tallies(ctx, repos, adapterOf); err != nil {
			return nil, nil, err
		}
	}
	out := &Audit{Repositories: len(repos), Tasks: NumTasks(repos)}
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

// tallies scores every repository under the adapter chosen for it.
func (a *Auditor) tallies(ctx context.Context, repos []*Repository, adapterOf func(i int) *adapter.Adapter) ([]tally, error) {
	var all []tally
	for i, r := range repos {
		t, err := a.repository(ctx, r, adapterOf(i))
		if err != nil {
			return nil, fmt.Errorf("repository %s: %w", r.Name, err)
		}
		all = append(all, t)
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
	ts, err := a.tallies(ctx, repos, func(int) *adapter.Adapter { return ad })
	if err != nil {
		return Total{}, err
	}
	var sum tally
	for _, t := range ts {
		sum = sum.plus(t)
	}
	return Total{int(sum.tasks), ratio(sum.exact, sum.tasks), ratio(sum.nll, sum.tokens)}, nil
}

// repository scores the windows of one repository; those that begin with the
// same imports together.
func (a *Auditor) repository(ctx context.Context, r *Repository, ad *adapter.Adapter) (t tally, err error) {
	most := a.Tokens
	if most == 0 {
		most = 1024
	}
	var b model.Batch
	which := -1
	if ad != nil {
		b.Adapters, which = []*adapter.Adapter{ad}, 0
	}
	seqs, tokens := make([]model.Sequence, len(r.Windows)), make([][]int32, len(r.Windows))
	for i := range r.Windows {
		seqs[i] = r.Windows[i].sequence(which, true)
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
			t.add(&r.Windows[i], seqs[i].Labels, res.NLL[k], res.Argmax[k], a.Leaves)
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
