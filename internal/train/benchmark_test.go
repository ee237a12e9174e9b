package train

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/code2lora/code2lora/internal/corpus"
	"github.com/code2lora/code2lora/internal/dataset"
	"github.com/code2lora/code2lora/internal/hypernet"
	"github.com/code2lora/code2lora/internal/repopeft"
)

// rowsOf are the tasks of a test file with nine functions, the parts of the
// repository in turn. Every target is there once, and says whose it is.
func rowsOf(name, commit string, track repopeft.Track) (rows []*repopeft.Task) {
	parts := []dataset.Split{dataset.Train, dataset.Validation, dataset.Test}
	text := "import pytest\n\n"
	for i := range 9 {
		text += fmt.Sprintf("def test_%d():\n    assert value == ", i)
		target := fmt.Sprintf("'%s %s %s %d'", name, track, parts[i%3], i)
		r := &repopeft.Task{
			Repository: name, Track: track, Split: dataset.SplitOf(name), InRepo: parts[i%3], Commit: commit, Parent: commit,
			File: "tests/test_" + string(track) + ".py", Language: "python", Kind: repopeft.Assertion, Family: "assert", Function: fmt.Sprint("test_", i),
			Line: 4 + 2*i, Start: len(text), End: len(text) + len(target), Prefix: text, Suffix: "\n", Target: target}
		text += target + "\n\n"
		r.ID = repopeft.TaskID(r.Repository, r.Commit, r.File, r.Kind, r.Start, r.End)
		rows = append(rows, r)
	}
	return rows
}

