package repopeft

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/code2lora/code2lora/internal/dataset"
)

// importAll imports files, and opens the result.
func importAll(t *testing.T, o ImportOptions, sources ...string) (*Imported, *Benchmark) {
	t.Helper()
	dir := t.TempDir()
	got, err := Import(t.Context(), sources, dir, o)
	if err != nil {
		t.Fatal(err)
	}
	b, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return got, b
}

// TestImport: the tasks and commits of each released layout come out of the
// benchmark as the readers of the layout give them.
func TestImport(t *testing.T) {
	for _, kind := range []string{"smartcap", "snapshots", "ood", "pages"} {
		qna := filepath.Join("testdata", kind+"-qna.parquet")
		sources := []string{qna}
		var commits []*ReleasedCommit
		if kind != "smartcap" {
			path := filepath.Join("testdata", kind+"-commits.parquet")
			sources = append(sources, path)
			var err error
			if commits, err = collect(ReleasedCommits(path)); err != nil {
				t.Fatal(err)
			}
		}
		_, b := importAll(t, ImportOptions{Tool: "code2lora v1"}, sources...)
		want, err := collect(ReleasedTasks(qna, ReleasedOptions{}))
		if err != nil {
			t.Fatal(err)
		}
		got, err := collect(b.Tasks(Filter{}))
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: tasks differ:\n got %+v\nwant %+v", kind, got, want)
		}
		gotCommits, err := collect(b.Commits())
		if err != nil {
			t.Fatal(err)
		}
		if len(gotCommits) != len(commits) {
			t.Fatalf("%s: %d commits, want %d", kind, len(gotCommits), len(commits))
		}
		for i, c := range gotCommits {
			if *c != commits[i].Commit {
				t.Errorf("%s: commit %d:\n got %+v\nwant %+v", kind, i, *c, commits[i].Commit)
			}
		}
		m := b.Manifest
		if m.Profile != Released || len(m.Repositories) != 1 || m.Repositories[0].Split != want[0].Split || m.Repositories[0].Licence != "" {
			t.Errorf("%s: manifest %+v", kind, m)
		}
		absent := Absent{Licences: 1, Parents: 4}
		if kind == "snapshots" {
			absent.Positions = 4
		}
		if m.Absent == nil || *m.Absent != absent {
			t.Errorf("%s: absent are %+v, want %+v", kind, m.Absent, absent)
		}
	}
}

func TestImportJSON(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{"ir_val_structured.json": splitFile, "SMART_CAP_README.json": `{"seed": 1}`} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	got, b := importAll(t, ImportOptions{}, dir)
	want, err := collect(ReleasedTasks(filepath.Join(dir, "ir_val_structured.json"), ReleasedOptions{}))
	if err != nil {
		t.Fatal(err)
	}
	tasks, err := collect(b.Tasks(Filter{Splits: []dataset.Split{dataset.Train}}))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(tasks, want) {
		t.Errorf("tasks differ:\n got %+v\nwant %+v", tasks, want)
	}
	if a := *b.Manifest.Absent; a != (Absent{Licences: 1, Commits: 2, Parents: 2, Positions: 2}) {
		t.Errorf("absent are %+v", a)
	}
	if len(got.Skipped) != 1 || !strings.HasSuffix(got.Skipped[0], "README.json") {
		t.Errorf("skipped %q, want the README", got.Skipped)
	}

	// A file whose name says no split.
	_, b = importAll(t, ImportOptions{}, writeJSON(t, "QNA_HYPERNET.json", `{"repo": "owner/name", "pairs": [`+pairJSON+`]}`))
	if r := b.Manifest.Repositories[0]; r.Split != dataset.SplitOf("owner/name") || b.Manifest.Absent.Splits != 1 || b.Manifest.Absent.InRepo != 1 {
		t.Errorf("split %q, absent %+v: want the rule's, and it counted", r.Split, b.Manifest.Absent)
	}
}

func TestImportOptions(t *testing.T) {
	qna := "testdata/smartcap-qna.parquet"
	asked := 0
	o := ImportOptions{ReleasedOptions: ReleasedOptions{Filter: TrainRows}, Parent: func(_ context.Context, task *Task) (string, error) {
		asked++
		return "parent of " + task.Commit, nil
	}}
	got, b := importAll(t, o, qna, qna)
	tasks, err := collect(b.Tasks(Filter{}))
	if err != nil {
		t.Fatal(err)
	}
	if len(tasks) != 3 || got.Repeated != 3 || asked != 1 {
		t.Errorf("%d tasks, %d repeated, %d parents asked for: want 3, 3 and 1", len(tasks), got.Repeated, asked)
	}
	for _, task := range tasks {
		if task.Parent != "parent of "+task.Commit {
			t.Errorf("parent is %q", task.Parent)
		}
	}
	if b.Manifest.Absent.Parents != 0 {
		t.Errorf("%d parents are absent, want none", b.Manifest.Absent.Parents)
	}
}

func TestImportRefuses(t *testing.T) {
	broken := errors.New("no clone")
	dir := t.TempDir()
	train := writeJSON(t, "train.json", splitFile)
	tests := []struct {
		name    string
		sources []string
		options ImportOptions
		want    string
	}{
		{"two splits", []string{train, writeJSON(t, "cr_test.json", splitFile)}, ImportOptions{}, `repository owner/name is of split "test" here and of "train" in ` + train},
		{"no tasks", []string{"testdata/commits-commits.parquet"}, ImportOptions{}, "no task"},
		{"nothing selected", []string{train}, ImportOptions{ReleasedOptions: ReleasedOptions{Filter: Filter{Splits: []dataset.Split{dataset.Test}}}}, "no task"},
		{"empty folder", []string{t.TempDir()}, ImportOptions{}, "no Parquet or JSON file"},
		{"missing", []string{"nowhere.parquet"}, ImportOptions{}, "nowhere.parquet"},
		{"parent", []string{"testdata/ood-qna.parquet"}, ImportOptions{Parent: func(context.Context, *Task) (string, error) { return "", broken }}, "no clone"},
	}
	for _, tt := range tests {
		_, err := Import(t.Context(), tt.sources, dir, tt.options)
		wantError(t, tt.name, err, tt.want)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("the folder has %v, error %v: want nothing", left, err)
	}
}

// TestImportedSplits: what a benchmark of ours may not have is refused under
// other profiles, and a manifest has only splits that there are.
func TestImportedSplits(t *testing.T) {
	_, b := importAll(t, ImportOptions{}, "testdata/ood-qna.parquet")
	m := b.Manifest
	m.Repositories = slices.Clone(m.Repositories)
	m.Repositories[0].Split = "dev"
	wantError(t, "split", m.check(), `split is "dev"`)
	m.Profile = "strict"
	wantError(t, "profile", m.check(), "which its name gives")
	tasks, err := collect(b.Tasks(Filter{}))
	if err != nil {
		t.Fatal(err)
	}
	if tasks[0].Validate() == nil {
		t.Error("a task of the authors is valid by our rules")
	}
}
