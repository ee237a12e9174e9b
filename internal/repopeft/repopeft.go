// Package repopeft has the data of RepoPeftBench, the benchmark of
// arXiv 2606.06492 for adapters of repositories: its tasks, the commits that
// they belong to, and what methods answered.
//
// A [Task] is a place in a file at a commit, with what stood there. What a
// method gets to know of it is a [Query], which has no field for the answer.
// A [Prediction] is what it answered, a [Score] is how good that was; both
// refer to the task by its id, so that neither repeats the code.
//
// A benchmark is a folder, which [Writer] writes and [Open] reads:
//
//	tasks.parquet     a Task a row; its columns are named as in the authors' data
//	commits.parquet   a Commit a row
//	manifest.json     what was mined by which rules, counts, digests; written last
//
// [ReleasedTasks], [ReleasedCommits] and [ReleasedRepositories] read the data
// that the authors have released.
// What a method answers collects in a [Run].
//
// All of it is read piece by piece: no reader holds more than a page of a
// column, or a repository of a JSON file.
package repopeft

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/code2lora/code2lora/internal/dataset"
)

// Track is one of the parts of the benchmark.
type Track string

// The tracks (arXiv 2606.06492 §4).
const (
	Static    Track = "static"    // a snapshot of each repository
	Evolution Track = "evolution" // the commits of each repository that add or change tasks
	OOD       Track = "ood"       // as Evolution, in repositories that began after a cut-off date
)

// Kind says what is asked for.
type Kind string

// The kinds of tasks. The paper has the first one.
const (
	Assertion Kind = "assertion" // the right-hand side of an assertion
	Call      Kind = "call"      // a call of something that the repository itself defines, from its name to its closing parenthesis
	Line      Kind = "line"      // a whole line of a function
)

// Task is a place in a file at a commit, and what stood there.
type Task struct {
	ID         string        // see TaskID
	Repository string        // owner/name
	Track      Track         //
	Split      dataset.Split // of the repository
	// InRepo divides the tasks of a repository once more: those of training
	// repositories that are labelled validation or test make the in-repository
	// (IR) suites. In the static track whole test functions fall to one side, in
	// the evolution track whole commits, in their order.
	InRepo dataset.Split
	Commit string // full id of the commit that has the file
	// Parent is the commit that methods may read, under the rules of a level of
	// disclosure: Commit itself in the static track, else its first parent, or
	// "" where there is none.
	Parent      string
	CommitIndex int    // position of Commit among the kept commits of the repository, from 0
	File        string // path in the repository, with slashes
	Language    string // as gitrepo.Language names it
	Kind        Kind
	Family      string // of assertions: "assert", "self.assertEqual", "pytest.raises" and so on; of calls and lines: ""
	Difficulty  string // class of the target, benchmark.md §5: "variable", "string_literal" and so on
	Function    string // innermost function around it, or ""
	Class       string // innermost class around it, or ""
	Line        int    // where the statement begins, 1-based
	Start, End  int    // extent of the target in the file, in bytes
	Prefix      string // the file before the target, as its profile lays it out
	Suffix      string // the file behind the target; "" where the profile has none
	Target      string
	Event       string // in the evolution track: "added" or "modified"
}

// TaskID returns the id of a task: the first 16 bytes of SHA-256 over what
// makes it this one, in lower-case hexadecimal.
func TaskID(repository, commit, file string, kind Kind, start, end int) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%s\x00%s\x00%d\x00%d", repository, commit, file, kind, start, end))
	return hex.EncodeToString(sum[:16])
}

// Query is what a method may know of a task.
type Query struct {
	ID         string
	Repository string
	Parent     string
	File       string
	Language   string
	Kind       Kind
	Function   string
	Class      string
	Line       int
	Prefix     string
	Suffix     string
}

// Query returns the task without its answer.
func (t *Task) Query() Query {
	return Query{
		ID: t.ID, Repository: t.Repository, Parent: t.Parent, File: t.File, Language: t.Language,
		Kind: t.Kind, Function: t.Function, Class: t.Class, Line: t.Line, Prefix: t.Prefix, Suffix: t.Suffix,
	}
}

// Commit is a commit of the evolution track that has tasks.
type Commit struct {
	Repository string
	Track      Track
	Split      dataset.Split
	InRepo     dataset.Split
	ID         string // full id
	Parent     string // first parent, or ""
	Index      int    // among the kept commits of the repository, from 0
	Time       string // of the author, RFC 3339
	// Diff is what changed in production code since the kept commit before,
	// benchmark.md §7.3. It has to be UTF-8.
	Diff            string
	Added, Modified int // tasks, before caps
}
