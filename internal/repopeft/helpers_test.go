package repopeft

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/code2lora/code2lora/internal/dataset"
)

// commitID is the id of a commit of the test data.
func commitID(i int) string { return strings.Repeat(fmt.Sprintf("%04x", i), 10) }

// tasksOfFile returns n verbatim tasks of one file at one commit.
func tasksOfFile(repository string, track Track, commit int, file string, n int) (tasks []*Task) {
	text := "import math\n\ndef test_é():\n"
	for i := range n {
		text += fmt.Sprintf("    assert f(%d) == ", i)
		target := fmt.Sprintf("[%d, 'ü']", i*i)
		t := &Task{
			Repository: repository, Track: track, Split: dataset.SplitOf(repository), InRepo: dataset.Validation,
			Commit: commitID(commit), Parent: commitID(commit - 1), CommitIndex: commit,
			File: file, Language: "python", Kind: Assertion, Family: "assert", Difficulty: "collection",
			Function: "test_é", Class: "TestCase", Line: 4 + i,
			Start: len(text), End: len(text) + len(target),
			Prefix: text, Suffix: "\n", Target: target, Event: "added",
		}
		t.ID = TaskID(t.Repository, t.Commit, t.File, t.Kind, t.Start, t.End)
		tasks = append(tasks, t)
		text += target + "\n"
	}
	return tasks
}

// testData is a small benchmark of two repositories.
func testData() (tasks []*Task, commits []*Commit, m *Manifest) {
	for _, repository := range []string{"owner/one", "owner/two"} {
		tasks = append(tasks, tasksOfFile(repository, Static, 7, "tests/test_a.py", 3)...)
		for i := range 3 {
			tasks = append(tasks, tasksOfFile(repository, Evolution, i+1, "tests/test_b.py", 2)...)
			commits = append(commits, &Commit{
				Repository: repository, Track: Evolution, Split: dataset.SplitOf(repository), InRepo: dataset.Train,
				ID: commitID(i + 1), Parent: commitID(i), Index: i, Time: "2025-03-01T10:00:00+02:00",
				Diff: "diff --git a/x.py b/x.py\n+x = 'é'\n", Added: 2, Modified: i,
			})
		}
	}
	tasks[0].Kind, tasks[0].Event, tasks[0].Suffix, tasks[0].Parent = Line, "", "", ""
	tasks[0].ID = TaskID(tasks[0].Repository, tasks[0].Commit, tasks[0].File, Line, tasks[0].Start, tasks[0].End)
	m = &Manifest{
		Tool: "code2lora v1.2.3", Profile: "strict", Options: []byte(`{"kinds":["line"]}`), CutOff: "2025-04-01",
		Repositories: []Repository{
			{Name: "owner/two", Commit: commitID(9), URL: "https://example.org/owner/two", Licence: "MIT",
				FirstCommit: "2019-01-02T03:04:05Z", Tracks: map[Track]Counts{Static: {Dropped: map[string]int{"cap": 4}}}},
			{Name: "owner/one", Commit: commitID(7), Licence: "", Skipped: map[string]int{"syntax error": 1}},
		},
		Excluded: []Excluded{{Name: "owner/fork", Reason: "fork of owner/one"}},
	}
	return tasks, commits, m
}

// writeBenchmark writes a benchmark, and returns its manifest.
func writeBenchmark(t *testing.T, dir string, tasks []*Task, commits []*Commit, m *Manifest) {
	t.Helper()
	w, err := NewWriter(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Discard()
	for _, task := range tasks {
		if err := w.WriteTask(task); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range commits {
		if err := w.WriteCommit(c); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(m); err != nil {
		t.Fatal(err)
	}
}

// files returns the contents of all files of a folder.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		all[e.Name()] = string(data)
	}
	return all
}

// wantError checks that an error says something.
func wantError(t *testing.T, what string, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("%s: no error, want one with %q", what, parts)
		return
	}
	for _, p := range parts {
		if !strings.Contains(err.Error(), p) {
			t.Errorf("%s: got error %q, want it to have %q", what, err, p)
		}
	}
}
