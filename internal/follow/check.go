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
	own, fresh, seconds, err := j.besides(ctx, data, scratch, res.Commit)
	if err != nil {
		return nil, err
	}
	c := &Comparison{Seconds: seconds, Equal: adapter.Digest(own) == adapter.Digest(fresh)}
	c.Distance, err = adapter.Distance(own, fresh)
	return c, err
}

// besides makes the adapters of a stored state and of one that f begins at its
// commit, and tells how long the latter took.
func (j Job) besides(ctx context.Context, data []byte, f evolve.Follower, commit string) (own, fresh *adapter.Adapter, seconds float64, err error) {
	if own, err = j.decoded(data); err != nil {
		return nil, nil, 0, err
	}
	began := time.Now()
	s, err := f.Begin(ctx, j.Repo, commit, j.Progress)
	if err != nil {
		return nil, nil, 0, err
	}
	fresh, err = f.Adapter(s)
	return own, fresh, time.Since(began).Seconds(), err
}

func (j Job) decoded(data []byte) (*adapter.Adapter, error) {
	s, err := j.Follower.Decode(data)
	if err != nil {
		return nil, err
	}
	return j.Follower.Adapter(s)
}
