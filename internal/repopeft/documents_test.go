package repopeft

import (
	"path/filepath"
	"testing"

	"github.com/code2lora/code2lora/internal/dataset"
)

func TestDocuments(t *testing.T) {
	a := tasksOfFile("owner/one", Evolution, 1, "a.py", 3)
	b := tasksOfFile("owner/one", Evolution, 1, "b.py", 2)
	other := tasksOfFile("owner/one", Evolution, 2, "a.py", 1) // another commit

	excerpt := *a[1]
	excerpt.Prefix = excerpt.Prefix[5:]
	rewritten := *a[1]
	rewritten.Prefix = "#" + rewritten.Prefix[1:]
	call := *a[1] // inside the target of a[1]
	call.Kind, call.Family, call.Start, call.End = Call, "", a[1].Start+1, a[1].End-1
	call.Prefix, call.Target = a[1].Prefix+a[1].Target[:1], a[1].Target[1:len(a[1].Target)-1]

	docs, skipped := Documents([]*Task{a[2], b[0], &excerpt, a[0], &call, other[0], &rewritten, a[1], b[1]})
	if skipped != 2 {
		t.Errorf("%d tasks skipped, want 2", skipped)
	}
	want := []struct {
		file, commit string
		targets      []string
		kind         string
	}{
		{"a.py", commitID(1), []string{a[0].Target, a[1].Target, a[2].Target}, "assert"},
		{"a.py", commitID(1), []string{call.Target}, "call"},
		{"b.py", commitID(1), []string{b[0].Target, b[1].Target}, "assert"},
		{"a.py", commitID(2), []string{other[0].Target}, "assert"},
	}
	if len(docs) != len(want) {
		t.Fatalf("%d documents, want %d", len(docs), len(want))
	}
	for i, d := range docs {
		if err := d.Validate(); err != nil {
			t.Error(err)
		}
		if d.File != want[i].file || d.Commit != want[i].commit || d.Repository != "owner/one" || len(d.Tasks) != len(want[i].targets) {
			t.Errorf("document %d: %s %s with %d tasks, want %+v", i, d.File, d.Commit, len(d.Tasks), want[i])
			continue
		}
		for j, target := range d.Tasks {
			if got := d.Text[target.Start:target.End]; got != want[i].targets[j] || target.Kind != want[i].kind {
				t.Errorf("document %d: target %d is %q of kind %q, want %q of %q", i, j, got, target.Kind, want[i].targets[j], want[i].kind)
			}
		}
		if last := d.Tasks[len(d.Tasks)-1]; last.End != len(d.Text) {
			t.Errorf("document %d: text has %d bytes, want %d", i, len(d.Text), last.End)
		}
		if d.Imports != (dataset.Span{Start: 0, End: len("import math\n")}) {
			t.Errorf("document %d: imports at %+v", i, d.Imports)
		}
	}
}

// The authors' evolution track has whole files, their static track has not.
func TestDocumentsReleased(t *testing.T) {
	for kind, want := range map[string]int{"smartcap": 0, "snapshots": 4} {
		tasks, err := collect(ReleasedTasks(filepath.Join("testdata", kind+"-qna.parquet"), ReleasedOptions{}))
		if err != nil {
			t.Fatal(err)
		}
		for _, task := range tasks {
			task.File = task.ID // the invented rows are not of one file
		}
		docs, skipped := Documents(tasks)
		if skipped != want || len(docs) != 4-want {
			t.Errorf("%s: %d documents, %d tasks skipped, want %d skipped", kind, len(docs), skipped, want)
		}
	}
}
