package follow

import (
	"context"
	"errors"
	"fmt"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/encoder"
	"github.com/code2lora/code2lora/internal/state"
)

// Drift compares the adapter of a state that has followed commits with that of a
// state begun at the same commit.
type Drift struct {
	Commit   string  `json:"commit"`
	Anchor   string  `json:"anchor"`
	Steps    int     `json:"steps"` // commits since the anchor
	Churn    float64 `json:"churn"`
	Distance float64 `json:"distance"` // ‖ΔW − ΔW'‖ / ‖ΔW'‖, where ΔW' is of the state begun there
	Cosine   float64 `json:"cosine"`   // of ΔW and ΔW'
	// Anchored is the same distance of the state at the anchor, which never moved;
	// nil if it is gone.
	Anchored *float64 `json:"anchored,omitempty"`
	Seconds  float64  `json:"seconds"` // to begin a state, and to make its adapter

	Tasks int     `json:"tasks,omitempty"` // held out, that Loss is of
	Loss  *Losses `json:"loss,omitempty"`  // nil without tasks
}

// ErrNoStates is returned when no commit of a history has a state.
var ErrNoStates = errors.New("no commit of the history has a state")

// Measure measures the drift of the stored states at n commits of the history,
// evenly spread over those that have one and are no anchors, and notes it with
// them. report is told each, oldest first; it may be nil.
func Measure(ctx context.Context, j Job, n int, report func(Drift)) ([]Drift, error) {
	lines, _, err := Log(ctx, j, 0)
	if err != nil {
		return nil, err
	}
	var entries []state.Entry
	for i := len(lines) - 1; i >= 0; i-- {
		if e := lines[i].State; e != nil && e.Steps > 0 {
			entries = append(entries, *e)
		}
	}
	if len(entries) == 0 {
		return nil, fmt.Errorf("%s: %w that has followed others: update it first, from an older commit", j.Repo.Name(), ErrNoStates)
	}
	n = min(n, len(entries))
	if n < 1 {
		return nil, fmt.Errorf("drift at %d commits: want at least 1", n)
	}
	var list []Drift
	for i := range n {
		e := entries[(i+1)*len(entries)/n-1] // the newest is one
		d, err := j.measure(ctx, e)
		if err != nil {
			return list, fmt.Errorf("commit %.12s: %w", e.Commit, err)
		}
		list = append(list, *d)
		if report != nil {
			report(*d)
		}
	}
	return list, nil
}

func (j Job) measure(ctx context.Context, e state.Entry) (*Drift, error) {
	e, data, err := j.Store.Get(ctx, e.Key)
	if err != nil {
		return nil, err
	}
	evolved, fresh, seconds, err := j.besides(ctx, data, j.Follower, e.Commit)
	if err != nil {
		return nil, err
	}
	d := &Drift{Commit: e.Commit, Anchor: e.Anchor, Steps: e.Steps, Churn: e.Notes[noteChurn], Seconds: seconds}
	if d.Distance, err = adapter.Distance(evolved, fresh); err != nil {
		return nil, err
	}
	if d.Cosine, err = adapter.Cosine(evolved, fresh); err != nil {
		return nil, err
	}
	old, err := j.anchored(ctx, e)
	if err != nil {
		return nil, err
	}
	if old != nil {
		distance, err := adapter.Distance(old, fresh)
		if err != nil {
			return nil, err
		}
		d.Anchored = &distance
	}
	if err := j.losses(ctx, d, evolved, fresh, old); err != nil {
		return nil, err
	}
	return d, j.noteDrift(ctx, e, data, d.Distance)
}

// anchored makes the adapter of the state at the anchor of another; nil if that
// state is gone, or of no file.
func (j Job) anchored(ctx context.Context, e state.Entry) (*adapter.Adapter, error) {
	k := e.Key
	k.Commit = e.Anchor
	_, data, err := j.Store.Get(ctx, k)
	if errors.Is(err, state.ErrNotFound) || errors.Is(err, state.ErrCorrupt) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	a, err := j.decoded(data)
	if errors.Is(err, encoder.ErrNothing) {
		return nil, nil
	}
	return a, err
}

// noteDrift notes the drift of a state, unless it was replaced or removed since
// it was read.
func (j Job) noteDrift(ctx context.Context, e state.Entry, data []byte, drift float64) error {
	unlock, err := j.Store.Lock(ctx, e.Repository, e.Model)
	if err != nil {
		return err
	}
	defer unlock()
	now, ok, err := j.Store.Has(ctx, e.Key)
	if err != nil || !ok || now.Digest != e.Digest {
		return err
	}
	if now.Notes == nil {
		now.Notes = map[string]float64{}
	}
	now.Notes[j.own(noteDrift)] = drift
	return j.Store.Put(ctx, now, data)
}
