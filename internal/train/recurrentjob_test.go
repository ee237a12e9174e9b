package train

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/code2lora/code2lora/internal/dataset"
	"github.com/code2lora/code2lora/internal/evolve"
	"github.com/code2lora/code2lora/internal/gitrepo"
	"github.com/code2lora/code2lora/internal/hypernet"
	"github.com/code2lora/code2lora/internal/repopeft"
	"github.com/code2lora/code2lora/internal/safetensors"
)

// keptCommits is the number of commits of evolved repositories.
const keptCommits = 6

// newEvolved adds commits to a mirror, each with code and a test, and returns
// the ids of all, with the production diff of each.
func newEvolved(t *testing.T, mirrors, name string) (ids, diffs []string) {
	t.Helper()
	ids = append(ids, newMirror(t, mirrors, name, testFile(name)))
	dir, short := filepath.Join(mirrors, strings.ReplaceAll(name, "/", "+")), filepath.Base(name)
	git := func(args ...string) string {
		t.Helper()
		out, err := exec.Command("git", append([]string{"-C", dir, "-c", "user.name=a", "-c", "user.email=a@example.org",
			"-c", "commit.gpgsign=false"}, args...)...).Output()
		if err != nil {
			t.Fatalf("git %v: %v", args, err)
		}
		return strings.TrimSpace(string(out))
	}
	for i := range keptCommits - 1 {
		write(t, filepath.Join(dir, fmt.Sprintf("more%d.py", i)), strings.Repeat(fmt.Sprintf("def %s_%d(a):\n    return a\n\n", short, i), 4))
		write(t, filepath.Join(dir, "tests", fmt.Sprintf("test_%d.py", i)), fmt.Sprintf("def test():\n    assert %d == %d\n", i, i))
		git("add", ".")
		git("commit", "-qm", fmt.Sprint(i))
		ids = append(ids, git("rev-parse", "HEAD"))
	}
	repo, err := gitrepo.Open(t.Context(), dir, gitrepo.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer repo.Close()
	d, err := repo.Diffs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	from := ""
	err = repo.History(t.Context(), "HEAD", "", func(s gitrepo.Step) error {
		diff, err := d.Between(from, s.Tree, 1<<18, evolve.Production)
		diffs, from = append(diffs, diff.Text), s.Tree
		return err
	})
	if err != nil || len(diffs) != len(ids) {
		t.Fatalf("%d diffs of %d commits, %v", len(diffs), len(ids), err)
	}
	return ids, diffs
}

// partOf divides the commits of a repository: the last one is test.
func partOf(i int) dataset.Split {
	return []dataset.Split{dataset.Train, dataset.Train, dataset.Train, dataset.Train, dataset.Validation, dataset.Test}[i]
}

// writeEvolution writes the evolution track of repositories.
func writeEvolution(t *testing.T, dir string, ids, diffs map[string][]string) {
	t.Helper()
	w, err := repopeft.NewWriter(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Discard()
	m := &repopeft.Manifest{Tool: "test", Profile: "strict"}
	for _, name := range slices.Sorted(maps.Keys(ids)) {
		for i, id := range ids[name] {
			c := &repopeft.Commit{Repository: name, Track: repopeft.Evolution, Split: dataset.SplitOf(name), InRepo: partOf(i), ID: id, Index: i,
				Time: fmt.Sprintf("2024-01-0%dT00:00:00Z", i+1), Diff: diffs[name][i], Added: 2}
			if i > 0 {
				c.Parent = ids[name][i-1]
			}
			if err := w.WriteCommit(c); err != nil {
				t.Fatal(err)
			}
			text := ""
			for k := range 2 {
				text += fmt.Sprintf("def test_%d_%d():\n    %s = ", i, k, strings.Repeat("x", i+1))
				target := fmt.Sprintf("'%s %d %d'", name, i, k)
				r := &repopeft.Task{Repository: name, Track: c.Track, Split: c.Split, InRepo: c.InRepo, Commit: id, Parent: c.Parent, CommitIndex: i,
					File: fmt.Sprintf("tests/test_%d.py", i), Language: "python", Kind: repopeft.Assertion, Family: "assert", Function: fmt.Sprintf("test_%d_%d", i, k),
					Line: 2 + 3*k, Start: len(text), End: len(text) + len(target), Prefix: text, Suffix: "\n", Target: target, Event: "added"}
				r.ID = repopeft.TaskID(r.Repository, r.Commit, r.File, r.Kind, r.Start, r.End)
				text += target + "\n\n"
				if err := w.WriteTask(r); err != nil {
					t.Fatal(err)
				}
			}
		}
		m.Repositories = append(m.Repositories, repopeft.Repository{Name: name, Commit: ids[name][keptCommits-1]})
	}
	if err := w.Close(m); err != nil {
		t.Fatal(err)
	}
}

const recurrenceYAML = `
base: tiny
data: {benchmark: bench/evolution, window_tokens: 200, train_tasks: 0, validation_tasks: 0, validation_repositories: 2}
encoder: {layer: 1, chunk: 32, min: 4}
head: {options: {rank: 2, alpha: 4, coefficients: 2, modules: [v_proj, down_proj]}}
train: {epochs: 1, shares_per_step: 2, validate_every: 2, save_every: 1}
`

// evolvedWorkshop is a configuration with a recurrence, whose section it is
// given, with mirrors and a benchmark: three repositories to train on, three to
// validate on, of which two are used, and two of the test split.
func evolvedWorkshop(t *testing.T, section string) (*Config, Deps) {
	t.Helper()
	_, d := workshop(t)
	dir := t.TempDir()
	d.Mirrors = filepath.Join(dir, "evolved")
	ids, diffs := map[string][]string{}, map[string][]string{}
	for split, n := range map[dataset.Split]int{dataset.Train: 3, dataset.Validation: 3, dataset.Test: 2} {
		for _, name := range named(split, n) {
			ids[name], diffs[name] = newEvolved(t, d.Mirrors, name)
		}
	}
	writeEvolution(t, filepath.Join(dir, "bench", "evolution"), ids, diffs)
	c, err := ReadConfig(write(t, filepath.Join(dir, "evo.yaml"), recurrenceYAML+section))
	if err != nil {
		t.Fatal(err)
	}
	return c, d
}

// TestRecurrentJob goes from commits to a checkpoint, whose follower has at a
// commit the context that training had.
func TestRecurrentJob(t *testing.T) {
	for _, tt := range []struct {
		input string
		size  int // of a step's input, in hidden sizes
	}{{evolve.InputDiff, 2}, {evolve.InputRepository, 2}, {evolve.InputBoth, 4}} {
		t.Run(tt.input, func(t *testing.T) { testRecurrentJob(t, tt.input, tt.size) })
	}
}

func testRecurrentJob(t *testing.T, input string, size int) {
	c, d := evolvedWorkshop(t, "recurrence: {hidden: 5, diff: {layer: 1, chunk: 32, min: 4}, truncation: {steps: 3}, input: "+input+"}")
	ctx := t.Context()
	j, err := NewRecurrentJob(ctx, c, d)
	if err != nil {
		t.Fatal(err)
	}
	repositories, tasks, validation, validationTasks := j.Counts()
	if repositories != 3 || tasks != 3*4*2 || validation != 2 || validationTasks != 2*keptCommits*2 {
		t.Errorf("%d repositories with %d tasks and %d with %d, want 3 with 24 (the training commits') and 2 with 24", repositories, tasks, validation, validationTasks)
	}
	if n := len(j.Train[0].Commits); n != 4 || len(j.Train[0].Commits[0].Input) != size*d.Model.HiddenSize {
		t.Errorf("%d commits, want the 4 of training, with inputs of %d hidden sizes", n, size)
	}
	if err := j.Do(ctx, func(Progress) {}); err != nil {
		t.Fatal(err)
	}
	ck, err := evolve.Load(filepath.Join(c.Dir(), CheckpointFile))
	if err != nil {
		t.Fatal(err)
	}
	if ck.Name != "evo" || ck.Base != d.Base || ck.Config != c.Digest() || ck.Repositories != 3 || ck.Tasks != 24 || ck.ValidationLoss == nil {
		t.Errorf("checkpoint %+v is not that of the run", ck.Info)
	}
	again, err := NewRecurrentJob(ctx, c, Deps{Base: d.Base, Model: d.Model, Tokenizer: d.Tokenizer, Mirrors: "nowhere"})
	if err != nil {
		t.Fatalf("from prepared data: %v", err)
	}
	steps := 0
	if err := again.Do(ctx, func(Progress) { steps++ }); err != nil || steps > 0 {
		t.Errorf("a finished run has taken %d more steps: %v", steps, err)
	}
	followAsTrained(t, again, d)
}

// followAsTrained compares states that a follower of the job's checkpoint reaches
// with what the job has.
func followAsTrained(t *testing.T, j *RecurrentJob, d Deps) {
	t.Helper()
	f, err := evolve.NewRecurrent(j.Checkpoint(nil), d.Model, d.Tokenizer, nil)
	if err != nil {
		t.Fatal(err)
	}
	h := j.Train[1]
	want, err := contexts(j.GRU, h, []int{3})
	if err != nil {
		t.Fatal(err)
	}
	a, _, err := j.Head.GenerateContext(want[0])
	if err != nil {
		t.Fatal(err)
	}
	repo, err := gitrepo.Open(t.Context(), gitrepo.Locate(d.Mirrors, h.Name), gitrepo.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer repo.Close()
	var s evolve.State
	parent := ""
	err = repo.History(t.Context(), h.Commits[3].ID, "", func(step gitrepo.Step) (err error) {
		if s == nil {
			s, err = f.Begin(t.Context(), repo, step.ID, nil)
		} else {
			s, err = f.Advance(t.Context(), repo, s, step, parent)
		}
		parent = step.Tree
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	got, err := f.Adapter(s)
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range got.Pairs() {
		if !slices.Equal(p.A, a.Pairs()[i].A) || !slices.Equal(p.B, a.Pairs()[i].B) {
			t.Fatalf("the follower's adapter differs from that of training in layer %d", p.Layer)
		}
	}
}

// TestContextBefore checks which commits tasks are asked at.
func TestContextBefore(t *testing.T) {
	c, d := evolvedWorkshop(t, "recurrence: {hidden: 5, diff: {layer: 1, chunk: 32, min: 4}, context: before, max_commits: 3}")
	hs, err := LoadHistories(t.Context(), c, d)
	if err != nil {
		t.Fatal(err)
	}
	if len(hs.Train) != 3 {
		t.Fatalf("%d training repositories, want 3", len(hs.Train))
	}
	for _, h := range hs.Train {
		var tasks []int
		for i := range h.Commits {
			tasks = append(tasks, numTasksOf(h.Commits[i].Windows))
		}
		if !slices.Equal(tasks, []int{2, 2, 0}) {
			t.Errorf("%s: tasks at commits %v, want those of the second and third at the ones before", h.Name, tasks)
		}
	}
}

func TestWarmStart(t *testing.T) {
	c, d := evolvedWorkshop(t, "recurrence: {hidden: 5, diff: {layer: 1, chunk: 32, min: 4}}")
	repos := repositories(1, 4)
	from := newHead(t, d.Model, repos, map[string]any{"rank": 2, "alpha": 4, "coefficients": 2, "modules": []string{"v_proj", "down_proj"},
		"input": map[string]any{"components": 2}})
	for _, p := range from.Params() {
		for i := range p.Value {
			p.Value[i] = float32(i%7) / 4
		}
	}
	ck := &hypernet.Checkpoint{Info: hypernet.Info{Name: "static", Base: d.Base}, Head: from}
	path := filepath.Join(t.TempDir(), "static.safetensors")
	save := func() {
		if err := hypernet.Save(path, ck, safetensors.F32); err != nil {
			t.Fatal(err)
		}
	}
	save()
	plain, err := NewRecurrentJob(t.Context(), c, d)
	if err != nil {
		t.Fatal(err)
	}
	c.Head.From = path
	j, err := NewRecurrentJob(t.Context(), c, d)
	if err != nil {
		t.Fatal(err)
	}
	if j.Identity == plain.Identity {
		t.Error("a run that begins elsewhere has the same identity")
	}
	for i, p := range j.Head.Params() {
		if begun := p.Value[min(5, len(p.Value)-1)] == 1.25; begun != hypernet.IsMean(p) {
			t.Errorf("%s: begins as in the checkpoint %t, want %t", p.Name, begun, hypernet.IsMean(p))
		}
		if !hypernet.IsMean(p) && !slices.Equal(p.Value, plain.Head.Params()[i].Value) {
			t.Errorf("%s: another beginning than without a checkpoint", p.Name)
		}
	}
	ck.Base.SHA256 = strings.Repeat("cd", 32)
	save()
	if _, err := NewRecurrentJob(t.Context(), c, d); err == nil || !strings.Contains(err.Error(), "was trained for base") {
		t.Errorf("a checkpoint for another base: got error %v", err)
	}
	c.Head.From = "none.safetensors"
	if _, err := NewRecurrentJob(t.Context(), c, d); err == nil {
		t.Error("a checkpoint that isn't there was begun from")
	}
}

func TestRecurrentJobRefuses(t *testing.T) {
	c, d := evolvedWorkshop(t, "recurrence: {hidden: 5, diff: {layer: 1, chunk: 32, min: 4}}")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := NewRecurrentJob(ctx, c, d); !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v, want %v", err, context.Canceled)
	}
	c.Recurrence.Diff.Layer = 1000
	if _, err := NewRecurrentJob(t.Context(), c, d); err == nil || !strings.Contains(err.Error(), "layer 1000") {
		t.Errorf("a layer that isn't there: got error %v", err)
	}
	c.Recurrence = nil
	if _, err := NewRecurrentJob(t.Context(), c, d); err == nil {
		t.Error("a configuration without a recurrence was taken")
	}
}

func TestReadRecurrence(t *testing.T) {
	path := filepath.Join(t.TempDir(), "evo.yaml")
	c, err := ReadConfig(write(t, path, recurrenceYAML+"recurrence: {truncation: {at_loss: true}, diff: {chunk: 64, select: first}}"))
	if err != nil {
		t.Fatal(err)
	}
	want := DefaultRecurrenceOptions()
	want.Truncation.AtLoss, want.Diff.Chunk, want.Diff.Select = true, 64, evolve.SelectFirst
	if *c.Recurrence != *want {
		t.Errorf("got %+v, want the defaults but for three options: %+v", *c.Recurrence, *want)
	}
	if !slices.Equal(c.Data.Tracks, []string{"evolution"}) {
		t.Errorf("tracks %q, want evolution", c.Data.Tracks)
	}
	const base = "base: a\n"
	for name, tt := range map[string]struct{ text, want string }{
		"unknown option": {recurrenceYAML + "recurrence: {speed: 3}", "speed"},
		"input":          {recurrenceYAML + "recurrence: {input: x}", `recurrence: input "x"`},
		"hidden":         {recurrenceYAML + "recurrence: {hidden: 0}", "hidden 0"},
		"truncation":     {recurrenceYAML + "recurrence: {truncation: {steps: 0}}", "truncation after 0 steps"},
		"diff":           {recurrenceYAML + "recurrence: {diff: {overlap: 200}}", "overlap 200"},
		"losses":         {recurrenceYAML + "recurrence: {loss_commits: -1, rate: 101}", "loss_commits -1"},
		"no benchmark":   {base + "repositories: b\nrecurrence: {}", "data.benchmark is missing"},
		"track":          {base + "data: {benchmark: b, tracks: [static]}\nrecurrence: {}", "data.tracks"},
		"description":    {base + "data: {benchmark: b}\nencoder: {kind: description}\nrecurrence: {}", "encoder.kind description"},
		"from alone":     {base + "repositories: b\nhead: {from: x}", "head.from"},
	} {
		if _, err := ReadConfig(write(t, path, tt.text)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got error %v, want one that contains %q", name, err, tt.want)
		}
	}
}
