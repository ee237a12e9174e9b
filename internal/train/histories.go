package train

import (
	"context"
	"crypto/sha256"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"

	"github.com/code2lora/code2lora/internal/corpus"
	"github.com/code2lora/code2lora/internal/dataset"
	"github.com/code2lora/code2lora/internal/encoder"
	"github.com/code2lora/code2lora/internal/evolve"
	"github.com/code2lora/code2lora/internal/gitrepo"
	"github.com/code2lora/code2lora/internal/hypernet"
	"github.com/code2lora/code2lora/internal/repopeft"
	"github.com/code2lora/code2lora/internal/store"
)

// History is a repository with its kept commits, ready for a recurrence.
type History struct {
	Name       string
	Repository []float32 // vector at the first kept commit; zero if nothing could be encoded
	Commits    []HistoryCommit
}

// HistoryCommit is a commit that a state is stepped by.
type HistoryCommit struct {
	ID      string
	Input   []float32 // of the step
	Windows []Window  // of the tasks that are asked with the state after it
}

// Histories is what a recurrence is trained and validated on.
type Histories struct {
	Train, Validation []*History
	Encoder           string // id, of repositories

	key string // digest of what it was prepared from
}

// numTasks counts the tasks of several histories.
func numTasks(hs []*History) (n int) {
	for _, h := range hs {
		for i := range h.Commits {
			n += numTasksOf(h.Commits[i].Windows)
		}
	}
	return n
}

func numTasksOf(ws []Window) (n int) {
	for i := range ws {
		n += len(ws[i].Tasks)
	}
	return n
}

// LoadHistories prepares the histories of a configuration with a recurrence, or
// reads what an earlier call prepared. Vectors that are computed are in the cache
// of d at once, so that preparing goes on where it was interrupted.
func LoadHistories(ctx context.Context, c *Config, d Deps) (*Histories, error) {
	if d.Report == nil {
		d.Report = func(string, ...any) {}
	}
	p, err := newHistorian(c, d)
	if err != nil {
		return nil, err
	}
	key, err := json.Marshal([]any{"histories 1", p.src.list, p.src.benchmark.Digest, p.Encoder.ID(), p.diffs.ID(), c.Data, d.Base.SHA256,
		c.Recurrence.Input, c.Recurrence.Context, c.Recurrence.MaxCommits, c.Train.Seed})
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(key)
	hs := &Histories{Encoder: p.Encoder.ID(), key: hex.EncodeToString(sum[:8])}
	path := filepath.Join(c.Dir(), "work", "histories-"+hs.key+".gob")
	if err := readGob(path, hs); err == nil {
		return hs, nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		d.Report("preparing again: %v", err)
	}
	if hs.Train, err = p.histories(ctx, dataset.Train); err != nil {
		return nil, err
	}
	if hs.Validation, err = p.histories(ctx, dataset.Validation); err != nil {
		return nil, err
	}
	return hs, store.WriteFile(path, func(w io.Writer) error { return gob.NewEncoder(w).Encode(hs) })
}

// historian prepares histories.
type historian struct {
	*Preparation
	src   *source
	diffs *evolve.DiffEncoder
	opt   *RecurrenceOptions
	seed  uint64 // of the choice of validation repositories

	docs map[string][]*dataset.Document // with tasks, of the split that was prepared last
}

// newHistorian prepares as a configuration says.
func newHistorian(c *Config, d Deps) (*historian, error) {
	src, err := c.source(d.Report)
	if err != nil {
		return nil, err
	}
	enc, err := NewEncoder(c, d)
	if err != nil {
		return nil, err
	}
	diffs, err := evolve.NewDiffEncoder(c.Recurrence.Diff, d.Base.SHA256, d.Model, d.Tokenizer, d.Cache)
	if err != nil {
		return nil, fmt.Errorf("recurrence: %w", err)
	}
	return &historian{Preparation: newPreparation(c, d, enc), src: src, diffs: diffs, opt: c.Recurrence, seed: c.Train.Seed}, nil
}

// histories prepares those of the repositories of one split that have tasks. As
// with [Preparation.Prepare], only evaluations ask for the test split.
func (p *historian) histories(ctx context.Context, split dataset.Split) ([]*History, error) {
	var err error
	if p.Tasks, err = p.src.tasks(split); err != nil {
		return nil, err
	}
	var parts []dataset.Split // all
	if split == dataset.Train {
		parts = []dataset.Split{dataset.Train}
	}
	docs := map[string][]*dataset.Document{}
	var names []string
	for _, l := range p.src.ofSplit(split) {
		if err := checkUse(l.Name, split); err != nil {
			return nil, err
		}
		if docs[l.Name] = corpus.Some(p.Tasks.Documents(l.Name, parts...), p.most(split)); len(docs[l.Name]) == 0 {
			p.Report("%s: no tasks", l.Name)
			delete(docs, l.Name)
			continue
		}
		names = append(names, l.Name)
	}
	if n := p.Data.ValidationRepositories; split == dataset.Validation && n > 0 && n < len(names) {
		chosen := pick(names, n, p.seed) // before they are encoded, which takes long
		maps.DeleteFunc(docs, func(name string, _ []*dataset.Document) bool { return !slices.Contains(chosen, name) })
	}
	p.docs = docs
	hs, err := p.commits(ctx, split, parts, docs)
	if err != nil {
		return nil, err
	}
	for i, h := range hs {
		p.addTasks(h, docs[h.Name])
		if err := p.vectors(ctx, h); err != nil {
			return nil, fmt.Errorf("%s: %w", h.Name, err)
		}
		p.Report("%s: %d of %d repositories encoded (%s: %d commits)", split, i+1, len(hs), h.Name, len(h.Commits))
	}
	hs = withTasks(hs)
	return hs, fillZeros(hs)
}

