package corpus

import (
	"errors"
	"iter"
	"slices"
	"strings"
	"testing"

	"github.com/code2lora/code2lora/internal/dataset"
	"github.com/code2lora/code2lora/internal/repopeft"
)

func sequenceOf(tasks ...*repopeft.Task) iter.Seq2[*repopeft.Task, error] {
	return func(yield func(*repopeft.Task, error) bool) {
		for _, t := range tasks {
			if !yield(t, nil) {
				return
			}
		}
	}
}

// task is one of a file of the given repository.
func task(repository, file, prefix, target, suffix string, part dataset.Split) *repopeft.Task {
	return &repopeft.Task{Repository: repository, Commit: "c0", File: file, Kind: repopeft.Assertion, InRepo: part,
		Prefix: prefix, Target: target, Suffix: suffix, Function: "f"}
}

func TestAddTasks(t *testing.T) {
	call := task("acme/a", "t.py", "x = g(", "1)", "", dataset.Train)
	call.Kind = repopeft.Call
	tasks := []*repopeft.Task{
		task("acme/a", "t.py", "assert a == 1\nassert f(b == ", "2", ")\nrest", dataset.Validation), // out of order
		task("acme/a", "t.py", "assert a == ", "1", "\nassert f(b == 2)\nrest", dataset.Train),
		task("acme/a", "t.py", "imports\n\nassert a == ", "1", "", dataset.Test), // another layout: no continuation
		call,
		task("acme/d", "t.py", "assert q == ", "1", "", dataset.Train), // a test repository
		task("acme/b", "t.py", "", "1", "", dataset.Train),             // nothing to complete
	}
	c := New()
	if err := c.AddTasks(sequenceOf(tasks...), false); err != nil {
		t.Fatal(err)
	}
	if got := c.Repositories(); !slices.Equal(got, []string{"acme/a"}) {
		t.Fatalf("repositories %q, want acme/a alone", got)
	}
	describe := func(docs []*dataset.Document) (all []string) {
		for _, d := range docs {
			s := d.Text
			for _, t := range d.Tasks {
				s += "|" + d.Text[t.Start:t.End]
			}
			all = append(all, s)
		}
		slices.Sort(all)
		return all
	}
	for _, tt := range []struct {
		parts []dataset.Split
		want  []string
	}{
		{nil, []string{"assert a == 1\nassert f(b == 2)\n|1|2", "imports\n\nassert a == 1\n|1", "x = g(1)|1)"}},
		// The test task is the first one again, so that is no label either.
		{[]dataset.Split{dataset.Train}, []string{"x = g(1)|1)"}},
		{[]dataset.Split{dataset.Test}, []string{"imports\n\nassert a == 1\n|1"}},
	} {
		if got := describe(c.Documents("acme/a", tt.parts...)); !slices.Equal(got, tt.want) {
			t.Errorf("%v: got %q\nwant %q", tt.parts, got, tt.want)
		}
	}
	all := New()
	if err := all.AddTasks(sequenceOf(tasks...), true); err != nil {
		t.Fatal(err)
	}
	if got := all.Repositories(); !slices.Equal(got, []string{"acme/a", "acme/d"}) || all.Digest() == c.Digest() {
		t.Errorf("with test repositories: %q, digests equal: %t", got, all.Digest() == c.Digest())
	}
	bad := task("acme/a", "t.py", "x", "1", "", "dev")
	if err := New().AddTasks(sequenceOf(bad), false); err == nil || !strings.Contains(err.Error(), `"dev"`) {
		t.Errorf("unknown part: error %v", err)
	}
	broken := errors.New("broken")
	failing := func(yield func(*repopeft.Task, error) bool) { yield(nil, broken) }
	if err := New().AddTasks(failing, false); !errors.Is(err, broken) {
		t.Errorf("error %v, want %v", err, broken)
	}
}

func FuzzAddTasks(f *testing.F) {
	f.Add("assert a == ", "1", "\n", "assert a == 1\nassert b == ", "2", ")")
	f.Add("", "\xff", "", "\x00", "", "\n")
	f.Fuzz(func(t *testing.T, p1, t1, s1, p2, t2, s2 string) {
		c := New()
		if err := c.AddTasks(sequenceOf(task("acme/a", "t.py", p1, t1, s1, ""), task("acme/a", "t.py", p2, t2, s2, "")), false); err != nil {
			return
		}
		for _, parts := range [][]dataset.Split{nil, {dataset.Train}, {dataset.Validation}} {
			for _, d := range c.Documents("acme/a", parts...) {
				if err := d.Validate(); err != nil {
					t.Error(err)
				}
			}
		}
	})
}

// TestAddFolder reads a benchmark and a dataset.
func TestAddFolder(t *testing.T) {
	dir := t.TempDir()
	w, err := repopeft.NewWriter(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Discard()
	m := &repopeft.Manifest{Tool: "test", Profile: "strict"}
	for i, name := range []string{"acme/a", "acme/b", "acme/c", "acme/d"} {
		text := "import m\n"
		for k, track := range []repopeft.Track{repopeft.Static, repopeft.Static, repopeft.OOD} {
			q := &repopeft.Task{Repository: name, Track: track, Split: dataset.SplitOf(name), InRepo: dataset.Train, Commit: strings.Repeat("ab", 20),
				File: "t.py", Language: "python", Kind: repopeft.Assertion, Line: 1 + i, Start: 30 * k, End: 30*k + 1, Prefix: text + "assert x == ", Target: "1", Suffix: "\n"}
			q.ID = repopeft.TaskID(q.Repository, q.Commit, q.File, q.Kind, q.Start, q.End)
			text = q.Prefix + "1\n"
			if err := w.WriteTask(q); err != nil {
				t.Fatal(err)
			}
		}
		m.Repositories = append(m.Repositories, repopeft.Repository{Name: name, Commit: strings.Repeat("ab", 20)})
	}
	if err := w.Close(m); err != nil {
		t.Fatal(err)
	}
	filter := repopeft.Filter{Tracks: []repopeft.Track{repopeft.Static, repopeft.Evolution}}
	c := New()
	if err := c.AddFolder(dir, filter, false); err != nil {
		t.Fatal(err)
	}
	if got := c.Repositories(); !slices.Equal(got, []string{"acme/a", "acme/b", "acme/c"}) {
		t.Errorf("repositories %q, want those that are not of the test split", got)
	}
	docs := c.Documents("acme/a", dataset.Train)
	if len(docs) != 1 || len(docs[0].Tasks) != 2 {
		t.Errorf("documents %+v, want one with the two tasks of the static track", docs)
	}
	if err := New().AddFolder(t.TempDir(), filter, false); !errors.Is(err, dataset.ErrUnfinished) {
		t.Errorf("an empty folder: error %v, want %v", err, dataset.ErrUnfinished)
	}
}
