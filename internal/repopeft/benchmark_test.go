package repopeft

import (
	"errors"
	"fmt"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/code2lora/code2lora/internal/dataset"
)

// collect returns all values of a sequence, or its error.
func collect[T any](seq iter.Seq2[*T, error]) (all []*T, err error) {
	for v, err := range seq {
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, nil
}

func TestBenchmark(t *testing.T) {
	dir := t.TempDir()
	tasks, commits, m := testData()
	writeBenchmark(t, dir, tasks, commits, m)
	b, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	got, err := collect(b.Tasks(Filter{}))
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != len(tasks) {
		t.Fatalf("%d tasks, want %d", len(got), len(tasks))
	}
	for i := range got {
		if !reflect.DeepEqual(got[i], tasks[i]) {
			t.Errorf("task %d:\n got %+v\nwant %+v", i, got[i], tasks[i])
		}
	}
	gotCommits, err := collect(b.Commits())
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(gotCommits, commits) {
		t.Errorf("commits differ")
	}
	if got := slices.Sorted(maps.Keys(files(t, dir))); !slices.Equal(got, []string{"commits.parquet", "manifest.json", "tasks.parquet"}) {
		t.Errorf("files %q", got)
	}
	checkManifest(t, &b.Manifest)
}

// checkManifest compares a manifest with what testData gives.
func checkManifest(t *testing.T, m *Manifest) {
	t.Helper()
	if m.Tasks != 18 || m.Commits != 6 || !slices.Equal(m.Tracks, []Track{Evolution, Static}) {
		t.Errorf("manifest has %d tasks, %d commits, tracks %q", m.Tasks, m.Commits, m.Tracks)
	}
	if m.Repositories[0].Name != "owner/one" || m.Repositories[0].Split != dataset.SplitOf("owner/one") {
		t.Errorf("first repository is %+v", m.Repositories[0])
	}
	want := map[Track]Counts{
		Static: {Tasks: 3, Kinds: map[Kind]int{Assertion: 3}, InRepo: map[dataset.Split]int{dataset.Validation: 3},
			Dropped: map[string]int{"cap": 4}},
		Evolution: {Tasks: 6, Commits: 3, Kinds: map[Kind]int{Assertion: 6}, InRepo: map[dataset.Split]int{dataset.Validation: 6}},
	}
	if got := m.Repository("owner/two").Tracks; !reflect.DeepEqual(got, want) {
		t.Errorf("counts of owner/two:\n got %+v\nwant %+v", got, want)
	}
}

func TestBenchmarkDeterministic(t *testing.T) {
	tasks, commits, m := testData()
	a, b := t.TempDir(), t.TempDir()
	writeBenchmark(t, a, tasks, commits, m)
	_, _, m = testData()
	writeBenchmark(t, b, tasks, commits, m)
	if !maps.Equal(files(t, a), files(t, b)) {
		t.Error("the same rows gave other bytes")
	}
	// Once more over the first one, with less.
	writeBenchmark(t, a, tasks[:1], nil, m)
	opened, err := Open(a)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := collect(opened.Tasks(Filter{})); err != nil || len(got) != 1 {
		t.Errorf("%d tasks, error %v, want 1", len(got), err)
	}
	if got := len(files(t, a)); got != 3 {
		t.Errorf("%d files, want 3", got)
	}
}

func TestFilter(t *testing.T) {
	dir := t.TempDir()
	tasks, commits, m := testData()
	writeBenchmark(t, dir, tasks, commits, m)
	b, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		filter Filter
		want   int
	}{
		{"all", Filter{}, 18},
		{"track", Filter{Tracks: []Track{Static}}, 6},
		{"tracks", Filter{Tracks: []Track{Static, Evolution}}, 18},
		{"kind", Filter{Kinds: []Kind{Line}}, 1},
		{"repository", Filter{Repositories: []string{"owner/two"}}, 9},
		{"split", Filter{Splits: []dataset.Split{dataset.SplitOf("owner/one")}, Repositories: []string{"owner/one"}}, 9},
		{"in-repository", Filter{InRepo: []dataset.Split{dataset.Train}}, 0},
		{"language", Filter{Languages: []string{"go"}}, 0},
		{"several", Filter{Repositories: []string{"owner/two"}, Tracks: []Track{Evolution}, Languages: []string{"python"}}, 6},
	}
	for _, tt := range tests {
		got, err := collect(b.Tasks(tt.filter))
		if err != nil {
			t.Fatal(err)
		}
		var want []*Task
		for _, task := range tasks {
			if tt.filter.Match(task) {
				want = append(want, task)
			}
		}
		if len(got) != tt.want || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %d tasks, want these %d", tt.name, len(got), tt.want)
		}
	}
}

