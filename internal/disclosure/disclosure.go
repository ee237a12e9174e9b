// Package disclosure decides what a method of the benchmark may see.
//
// A [Repository] is the files of a repository at one commit, at one [Level].
// [Repository.Hide] makes the [View] of somebody who is asked about one of its
// files: everything but that file and its copies. A method gets a View and a
// question without an answer ([repopeft.Query]); neither has a way back to what
// was left out, so reading more than is allowed needs another type in the
// signature of the method, and doesn't happen by mistake.
//
//	repo, err := disclosure.NewRepository(ctx, clone, task.Parent, disclosure.Tree, []string{"python"})
//	view := repo.Hide(task.File, text) // the file as it is at task.Commit
//	err = view.Each(ctx, view.Blobs(), func(b encoder.Blob, text []byte) error { ... })
//
// # What is hidden
//
// At either level: the file that is asked about, as it is at the commit of the
// task and as it was at the commit that is read; every file with the same text;
// every file that has much of it (see [Overlap]), such as a vendored or generated
// copy, or the file under the name that it had before; whatever [gitrepo.Filter]
// takes for the copy of another project or the output of a program; every other
// commit, above all those that came later. At the level [Production] also all
// tests, by their path and by their content.
//
// Not hidden: a line that stands in an unrelated file too. Who writes the same
// assertion in two tests has told the answer, to a person as to a model.
//
// A README at the root is documentation, and no test: [View.Described] has it at
// both levels, under the same rules, for who makes an adapter of a description.
//
// The commit is named by its full id, as a branch moves. A task without a parent
// commit has an empty view.
package disclosure

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/code2lora/code2lora/internal/encoder"
	"github.com/code2lora/code2lora/internal/gitrepo"
)

// Level says how much of a repository may be seen.
type Level string

// The levels.
const (
	// Production is what arXiv 2606.06492 shows to its methods: no tests.
	Production Level = "production"
	// Tree is what a user has: everything but the file that is asked about.
	Tree Level = "tree"
)

// Levels are all levels.
var Levels = []Level{Production, Tree}

// ErrHidden is returned when a file is asked for that a view doesn't have.
var ErrHidden = errors.New("file is not disclosed")

// file is what a Repository knows of one file.
type file struct {
	encoder.Blob
	*facts
	test bool // by path or content
}

// Repository is what may be seen of a repository at one commit, before a file is
// asked about. It can't be read itself: see [Repository.Hide]. Its methods may
// be called concurrently.
type Repository struct {
	name, commit string
	level        Level
	languages    []string
	files        []file // by path
	unseen       []file // tests that the level leaves out: no view has them, but copies of one are looked for
	readmes      []file // at the root, unless they are among files
	snapshot     *gitrepo.Snapshot
	cache        *Cache
}

// NewRepository is [Cache.Repository] with a cache of its own, of the default
// size.
func NewRepository(ctx context.Context, r *gitrepo.Repo, commit string, level Level, languages []string) (*Repository, error) {
	return NewCache(0).Repository(ctx, r, commit, level, languages)
}

// Nothing is a repository of which no file may be seen: as it is before its
// first commit, or where nobody knows the commit that may be read.
func (c *Cache) Nothing(name string, level Level, languages []string) (*Repository, error) {
	if !slices.Contains(Levels, level) {
		return nil, fmt.Errorf("level of disclosure %q: want %s or %s", level, Production, Tree)
	}
	return &Repository{name: name, level: level, languages: slices.Clone(languages), cache: c}, nil
}

