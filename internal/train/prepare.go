package train

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/code2lora/code2lora/internal/corpus"
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
	// Tasks are those of the repositories; nil: they are mined. Of training
	// repositories, only the in-repository training tasks are taken.
	Tasks  *corpus.Corpus
	Report func(format string, args ...any) // progress; may be nil
}

// Prepare encodes the repositories of one split and cuts their tasks into
// windows. A listed repository of the test split is refused unless split is that
// one, which only evaluations ask for. Repositories without tasks are left out.
func (p *Preparation) Prepare(ctx context.Context, split dataset.Split, list []Listed) ([]*Repository, error) {
	if p.Report == nil {
		p.Report = func(string, ...any) {}
	}
	prepare := p.given
	if p.Tasks == nil {
		prepare = p.mined
	}
	repos, err := prepare(ctx, split, list)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(repos, func(r *Repository) bool {
		if len(r.Windows) == 0 {
			p.Report("%s: no tasks", r.Name)
		}
		return len(r.Windows) == 0
	}), nil
}

// mined prepares repositories with tasks that are mined.
func (p *Preparation) mined(ctx context.Context, split dataset.Split, list []Listed) ([]*Repository, error) {
	opt := dataset.DefaultOptions()
	opt.Split, opt.PerRepository = split, p.most(split)
	var sources []dataset.Source
	var repos []*Repository
	byName := map[string]*Repository{}
	for i, l := range list {
		repo, err := p.open(ctx, l)
		if err != nil {
			return nil, err
		}
		defer repo.Close() // mining reads it once all are encoded
		r, err := p.encode(ctx, repo, l)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", l.Name, err)
		}
		if r == nil {
			continue
		}
		tests, err := repo.Snapshot(ctx, l.Commit, gitrepo.Filter{})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", l.Name, err)
		}
		byName[l.Name], repos, sources = r, append(repos, r), append(sources, dataset.FromSnapshot(l.Name, tests))
		p.encoded(split, i, list, r)
	}
	dir := filepath.Join(p.Work, string(split))
	if _, err := dataset.Mine(ctx, dir, sources, opt, nil); err != nil {
		return nil, err
	}
	ds, err := dataset.Open(dir)
	if err != nil {
		return nil, err
	}
	for doc, err := range ds.Documents() {
		if err != nil {
			return nil, err
		}
		p.addWindows(byName[doc.Repository], doc)
	}
	return repos, nil
}

// given prepares repositories with the tasks that are there. Those without are
// not encoded.
func (p *Preparation) given(ctx context.Context, split dataset.Split, list []Listed) ([]*Repository, error) {
	var parts []dataset.Split // all
	if split == dataset.Train {
		parts = []dataset.Split{dataset.Train}
	}
	var repos []*Repository
	for i, l := range list {
		if err := checkUse(l.Name, split); err != nil {
			return nil, err
		}
		docs := corpus.Some(p.Tasks.Documents(l.Name, parts...), p.most(split))
		if len(docs) == 0 {
			p.Report("%s: no tasks", l.Name)
			continue
		}
		repo, err := p.open(ctx, l)
		if err != nil {
			return nil, err
		}
		r, err := p.encode(ctx, repo, l)
		repo.Close()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", l.Name, err)
		}
		if r == nil {
			continue
		}
		for _, doc := range docs {
			p.addWindows(r, doc)
		}
		repos = append(repos, r)
		p.encoded(split, i, list, r)
	}
	return repos, nil
}

// checkUse returns an error unless a repository is of the split that is prepared.
func checkUse(repository string, split dataset.Split) error {
	if split == dataset.Test && dataset.SplitOf(repository) == split {
		return nil
	}
	return dataset.CheckTraining(repository, split)
}

// most is the number of tasks of a repository, at most.
func (p *Preparation) most(split dataset.Split) int {
	if split == dataset.Train {
		return p.Data.TrainTasks
	}
	return p.Data.ValidationTasks
}

// addWindows cuts a document into windows of its repository.
func (p *Preparation) addWindows(r *Repository, doc *dataset.Document) {
	ws, _ := doc.Windows(p.Data.WindowTokens, func(s string) int { return len(p.Tokenizer.Encode(s)) })
	for _, w := range ws {
		if p.Data.SpaceWithTarget {
			MoveSpaces(w.Text, w.Tasks)
		}
		if w := TokenizeWindow(p.Tokenizer, w.Text, w.Tasks); len(w.Tasks) > 0 {
			r.Windows = append(r.Windows, w)
		}
	}
}

// open opens a clone of a repository.
func (p *Preparation) open(ctx context.Context, l Listed) (*gitrepo.Repo, error) {
	repo, err := gitrepo.Open(ctx, gitrepo.Locate(p.Mirrors, l.Name), gitrepo.Options{AllowNetwork: p.Network, Name: l.Name,
		CacheDir: store.Clones()})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", l.Name, err)
	}
	return repo, nil
}

// encode reads and encodes one repository; nil if there is nothing to encode.
func (p *Preparation) encode(ctx context.Context, repo *gitrepo.Repo, l Listed) (*Repository, error) {
	snap, err := repo.Snapshot(ctx, l.Commit, p.Options.Filter(gitrepo.Filter{}))
	if err != nil {
		return nil, err
	}
	rep, err := p.Encoder.Encode(ctx, encoder.FromSnapshot(snap), nil)
	if errors.Is(err, encoder.ErrNothing) {
		p.Report("%s: %v", l.Name, err)
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &Repository{Name: l.Name, Representation: rep}, nil
}

// encoded reports that the repository at index i of a list is.
func (p *Preparation) encoded(split dataset.Split, i int, list []Listed, r *Repository) {
	p.Report("%s: %d of %d repositories encoded (%s: %d files, %d tokens)", split, i+1, len(list), r.Name,
		r.Representation.Files, r.Representation.Tokens)
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
