package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/code2lora/code2lora/internal/dataset"
	"github.com/code2lora/code2lora/internal/gitrepo"
	"github.com/code2lora/code2lora/internal/repopeft"
)

// importFlags are the flags of bench import.
type importFlags struct {
	suite     // of these, splits, parts and repositories
	dir       string
	mirrors   string
	perCommit int
	noCommas  bool
	network   bool
}

func (a *app) benchImportCmd() *cobra.Command {
	var o importFlags
	c := &cobra.Command{
		Use:   "import SOURCE... --out DIR",
		Short: "Make a benchmark of the files that the paper's authors released",
		Long: `Make a benchmark of files that the authors of the paper released, for bench run
and bench score: Parquet files of tasks and of commits, of both generations, and
JSON files. A SOURCE is a file, or a folder with such files. Embeddings are left
behind.

Splits are those of the files, not of our rule. The files don't have the parent
commits of tasks: with --mirrors these are looked up in clones. Tasks without one
are asked without context, and their repositories needn't be there. What else the
files lack is counted, here and in manifest.json.`,
		Example: "  code2lora bench import smartcap/qna/train.parquet --split train --in-repo train --out smartcap-train\n" +
			"  code2lora bench import snapshots/qna/cr_test.parquet snapshots/commits/cr_test.parquet --per-commit 8 --mirrors ../mirrors --out cr-test",
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if o.dir == "" {
				return fmt.Errorf("%w: bench import: give the folder for the benchmark with --out DIR", errUsage)
			}
			if o.perCommit < 0 {
				return fmt.Errorf("%w: bench import: --per-commit %d: want 0 or more", errUsage, o.perCommit)
			}
			filter, err := o.filter()
			if err != nil {
				return err
			}
			return a.importReleased(c.Context(), &o, filter, args)
		},
	}
	f := c.Flags()
	f.StringVarP(&o.dir, "out", "o", "", "write the benchmark to `DIR`")
	f.StringSliceVar(&o.Splits, "split", nil, "tasks of repositories of these `SPLITS`: train, validation, test (default: all)")
	f.StringSliceVar(&o.InRepo, "in-repo", nil, "tasks with these `SPLITS` inside of their repository (default: all)")
	f.StringSliceVar(&o.Repositories, "repository", nil, "tasks of these `REPOSITORIES` (default: all)")
	f.IntVar(&o.perCommit, "per-commit", 0, "the first `N` tasks of a commit; the paper scores 8 (default: all)")
	f.BoolVar(&o.noCommas, "no-commas", false, "leave out targets that begin with a comma, as the authors' loaders of the static track do")
	f.StringVar(&o.mirrors, "mirrors", "", "`DIR` with local clones, in which parent commits are looked up")
	f.BoolVar(&o.network, "network", false, "clone repositories that are not there, to look up parent commits")
	return c
}

// importResult is what bench import prints with --json.
type importResult struct {
	Benchmark    string                `json:"benchmark"`
	Repositories map[dataset.Split]int `json:"repositories"`
	Tasks        int                   `json:"tasks"`
	Commits      int                   `json:"commits"`
	Repeated     int                   `json:"repeated"`
	Unlike       int                   `json:"unlike"` // repositories of another split than by our rule
	Absent       repopeft.Absent       `json:"absent"`
}

func (a *app) importReleased(ctx context.Context, o *importFlags, filter repopeft.Filter, sources []string) error {
	bar := a.bar()
	opt := repopeft.ImportOptions{
		ReleasedOptions: repopeft.ReleasedOptions{Filter: filter, PerCommit: o.perCommit, NoCommas: o.noCommas},
		Tool:            tool(),
		Report:          func(path string) { bar.show("reading %s", path) },
	}
	parents := &parentFinder{open: opener(o.mirrors, o.network), note: a.note}
	defer parents.close()
	if o.mirrors != "" || o.network {
		opt.Parent = parents.find
	}
	got, err := repopeft.Import(ctx, sources, o.dir, opt)
	bar.done()
	if err != nil && ctx.Err() == nil {
		return unusable(err)
	}
	if err != nil {
		return err
	}
	m := got.Manifest
	r := &importResult{Benchmark: o.dir, Repositories: map[dataset.Split]int{}, Tasks: m.Tasks, Commits: m.Commits,
		Repeated: got.Repeated, Unlike: got.Unlike, Absent: *m.Absent}
	for _, repo := range m.Repositories {
		r.Repositories[repo.Split]++
	}
	return a.print(r, func(w io.Writer) { printImport(w, r) })
}

func printImport(w io.Writer, r *importResult) {
	n := r.Repositories
	fmt.Fprintf(w, "benchmark     %s\nrepositories  %d training, %d validation, %d test\ntasks         %d\ncommits       %d\n",
		r.Benchmark, n[dataset.Train], n[dataset.Validation], n[dataset.Test], r.Tasks, r.Commits)
	for _, l := range []struct {
		n    int
		text string
	}{
		{r.Repeated, "tasks and commits are in the files more than once, and here once"},
		{r.Unlike, "repositories have another split in the files than by our rule: what was trained by ours may have seen them"},
		{r.Absent.Licences, "repositories without a licence: the files don't have it"},
		{r.Absent.Commits, "tasks without the commit that they are of"},
		{r.Absent.Parents, "tasks without the commit that methods may read: they are asked without context (--mirrors looks it up)"},
		{r.Absent.Positions, "tasks without the place of their target in the file: their tests can't be run"},
		{r.Absent.Splits, "repositories whose file doesn't say their split: they have that of our rule"},
		{r.Absent.InRepo, "tasks without a split inside of their repository"},
	} {
		if l.n > 0 {
			fmt.Fprintf(w, "note          %d %s\n", l.n, l.text)
		}
	}
}

// parentFinder looks up which commit methods may read for a task.
type parentFinder struct {
	open func(context.Context, string) (*gitrepo.Repo, error)
	note func(format string, args ...any)
	name string
	repo *gitrepo.Repo // of that name, nil if it can't be opened
}

// find returns the commit itself in the static track, else its first parent; ""
// for a root commit, and where the clone or the commit is missing, which is noted
// once for a repository.
func (p *parentFinder) find(ctx context.Context, t *repopeft.Task) (string, error) {
	if p.name != t.Repository {
		p.close()
		p.name = t.Repository
		repo, err := p.open(ctx, t.Repository)
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		if err != nil {
			p.note("note: the tasks of %s are without context: %v", t.Repository, err)
		}
		p.repo = repo
	}
	if p.repo == nil {
		return "", nil
	}
	log, err := p.repo.Log(ctx, t.Commit, 1)
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	if err == nil && len(log) == 0 {
		err = errors.New("no such commit")
	}
	if err != nil {
		p.note("note: the tasks of %s at %.12s are without context: %v", t.Repository, t.Commit, err)
		return "", nil
	}
	c := log[len(log)-1]
	switch {
	case t.Track == repopeft.Static:
		return c.ID, nil
	case len(c.Parents) == 0:
		return "", nil
	}
	return c.Parents[0], nil
}

func (p *parentFinder) close() {
	if p.repo != nil {
		p.repo.Close()
		p.repo = nil
	}
}
