package main

import (
	"context"
	"fmt"

	"github.com/code2lora/code2lora/internal/evolve"
	"github.com/code2lora/code2lora/internal/follow"
	"github.com/code2lora/code2lora/internal/gitrepo"
	"github.com/code2lora/code2lora/internal/store"
)

// edits are what an additive state is changed by before its adapter is made.
type edits struct {
	path          string
	without, with []string
}

func (e edits) any() bool { return e.path != "" || len(e.without)+len(e.with) > 0 }

// edit changes a state. The stored one stays as it is.
func (a *app) edit(ctx context.Context, f *followed, s evolve.State, e edits) (evolve.State, error) {
	if !e.any() {
		return s, nil
	}
	sums, ok := f.Follower.(*evolve.Additive)
	if !ok {
		return nil, fmt.Errorf("the state of mode %s is no sum over files, so nothing can be taken away or added", f.mode)
	}
	var err error
	if e.path != "" {
		if s, err = sums.Only(ctx, f.Repo, s, e.path); err != nil {
			return nil, unusable(fmt.Errorf("--path: %w", err))
		}
	}
	for _, path := range e.without {
		if s, err = sums.Without(ctx, f.Repo, s, path); err != nil {
			return nil, unusable(fmt.Errorf("--without: %w", err))
		}
	}
	for _, spec := range e.with {
		other, err := a.stateOf(ctx, f, spec)
		if err != nil {
			return nil, fmt.Errorf("--with %s: %w", spec, err)
		}
		if s, err = sums.With(s, other); err != nil {
			return nil, fmt.Errorf("--with %s: %w", spec, err)
		}
	}
	return s, nil
}

// stateOf returns the state of another repository at its HEAD, which is kept too,
// or of a source tree without git.
func (a *app) stateOf(ctx context.Context, f *followed, spec string) (evolve.State, error) {
	r, err := gitrepo.Open(ctx, spec, gitrepo.Options{AllowNetwork: networkAllowed(), CacheDir: store.Clones()})
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if !r.IsGit() {
		return f.Follower.Begin(ctx, r, "", f.Progress)
	}
	j := f.Job
	j.Repo, j.Ref = r, ""
	s, res, err := follow.At(ctx, j)
	if err != nil {
		return nil, err
	}
	a.noteAll(res.Notes)
	return s, nil
}
