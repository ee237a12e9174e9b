package repopeft

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/code2lora/code2lora/internal/dataset"
)

// Released is the profile of a benchmark that has been imported from files which
// the authors of the paper have released. Its splits are those of the files, and
// its tasks may lack what [Absent] names; ids are not those of [TaskID].
const Released = "released"

// Absent counts what imported files don't have.
type Absent struct {
	Licences  int `json:"licences"`  // repositories: no file has them
	Commits   int `json:"commits"`   // tasks without the commit that they are of
	Parents   int `json:"parents"`   // tasks without the commit that methods may read: they are asked without context
	Positions int `json:"positions"` // tasks that don't say where in the file their target is: their tests are not run
	Splits    int `json:"splits"`    // repositories whose file doesn't say their split: they have that of our rule
	InRepo    int `json:"in_repo"`   // tasks without a split inside of their repository
}

// ImportOptions says what [Import] reads, and how it is completed.
type ImportOptions struct {
	ReleasedOptions
	Tool string // for the manifest
	// Parent returns the commit that methods may read for a task which has a
	// commit, or "" if it can't be found out. nil finds none.
	Parent func(context.Context, *Task) (string, error)
	// Report, unless nil, is called with each file before it is read.
	Report func(path string)
}

// Imported counts what [Import] read.
type Imported struct {
	Manifest *Manifest
	Repeated int // tasks and commits that were there already, and are there once
	Unlike   int // repositories whose split is not that of [dataset.SplitOf]
	Skipped  []string
}

// importer is an import on its way.
type importer struct {
	ImportOptions
	w      *Writer
	absent Absent
	out    Imported
	repos  map[string]*importedRepository
	parent struct{ repository, commit, id string } // of the last task
}

// importedRepository is what is known of a repository so far.
type importedRepository struct {
	Repository
	from   string // file that told the split
	newest int    // index of Commit
}

// Import makes a benchmark in a folder of files that the authors of the paper
// have released: Parquet files of tasks and of commits, and JSON files, as
// [ReleasedTasks], [ReleasedCommits] and [ReleasedRepositories] read them. A
// source that is a folder stands for all such files in it. Embeddings are left
// behind.
//
// What the files lack is counted in [Manifest.Absent].
func Import(ctx context.Context, sources []string, dir string, o ImportOptions) (*Imported, error) {
	im := &importer{ImportOptions: o, repos: map[string]*importedRepository{}}
	files, err := im.files(sources)
	if err != nil {
		return nil, err
	}
	if im.w, err = NewWriter(dir); err != nil {
		return nil, err
	}
	defer im.w.Discard()
	im.w.released = true
	for _, path := range files {
		if im.Report != nil {
			im.Report(path)
		}
		if err := im.file(ctx, path); err != nil {
			return nil, err
		}
	}
	return im.close(files)
}

// close completes the manifest.
func (im *importer) close(files []string) (*Imported, error) {
	m := &Manifest{Tool: im.Tool, Profile: Released, Absent: &im.absent}
	tasks := 0
	for _, c := range im.w.counts {
		tasks += c.Tasks
	}
	if tasks == 0 {
		return nil, fmt.Errorf("no task that the options select is in %s", strings.Join(files, ", "))
	}
	var names []string
	for _, f := range files {
		names = append(names, filepath.Base(f))
	}
	var err error
	m.Options, err = json.Marshal(struct {
		Files     []string        `json:"files"`
		Splits    []dataset.Split `json:"splits,omitempty"`
		InRepo    []dataset.Split `json:"in_repo,omitempty"`
		PerCommit int             `json:"per_commit,omitempty"`
		NoCommas  bool            `json:"no_commas,omitempty"`
	}{names, im.Splits, im.InRepo, im.PerCommit, im.NoCommas})
	if err != nil {
		return nil, err
	}
	for _, r := range im.repos {
		if r.Split != dataset.SplitOf(r.Name) {
			im.out.Unlike++
		}
		m.Repositories = append(m.Repositories, r.Repository)
	}
	im.absent.Licences = len(m.Repositories)
	im.out.Manifest = m
	return &im.out, im.w.Close(m)
}