// withTasks removes histories without tasks.
func withTasks(hs []*History) []*History {
	return slices.DeleteFunc(hs, func(h *History) bool { return numTasks([]*History{h}) == 0 })
}

// commits reads the kept commits of the repositories that have documents, and
// embeds their diffs.
func (p *historian) commits(ctx context.Context, split dataset.Split, parts []dataset.Split, docs map[string][]*dataset.Document) (hs []*History, err error) {
	byName := map[string]*History{}
	last := map[string]int{}
	batch, done := p.diffs.Batch(), 0
	for k, err := range p.src.benchmark.Commits() {
		if err != nil {
			return nil, err
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if k.Track != repopeft.Evolution || docs[k.Repository] == nil || len(parts) > 0 && !slices.Contains(parts, k.InRepo) {
			continue
		}
		h := byName[k.Repository]
		if h == nil {
			h = &History{Name: k.Repository}
			byName[k.Repository], last[k.Repository] = h, -1
			hs = append(hs, h)
		}
		if k.Index <= last[k.Repository] {
			return nil, fmt.Errorf("benchmark: commit %s of %s has index %d and comes after one with index %d: want them oldest first",
				k.ID, k.Repository, k.Index, last[k.Repository])
		}
		last[k.Repository] = k.Index
		if p.opt.MaxCommits > 0 && len(h.Commits) == p.opt.MaxCommits {
			continue
		}
		i := len(h.Commits)
		h.Commits = append(h.Commits, HistoryCommit{ID: k.ID})
		if p.opt.Input == evolve.InputRepository {
			continue
		}
		err := batch.Add(ctx, k.Diff, func(v []float32) error {
			h.Commits[i].Input = v
			if done++; done%100 == 0 {
				p.Report("%s: diffs of %d commits of %d repositories read, of %d repositories", split, done, len(hs), len(docs))
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("%s: diff of commit %s: %w", k.Repository, k.ID, err)
		}
	}
	return hs, batch.Flush(ctx)
}

// addTasks cuts documents into windows of the commits that they are asked at.
func (p *historian) addTasks(h *History, docs []*dataset.Document) {
	at := map[string]int{}
	for i, c := range h.Commits {
		at[c.ID] = i
	}
	for _, doc := range docs {
		i, ok := at[doc.Commit]
		if p.opt.Context == evolve.ContextBefore {
			i--
		}
		if !ok || i < 0 { // beyond max_commits, or nothing came before
			continue
		}
		var r Repository
		p.addWindows(&r, doc)
		h.Commits[i].Windows = append(h.Commits[i].Windows, r.Windows...)
	}
}

// vectors encodes a repository at its first kept commit, or at each of them if
// steps read that.
func (p *historian) vectors(ctx context.Context, h *History) error {
	repo, err := gitrepo.Open(ctx, gitrepo.Locate(p.Mirrors, h.Name), gitrepo.Options{AllowNetwork: p.Network, Name: h.Name, CacheDir: store.Clones()})
	if err != nil {
		return err
	}
	defer repo.Close()
	for i := range h.Commits {
		c := &h.Commits[i]
		if i > 0 && p.opt.Input == evolve.InputDiff {
			break
		}
		snap, err := repo.Snapshot(ctx, c.ID, p.Options.Filter(gitrepo.Filter{}))
		if err != nil {
			return err
		}
		v, _, err := evolve.RepositoryVector(ctx, p.Encoder, snap, 0, nil)
		if err != nil {
			return fmt.Errorf("commit %s: %w", c.ID, err)
		}
		if i == 0 {
			h.Repository = v
		}
		if p.opt.Input != evolve.InputDiff {
			c.Input = slices.Concat(c.Input, v)
		}
	}
	return nil
}

// fillZeros gives vectors of nothing their length.
func fillZeros(hs []*History) error {
	n, input := 0, 0
	for _, h := range hs {
		n = max(n, len(h.Repository))
		for i := range h.Commits {
			input = max(input, len(h.Commits[i].Input))
		}
	}
	if len(hs) > 0 && (n == 0 || input == 0) {
		return fmt.Errorf("%w in any of %d repositories", encoder.ErrNothing, len(hs))
	}
	for _, h := range hs {
		h.Repository = append(h.Repository, make([]float32, n-len(h.Repository))...)
		for i := range h.Commits {
			c := &h.Commits[i]
			c.Input = append(c.Input, make([]float32, input-len(c.Input))...)
		}
	}
	return nil
}

// standardize fits inputs to the training histories and replaces all vectors by
// the standardised ones.
func (hs *Histories) standardize(in *evolve.Inputs) error {
	var repositories, steps [][]float32
	for _, h := range hs.Train {
		repositories = append(repositories, h.Repository)
		for i := range h.Commits {
			steps = append(steps, h.Commits[i].Input)
		}
	}
	if err := in.Fit(repositories, steps); err != nil {
		return err
	}
	for _, h := range slices.Concat(hs.Train, hs.Validation) {
		if err := h.transform(&in.Repository, &in.Step); err != nil {
			return fmt.Errorf("%s: %w", h.Name, err)
		}
	}
	return nil
}

func (h *History) transform(repository, step *hypernet.Standardizer) (err error) {
	if h.Repository, err = evolve.Transform(repository, h.Repository); err != nil {
		return err
	}
	for i := range h.Commits {
		c := &h.Commits[i]
		if c.Input, err = evolve.Transform(step, c.Input); err != nil {
			return fmt.Errorf("commit %s: %w", c.ID, err)
		}
	}
	return nil
}
