package repopeft

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"iter"
	"os"
	"slices"
	"unicode/utf8"

	"github.com/code2lora/code2lora/internal/dataset"
)

// ReleasedVector is the length of the embeddings in the authors' data.
const ReleasedVector = 2048

// ReleasedOptions says which tasks of the authors' data are read.
type ReleasedOptions struct {
	Filter // see also [TrainRows]
	// PerCommit is how many tasks of a commit are read at most, the first ones
	// that the filter selects; 0 for all. The paper scores 8.
	PerCommit int
	// NoCommas leaves out targets that begin with a comma, as the authors'
	// loaders of the static track do.
	NoCommas bool
}

// ReleasedTasks yields the tasks of a file that the authors of the paper have
// released, in its order, and ends with the first error. The file is one of
//
//   - Parquet: qna/*.parquet of code2lora-data-smartcap and
//     code2lora-data-snapshots, qna.parquet of code2lora-data-ood, in both
//     generations of the schema;
//   - JSON, as [ReleasedRepositories] reads it.
//
// The splits are those of the file, which are not [dataset.SplitOf]. Neither
// layout tells a task's parent commit, or where its target begins in the file:
// Parent is "", and Start and End are the target's extent behind the prefix,
// as if the prefix were the file's text; they are 0 in the static track, whose
// prefixes are excerpts. So ids are not those of [TaskID], but digests of the
// whole row.
//
// A Parquet file is read page by page, a JSON file repository by repository.
func ReleasedTasks(path string, o ReleasedOptions) iter.Seq2[*Task, error] {
	return func(yield func(*Task, error) bool) {
		isParquet, err := hasMagic(path)
		if err != nil {
			yield(nil, err)
			return
		}
		taken := map[string]int{} // repository and commit -> tasks
		take := func(t *Task) bool {
			if !o.Match(t) || o.NoCommas && len(t.Target) > 0 && t.Target[0] == ',' {
				return false
			}
			commit := t.Repository + "\x00" + t.Commit
			taken[commit]++
			return o.PerCommit == 0 || taken[commit] <= o.PerCommit
		}
		if isParquet {
			releasedRows(path, o.Filter, take, yield)
			return
		}
		for r, err := range ReleasedRepositories(path) {
			if err != nil {
				yield(nil, err)
				return
			}
			for _, t := range r.Tasks {
				if take(t) && !yield(t, nil) {
					return
				}
			}
		}
	}
}

// hasMagic reports whether a file begins as Parquet files do.
func hasMagic(path string) (bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	var magic [4]byte
	if _, err := io.ReadFull(f, magic[:]); err != nil {
		return false, fmt.Errorf("%s: neither Parquet nor JSON: it has less than %d bytes", path, len(magic))
	}
	return bytes.Equal(magic[:], []byte("PAR1")), nil
}

// releasedTaskColumns are the columns of the authors' tasks, in any generation
// of the schema.
var releasedTaskColumns = []columnSpec{
	{name: "repo_id", typ: textColumn}, {name: "cross_repo_split", typ: textColumn}, {name: "in_repo_split", typ: textColumn},
	{name: "commit_sha", typ: textColumn}, {name: "commit_index", typ: integerColumn},
	{name: "test_file", typ: textColumn}, {name: "test_function", typ: textColumn}, {name: "assertion_type", typ: textColumn},
	{name: "prefix", typ: textColumn}, {name: "target", typ: textColumn},
	{name: "lineno", typ: integerColumn, optional: true}, {name: "col_offset", typ: integerColumn, optional: true},
	{name: "difficulty", typ: textColumn, optional: true}, {name: "assertion_event_type", typ: textColumn, optional: true},
	// A file that has it is of the static track.
	{name: "anchor_sha", typ: textColumn, optional: true},
}

// releasedRows yields the tasks of a Parquet file.
func releasedRows(path string, f Filter, take func(*Task) bool, yield func(*Task, error) bool) {
	t, err := openTable(path, false, releasedTaskColumns)
	if err != nil {
		yield(nil, err)
		return
	}
	defer t.close()
	static := t.leaves["anchor_sha"] >= 0
	err = t.rows(visitor(yield, func(r *row) (*Task, error) {
		task, err := releasedTask(r, static, f)
		if err != nil || task == nil || !take(task) {
			return nil, err
		}
		return task, nil
	}))
	if err != nil {
		yield(nil, err)
	}
}

// releasedTask reads a row, or returns nil if the filter doesn't select it:
// then its prefix isn't read.
func releasedTask(r *row, static bool, f Filter) (*Task, error) {
	t := &Task{Repository: r.text("repo_id"), Track: Evolution, Kind: Assertion, Language: "python"}
	if static {
		t.Track = Static
	}
	split, ood, err := parseCrossRepo(r.text("cross_repo_split"))
	inRepo, err2 := parseInRepo(r.text("in_repo_split"))
	if err := first(r.err, err, err2); err != nil {
		return nil, err
	}
	t.Split, t.InRepo = split, inRepo
	if ood {
		t.Track = OOD
	}
	if !f.Match(t) {
		return nil, nil
	}
	t.Commit, t.CommitIndex, t.File = r.text("commit_sha"), r.integer("commit_index"), r.text("test_file")
	t.Family, t.Function, t.Event = r.text("assertion_type"), r.text("test_function"), r.text("assertion_event_type")
	t.Line, t.Prefix, t.Target = r.integer("lineno"), r.text("prefix"), r.text("target")
	t.Difficulty = r.text("difficulty")
	column := r.integer("col_offset")
	if r.err != nil {
		return nil, r.err
	}
	if !static {
		t.Start, t.End = len(t.Prefix), len(t.Prefix)+len(t.Target)
	}
	return t, t.release(column)
}

