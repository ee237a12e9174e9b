package train

import (
	"context"
	"errors"
	"fmt"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/dataset"
	"github.com/code2lora/code2lora/internal/hypernet"
	"github.com/code2lora/code2lora/internal/score"
)

// Evaluation is the audit of a checkpoint on repositories that neither
// training nor tuning has seen.
type Evaluation struct {
	Checkpoint       string `json:"checkpoint"`
	CheckpointSHA256 string `json:"checkpoint_sha256"`
	Base             string `json:"base"`
	Encoder          string `json:"encoder"`
	Split            string `json:"split"`
	TasksPerRepo     int    `json:"tasks_per_repository"`        // at most
	WindowTokens     int    `json:"window_tokens"`               // longest prefix and target
	SpaceWithTarget  bool   `json:"space_with_target,omitempty"` // see DataOptions
	// Audit has the tasks as they are: a prefix such as "assert x == " ends in a
	// space, with which byte-level tokenizers put the base at a disadvantage. With
	// SpaceWithTarget it has them as Natural does.
	Audit *Audit `json:"audit"`
	// Natural has the same tasks with that space moved to the target, where the
	// base is at its best. With SpaceWithTarget its scores are those of Audit.
	Natural *Natural         `json:"natural"`
	Spread  *hypernet.Spread `json:"spread"` // how much the adapters differ
}

// Natural compares own adapters with the base where the base is at its best.
type Natural struct {
	Base    Score `json:"base"`
	Own     Score `json:"own"`
	OwnBase Score `json:"own_minus_base"`
}

// Evaluate audits a checkpoint on the repositories of a split of the
// configuration's table or benchmark: every repository under its own adapter, the average
// one, another repository's, and none.
func Evaluate(ctx context.Context, c *Config, d Deps, ck *hypernet.Checkpoint, split dataset.Split) (*Evaluation, error) {
	if d.Report == nil {
		d.Report = func(string, ...any) {}
	}
	src, err := c.source(d.Report)
	if err != nil {
		return nil, err
	}
	enc, err := NewEncoder(c, d)
	if err != nil {
		return nil, err
	}
	if enc.ID() != ck.Encoder {
		return nil, fmt.Errorf("checkpoint %s: %w: %q, and the configuration gives %q", ck.Name, hypernet.ErrEncoder, ck.Encoder, enc.ID())
	}
	p := newPreparation(c, d, enc)
	repos, err := p.ofSource(ctx, src, split)
	if err != nil {
		return nil, err
	}
	if len(repos) < 2 {
		return nil, errors.New("evaluating needs at least two repositories, to compare own and strange adapters")
	}
	base, _, err := d.backend(c, ck.Head)
	if err != nil {
		return nil, err
	}
	auditor := Auditor{Base: base, Leaves: func(id int32) bool { return score.Leaves(d.Tokenizer, id) }}
	e := &Evaluation{Checkpoint: ck.Name, Base: d.Base.Name, Encoder: ck.Encoder, Split: string(split),
		TasksPerRepo: c.Data.ValidationTasks, WindowTokens: c.Data.WindowTokens,
		SpaceWithTarget: c.Data.SpaceWithTarget}
	audit, tallies, err := auditor.audit(ctx, ck.Head, repos, true)
	if err != nil {
		return nil, err
	}
	e.Audit = audit
	own, err := ownAdapters(ck.Head, repos)
	if err != nil {
		return nil, err
	}
	if c.Data.SpaceWithTarget {
		e.Natural = &Natural{Base: *audit.Base, Own: audit.Own, OwnBase: summarize(tallies["own"], tallies["base"])}
	} else {
		p.Data.SpaceWithTarget = true
		natural, err := p.Prepare(ctx, split, src.ofSplit(split))
		if err != nil {
			return nil, err
		}
		if e.Natural, err = auditor.natural(ctx, ck.Head, natural); err != nil {
			return nil, err
		}
	}
	average, err := ck.Head.Average()
	if err != nil {
		return nil, err
	}
	e.Spread, err = hypernet.Conditioning(average, own)
	return e, err
}

// natural scores repositories without an adapter and with their own.
func (a *Auditor) natural(ctx context.Context, head hypernet.Head, repos []*Repository) (*Natural, error) {
	own, err := ownAdapters(head, repos)
	if err != nil {
		return nil, err
	}
	base, err := a.tallies(ctx, repos, func(int) *adapter.Adapter { return nil })
	if err != nil {
		return nil, err
	}
	adapted, err := a.tallies(ctx, repos, func(i int) *adapter.Adapter { return own[i] })
	if err != nil {
		return nil, err
	}
	return &Natural{Base: summarize(base, nil), Own: summarize(adapted, nil), OwnBase: summarize(adapted, base)}, nil
}
