package follow

import (
	"context"
	"fmt"
	"time"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/evolve"
	"github.com/code2lora/code2lora/internal/state"
)

// Comparison is of a stored state with one that is begun at its commit.
type Comparison struct {
	Seconds  float64 `json:"seconds"`  // to begin the other, and to make its adapter
	Distance float64 `json:"distance"` // as in [Drift]
	Equal    bool    `json:"equal"`    // the adapters are equal, bit for bit
}

// Check compares the state that an update has reached with one that scratch, the
// same follower without a cache, begins there.
func Check(ctx context.Context, j Job, res *Result, scratch evolve.Follower) (*Comparison, error) {
	if scratch.ID() != j.Follower.ID() {
		return nil, fmt.Errorf("check: states of %q compared with those of %q", j.Follower.ID(), scratch.ID())
	}
	_, data, err := j.Store.Get(ctx, state.Key{Repository: res.Repository, Commit: res.Commit, Model: Model(j.Follower)})
	if err != nil {
		return nil, err
	}
	own, err := j.decoded(data)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	s, err := scratch.Begin(ctx, j.Repo, res.Commit, j.Progress)
	if err != nil {
		return nil, err
	}
	fresh, err := scratch.Adapter(s)
	if err != nil {
		return nil, err
	}
	c := &Comparison{Seconds: time.Since(began).Seconds(), Equal: adapter.Digest(own) == adapter.Digest(fresh)}
	c.Distance, err = adapter.Distance(own, fresh)
	return c, err
}