// TestLargePrefixes has prefixes larger than a page in several row groups.
func TestLargePrefixes(t *testing.T) {
	dir := t.TempDir()
	var tasks []*Task
	noise := strings.Builder{}
	for i := range 12_000 {
		fmt.Fprintf(&noise, "x%d = %d\n", i, i*i*2654435761)
	}
	total := 0
	for i, file := range []string{"a.py", "b.py"} {
		for j, task := range tasksOfFile("owner/one", Static, 1, file, 150) {
			head := fmt.Sprintln("#", i) + noise.String()
			task.Prefix, task.Suffix = head+task.Prefix, fmt.Sprint(j%7)
			task.Start, task.End = task.Start+len(head), task.End+len(head)
			task.ID = TaskID(task.Repository, task.Commit, task.File, task.Kind, task.Start, task.End)
			total += len(task.Prefix)
			tasks = append(tasks, task)
		}
	}
	writeBenchmark(t, dir, tasks, nil, &Manifest{Repositories: []Repository{{Name: "owner/one"}}})
	info, err := os.Stat(filepath.Join(dir, tasksFile))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d bytes of prefixes in %d bytes", total, info.Size())
	if info.Size()*20 > int64(total) {
		t.Errorf("%d bytes for prefixes of %d, want less than a twentieth", info.Size(), total)
	}
	b, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	table, err := openTable(filepath.Join(dir, tasksFile), true, taskColumns)
	if err != nil {
		t.Fatal(err)
	}
	defer table.close()
	if n := len(table.parquet.RowGroups()); n < 2 {
		t.Errorf("%d row groups, want several", n)
	}
	// Every hundredth row, so that pages are left out.
	n := 0
	err = table.rows(func(r *row) (bool, error) {
		if n%100 == 99 && (r.text("prefix") != tasks[n].Prefix || r.text("suffix") != tasks[n].Suffix || r.integer("lineno") != tasks[n].Line) {
			t.Errorf("row %d differs", n)
		}
		n++
		return true, nil
	})
	if err != nil || n != len(tasks) {
		t.Errorf("%d rows, error %v, want %d", n, err, len(tasks))
	}
	got, err := collect(b.Tasks(Filter{}))
	if err != nil || !reflect.DeepEqual(got, tasks) {
		t.Errorf("tasks differ, error %v", err)
	}
}

func TestWriterRefuses(t *testing.T) {
	tests := []struct {
		name   string
		change func(t *Task)
		want   string
	}{
		{"id", func(t *Task) { t.Line++; t.Start++ }, "want that of TaskID"},
		{"split", func(t *Task) { t.Split = "ir" }, "which the repository's name gives"},
		{"in-repository split", func(t *Task) { t.InRepo = "" }, "in-repository split is"},
		{"track", func(t *Task) { t.Track = "x" }, `track is "x"`},
		{"kind", func(t *Task) { t.Kind = "x" }, `kind is "x"`},
		{"event", func(t *Task) { t.Event = "x" }, `event is "x"`},
		{"target", func(t *Task) { t.Target = "" }, "target is empty"},
		{"prefix", func(t *Task) { t.Prefix = "\xff" }, "prefix is not UTF-8"},
		{"file", func(t *Task) { t.File = "\xff" }, "file is not UTF-8"},
		{"line", func(t *Task) { t.Line = 0 }, "line is 0"},
		{"extent", func(t *Task) { t.End = t.Start }, "target is at"},
	}
	for _, tt := range tests {
		dir := t.TempDir()
		w, err := NewWriter(dir)
		if err != nil {
			t.Fatal(err)
		}
		task := tasksOfFile("owner/one", Static, 1, "a.py", 1)[0]
		tt.change(task)
		wantError(t, tt.name, w.WriteTask(task), tt.want)
		// The error stays, and nothing is left.
		wantError(t, tt.name, w.Close(&Manifest{Repositories: []Repository{{Name: "owner/one"}}}), tt.want)
		if got := files(t, dir); len(got) != 0 {
			t.Errorf("%s: files %q are left", tt.name, slices.Collect(maps.Keys(got)))
		}
	}
}

