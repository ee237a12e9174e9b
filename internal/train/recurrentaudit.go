package train

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/dataset"
	"github.com/code2lora/code2lora/internal/evolve"
	"github.com/code2lora/code2lora/internal/hypernet"
)

// ErrSettings is returned for a checkpoint whose recurrence reads commits in
// another way than a configuration says.
var ErrSettings = errors.New("the recurrence was trained with other settings")

// EvaluateRecurrent is [Evaluate] for a checkpoint with a recurrence: each
// repository's history is walked over from its first kept commit, and its own
// adapters are those at recurrence.validation_commits of the commits with tasks,
// evenly spread. The one in the spread is that at the last of them.
func EvaluateRecurrent(ctx context.Context, c *Config, d Deps, ck *evolve.Checkpoint, split dataset.Split) (*Evaluation, error) {
	if d.Report == nil {
		d.Report = func(string, ...any) {}
	}
	if c.Recurrence == nil {
		return nil, errors.New("the configuration has no recurrence section")
	}
	have := c.Recurrence.Settings
	have.Truncation = ck.Settings.Truncation // which only training depends on
	if have != ck.Settings {
		return nil, fmt.Errorf("checkpoint %s: %w: %+v, and the configuration gives %+v", ck.Name, ErrSettings, ck.Settings, have)
	}
	p, err := newHistorian(c, d)
	if err != nil {
		return nil, err
	}
	if err := checkEncoder(ck.Info, p.Encoder); err != nil {
		return nil, err
	}
	p.Data.ValidationRepositories = 0 // all
	hs, err := p.histories(ctx, split)
	if err != nil {
		return nil, err
	}
	for _, h := range hs {
		if err := h.transform(&ck.Inputs.Repository, &ck.Inputs.Step); err != nil {
			return nil, fmt.Errorf("%s: %w", h.Name, err)
		}
	}
	subjects := func(hs []*History) ([]subject, error) {
		return ofHistories(ck.GRU, ck.Head, hs, c.Recurrence.ValidationCommits)
	}
	asked, err := subjects(hs)
	if err != nil {
		return nil, err
	}
	e, err := d.evaluate(ctx, c, ck.Info, ck.Head, split, asked, func() ([]subject, error) {
		p.Data.SpaceWithTarget = true
		return subjects(p.cutAgain(hs))
	})
	if err != nil {
		return nil, err
	}
	e.CommitsPerRepo = c.Recurrence.ValidationCommits
	return e, nil
}

// ofHistories are the subjects that histories are, each at so many of its commits
// with tasks, at most.
func ofHistories(g *evolve.GRU, head hypernet.ContextHead, hs []*History, commits int) ([]subject, error) {
	out := make([]subject, len(hs))
	for i, h := range hs {
		at := spreadCommits(h, commits)
		if len(at) == 0 {
			return nil, fmt.Errorf("repository %s: no commit has tasks", h.Name)
		}
		cs, err := contexts(g, h, at)
		if err != nil {
			return nil, err
		}
		out[i].name = h.Name
		for j, k := range at {
			out[i].occasions = append(out[i].occasions, occasion{h.Commits[k].Windows, func() (*adapter.Adapter, error) {
				a, _, err := head.GenerateContext(cs[j])
				return a, err
			}})
		}
	}
	return out, nil
}

// spreadCommits returns the indices of commits with tasks, at most so many and
// evenly spread.
func spreadCommits(h *History, most int) []int {
	var with []int
	for i := range h.Commits {
		if len(h.Commits[i].Windows) > 0 {
			with = append(with, i)
		}
	}
	n := min(len(with), most)
	some := make([]int, n)
	for i := range some {
		some[i] = with[(2*i+1)*len(with)/(2*n)]
	}
	return some
}

// contexts walks over a history and returns the contexts at some commits, in
// their order.
func contexts(g *evolve.GRU, h *History, at []int) (out [][]float32, err error) {
	s, err := g.Start(h.Repository)
	for i := 0; err == nil && len(out) < len(at); i++ {
		if s, err = g.Step(s, h.Commits[i].Input); err != nil || i != at[len(out)] {
			continue
		}
		var c []float32
		c, err = g.Context(s)
		out = append(out, c)
	}
	if err != nil {
		return nil, fmt.Errorf("repository %s: %w", h.Name, err)
	}
	return out, nil
}

// cutAgain returns histories with their tasks cut again, after a change of what
// decides how. Those that are left without any are left out.
func (p *historian) cutAgain(hs []*History) (out []*History) {
	for _, old := range hs {
		h := &History{Name: old.Name, Repository: old.Repository, Commits: slices.Clone(old.Commits)}
		for i := range h.Commits {
			h.Commits[i].Windows = nil
		}
		p.addTasks(h, p.docs[h.Name])
		out = append(out, h)
	}
	return withTasks(out)
}