// release completes a task of the authors, whose statement begins at a column,
// and reports what makes it unusable.
func (t *Task) release(column int) error {
	if t.Difficulty == "" {
		t.Difficulty = Difficulty(t.Target)
	}
	t.ID = releasedID(t, column)
	for _, field := range []struct{ name, text string }{{"prefix", t.Prefix}, {"target", t.Target}} {
		if !utf8.ValidString(field.text) {
			return fmt.Errorf("%s is not UTF-8", field.name)
		}
	}
	return first(
		text("repository", t.Repository, true),
		text("target", t.Target, true),
		oneOf("assertion_event_type", t.Event, events),
	)
}

// releasedID is the id of a task of the authors.
func releasedID(t *Task, column int) string {
	h := sha256.New()
	for _, s := range []string{"released", string(t.Track), t.Repository, t.Commit, t.File, fmt.Sprint(t.Line), fmt.Sprint(column), t.Family, t.Prefix, t.Target} {
		fmt.Fprintf(h, "%d\x00%s", len(s), s)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// ReleasedCommit is a commit of the authors' data.
type ReleasedCommit struct {
	Commit
	// DiffEmbedding and StateEmbedding have [ReleasedVector] numbers: what the
	// encoder made of Diff, and of the repository after it. They are nil where
	// the file has none, or only zeros, which is how the authors write a missing
	// one.
	DiffEmbedding, StateEmbedding []float32
}

// releasedCommitColumns are the columns of the authors' commits.
var releasedCommitColumns = []columnSpec{
	{name: "repo_id", typ: textColumn}, {name: "cross_repo_split", typ: textColumn}, {name: "in_repo_split", typ: textColumn},
	{name: "commit_sha", typ: textColumn}, {name: "commit_index", typ: integerColumn}, {name: "commit_timestamp", typ: textColumn},
	{name: "production_code_diff", typ: textColumn, optional: true},
	{name: "n_new_assertions", typ: integerColumn, optional: true},
	{name: "n_added_assertions", typ: integerColumn, optional: true}, {name: "n_modified_assertions", typ: integerColumn, optional: true},
	{name: "diff_embedding", typ: vectorColumn, optional: true}, {name: "repo_state_embedding", typ: vectorColumn, optional: true},
}

// ReleasedCommits yields the commits of a Parquet file that the authors have
// released (commits/*.parquet of code2lora-data-commits and
// code2lora-data-snapshots, commits.parquet of code2lora-data-ood), and ends
// with the first error. Parent is "". Where a file counts new assertions only,
// they are in Added.
func ReleasedCommits(path string) iter.Seq2[*ReleasedCommit, error] {
	return func(yield func(*ReleasedCommit, error) bool) {
		t, err := openTable(path, false, releasedCommitColumns)
		if err != nil {
			yield(nil, err)
			return
		}
		defer t.close()
		counted := t.leaves["n_added_assertions"] >= 0
		err = t.rows(visitor(yield, func(r *row) (*ReleasedCommit, error) { return releasedCommit(r, counted) }))
		if err != nil {
			yield(nil, err)
		}
	}
}

// releasedCommit reads a row; counted tells whether added assertions are
// counted apart from modified ones.
func releasedCommit(r *row, counted bool) (*ReleasedCommit, error) {
	c := &ReleasedCommit{Commit: Commit{
		Repository: r.text("repo_id"), Track: Evolution,
		ID: r.text("commit_sha"), Index: r.integer("commit_index"), Time: r.text("commit_timestamp"),
		Diff: r.text("production_code_diff"), Added: r.integer("n_added_assertions"), Modified: r.integer("n_modified_assertions"),
	}}
	if !counted {
		c.Added = r.integer("n_new_assertions")
	}
	c.DiffEmbedding = nonZero(r.vector("diff_embedding", ReleasedVector))
	c.StateEmbedding = nonZero(r.vector("repo_state_embedding", ReleasedVector))
	split, ood, err := parseCrossRepo(r.text("cross_repo_split"))
	inRepo, err2 := parseInRepo(r.text("in_repo_split"))
	if err := first(r.err, err, err2, text("repository", c.Repository, true)); err != nil {
		return nil, err
	}
	c.Split, c.InRepo = split, inRepo
	if ood {
		c.Track = OOD
	}
	return c, nil
}

// nonZero returns x, or nil if it has only zeros.
func nonZero(x []float32) []float32 {
	if slices.ContainsFunc(x, func(v float32) bool { return v != 0 }) {
		return x
	}
	return nil
}

// suite is what the name of one of the authors' JSON files says about its tasks.
type suite struct {
	track         Track
	split, inRepo dataset.Split
}

// suites maps names of files, without what follows, to suites. A name that is
// not there says nothing.
var suites = map[string]suite{
	"train":    {Static, dataset.Train, dataset.Train},
	"ir_val":   {Static, dataset.Train, dataset.Validation},
	"ir_test":  {Static, dataset.Train, dataset.Test},
	"cr_val":   {Static, dataset.Validation, ""},
	"cr_test":  {Static, dataset.Test, ""},
	"ood_test": {OOD, dataset.Test, ""},
	"ood":      {OOD, dataset.Test, ""},
}
