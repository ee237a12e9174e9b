package follow

import (
	"context"
	"fmt"
	"math"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/stats"
)

// Losses are those of a commit's held-out tasks under several adapters, in nats
// per token of what is asked for, each the mean over tasks. The differences are
// of the same tasks: above 0, the evolved state is the worse one. What needs a
// state at the anchor is nil where that is gone.
type Losses struct {
	Base     float64  `json:"base"` // without an adapter
	Evolved  float64  `json:"evolved"`
	Fresh    float64  `json:"fresh"`
	Anchored *float64 `json:"anchored,omitempty"` // of the state at the anchor, which never moved

	EvolvedFresh    float64  `json:"evolved_fresh"` // evolved minus fresh: the drift
	EvolvedAnchored *float64 `json:"evolved_anchored,omitempty"`
}

// losses scores the adapters of d on tasks of its commit, if the job can and there
// are any. anchored may be nil.
func (j Job) losses(ctx context.Context, d *Drift, evolved, fresh, anchored *adapter.Adapter) error {
	if j.Losses == nil {
		return nil
	}
	adapters := []*adapter.Adapter{nil, evolved, fresh}
	if anchored != nil {
		adapters = append(adapters, anchored)
	}
	all, err := j.Losses(ctx, d.Commit, adapters)
	if err != nil {
		return fmt.Errorf("losses: %w", err)
	}
	if len(all) != len(adapters) {
		return fmt.Errorf("losses: those of %d adapters, want %d", len(all), len(adapters))
	}
	for i, of := range all {
		if len(of) != len(all[0]) {
			return fmt.Errorf("losses: %d tasks for one adapter and %d for another", len(all[0]), len(of))
		}
		for _, x := range of {
			if math.IsNaN(x) || math.IsInf(x, 0) {
				return fmt.Errorf("losses: that of a task under the %s is %g", [...]string{"base", "evolved adapter", "fresh adapter", "anchor's adapter"}[i], x)
			}
		}
	}
	if d.Tasks = len(all[0]); d.Tasks == 0 {
		return nil
	}
	d.Loss = &Losses{Base: mean(all[0], nil), Evolved: mean(all[1], nil), Fresh: mean(all[2], nil), EvolvedFresh: mean(all[1], all[2])}
	if anchored != nil {
		a, e := mean(all[3], nil), mean(all[1], all[3])
		d.Loss.Anchored, d.Loss.EvolvedAnchored = &a, &e
	}
	return nil
}

// mean returns the mean of a − b; a nil b is 0.
func mean(a, b []float64) float64 {
	var sum float64
	for i, x := range a {
		if b != nil {
			x -= b[i]
		}
		sum += x
	}
	return sum / float64(len(a))
}

// LossDrift is the drift in loss over several commits. Each commit counts the
// same, and the 95 % bootstrap intervals draw commits; N of them is the number of
// commits. What fewer than [LossCommits] have is nil.
type LossDrift struct {
	EvolvedFresh    *stats.Interval `json:"evolved_fresh,omitempty"`
	EvolvedAnchored *stats.Interval `json:"evolved_anchored,omitempty"`
}

// LossCommits is the number of commits from which on an interval is given.
const LossCommits = 3

// SummarizeLosses averages the differences in loss that were measured; nil for
// fewer than [LossCommits] of them.
func SummarizeLosses(list []Drift) *LossDrift {
	var fresh, anchored []stats.Value
	for _, d := range list {
		if d.Loss == nil {
			continue
		}
		fresh = append(fresh, stats.Value{Cluster: d.Commit, X: d.Loss.EvolvedFresh})
		if x := d.Loss.EvolvedAnchored; x != nil {
			anchored = append(anchored, stats.Value{Cluster: d.Commit, X: *x})
		}
	}
	interval := func(values []stats.Value) *stats.Interval {
		if len(values) < LossCommits {
			return nil
		}
		iv := stats.Mean(values, stats.Options{})
		return &iv
	}
	if len(fresh) < LossCommits {
		return nil
	}
	return &LossDrift{EvolvedFresh: interval(fresh), EvolvedAnchored: interval(anchored)}
}
