// Package adapt is the main job: a repository becomes an adapter.
//
// [Run] opens the repository, lists its source files at a commit, encodes them
// with the encoder that the checkpoint was trained with, and lets the
// checkpoint's hypernetwork generate the adapter. Nothing is trained.
package adapt

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/encoder"
	"github.com/code2lora/code2lora/internal/gitrepo"
	"github.com/code2lora/code2lora/internal/hypernet"
	"github.com/code2lora/code2lora/internal/model"
	"github.com/code2lora/code2lora/internal/store"
	"github.com/code2lora/code2lora/internal/tokenizer"
)

// Job says which repository to adapt to, and with what.
type Job struct {
	Repository string // path, bare repository, URL, source tree or archive
	Name       string // replaces the name found there
	Ref        string // empty: HEAD
	Filter     gitrepo.Filter
	Network    bool      // a URL may be cloned
	Git        io.Writer // receives what git says while it clones; may be nil

	Checkpoint       *hypernet.Checkpoint
	CheckpointSHA256 string
	Model            *model.Model
	Tokenizer        *tokenizer.Tokenizer
	Cache            encoder.Cache
	Tool             string // program and version, for the provenance
}

// Report tells what was read and what came out.
type Report struct {
	Repository   string                 `json:"repository"`
	Commit       string                 `json:"commit,omitempty"`
	Files        int                    `json:"files"`
	LeftOut      int                    `json:"left_out"` // by the limits of the checkpoint's encoder
	Tokens       int                    `json:"tokens"`
	Skipped      map[gitrepo.Reason]int `json:"skipped"` // files that are no source, by reason
	Conditioning Conditioning           `json:"conditioning"`
	Seconds      map[string]float64     `json:"seconds"` // per stage
}

// Conditioning compares the generated adapter with the checkpoint's average
// adapter, over all adapted layers. A distance near 0 means that the
// hypernetwork ignored the repository.
type Conditioning struct {
	Distance float64 `json:"distance"` // ‖ΔW − ΔW̄‖ / ‖ΔW̄‖
	Cosine   float64 `json:"cosine"`
}

// Inactive is the distance below which the adapter counts as the average one.
const Inactive = 0.01

// ErrNoSource is returned for a repository without a file to read.
var ErrNoSource = errors.New("no source files")

// Run does a job. report may be nil.
func Run(ctx context.Context, j Job, report func(encoder.Progress)) (*adapter.Adapter, *Report, error) {
	r := &Report{Seconds: map[string]float64{}}
	began := time.Now()
	lap := func(stage string) {
		r.Seconds[stage] = time.Since(began).Seconds()
		began = time.Now()
	}
	opt, err := encoder.ParseID(j.Checkpoint.Encoder)
	if err != nil {
		return nil, nil, fmt.Errorf("checkpoint %s: %w", j.Checkpoint.Name, err)
	}
	enc, err := encoder.New(opt, j.Model, j.Tokenizer, j.Cache)
	if err != nil {
		return nil, nil, fmt.Errorf("checkpoint %s: %w", j.Checkpoint.Name, err)
	}
	repo, err := gitrepo.Open(ctx, j.Repository, gitrepo.Options{AllowNetwork: j.Network, CacheDir: store.Clones(), Name: j.Name, Progress: j.Git})
	if err != nil {
		return nil, nil, err
	}
	defer repo.Close()
	snap, err := repo.Snapshot(ctx, j.Ref, opt.Filter(j.Filter))
	if err != nil {
		return nil, nil, err
	}
	r.Repository, r.Commit = repo.Name(), snap.Commit
	lap("read")
	if len(snap.Files) == 0 {
		return nil, nil, fmt.Errorf("%s: %w: none of its files is Python source outside of tests (%s)",
			j.Repository, ErrNoSource, describe(snap.Counts()))
	}
	rep, err := enc.Encode(ctx, encoder.FromSnapshot(snap), report)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", j.Repository, err)
	}
	lap("encode")
	r.Files, r.LeftOut, r.Tokens, r.Skipped = rep.Files, rep.LeftOut, rep.Tokens, snap.Counts()
	a, err := j.Checkpoint.Generate(rep)
	if err != nil {
		return nil, nil, fmt.Errorf("checkpoint %s: %w", j.Checkpoint.Name, err)
	}
	p := &a.Provenance
	p.Repository, p.Commit, p.CheckpointSHA256, p.Tool = r.Repository, r.Commit, j.CheckpointSHA256, j.Tool
	if r.Conditioning, err = condition(a, j.Checkpoint); err != nil {
		return nil, nil, fmt.Errorf("checkpoint %s: %w", j.Checkpoint.Name, err)
	}
	p.MeanDistance = &r.Conditioning.Distance
	lap("generate")
	return a, r, nil
}

// condition compares an adapter with the average one of its checkpoint.
func condition(a *adapter.Adapter, c *hypernet.Checkpoint) (Conditioning, error) {
	average, err := c.AverageAdapter()
	if err != nil {
		return Conditioning{}, err
	}
	distance, err := adapter.Distance(a, average)
	if err != nil {
		return Conditioning{}, err
	}
	cosine, err := adapter.Cosine(a, average)
	return Conditioning{Distance: distance, Cosine: cosine}, err
}

// describe says why nothing is left to read.
func describe(counts map[gitrepo.Reason]int) string {
	if len(counts) == 0 {
		return "it has no files"
	}
	return "left out: " + Skips(counts)
}

// Skips lists the numbers of skipped files by reason, the largest first.
func Skips(counts map[gitrepo.Reason]int) string {
	reasons := slices.SortedFunc(maps.Keys(counts), func(a, b gitrepo.Reason) int {
		return cmp.Or(counts[b]-counts[a], strings.Compare(string(a), string(b)))
	})
	var parts []string
	for _, r := range reasons {
		parts = append(parts, fmt.Sprintf("%d %s", counts[r], r))
	}
	return strings.Join(parts, ", ")
}