// Repository lists what may be seen of a repository at a commit. It reads the
// content of each file that this cache has not met, to find out what is a test
// and what is a copy. The commit is a full id; "" is the one before the first,
// which has no files. The languages are those of [gitrepo.Filter].
//
// r stays open as long as the result is in use.
func (c *Cache) Repository(ctx context.Context, r *gitrepo.Repo, commit string, level Level, languages []string) (*Repository, error) {
	repo, err := c.Nothing(r.Name(), level, languages)
	if err != nil || commit == "" {
		return repo, errors.Join(err, ctx.Err())
	}
	repo.commit = commit
	if !isFullID(commit) {
		return nil, fmt.Errorf("reading %s: commit %q: want the full id in hexadecimal, since names can move to a later commit", r.Name(), commit)
	}
	snapshot, err := r.Snapshot(ctx, commit, gitrepo.Filter{Languages: languages})
	if err != nil {
		return nil, err
	}
	if snapshot.Commit != commit {
		return nil, fmt.Errorf("reading %s: commit %s gave %s, which is another one", r.Name(), commit, snapshot.Commit)
	}
	repo.snapshot = snapshot
	top, err := r.Top(ctx, commit)
	if err != nil {
		return nil, err
	}
	listed := map[string]bool{}
	for _, f := range snapshot.Files {
		listed[f.Path] = true
	}
	readmes := slices.DeleteFunc(top, func(f gitrepo.File) bool {
		return !encoder.IsReadme(f.Path) || listed[f.Path] || f.Size == 0 || f.Size > gitrepo.DefaultMaxBytes
	})
	known, err := c.learn(ctx, snapshot, slices.Concat(snapshot.Files, readmes))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", r.Name(), err)
	}
	for _, f := range readmes {
		if facts := known[factsKey(f.Path, f.BlobID)]; facts != nil && !facts.unfit {
			repo.readmes = append(repo.readmes, file{encoder.Blob{Path: f.Path, ID: f.BlobID, Size: f.Size}, facts, false})
		}
	}
	for _, f := range snapshot.Files {
		facts := known[factsKey(f.Path, f.BlobID)]
		if facts == nil || facts.unfit {
			continue
		}
		of := file{encoder.Blob{Path: f.Path, ID: f.BlobID, Size: f.Size}, facts, f.Test || facts.test}
		if level == Production && of.test {
			repo.unseen = append(repo.unseen, of)
			continue
		}
		repo.files = append(repo.files, of)
	}
	return repo, nil
}

// Name returns owner/name.
func (r *Repository) Name() string { return r.name }

// Commit returns the full id of the commit that is read, or "".
func (r *Repository) Commit() string { return r.commit }

// Level returns the level of disclosure.
func (r *Repository) Level() Level { return r.level }

// Withheld returns the paths of the files that the level leaves out, whichever
// file is asked about.
func (r *Repository) Withheld() []string {
	var paths []string
	for i := range r.unseen {
		paths = append(paths, r.unseen[i].Path)
	}
	return paths
}

// Hide returns the view of somebody who is asked about a file. text is the file
// as it is at the commit of the task, complete; nil if it is the same as at the
// commit that is read. The file needn't exist there.
func (r *Repository) Hide(name string, text []byte) *View {
	v := r.HideAll([]Asked{{name, text}})
	v.asked = clean(name)
	return v
}

// Asked is a file that is asked about, as the arguments of [Repository.Hide].
type Asked struct {
	Path string
	Text []byte
}

// HideAll returns the view of somebody who is asked about several files at once.
// A file may be there several times, as it is at several commits.
func (r *Repository) HideAll(all []Asked) *View {
	names := map[string]bool{}
	var copies []*probe
	for _, a := range all {
		names[clean(a.Path)] = true
		if a.Text != nil {
			copies = append(copies, newProbe(newFacts(clean(a.Path), a.Text)))
		}
	}
	for _, files := range [][]file{r.files, r.unseen} {
		for i := range files {
			if names[files[i].Path] {
				copies = append(copies, newProbe(files[i].facts))
			}
		}
	}
	v := &View{repo: r}
	hide := func(f *file) bool {
		if !names[f.Path] && !slices.ContainsFunc(copies, func(p *probe) bool { return p.finds(f.facts) }) {
			return false
		}
		v.hidden = append(v.hidden, f.Path)
		return true
	}
	for i := range r.files {
		if f := &r.files[i]; !hide(f) {
			v.files = append(v.files, f)
		}
	}
	for i := range r.readmes {
		if f := &r.readmes[i]; !hide(f) {
			v.readmes = append(v.readmes, f)
		}
	}
	v.key = v.digest()
	return v
}

// clean is a path as git has it.
func clean(name string) string { return strings.TrimPrefix(path.Clean("/"+name), "/") }

// isFullID tells whether id is a SHA-1 or SHA-256 in hexadecimal.
func isFullID(id string) bool {
	return (len(id) == 40 || len(id) == 64) && strings.Trim(id, "0123456789abcdef") == ""
}
