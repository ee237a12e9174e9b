package train

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/code2lora/code2lora/internal/dataset"
	"github.com/code2lora/code2lora/internal/embedding"
	"github.com/code2lora/code2lora/internal/encoder"
	"github.com/code2lora/code2lora/internal/gitrepo"
	"github.com/code2lora/code2lora/internal/store"
	"github.com/code2lora/code2lora/internal/tokenizer"
)

// Preparation turns listed repositories into training data.
type Preparation struct {
	// Mirrors is a folder of local clones, called owner+name, owner/name or
	// name, with or without .git. Repositories that are not there are cloned
	// when Network is set.
	Mirrors   string
	Network   bool
	Work      string // folder for mined tasks
	Encoder   encoder.Encoder
	Options   encoder.Options // of Encoder
	Tokenizer *tokenizer.Tokenizer
	Data      DataOptions
	// SpaceWithTarget moves the blanks before a target from the prefix to the
	// target. Byte-level tokenizers join a space to the word after it, so that a
	// prefix which ends in one puts a model at a disadvantage.
	SpaceWithTarget bool
	Report          func(format string, args ...any) // progress; may be nil
}

// Prepare mines and encodes the repositories of one split. A listed repository
// of the test split is refused unless split is that one, which only
// evaluations ask for.
func (p *Preparation) Prepare(ctx context.Context, split dataset.Split, list []Listed) ([]*Repository, error) {
	if p.Report == nil {
		p.Report = func(string, ...any) {}
	}
	opt := dataset.DefaultOptions()
	opt.Split = split
	opt.PerRepository = p.Data.ValidationTasks
	if split == dataset.Train {
		opt.PerRepository = p.Data.TrainTasks
	}
	var sources []dataset.Source
	var repos []*Repository
	byName := map[string]*Repository{}
	for i, l := range list {
		repo, err := gitrepo.Open(ctx, gitrepo.Locate(p.Mirrors, l.Name), gitrepo.Options{AllowNetwork: p.Network, Name: l.Name,
			CacheDir: store.Clones()})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", l.Name, err)
		}
		defer repo.Close() // mining reads it once all are encoded
		r, src, err := p.encode(ctx, repo, l)
		if errors.Is(err, encoder.ErrNothing) {
			p.Report("%s: %v", l.Name, err)
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", l.Name, err)
		}
		byName[l.Name], repos, sources = r, append(repos, r), append(sources, src)
		p.Report("%s: %d of %d repositories encoded (%s: %d files, %d tokens)", split, i+1, len(list), l.Name,
			r.Representation.Files, r.Representation.Tokens)
	}
	dir := filepath.Join(p.Work, string(split))
	if _, err := dataset.Mine(ctx, dir, sources, opt, nil); err != nil {
		return nil, err
	}
	if err := p.addWindows(dir, byName); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(repos, func(r *Repository) bool {
		if len(r.Windows) == 0 {
			p.Report("%s: no tasks", r.Name)
		}
		return len(r.Windows) == 0
	}), nil
}

// addWindows cuts the mined documents in dir into windows of their
// repositories.
func (p *Preparation) addWindows(dir string, repos map[string]*Repository) error {
	ds, err := dataset.Open(dir)
	if err != nil {
		return err
	}
	for doc, err := range ds.Documents() {
		if err != nil {
			return err
		}
		r := repos[doc.Repository]
		ws, _ := doc.Windows(p.Data.WindowTokens, func(s string) int { return len(p.Tokenizer.Encode(s)) })
		for _, w := range ws {
			if p.SpaceWithTarget {
				MoveSpaces(w.Text, w.Tasks)
			}
			if w := TokenizeWindow(p.Tokenizer, w.Text, w.Tasks); len(w.Tasks) > 0 {
				r.Windows = append(r.Windows, w)
			}
		}
	}
	return nil
}

// encode reads and encodes one repository.
func (p *Preparation) encode(ctx context.Context, repo *gitrepo.Repo, l Listed) (*Repository, dataset.Source, error) {
	snap, err := repo.Snapshot(ctx, l.Commit, p.Options.Filter(gitrepo.Filter{}))
	if err != nil {
		return nil, nil, err
	}
	rep, err := p.Encoder.Encode(ctx, encoder.FromSnapshot(snap), nil)
	if err != nil {
		return nil, nil, err
	}
	tests, err := repo.Snapshot(ctx, l.Commit, gitrepo.Filter{})
	if err != nil {
		return nil, nil, err
	}
	return &Repository{Name: l.Name, Representation: rep}, dataset.FromSnapshot(l.Name, tests), nil
}

// MoveSpaces makes targets begin with the blanks before them.
func MoveSpaces(text string, targets []dataset.Span) {
	for i := range targets {
		t := &targets[i]
		t.Start = len(strings.TrimRight(text[:t.Start], " \t"))
	}
}

// TokenizeWindow tokenises a text in which targets are marked (in bytes). The
// pieces before, inside and after each target are tokenised on their own, as
// prefix and target of a task are.
func TokenizeWindow(t *tokenizer.Tokenizer, text string, targets []dataset.Span) Window {
	var w Window
	at := 0
	for _, s := range targets {
		w.Tokens = t.AppendEncode(w.Tokens, text[at:s.Start])
		if len(w.Tokens) == 0 { // a model needs something before the first target
			at = s.Start
			continue
		}
		from := len(w.Tokens)
		w.Tokens = t.AppendEncode(w.Tokens, text[s.Start:s.End])
		w.Tasks = append(w.Tasks, Span{From: from, To: len(w.Tokens)})
		at = s.End
	}
	w.Tokens = t.AppendEncode(w.Tokens, text[at:])
	return w
}

// Representations returns the representations of repositories, for the
// statistics of a head.
func Representations(repos []*Repository) []*embedding.Representation {
	var reps []*embedding.Representation
	for _, r := range repos {
		reps = append(reps, r.Representation)
	}
	return reps
}
