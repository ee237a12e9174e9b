package train

import (
	"context"
	"errors"
	"fmt"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/dataset"
	"github.com/code2lora/code2lora/internal/encoder"
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
	TasksPerRepo     int    `json:"tasks_per_repository"`             // at most
	CommitsPerRepo   int    `json:"commits_per_repository,omitempty"` // at most; of a recurrence
	WindowTokens     int    `json:"window_tokens"`                    // longest prefix and target
	SpaceWithTarget  bool   `json:"space_with_target,omitempty"`      // see DataOptions
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
	if err := checkEncoder(ck.Info, enc); err != nil {
		return nil, err
	}
	p := newPreparation(c, d, enc)
	repos, err := p.ofSource(ctx, src, split)
	if err != nil {
		return nil, err
	}
	subjects, err := ofRepositories(ck.Head, repos)
	if err != nil {
		return nil, err
	}
	return d.evaluate(ctx, c, ck.Info, ck.Head, split, subjects, func() ([]subject, error) {
		p.Data.SpaceWithTarget = true
		natural, err := p.Prepare(ctx, split, src.ofSplit(split))
		if err != nil {
			return nil, err
		}
		return ofRepositories(ck.Head, natural)
	})
}

// checkEncoder refuses a checkpoint that reads repositories by another encoder.
func checkEncoder(ck hypernet.Info, enc encoder.Encoder) error {
	if enc.ID() != ck.Encoder {
		return fmt.Errorf("checkpoint %s: %w: %q, and the configuration gives %q", ck.Name, hypernet.ErrEncoder, ck.Encoder, enc.ID())
	}
	return nil
}

// evaluate audits the head of a checkpoint on subjects; natural returns them with
// the space before each target moved to it, if that is not so already.
func (d *Deps) evaluate(ctx context.Context, c *Config, ck hypernet.Info, head hypernet.Head, split dataset.Split,
	subjects []subject, natural func() ([]subject, error)) (*Evaluation, error) {
	if len(subjects) < 2 {
		return nil, errors.New("evaluating needs at least two repositories, to compare own and strange adapters")
	}
	base, _, err := d.backend(c, head)
	if err != nil {
		return nil, err
	}
	auditor := Auditor{Base: base, Leaves: func(id int32) bool { return score.Leaves(d.Tokenizer, id) }}
	e := &Evaluation{Checkpoint: ck.Name, Base: d.Base.Name, Encoder: ck.Encoder, Split: string(split),
		TasksPerRepo: c.Data.ValidationTasks, WindowTokens: c.Data.WindowTokens,
		SpaceWithTarget: c.Data.SpaceWithTarget}
	audit, tallies, err := auditor.audit(ctx, head, subjects, true)
	if err != nil {
		return nil, err
	}
	e.Audit = audit
	if c.Data.SpaceWithTarget {
		e.Natural = &Natural{Base: *audit.Base, Own: audit.Own, OwnBase: summarize(tallies["own"], tallies["base"])}
	} else {
		moved, err := natural()
		if err != nil {
			return nil, err
		}
		if e.Natural, err = auditor.natural(ctx, moved); err != nil {
			return nil, err
		}
	}
	e.Spread, err = spread(head, subjects)
	return e, err
}

// natural scores subjects without an adapter and with their own.
func (a *Auditor) natural(ctx context.Context, subjects []subject) (*Natural, error) {
	base, err := a.tallies(ctx, subjects, same(nil))
	if err != nil {
		return nil, err
	}
	adapted, err := a.tallies(ctx, subjects, owns(subjects))
	if err != nil {
		return nil, err
	}
	return &Natural{Base: summarize(base, nil), Own: summarize(adapted, nil), OwnBase: summarize(adapted, base)}, nil
}

// spread compares the last own adapters of subjects.
func spread(head hypernet.Head, subjects []subject) (*hypernet.Spread, error) {
	average, err := head.Average()
	if err != nil {
		return nil, err
	}
	last := make([]*adapter.Adapter, len(subjects))
	for i, s := range subjects {
		if last[i], err = s.occasions[len(s.occasions)-1].own(); err != nil {
			return nil, fmt.Errorf("repository %s: %w", s.name, err)
		}
	}
	return hypernet.Conditioning(average, last)
}