func TestWriterKeepsOld(t *testing.T) {
	dir := t.TempDir()
	tasks, commits, m := testData()
	writeBenchmark(t, dir, tasks, commits, m)
	old := files(t, dir)
	unchanged := func(what string) {
		t.Helper()
		if !maps.Equal(files(t, dir), old) {
			t.Errorf("%s: the folder has changed", what)
		}
	}

	twice := func(w *Writer) error { return errors.Join(w.WriteTask(tasks[0]), w.WriteTask(tasks[0])) }
	twiceCommit := func(w *Writer) error { return errors.Join(w.WriteCommit(commits[0]), w.WriteCommit(commits[0])) }
	tests := []struct {
		name string
		do   func(w *Writer) error
		want string
	}{
		{"discard", func(w *Writer) error { w.WriteTask(tasks[0]); w.Discard(); return w.WriteTask(tasks[1]) }, "closed"},
		{"twice", twice, "there already"},
		{"commit twice", twiceCommit, "there already"},
		{"unknown repository", func(w *Writer) error {
			return errors.Join(w.WriteTask(tasks[0]), w.Close(&Manifest{}))
		}, "owner/one has tasks or commits, but is missing"},
		{"repeated repository", func(w *Writer) error {
			return w.Close(&Manifest{Repositories: []Repository{{Name: "a/b"}, {Name: "a/b"}}})
		}, "there twice"},
		{"bad options", func(w *Writer) error { return w.Close(&Manifest{Options: []byte("{")}) }, "manifest"},
	}
	for _, tt := range tests {
		w, err := NewWriter(dir)
		if err != nil {
			t.Fatal(err)
		}
		wantError(t, tt.name, tt.do(w), tt.want)
		w.Discard()
		unchanged(tt.name)
	}

	// A step of the moving fails: what was moved before it comes back.
	err := place(filepath.Join(dir, manifestFile), nil, []placement{
		{temp: mustTemp(t, dir), path: filepath.Join(dir, tasksFile)},
		{temp: filepath.Join(dir, "missing"), path: filepath.Join(dir, commitsFile)},
	})
	wantError(t, "place", err, "missing")
	unchanged("place")
}

// mustTemp makes a file with some content.
func mustTemp(t *testing.T, dir string) string {
	t.Helper()
	name := tempName(filepath.Join(dir, tasksFile))
	if err := os.WriteFile(name, []byte("new"), 0o666); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestOpenRefuses(t *testing.T) {
	tests := []struct {
		name   string
		change func(dir string) error
		want   string
	}{
		{"unfinished", func(dir string) error { return os.Remove(filepath.Join(dir, manifestFile)) }, "not a finished benchmark"},
		{"no tasks", func(dir string) error { return os.Remove(filepath.Join(dir, tasksFile)) }, "tasks.parquet"},
		{"other bytes", func(dir string) error {
			return os.WriteFile(filepath.Join(dir, commitsFile), []byte("PAR1"), 0o666)
		}, "SHA-256 of commits.parquet"},
		{"format", replace(`"format": 1`, `"format": 2`), "format 2, want 1"},
		{"split", replace(`"split": "`+string(dataset.SplitOf("owner/one")), `"split": "other`), `split "other`},
		{"digest", replace(`"tasks.parquet": "`, `"other.parquet": "`), "sha256 of tasks.parquet"},
		{"json", replace("{", "["), "manifest.json"},
	}
	for _, tt := range tests {
		dir := t.TempDir()
		tasks, commits, m := testData()
		writeBenchmark(t, dir, tasks, commits, m)
		if err := tt.change(dir); err != nil {
			t.Fatal(err)
		}
		_, err := Open(dir)
		wantError(t, tt.name, err, tt.want)
		if got := errors.Is(err, ErrUnfinished); got != (tt.name == "unfinished") {
			t.Errorf("%s: is ErrUnfinished: %v", tt.name, got)
		}
	}
}

// replace changes the first occurrence in a manifest.
func replace(old, with string) func(dir string) error {
	return func(dir string) error {
		path := filepath.Join(dir, manifestFile)
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if !strings.Contains(string(data), old) {
			return fmt.Errorf("manifest has no %q", old)
		}
		return os.WriteFile(path, []byte(strings.Replace(string(data), old, with, 1)), 0o666)
	}
}

func TestReadManifest(t *testing.T) {
	dir := t.TempDir()
	tasks, commits, m := testData()
	writeBenchmark(t, dir, tasks, commits, m)
	b, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, tasksFile)); err != nil {
		t.Fatal(err)
	}
	got, digest, err := ReadManifest(dir)
	if err != nil || digest != b.Digest || got.Tasks != len(tasks) {
		t.Errorf("got %+v, digest %q, error %v, want the manifest without its tasks", got, digest, err)
	}
	if _, _, err := ReadManifest(t.TempDir()); !errors.Is(err, ErrUnfinished) {
		t.Errorf("no manifest: got %v, want %v", err, ErrUnfinished)
	}
}
