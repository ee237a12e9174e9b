package train

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/code2lora/code2lora/internal/dataset"
	"github.com/code2lora/code2lora/internal/hypernet"
	"github.com/code2lora/code2lora/internal/score"
)

// Evaluation is the audit of a checkpoint on repositories that neither
// training nor tuning has seen.
type Evaluation struct {
	Checkpoint       string           `json:"checkpoint"`
	CheckpointSHA256 string           `json:"checkpoint_sha256"`
	Base             string           `json:"base"`
	Encoder          string           `json:"encoder"`
	Split            string           `json:"split"`
	TasksPerRepo     int              `json:"tasks_per_repository"` // at most
	WindowTokens     int              `json:"window_tokens"`        // longest prefix and target
	Audit            *Audit           `json:"audit"`
	Spread           *hypernet.Spread `json:"spread"` // how much the adapters differ
}

// Evaluate audits a checkpoint on the repositories of a split of the
// configuration's table: every repository under its own adapter, the average
// one, another repository's, and none.
func Evaluate(ctx context.Context, c *Config, d Deps, ck *hypernet.Checkpoint, split dataset.Split) (*Evaluation, error) {
	list, err := ReadRepositories(c.RepositoriesPath())
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
	opt := c.Encoder
	opt.Base = d.Base.SHA256
	p := &Preparation{Mirrors: d.Mirrors, Network: d.Network, Work: filepath.Join(c.Dir(), "work"), Encoder: enc, Options: opt,
		Tokenizer: d.Tokenizer, Data: c.Data, Report: d.Report}
	repos, err := p.Prepare(ctx, split, ofSplit(list, split))
	if err != nil {
		return nil, err
	}
	if len(repos) < 2 {
		return nil, errors.New("evaluating needs at least two repositories, to compare own and strange adapters")
	}
	auditor := Auditor{Base: d.Model, Leaves: func(id int32) bool { return score.Leaves(d.Tokenizer, id) }}
	audit, err := auditor.Audit(ctx, ck.Head, repos, true)
	if err != nil {
		return nil, err
	}
	e := &Evaluation{Checkpoint: ck.Name, Base: d.Base.Name, Encoder: ck.Encoder, Split: string(split),
		TasksPerRepo: c.Data.ValidationTasks, WindowTokens: c.Data.WindowTokens, Audit: audit}
	own, err := ownAdapters(ck.Head, repos)
	if err != nil {
		return nil, err
	}
	average, err := ck.Head.Average()
	if err != nil {
		return nil, err
	}
	e.Spread, err = hypernet.Conditioning(average, own)
	return e, err
}
