package train

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/dataset"
	"github.com/code2lora/code2lora/internal/encoder"
	"github.com/code2lora/code2lora/internal/hypernet"
	"github.com/code2lora/code2lora/internal/model"
	"github.com/code2lora/code2lora/internal/store"
)

// named returns n repository names of a split.
func named(split dataset.Split, n int) []string {
	var names []string
	for i := 0; len(names) < n; i++ {
		if name := fmt.Sprintf("owner/r%d", i); dataset.SplitOf(name) == split {
			names = append(names, name)
		}
	}
	return names
}

// newMirror makes a git repository with a module and its tests in a folder of
// mirrors, and returns its commit.
func newMirror(t *testing.T, mirrors, name, test string) string {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("needs git")
	}
	dir := filepath.Join(mirrors, strings.ReplaceAll(name, "/", "+"))
	short := filepath.Base(name)
	write(t, filepath.Join(dir, short+".py"), strings.Repeat("def "+short+"_add(a, b):\n    return a + b\n\n", 5))
	write(t, filepath.Join(dir, "tests", "test_"+short+".py"), test)
	git := func(args ...string) string {
		t.Helper()
		out, err := exec.Command("git", append([]string{"-C", dir, "-c", "user.name=a", "-c", "user.email=a@example.org",
			"-c", "commit.gpgsign=false"}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	git("init", "-q")
	git("add", ".")
	git("commit", "-qm", "all")
	return git("rev-parse", "HEAD")
}

func testFile(name string) string {
	short := filepath.Base(name)
	var b strings.Builder
	fmt.Fprintf(&b, "import pytest\nfrom %s import %s_add\n\n", short, short)
	for i := range 6 {
		fmt.Fprintf(&b, "def test_%s_%d():\n    value = %s_add(%d, 2)\n    assert value == %d\n    assert %s_add(1, %d) == [%d, 'é']\n\n",
			short, i, short, i, i+2, short, i, i)
	}
	return b.String()
}

// workshop is a configuration with its mirrors: four repositories to train on
// and two to validate on.
func workshop(t *testing.T) (*Config, Deps) {
	t.Helper()
	dir := t.TempDir()
	mirrors := filepath.Join(dir, "mirrors")
	table := "# name\tsplit\tcommit\n"
	for _, split := range []dataset.Split{dataset.Train, dataset.Validation} {
		for _, name := range named(split, map[dataset.Split]int{dataset.Train: 4, dataset.Validation: 2}[split]) {
			table += name + "\t" + string(split) + "\t" + newMirror(t, mirrors, name, testFile(name)) + "\n"
		}
	}
	write(t, filepath.Join(dir, "repos.tsv"), table)
	c, err := ReadConfig(write(t, filepath.Join(dir, "small.yaml"), `
base: tiny
repositories: repos.tsv
data: {window_tokens: 200, train_tasks: 8, validation_tasks: 4}
encoder: {layer: 1, chunk: 32, min: 4}
head: {options: {rank: 2, alpha: 4, coefficients: 2, modules: [v_proj, down_proj], input: {components: 2}}}
train: {epochs: 1, shares_per_step: 1, validate_every: 3, save_every: 2}
`))
	if err != nil {
		t.Fatal(err)
	}
	m, tok, err := model.Load("../model/testdata/tiny-llama.gguf")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	cache, err := store.Open(filepath.Join(dir, "cache"))
	if err != nil {
		t.Fatal(err)
	}
	return c, Deps{Base: adapter.Base{Name: "tiny", SHA256: strings.Repeat("ab", 32)}, Model: m, Tokenizer: tok, Cache: cache,
		Mirrors: mirrors, Tool: "test"}
}

// TestJob trains from repositories to a checkpoint, resumes without them, and
// evaluates.
func TestJob(t *testing.T) {
	c, d := workshop(t)
	ctx := context.Background()
	j, err := NewJob(ctx, c, d)
	if err != nil {
		t.Fatal(err)
	}
	if len(j.Train) != 4 || len(j.Validation) != 2 {
		t.Fatalf("%d repositories to train on, %d to validate on; want 4 and 2", len(j.Train), len(j.Validation))
	}
	for _, r := range append(slices.Clone(j.Train), j.Validation...) {
		n, most := NumTasks([]*Repository{r}), 8
		if dataset.SplitOf(r.Name) == dataset.Validation {
			most = 4
		}
		if n == 0 || n > most {
			t.Errorf("%s: %d tasks, want 1 to %d", r.Name, n, most)
		}
		if r.Representation.Files != 1 {
			t.Errorf("%s: %d files encoded, want the module without its tests", r.Name, r.Representation.Files)
		}
	}
	steps := 0
	if err := j.Do(ctx, func(p Progress) { steps = p.Step }); err != nil {
		t.Fatal(err)
	}
	ck, err := hypernet.Load(filepath.Join(c.Dir(), CheckpointFile))
	if err != nil {
		t.Fatal(err)
	}
	if ck.Name != "small" || ck.Base != d.Base || ck.Config != c.Digest() || ck.Tool != "test" || ck.Repositories != 4 ||
		ck.Tasks != NumTasks(j.Train) || ck.ValidationLoss == nil || ck.Encoder != j.Train[0].Representation.Encoder {
		t.Errorf("checkpoint says %+v", ck.Info)
	}
	if o, err := encoder.ParseID(ck.Encoder); err != nil || o.Base != d.Base.SHA256 || o.Layer != 1 {
		t.Errorf("encoder %q of the checkpoint: %+v, %v", ck.Encoder, o, err)
	}
	before := jobFiles(t, c)

	// What was prepared is enough to continue, and a damaged copy is not.
	mirrors := d.Mirrors
	d.Mirrors = filepath.Join(mirrors, "nowhere")
	again, err := NewJob(ctx, c, d)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Do(ctx, func(p Progress) { t.Errorf("took step %d of a finished run of %d", p.Step, steps) }); err != nil {
		t.Fatal(err)
	}
	if jobFiles(t, c) != before {
		t.Error("resuming a finished run changed its files")
	}
	gobs, err := filepath.Glob(filepath.Join(c.Dir(), "work", "data-*.gob"))
	if err != nil || len(gobs) != 1 {
		t.Fatalf("prepared data: %v, %v", gobs, err)
	}
	if err := os.Truncate(gobs[0], 100); err != nil {
		t.Fatal(err)
	}
	d.Mirrors = mirrors
	data, err := LoadData(ctx, c, d)
	if err != nil || len(data.Train) != 4 || NumTasks(data.Train) != NumTasks(j.Train) {
		t.Errorf("prepared again: %v", err)
	}

	e, err := Evaluate(ctx, c, d, ck, dataset.Validation)
	if err != nil {
		t.Fatal(err)
	}
	if e.Audit.Repositories != 2 || e.Audit.Tasks != NumTasks(j.Validation) || e.Audit.Base == nil || e.Checkpoint != "small" {
		t.Errorf("evaluation: %+v of %+v", e, e.Audit)
	}
	if _, err := Evaluate(ctx, c, d, ck, dataset.Test); err == nil {
		t.Error("evaluated on a split without repositories")
	}
	c.Encoder.Layer = 2
	if _, err := Evaluate(ctx, c, d, ck, dataset.Validation); !errors.Is(err, hypernet.ErrEncoder) {
		t.Errorf("another encoder: got %v, want %v", err, hypernet.ErrEncoder)
	}
}

// jobFiles is what a job leaves in its folder.
func jobFiles(t *testing.T, c *Config) string {
	t.Helper()
	var all strings.Builder
	for _, name := range []string{CheckpointFile, metricsFile, filepath.Join("work", stateFile)} {
		data, err := os.ReadFile(filepath.Join(c.Dir(), name))
		if err != nil {
			t.Fatal(err)
		}
		all.Write(data)
	}
	return all.String()
}

// TestRefusesTestRepositories tries all ways to train on one.
func TestRefusesTestRepositories(t *testing.T) {
	c, d := workshop(t)
	name := named(dataset.Test, 1)[0]
	commit := newMirror(t, d.Mirrors, name, testFile(name))
	table, err := os.ReadFile(c.RepositoriesPath())
	if err != nil {
		t.Fatal(err)
	}
	for _, split := range []string{"train", "validation"} {
		write(t, c.RepositoriesPath(), string(table)+name+"\t"+split+"\t"+commit+"\n")
		if _, err := NewJob(context.Background(), c, d); !errors.Is(err, dataset.ErrTestRepository) || !strings.Contains(err.Error(), `the split rule makes it "test"`) {
			t.Errorf("labelled %s: got %v, want %v, by the split rule", split, err, dataset.ErrTestRepository)
		}
	}
	// Labelled as what it is, it is left alone.
	write(t, c.RepositoriesPath(), string(table)+name+"\ttest\t"+commit+"\n")
	data, err := LoadData(context.Background(), c, d)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range append(data.Train, data.Validation...) {
		if r.Name == name {
			t.Errorf("%s was prepared", name)
		}
	}
	// Nor does the trainer itself take it, whatever a table says.
	enc, err := NewEncoder(c, d)
	if err != nil {
		t.Fatal(err)
	}
	p := &Preparation{Mirrors: d.Mirrors, Work: t.TempDir(), Encoder: enc, Options: c.Encoder, Tokenizer: d.Tokenizer, Data: c.Data}
	for _, split := range []dataset.Split{dataset.Train, dataset.Validation} {
		list := []Listed{{Name: name, Split: split, Commit: commit}}
		if _, err := p.Prepare(context.Background(), split, list); !errors.Is(err, dataset.ErrTestRepository) {
			t.Errorf("preparing it for %s: got %v, want %v", split, err, dataset.ErrTestRepository)
		}
	}
}

func TestPrepareErrors(t *testing.T) {
	c, d := workshop(t)
	table, err := os.ReadFile(c.RepositoriesPath())
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct{ line, want string }{
		"no mirror, no network": {named(dataset.Train, 9)[8] + "\ttrain\tHEAD", named(dataset.Train, 9)[8]},
		"no such commit":        {named(dataset.Train, 9)[0] + "\ttrain\t" + strings.Repeat("0", 40), strings.Repeat("0", 40)},
	} {
		write(t, c.RepositoriesPath(), tt.line+"\n"+strings.Join(strings.SplitAfter(string(table), "\n")[2:], ""))
		if _, err := NewJob(context.Background(), c, d); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", name, err, tt.want)
		}
	}
	write(t, c.RepositoriesPath(), string(table))
	c.Data.WindowTokens = d.Model.MaxContext() + 1
	if _, err := NewJob(context.Background(), c, d); err == nil || !strings.Contains(err.Error(), "data.window_tokens") {
		t.Errorf("windows longer than the context: got %v", err)
	}
	c.Data.WindowTokens = 200
	c.Head.Options["speed"] = 3
	if _, err := NewJob(context.Background(), c, d); err == nil || !strings.Contains(err.Error(), "speed") {
		t.Errorf("unknown option of the head: got %v", err)
	}
}
