package repopeft

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"

	"github.com/code2lora/code2lora/internal/dataset"
)

// Benchmark is a folder written by a [Writer].
type Benchmark struct {
	Manifest Manifest
	// Digest is the SHA-256 of the manifest, and so of all there is.
	Digest string
	dir    string
}

// Open opens a benchmark and checks its digests.
func Open(dir string) (*Benchmark, error) {
	b, err := openManifest(dir)
	if err != nil {
		return nil, err
	}
	for _, name := range []string{tasksFile, commitsFile} {
		got, err := digestOf(filepath.Join(dir, name))
		if err != nil {
			return nil, fmt.Errorf("benchmark %s: %w", dir, err)
		}
		if want := b.Manifest.SHA256[name]; got != want {
			return nil, fmt.Errorf("benchmark %s: SHA-256 of %s is %s, the manifest has %s", dir, name, got, want)
		}
	}
	return b, nil
}

// ReadManifest reads the manifest of a benchmark, whose other files need not be
// there, and its digest.
func ReadManifest(dir string) (*Manifest, string, error) {
	b, err := openManifest(dir)
	if err != nil {
		return nil, "", err
	}
	return &b.Manifest, b.Digest, nil
}

// openManifest reads the manifest of a benchmark.
func openManifest(dir string) (*Benchmark, error) {
	data, err := os.ReadFile(filepath.Join(dir, manifestFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", dir, ErrUnfinished)
	}
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(data)
	b := &Benchmark{dir: dir, Digest: hex.EncodeToString(sum[:])}
	if err := json.Unmarshal(data, &b.Manifest); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, manifestFile), err)
	}
	if err := b.Manifest.check(); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, manifestFile), err)
	}
	return b, nil
}

