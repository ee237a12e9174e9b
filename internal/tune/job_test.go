package tune

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/compute"
	"github.com/code2lora/code2lora/internal/corpus"
	"github.com/code2lora/code2lora/internal/dataset"
	"github.com/code2lora/code2lora/internal/model"
	"github.com/code2lora/code2lora/internal/repopeft"
	"github.com/code2lora/code2lora/internal/tokenizer"
)

func tinyBase(t *testing.T) (*model.Model, *tokenizer.Tokenizer) {
	t.Helper()
	m, tok, err := model.Load("../model/testdata/tiny-llama.gguf")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m, tok
}

// testCorpus has two files of every repository, with twelve functions each.
func testCorpus(t *testing.T) *corpus.Corpus {
	t.Helper()
	c := corpus.New()
	for _, split := range []dataset.Split{dataset.Train, dataset.Validation, dataset.Test} {
		for _, name := range names3[split] {
			for k := range 2 {
				doc := &dataset.Document{Repository: name, Commit: "c0ffee", File: fmt.Sprintf("test_%d.py", k)}
				var parts []dataset.Split
				for i := range 12 {
					doc.Text += fmt.Sprintf("def f%d():\n assert x == ", i)
					start := len(doc.Text)
					doc.Text += "7"
					doc.Tasks = append(doc.Tasks, dataset.Target{Span: dataset.Span{Start: start, End: len(doc.Text)}, Function: fmt.Sprint("f", i)})
					doc.Text += "\n"
					part := dataset.Train
					if i%4 == 3 {
						part = dataset.Validation
					}
					parts = append(parts, part)
				}
				if err := c.Add(doc, parts); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	return c
}

const small = `
base: tiny
data: {folders: [x], window_tokens: 64}
fit: {epochs: 3, tokens_per_step: 128, tokens_per_pass: 128, learning_rate: 0.02, rank: 2, validate_every: 3, save_every: 2}
`

// newJob reads a configuration from dir and makes a job of it.
func newJob(t *testing.T, dir, text string) *Job {
	t.Helper()
	path := filepath.Join(dir, "job.yaml")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	c, err := ReadConfig(path)
	if err != nil {
		t.Fatal(err)
	}
	m, tok := tinyBase(t)
	return &Job{Config: c, Corpus: testCorpus(t), Deps: Deps{Base: adapter.Base{Name: "tiny", SHA256: "tiny"}, Tool: "test", Tokenizer: tok,
		Model: m, Backend: &compute.Local{Model: m, Base: "tiny"}}}
}

func TestSharedJob(t *testing.T) {
	dir := t.TempDir()
	out, err := newJob(t, dir, small).Do(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	r := out.Shared
	if out.Dir != filepath.Join(dir, "job") || r.Repositories != 2 || r.Tasks != 2*18 || r.ValidationTasks != 2*24 || r.Base.Name != "tiny" {
		t.Errorf("result %+v in %s", r, out.Dir)
	}
	if r.Validation.CrossEntropy >= r.BaseValidation.CrossEntropy {
		t.Errorf("validation %+v, want it better than the base's %+v", r.Validation, r.BaseValidation)
	}
	a, err := adapter.ReadNative(AdapterDir(out.Dir))
	if err != nil {
		t.Fatal(err)
	}
	if p := a.Provenance; p.Checkpoint != "job" || p.Tool != "test" || p.Repository != "" {
		t.Errorf("provenance %+v", p)
	}
}

const swept = small + `
grid:
  rank: [1, 2]
  learning_rate: [0.02, 1.0e-9]
`

func TestGrid(t *testing.T) {
	dir := t.TempDir()
	out, err := newJob(t, dir, swept).Do(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	g := out.Grid
	var names []string
	for i, p := range g.Points {
		names = append(names, p.Name)
		if p.Error != "" || p.Result.Steps != g.Points[0].Result.Steps || p.Result.Draws != g.Points[0].Result.Draws {
			t.Errorf("point %+v: want the budget of the first", p)
		}
		if p.Validation.CrossEntropy < g.Points[g.Best].Validation.CrossEntropy {
			t.Errorf("point %d is better than the best, %d", i, g.Best)
		}
	}
	want := []string{"learning_rate=0.02,rank=1", "learning_rate=0.02,rank=2", "learning_rate=1e-9,rank=1", "learning_rate=1e-9,rank=2"}
	if !slices.Equal(names, want) {
		t.Errorf("points %q, want %q", names, want)
	}
	if g.Best > 1 || out.Shared.Options.LearningRate != 0.02 {
		t.Errorf("best point %d, want one that learns", g.Best)
	}
	kept := 0
	for _, p := range g.Points {
		if _, err := os.Stat(AdapterDir(filepath.Join(out.Dir, "grid", p.Name))); err == nil {
			kept++
		}
	}
	if _, err := adapter.ReadNative(AdapterDir(out.Dir)); err != nil || kept != 0 {
		t.Errorf("best adapter: %v; %d adapters of points left, want none", err, kept)
	}
	files := []string{"grid.json", "tune.json", "adapter/adapter.safetensors"}
	before := contents(t, out.Dir, files...)
	again, err := newJob(t, dir, swept).Do(context.Background())
	if err != nil || again.Grid.Best != g.Best {
		t.Fatalf("again: best %+v, error %v", again, err)
	}
	for name, got := range contents(t, out.Dir, files...) {
		if got != before[name] {
			t.Errorf("%s changed when the job was done again", name)
		}
	}
}

// TestGridFailures records points that cannot be fitted and goes on.
func TestGridFailures(t *testing.T) {
	j := newJob(t, t.TempDir(), swept)
	calls := 0
	j.Backend = failingOn{j.Backend, func(r *compute.Request) bool {
		if r.Operation != compute.Gradient || r.Adapters[0].Rank != 2 {
			return false
		}
		calls++
		return true
	}}
	out, err := j.Do(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if out.Grid.Best != 0 || !strings.Contains(out.Grid.Points[1].Error, "broken") || calls != 2 {
		t.Errorf("grid %+v after %d failures: want point 0, and the failures recorded", out.Grid, calls)
	}
	all := newJob(t, t.TempDir(), swept)
	all.Backend = failingOn{all.Backend, func(r *compute.Request) bool { return r.Operation == compute.Gradient }}
	if _, err := all.Do(context.Background()); err == nil || !strings.Contains(err.Error(), "all 4 points") {
		t.Errorf("error %v, want one about all points", err)
	}
}

// failingOn is a backend that fails for some requests.
type failingOn struct {
	compute.Backend
	fails func(*compute.Request) bool
}

func (f failingOn) Do(ctx context.Context, r *compute.Request) (*compute.Response, error) {
	if f.fails(r) {
		return nil, errors.New("broken")
	}
	return f.Backend.Do(ctx, r)
}

func TestPerRepositoryJob(t *testing.T) {
	dir := t.TempDir()
	j := newJob(t, dir, small+"target: repositories\n")
	empty := &dataset.Document{Repository: "acme/f", File: "t.py", Text: "assert x == 1\n",
		Tasks: []dataset.Target{{Span: dataset.Span{Start: 12, End: 13}}}}
	if dataset.SplitOf(empty.Repository) != dataset.Train {
		t.Fatalf("%s is of the %s split", empty.Repository, dataset.SplitOf(empty.Repository))
	}
	if err := j.Corpus.Add(empty, []dataset.Split{dataset.Test}); err != nil {
		t.Fatal(err)
	}
	out, err := j.Do(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	r := out.Repositories
	if r.Fitted != 2 || r.Failed != 0 || r.WithoutTasks != 1 || r.Seconds <= 0 {
		t.Errorf("%d fitted, %d failed, %d without tasks in %g s", r.Fitted, r.Failed, r.WithoutTasks, r.Seconds)
	}
	for _, name := range names3[dataset.Train] {
		a, err := adapter.ReadNative(AdapterDir(filepath.Join(out.Dir, FolderOf(name))))
		if err != nil {
			t.Fatal(err)
		}
		if a.Provenance.Repository != name || a.Provenance.Commit != "c0ffee" {
			t.Errorf("provenance %+v, want that of %s", a.Provenance, name)
		}
		own, err := ReadResult(filepath.Join(out.Dir, FolderOf(name)))
		if err != nil || own.Tasks != 18 || own.ValidationTasks != 6 || own.Repository != name {
			t.Errorf("%s: result %+v, error %v", name, own, err)
		}
	}
	var file Repositories
	data, err := os.ReadFile(filepath.Join(out.Dir, RepositoriesFile))
	if err != nil || json.Unmarshal(data, &file) != nil || len(file.Repositories) != 3 || file.Repositories[2].Error != noTasks {
		t.Errorf("record %s, error %v", data, err)
	}

	// One that fails is counted, and the others are fitted.
	failing := newJob(t, t.TempDir(), small+"target: repositories\n")
	first := true
	failing.Backend = failingOn{failing.Backend, func(r *compute.Request) bool {
		was := first
		first = false
		return was
	}}
	if out, err = failing.Do(context.Background()); err != nil {
		t.Fatal(err)
	}
	if r := out.Repositories; r.Fitted != 1 || r.Failed != 1 || !strings.Contains(r.Repositories[0].Error, "broken") {
		t.Errorf("record %+v: want one failure", r)
	}
}

// TestBegin fits repositories from an adapter that they share.
func TestBegin(t *testing.T) {
	dir := t.TempDir()
	shared, err := newJob(t, dir, small).Do(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	from, err := adapter.ReadNative(AdapterDir(shared.Dir))
	if err != nil {
		t.Fatal(err)
	}
	// At a rate of almost nothing, what is fitted is what it began with.
	still := newJob(t, t.TempDir(), strings.Replace(small, "learning_rate: 0.02", "learning_rate: 1.0e-9", 1)+"target: repositories\nbegin: "+AdapterDir(shared.Dir)+"\n")
	out, err := still.Do(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	own := filepath.Join(out.Dir, FolderOf(names3[dataset.Train][0]))
	a, err := adapter.ReadNative(AdapterDir(own))
	if err != nil {
		t.Fatal(err)
	}
	if d, err := adapter.Distance(a, from); err != nil || d > 1e-5 {
		t.Errorf("distance %g from what it began with, error %v", d, err)
	}
	r, err := ReadResult(own)
	if err != nil {
		t.Fatal(err)
	}
	// Another beginning is another fit.
	scratch := newJob(t, t.TempDir(), strings.Replace(small, "learning_rate: 0.02", "learning_rate: 1.0e-9", 1)+"target: repositories\n")
	if out, err = scratch.Do(t.Context()); err != nil {
		t.Fatal(err)
	}
	nothing, err := ReadResult(filepath.Join(out.Dir, FolderOf(names3[dataset.Train][0])))
	if err != nil || nothing.Identity == r.Identity || nothing.BaseValidation.CrossEntropy == r.BaseValidation.CrossEntropy {
		t.Errorf("from nothing %+v, from an adapter %+v, error %v", nothing, r, err)
	}
	half, err := newJob(t, t.TempDir(), strings.Replace(small, "rank: 2", "rank: 2, layers: 1", 1)).Do(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		small + "begin: " + AdapterDir(half.Dir):                                                         "nothing for q_proj of layer 0",
		strings.Replace(small, "rank: 2", "rank: 3", 1) + "begin: " + AdapterDir(shared.Dir):             "rank 2 and alpha 4, and the fit 3 and 6",
		small + "begin: nowhere":                                                                         "begin: ",
		strings.Replace(small, "rank: 2", "rank: 2, layers: 1", 1) + "begin: " + AdapterDir(shared.Dir):  "not fitted",
		strings.Replace(small, "rank: 2", "rank: 2, alpha: 1.5", 1) + "begin: " + AdapterDir(shared.Dir): "alpha 4",
	} {
		if _, err := newJob(t, t.TempDir(), text+"\n").Do(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q of\n%s", err, want, text)
		}
	}
}

func TestSomeRepositories(t *testing.T) {
	name := names3[dataset.Train][1]
	j := newJob(t, t.TempDir(), small+"target: repositories\n")
	j.Config.Data.Repositories = []string{strings.ToUpper(name)}
	out, err := j.Do(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if rs := out.Repositories.Repositories; len(rs) != 1 || rs[0].Repository != name {
		t.Errorf("fitted %+v, want %s only", rs, name)
	}
	for _, target := range []string{"shared", "repositories"} {
		j := newJob(t, t.TempDir(), small+"target: "+target+"\n")
		j.Config.Data.Repositories = names3[dataset.Test][:1]
		if _, err := j.Do(context.Background()); err == nil || !strings.Contains(err.Error(), "of the train split") {
			t.Errorf("%s: error %v, want a refusal of a test repository", target, err)
		}
	}
}

func TestPerRepositoryGrid(t *testing.T) {
	j := newJob(t, t.TempDir(), swept+"target: repositories\ngrid_repositories: 1\n")
	out, err := j.Do(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if n := len(out.Grid.Points[0].Repositories); n != 1 {
		t.Errorf("the grid was decided by %d repositories, want 1", n)
	}
	if v := out.Grid.Points[out.Grid.Best].Validation; v.Tasks != 6 || out.Repositories.Options.LearningRate != 0.02 {
		t.Errorf("best point %+v, options %+v", v, out.Repositories.Options)
	}
}

// TestOwnTasksOfTest checks that test repositories are fitted only when asked
// for, apart from the others, and that nothing is chosen by them.
func TestOwnTasksOfTest(t *testing.T) {
	dir := t.TempDir()
	j := newJob(t, dir, small+"target: repositories\n")
	j.OwnOfTest = true
	out, err := j.Do(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if out.Dir != filepath.Join(dir, "job", "own-tasks-of-test") || !out.Repositories.OwnOfTest || out.Repositories.Fitted != 2 {
		t.Errorf("outcome %+v in %s", out.Repositories, out.Dir)
	}
	for _, r := range out.Repositories.Repositories {
		if dataset.SplitOf(r.Repository) != dataset.Test || r.Result.SelectedBy != lastStep || !r.Result.OwnOfTest || r.Result.Tasks != 18 {
			t.Errorf("%s: %+v", r.Repository, r.Result)
		}
	}
	for _, text := range []string{small, swept + "target: repositories\n"} {
		j := newJob(t, t.TempDir(), text)
		j.OwnOfTest = true
		if _, err := j.Do(context.Background()); err == nil || !strings.Contains(err.Error(), "nothing may be chosen") {
			t.Errorf("error %v, want a refusal", err)
		}
	}
}

// TestOwnTasksOfTracks: the training tasks of one track are test tasks of another.
func TestOwnTasksOfTracks(t *testing.T) {
	j := newJob(t, t.TempDir(), small+"target: repositories\n")
	j.OwnOfTest, j.Corpus = true, corpus.New()
	tasks := []*repopeft.Task{}
	for i, track := range []repopeft.Track{repopeft.Static, repopeft.Evolution} {
		tasks = append(tasks, &repopeft.Task{Repository: "acme/b", Track: track, Commit: strings.Repeat(strconv.Itoa(i), 40), File: "test_a.py", Kind: repopeft.Assertion,
			InRepo: []dataset.Split{dataset.Test, dataset.Train}[i], Prefix: "def test_a():\n    assert f() == ", Target: "4711", Function: "test_a", Line: 2})
	}
	all := func(yield func(*repopeft.Task, error) bool) {
		for _, task := range tasks {
			if !yield(task, nil) {
				return
			}
		}
	}
	if err := j.Corpus.AddTasks(all, true); err != nil {
		t.Fatal(err)
	}
	if _, err := j.Do(context.Background()); err == nil || !strings.Contains(err.Error(), "data.tracks") {
		t.Errorf("error %v, want a refusal of two tracks", err)
	}
}

func TestConfigErrors(t *testing.T) {
	for text, want := range map[string]string{
		"base: b":                      "data.folders is missing",
		"data: {folders: [x]}":         "base is missing",
		small + "target: all":          `target "all"`,
		small + "fits: {}":             "fits",
		small + "grid: {rank: []}":     "no values",
		small + "grid: {ranks: [1]}":   "ranks",
		small + "grid: {rank: [0]}":    "rank 0",
		small + "grid: {rank: [4, 4]}": "twice",
		small + "grid: {rank: [x]}":    "grid.rank",
		small + "name: a/b":            "plain file name",
		small + "trunk_cache: much":    "trunk_cache",
		small + "grid_repositories: 0": "grid_repositories 0",
		"base: tiny\ndata: {folders: [x]}\nfit: {method: full, epochs: 1}\nbegin: a": "begin: only fits of the method lora",
		"base: b\ndata: {folders: [x]}\nfit: {}":                                     "one of them above 0",
		"base: b\ndata: {folders: [x], kinds: [y]}":                                  `"y"`,
		"base: b\ndata: {folders: [x]}\nfit: {method: full, rank: 4, steps: 1}":      "the method full has none",
		"\tx": "configuration",
	} {
		path := filepath.Join(t.TempDir(), "c.yaml")
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadConfig(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want one with %q", text, err, want)
		}
	}
}

func TestGridNames(t *testing.T) {
	points, err := gridPoints(options(LoRA), map[string][]any{"modules": {[]any{"q_proj", "v_proj"}, []any{"o_proj"}}, "stop": {"next", "eos"}})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, p := range points {
		names = append(names, p.Name)
	}
	want := []string{"modules=q_proj+v_proj,stop=next", "modules=q_proj+v_proj,stop=eos", "modules=o_proj,stop=next", "modules=o_proj,stop=eos"}
	if !slices.Equal(names, want) {
		t.Errorf("points %q, want %q", names, want)
	}
	if !slices.Equal(points[2].Options.Modules, []string{"o_proj"}) || !slices.Equal(points[0].Options.Modules, []string{"q_proj", "v_proj"}) {
		t.Errorf("modules %q and %q: one point's are another's", points[0].Options.Modules, points[2].Options.Modules)
	}
}

func FuzzConfig(f *testing.F) {
	f.Add(swept)
	f.Add("grid: {x: [1]}\n")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := parseConfig([]byte(text))
		if err != nil {
			return
		}
		if c.validate() == nil && len(c.Points()) == 0 {
			t.Error("a valid configuration without a point")
		}
	})
}

// TestTrunk checks that reading the lower layers from disk changes nothing but
// the work.
func TestTrunk(t *testing.T) {
	const full = `
base: tiny
data: {folders: [x], window_tokens: 64}
fit: {method: full, layers: 1, epochs: 2, tokens_per_step: 128, tokens_per_pass: 128, learning_rate: 0.01, validate_every: 3, save_every: 2}
`
	plain, cached := newJob(t, t.TempDir(), full), newJob(t, t.TempDir(), full+"trunk_cache: 100MB\n")
	cached.Trunk = t.TempDir()
	if n := plain.Model.NumHiddenLayers; n < 2 {
		t.Fatalf("the base has %d layers: none is below the last", n)
	}
	a, err := plain.Do(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	b, err := cached.Do(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	const file = "adapter/adapter.safetensors"
	if contents(t, a.Dir, file)[file] != contents(t, b.Dir, file)[file] {
		t.Error("the adapters differ")
	}
	if entries, err := os.ReadDir(cached.Trunk); err != nil || len(entries) == 0 {
		t.Errorf("%d entries in the cache, error %v", len(entries), err)
	}
}