// files lists what the sources have.
func (im *importer) files(sources []string) (all []string, err error) {
	for _, source := range sources {
		info, err := os.Stat(source)
		if err != nil {
			return nil, err
		}
		if !info.IsDir() {
			all = append(all, source)
			continue
		}
		n := len(all)
		err = filepath.WalkDir(source, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			switch ext := strings.ToLower(filepath.Ext(path)); {
			case ext == ".json" && strings.Contains(strings.ToUpper(d.Name()), "README"):
				im.out.Skipped = append(im.out.Skipped, path) // describes other files
			case ext == ".parquet", ext == ".json":
				all = append(all, path)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		if len(all) == n {
			return nil, fmt.Errorf("%s: no Parquet or JSON file is in this folder", source)
		}
	}
	return all, nil
}

// file reads a file of either kind.
func (im *importer) file(ctx context.Context, path string) error {
	isParquet, err := hasMagic(path)
	if err != nil {
		return err
	}
	if isParquet {
		commits, err := hasCommits(path)
		if err != nil {
			return err
		}
		if commits {
			return im.commits(ctx, path)
		}
	}
	for t, err := range ReleasedTasks(path, im.ReleasedOptions) {
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := im.task(ctx, path, t); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	return nil
}

// hasCommits reports whether a Parquet file has commits, and not tasks.
func hasCommits(path string) (bool, error) {
	t, err := openTable(path, false, []columnSpec{
		{name: "target", typ: textColumn, optional: true}, {name: "commit_timestamp", typ: textColumn, optional: true}})
	if err != nil {
		return false, err
	}
	defer t.close()
	return t.leaves["target"] < 0 && t.leaves["commit_timestamp"] >= 0, nil
}

// repository notes what a row says of its repository, and returns its split.
func (im *importer) repository(path, name string, split dataset.Split, commit string, index int) (dataset.Split, error) {
	r := im.repos[name]
	if r == nil {
		r = &importedRepository{Repository: Repository{Name: name, Split: split}, from: path, newest: -1}
		if split == "" {
			r.Split = dataset.SplitOf(name)
			im.absent.Splits++
		}
		im.repos[name] = r
	}
	if split != "" && split != r.Split {
		return "", fmt.Errorf("repository %s is of split %q here and of %q in %s: import them into different folders", name, split, r.Split, r.from)
	}
	if commit != "" && index > r.newest {
		r.Commit, r.newest = commit, index
	}
	return r.Split, nil
}

func (im *importer) task(ctx context.Context, path string, t *Task) (err error) {
	if t.Split, err = im.repository(path, t.Repository, t.Split, t.Commit, t.CommitIndex); err != nil {
		return err
	}
	if im.w.ids[t.ID] {
		im.out.Repeated++
		return nil
	}
	if t.Commit != "" && im.Parent != nil {
		if p := &im.parent; p.repository != t.Repository || p.commit != t.Commit {
			id, err := im.Parent(ctx, t)
			if err != nil {
				return err
			}
			p.repository, p.commit, p.id = t.Repository, t.Commit, id
		}
		t.Parent = im.parent.id
	}
	for _, a := range []struct {
		absent bool
		n      *int
	}{
		{t.Commit == "", &im.absent.Commits}, {t.Parent == "", &im.absent.Parents},
		{t.InRepo == "", &im.absent.InRepo}, {t.End == 0, &im.absent.Positions},
	} {
		if a.absent {
			*a.n++
		}
	}
	return im.w.WriteTask(t)
}

func (im *importer) commits(ctx context.Context, path string) error {
	for c, err := range ReleasedCommits(path) {
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if !selects(im.Splits, c.Split) || !selects(im.InRepo, c.InRepo) || !selects(im.Repositories, c.Repository) {
			continue
		}
		if _, err := im.repository(path, c.Repository, c.Split, c.ID, c.Index); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if im.w.hasCommit(&c.Commit) {
			im.out.Repeated++
			continue
		}
		if err := im.w.WriteCommit(&c.Commit); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	return nil
}

// validateReleased is [Task.Validate] for a task of the authors.
func (t *Task) validateReleased() error {
	err := first(
		text("repository", t.Repository, true),
		oneOf("track", t.Track, tracks),
		oneOf("split", t.Split, splits),
		oneOf("in-repository split", t.InRepo, append(slices.Clone(splits), "")),
		oneOf("kind", t.Kind, kinds),
		t.validTexts(),
	)
	switch {
	case err != nil:
	case t.Language == "":
		err = errors.New("language is empty")
	case !isTaskID(t.ID):
		err = fmt.Errorf("id is %q, want 32 hexadecimal digits", t.ID)
	case t.Line < 0 || t.CommitIndex < 0 || t.Start < 0 || t.End < t.Start:
		err = fmt.Errorf("line is %d, commit index %d, target at %d..%d: want none below 0", t.Line, t.CommitIndex, t.Start, t.End)
	}
	return t.wrap(err)
}