// writeBenchmark writes a benchmark of repositories with their commits.
func writeBenchmark(t *testing.T, dir string, commits map[string]string) {
	t.Helper()
	w, err := repopeft.NewWriter(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Discard()
	m := &repopeft.Manifest{Tool: "test", Profile: "strict"}
	for _, name := range slices.Sorted(maps.Keys(commits)) {
		rows := rowsOf(name, commits[name], repopeft.Static)
		call := *rows[0]
		call.Kind, call.Family = repopeft.Call, ""
		call.ID = repopeft.TaskID(call.Repository, call.Commit, call.File, call.Kind, call.Start, call.End)
		rows = append(append(rows, &call), rowsOf(name, commits[name], repopeft.OOD)...)
		for _, r := range rows {
			if err := w.WriteTask(r); err != nil {
				t.Fatal(err)
			}
		}
		m.Repositories = append(m.Repositories, repopeft.Repository{Name: name, Commit: commits[name]})
	}
	if err := w.Close(m); err != nil {
		t.Fatal(err)
	}
}

// benchmarkWorkshop is the workshop with a benchmark of its repositories, and of
// two of the test split, in place of the table.
func benchmarkWorkshop(t *testing.T) (c *Config, d Deps, commits map[string]string) {
	t.Helper()
	c, d = workshop(t)
	list, err := ReadRepositories(c.RepositoriesPath())
	if err != nil {
		t.Fatal(err)
	}
	commits = map[string]string{}
	for _, l := range list {
		commits[l.Name] = l.Commit
	}
	for _, name := range named(dataset.Test, 2) {
		commits[name] = newMirror(t, d.Mirrors, name, testFile(name))
	}
	dir := filepath.Dir(c.path)
	writeBenchmark(t, filepath.Join(dir, "bench", "static"), commits)
	return benchmarkConfig(t, dir, ""), d, commits
}

// benchmarkConfig writes a configuration, with more lines, and reads it.
func benchmarkConfig(t *testing.T, dir, more string) *Config {
	t.Helper()
	c, err := ReadConfig(write(t, filepath.Join(dir, "bench.yaml"), `
base: tiny
data: {benchmark: bench/static, window_tokens: 200, train_tasks: 0, validation_tasks: 5, space_with_target: true}
encoder: {layer: 1, chunk: 32, min: 4}
head: {options: {rank: 2, alpha: 4, coefficients: 2, modules: [v_proj, down_proj], input: {components: 2}}}
train: {epochs: 1, shares_per_step: 1, validate_every: 3, save_every: 2, stop: none}
`+more))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// labelled are the texts of all targets in the windows of a repository.
func labelled(d Deps, r *Repository) (texts []string) {
	for _, w := range r.Windows {
		for _, s := range w.Tasks {
			text := ""
			for _, id := range w.Tokens[s.From:s.To] {
				text += string(d.Tokenizer.Bytes(id))
			}
			texts = append(texts, text)
		}
	}
	slices.Sort(texts)
	return texts
}

// targetsOf are the targets of a repository's static rows of some parts.
func targetsOf(name string, parts ...dataset.Split) (texts []string) {
	for _, r := range rowsOf(name, "c", repopeft.Static) {
		if slices.Contains(parts, r.InRepo) {
			texts = append(texts, " "+r.Target)
		}
	}
	slices.Sort(texts)
	return texts
}

// TestBenchmarkTasks checks that the training rows are labelled, all of them and
// no others.
func TestBenchmarkTasks(t *testing.T) {
	c, d, commits := benchmarkWorkshop(t)
	data, err := LoadData(context.Background(), c, d)
	if err != nil {
		t.Fatal(err)
	}
	if len(data.Train) != 4 || len(data.Validation) != 2 {
		t.Fatalf("%d repositories to train on, %d to validate on; want 4 and 2", len(data.Train), len(data.Validation))
	}
	for _, r := range data.Train {
		if got, want := labelled(d, r), targetsOf(r.Name, dataset.Train); dataset.SplitOf(r.Name) != dataset.Train || !slices.Equal(got, want) {
			t.Errorf("%s: labelled\n%q\nwant\n%q", r.Name, got, want)
		}
	}
	for _, r := range data.Validation {
		all := targetsOf(r.Name, dataset.Train, dataset.Validation, dataset.Test)
		got := labelled(d, r)
		if dataset.SplitOf(r.Name) != dataset.Validation || len(got) != 5 || slices.ContainsFunc(got, func(s string) bool { return !slices.Contains(all, s) }) {
			t.Errorf("%s: labelled %q, want five of %q", r.Name, got, all)
		}
	}

	// A file that is cut into windows is no different.
	c.Data.WindowTokens = 110
	if data, err = LoadData(context.Background(), c, d); err != nil {
		t.Fatal(err)
	}
	for _, r := range data.Train {
		if got := labelled(d, r); len(r.Windows) < 2 || !slices.Equal(got, targetsOf(r.Name, dataset.Train)) {
			t.Errorf("%s in %d windows: labelled %q", r.Name, len(r.Windows), got)
		}
	}

	// Nor are repositories of another split taken, whatever a list says.
	enc, err := NewEncoder(c, d)
	if err != nil {
		t.Fatal(err)
	}
	p := newPreparation(c, d, enc)
	p.Tasks = corpus.New()
	for name := range commits {
		for _, r := range rowsOf(name, commits[name], repopeft.Static) {
			one := func(yield func(*repopeft.Task, error) bool) { yield(r, nil) }
			if err := p.Tasks.AddTasks(one, true); err != nil {
				t.Fatal(err)
			}
		}
	}
	test, training := named(dataset.Test, 1)[0], named(dataset.Train, 1)[0]
	for _, split := range []dataset.Split{dataset.Train, dataset.Validation} {
		if _, err := p.Prepare(context.Background(), split, []Listed{{test, split, commits[test]}}); !errors.Is(err, dataset.ErrTestRepository) {
			t.Errorf("a test repository for %s: error %v, want %v", split, err, dataset.ErrTestRepository)
		}
	}
	for _, split := range []dataset.Split{dataset.Validation, dataset.Test} {
		if _, err := p.Prepare(context.Background(), split, []Listed{{training, split, commits[training]}}); err == nil || !strings.Contains(err.Error(), "train split") {
			t.Errorf("a training repository for %s: error %v", split, err)
		}
	}
}

// TestBenchmarkJob trains on a benchmark, resumes, and evaluates on its test
// repositories.
func TestBenchmarkJob(t *testing.T) {
	c, d, commits := benchmarkWorkshop(t)
	ctx := context.Background()
	j, err := NewJob(ctx, c, d)
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Do(ctx, func(Progress) {}); err != nil {
		t.Fatal(err)
	}
	ck, err := hypernet.Load(filepath.Join(c.Dir(), CheckpointFile))
	if err != nil {
		t.Fatal(err)
	}
	if !ck.SpaceWithTarget || ck.Tasks != 4*3 || ck.Repositories != 4 {
		t.Errorf("checkpoint says %+v", ck.Info)
	}
	e, err := Evaluate(ctx, c, d, ck, dataset.Test)
	if err != nil {
		t.Fatal(err)
	}
	if e.Audit.Repositories != 2 || e.Audit.Tasks != 10 || !e.SpaceWithTarget || e.Natural.Own != e.Audit.Own || e.Natural.Base != *e.Audit.Base {
		t.Errorf("evaluation %+v of %+v, natural %+v", e, e.Audit, e.Natural)
	}
	if got, want := e.Natural.OwnBase.CrossEntropy.Mean, e.Audit.Own.CrossEntropy.Mean-e.Audit.Base.CrossEntropy.Mean; got != want {
		t.Errorf("own minus base %g, want %g", got, want)
	}

	// The same run is not continued on other rows.
	delete(commits, named(dataset.Train, 1)[0])
	writeBenchmark(t, c.BenchmarkDir(), commits)
	if j, err = NewJob(ctx, c, d); err != nil {
		t.Fatal(err)
	}
	if err := j.Do(ctx, func(Progress) {}); err == nil || !strings.Contains(err.Error(), "remove the folder") {
		t.Errorf("another benchmark: error %v", err)
	}
}

// TestBenchmarkRepositories chooses repositories of a benchmark by a table.
func TestBenchmarkRepositories(t *testing.T) {
	c, d, commits := benchmarkWorkshop(t)
	some := append(named(dataset.Train, 2), named(dataset.Validation, 2)...)
	table := ""
	for _, name := range some {
		table += strings.ToUpper(name) + "\t" + string(dataset.SplitOf(name)) + "\t" + commits[name] + "\n"
	}
	other := named(dataset.Train, 9)[8]
	dir := filepath.Dir(c.path)
	write(t, filepath.Join(dir, "some.tsv"), table+other+"\ttrain\tabc\n")
	c = benchmarkConfig(t, dir, "repositories: some.tsv\n")
	var notes []string
	d.Report = func(format string, args ...any) { notes = append(notes, fmt.Sprintf(format, args...)) }
	data, err := LoadData(context.Background(), c, d)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range append(data.Train, data.Validation...) {
		got = append(got, r.Name)
	}
	if !slices.Equal(got, some) {
		t.Errorf("repositories %q, want %q", got, some)
	}
	if !slices.ContainsFunc(notes, func(s string) bool { return strings.HasPrefix(s, other+": not in the benchmark") }) {
		t.Errorf("notes %q, want one about %s", notes, other)
	}
	write(t, c.RepositoriesPath(), strings.Replace(table, commits[some[1]], strings.Repeat("0", 40), 1))
	if _, err := LoadData(context.Background(), c, d); err == nil || !strings.Contains(err.Error(), commits[some[1]]) {
		t.Errorf("another commit: error %v, want the benchmark's", err)
	}
	write(t, c.RepositoriesPath(), other+"\ttrain\tabc\n")
	if _, err := LoadData(context.Background(), c, d); err == nil || !strings.Contains(err.Error(), "none of the repositories") {
		t.Errorf("no repository of the benchmark: error %v", err)
	}
	c.Data.Benchmark = "nowhere"
	if _, err := LoadData(context.Background(), c, d); !errors.Is(err, repopeft.ErrUnfinished) {
		t.Errorf("no benchmark: error %v, want %v", err, repopeft.ErrUnfinished)
	}
}

func TestBenchmarkConfig(t *testing.T) {
	dir := t.TempDir()
	read := func(text string) (*Config, error) {
		return ReadConfig(write(t, filepath.Join(dir, "c.yaml"), "base: a\n"+text))
	}
	c, err := read("data: {benchmark: x, kinds: [call, line]}")
	if err != nil {
		t.Fatal(err)
	}
	f, err := c.Data.filter()
	if err != nil || !slices.Equal(f.Tracks, []repopeft.Track{repopeft.Static}) || !slices.Equal(f.Kinds, []repopeft.Kind{repopeft.Call, repopeft.Line}) {
		t.Errorf("filter %+v, %v", f, err)
	}
	if c.BenchmarkDir() != filepath.Join(dir, "x") || c.RepositoriesPath() != "" {
		t.Errorf("benchmark %q, table %q", c.BenchmarkDir(), c.RepositoriesPath())
	}
	for name, tt := range map[string]struct{ text, want string }{
		"ood":             {"data: {benchmark: x, tracks: [ood]}", `data.tracks: "ood"`},
		"no such kind":    {"data: {benchmark: x, kinds: [word]}", `data.kinds: "word"`},
		"no benchmark":    {"repositories: b\ndata: {kinds: [call]}", "data.benchmark, which is missing"},
		"neither":         {"data: {space_with_target: true}", "or a data.benchmark"},
		"mine everything": {"repositories: b\ndata: {train_tasks: 0}", "at least 1"},
		"fewer than none": {"data: {benchmark: x, train_tasks: -1}", "at least 0"},
		"stop":            {"repositories: b\ntrain: {stop: eos}", `stop "eos": want next or none`},
	} {
		if _, err := read(tt.text); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", name, err, tt.want)
		}
	}
}

// TestDataKey checks that what identifies mined data is what it was before there
// were benchmarks, so that runs go on.
func TestDataKey(t *testing.T) {
	o := DataOptions{WindowTokens: 320, TrainTasks: 80, ValidationTasks: 20, ValidationRepositories: 12}
	o.setDefaults()
	got, err := json.Marshal(o)
	if want := `{"WindowTokens":320,"TrainTasks":80,"ValidationTasks":20,"ValidationRepositories":12}`; err != nil || string(got) != want {
		t.Errorf("got %s, %v; want %s", got, err, want)
	}
}