// digestOf returns the SHA-256 of a file.
func digestOf(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	digest := sha256.New()
	if _, err := io.Copy(digest, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(digest.Sum(nil)), nil
}

// Filter selects tasks. A list that is empty selects all.
type Filter struct {
	Tracks       []Track
	Splits       []dataset.Split // of repositories
	InRepo       []dataset.Split
	Kinds        []Kind
	Languages    []string
	Repositories []string
}

// TrainRows selects what the authors' models were trained on. Their smart-cap
// file also has the validation and test rows of training repositories, which a
// reader has to leave out (benchmark.md §8).
var TrainRows = Filter{Splits: []dataset.Split{dataset.Train}, InRepo: []dataset.Split{dataset.Train}}

// Match reports whether a filter selects a task.
func (f Filter) Match(t *Task) bool {
	return selects(f.Tracks, t.Track) && selects(f.Splits, t.Split) && selects(f.InRepo, t.InRepo) &&
		selects(f.Kinds, t.Kind) && selects(f.Languages, t.Language) && selects(f.Repositories, t.Repository)
}

// selects reports whether a list is empty or has v.
func selects[T comparable](list []T, v T) bool { return len(list) == 0 || slices.Contains(list, v) }

// taskColumns are the columns of tasks.parquet.
var taskColumns = []columnSpec{
	{name: "task_id", typ: textColumn}, {name: "repo_id", typ: textColumn}, {name: "track", typ: textColumn},
	{name: "in_repo_split", typ: textColumn}, {name: "commit_sha", typ: textColumn}, {name: "parent_sha", typ: textColumn},
	{name: "commit_index", typ: integerColumn}, {name: "test_file", typ: textColumn}, {name: "language", typ: textColumn},
	{name: "kind", typ: textColumn}, {name: "assertion_type", typ: textColumn}, {name: "difficulty", typ: textColumn},
	{name: "test_function", typ: textColumn}, {name: "test_class", typ: textColumn}, {name: "lineno", typ: integerColumn},
	{name: "target_start", typ: integerColumn}, {name: "target_end", typ: integerColumn}, {name: "prefix", typ: textColumn},
	{name: "suffix", typ: textColumn}, {name: "target", typ: textColumn}, {name: "assertion_event_type", typ: textColumn},
}

// Tasks yields the tasks that a filter selects, in order, and ends with the
// first error. One page of each column is in memory at a time, and pages
// without a selected task are not read.
func (b *Benchmark) Tasks(f Filter) iter.Seq2[*Task, error] {
	splitOf, validate := b.labels()
	return each(filepath.Join(b.dir, tasksFile), taskColumns, b.Manifest.Tasks, func(r *row) (*Task, error) {
		t := &Task{Repository: r.text("repo_id"), Track: Track(r.text("track")), Kind: Kind(r.text("kind")), Language: r.text("language")}
		var err error
		if t.InRepo, err = parseInRepo(r.text("in_repo_split")); err != nil && r.err == nil {
			return nil, err
		}
		t.Split = splitOf(t.Repository)
		if !f.Match(t) {
			return nil, nil
		}
		t.ID, t.Commit, t.Parent, t.CommitIndex = r.text("task_id"), r.text("commit_sha"), r.text("parent_sha"), r.integer("commit_index")
		t.File, t.Family, t.Difficulty = r.text("test_file"), r.text("assertion_type"), r.text("difficulty")
		t.Function, t.Class, t.Line = r.text("test_function"), r.text("test_class"), r.integer("lineno")
		t.Start, t.End = r.integer("target_start"), r.integer("target_end")
		t.Prefix, t.Suffix, t.Target, t.Event = r.text("prefix"), r.text("suffix"), r.text("target"), r.text("assertion_event_type")
		if r.err != nil {
			return nil, r.err
		}
		return t, validate(t)
	})
}

// labels returns what tells the split of a repository, and what checks tasks: by
// our rules, or those of the authors' data.
func (b *Benchmark) labels() (splitOf func(string) dataset.Split, validate func(*Task) error) {
	if b.Manifest.Profile != Released {
		return dataset.SplitOf, (*Task).Validate
	}
	known := map[string]dataset.Split{}
	for _, r := range b.Manifest.Repositories {
		known[r.Name] = r.Split
	}
	return func(name string) dataset.Split { return known[name] }, (*Task).validateReleased
}

// commitColumns are the columns of commits.parquet.
var commitColumns = []columnSpec{
	{name: "repo_id", typ: textColumn}, {name: "track", typ: textColumn}, {name: "in_repo_split", typ: textColumn},
	{name: "commit_sha", typ: textColumn}, {name: "parent_sha", typ: textColumn}, {name: "commit_index", typ: integerColumn},
	{name: "commit_timestamp", typ: textColumn}, {name: "production_code_diff", typ: textColumn},
	{name: "n_added_assertions", typ: integerColumn}, {name: "n_modified_assertions", typ: integerColumn},
}

// Commits yields all commits in order, and ends with the first error.
func (b *Benchmark) Commits() iter.Seq2[*Commit, error] {
	splitOf, _ := b.labels()
	return each(filepath.Join(b.dir, commitsFile), commitColumns, b.Manifest.Commits, func(r *row) (*Commit, error) {
		c := &Commit{
			Repository: r.text("repo_id"), Track: Track(r.text("track")),
			ID: r.text("commit_sha"), Parent: r.text("parent_sha"), Index: r.integer("commit_index"),
			Time: r.text("commit_timestamp"), Diff: r.text("production_code_diff"),
			Added: r.integer("n_added_assertions"), Modified: r.integer("n_modified_assertions"),
		}
		var err error
		if c.InRepo, err = parseInRepo(r.text("in_repo_split")); r.err != nil || err != nil {
			return nil, first(r.err, err)
		}
		c.Split = splitOf(c.Repository)
		if b.Manifest.Profile == Released {
			return c, c.validateReleased()
		}
		return c, c.Validate()
	})
}

// each yields what read makes of the rows of one of our files, which has to
// have n of them. read returns nil for a row to leave out.
func each[T any](path string, columns []columnSpec, n int, read func(*row) (*T, error)) iter.Seq2[*T, error] {
	return func(yield func(*T, error) bool) {
		t, err := openTable(path, true, columns)
		if err != nil {
			yield(nil, err)
			return
		}
		defer t.close()
		if got := t.parquet.NumRows(); got != int64(n) {
			yield(nil, t.wrap(fmt.Errorf("%d rows, the manifest has %d", got, n)))
			return
		}
		if err := t.rows(visitor(yield, read)); err != nil {
			yield(nil, err)
		}
	}
}

// visitor passes what read makes of rows to yield.
func visitor[T any](yield func(*T, error) bool, read func(*row) (*T, error)) func(*row) (bool, error) {
	return func(r *row) (bool, error) {
		v, err := read(r)
		if err != nil || r.err != nil || v == nil {
			return true, err
		}
		return yield(v, nil), nil
	}
}
