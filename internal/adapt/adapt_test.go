package adapt_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/code2lora/code2lora/internal/adapt"
	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/embedding"
	"github.com/code2lora/code2lora/internal/encoder"
	"github.com/code2lora/code2lora/internal/gitrepo"
	"github.com/code2lora/code2lora/internal/hypernet"
	"github.com/code2lora/code2lora/internal/model"
	"github.com/code2lora/code2lora/internal/store"
)

const basePath = "../model/testdata/tiny-llama.gguf"

// newJob returns a job for a repository of the given files, with a checkpoint
// whose head has random parameters.
func newJob(t *testing.T, files map[string]string, enc encoder.Options) adapt.Job {
	t.Helper()
	t.Setenv(store.HomeVar, t.TempDir())
	m, tok, err := model.Load(basePath)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	data, err := os.ReadFile(basePath)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(data)
	enc.Kind, enc.Base, enc.Layer, enc.Chunk, enc.Min = encoder.KindHidden, hex.EncodeToString(sum[:]), 1, 32, 8
	return adapt.Job{Repository: write(t, files), Checkpoint: newCheckpoint(t, m, enc), CheckpointSHA256: "c0ffee",
		Model: m, Tokenizer: tok, Tool: "code2lora test"}
}

func newCheckpoint(t *testing.T, m *model.Model, enc encoder.Options) *hypernet.Checkpoint {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, 2))
	var reps []*embedding.Representation
	for range 5 {
		v := make([]float32, 2*m.HiddenSize)
		for j := range v {
			v[j] = float32(rng.NormFloat64())
		}
		reps = append(reps, &embedding.Representation{Encoder: enc.ID(), Tensors: map[string]embedding.Tensor{
			embedding.Repository: {Shape: []int{len(v)}, Data: v}}})
	}
	head, err := hypernet.New(hypernet.FactoredKind,
		map[string]any{"rank": 2, "alpha": 4, "coefficients": 3, "input": map[string]any{"components": 4}},
		hypernet.Setup{Dims: m.Config.Dims(), Inputs: hypernet.InputsOf(reps[0])})
	if err != nil {
		t.Fatal(err)
	}
	if err := head.Fit(reps); err != nil {
		t.Fatal(err)
	}
	head.Init(1)
	for _, p := range head.Params() {
		for i := range p.Value {
			p.Value[i] += float32(0.1 * rng.NormFloat64())
		}
	}
	return &hypernet.Checkpoint{Head: head, Info: hypernet.Info{
		Name: "tiny", Base: adapter.Base{Name: "tiny-llama", SHA256: enc.Base}, Encoder: enc.ID()}}
}

// write makes a plain source tree called "project".
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "project")
	if err := os.Mkdir(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// project has three sources, two of them long enough to be read in windows.
func project() map[string]string {
	return map[string]string{
		"pkg/a.py":          strings.Repeat("def area(width, height):\n    return width * height\n\n", 4),
		"pkg/b.py":          strings.Repeat("class Stack:\n    def push(self, item):\n        self.items.append(item)\n\n", 3),
		"pkg/c.py":          "import os\nROOT = os.path.dirname(__file__)\n",
		"tests/test_pkg.py": "def test_area():\n    assert area(2, 3) == 6\n",
		"README.md":         "a project\n",
	}
}

// run does a job and returns the last progress, too.
func run(t *testing.T, j adapt.Job) (*adapter.Adapter, *adapt.Report, encoder.Progress) {
	t.Helper()
	var last encoder.Progress
	a, r, err := adapt.Run(context.Background(), j, func(p encoder.Progress) { last = p })
	if err != nil {
		t.Fatal(err)
	}
	return a, r, last
}

func TestRun(t *testing.T) {
	j := newJob(t, project(), encoder.Options{})
	a, r, last := run(t, j)
	if r.Repository != "project" || r.Commit != "" || r.Files != 3 || r.LeftOut != 0 || r.Tokens < 50 {
		t.Errorf("report: got %+v, want 3 files of \"project\" without a commit", r)
	}
	if want := map[gitrepo.Reason]int{gitrepo.ReasonTest: 1, gitrepo.ReasonLanguage: 1}; !maps.Equal(r.Skipped, want) {
		t.Errorf("skipped: got %v, want %v", r.Skipped, want)
	}
	if got, want := slices.Sorted(maps.Keys(r.Seconds)), []string{"encode", "generate", "read"}; !slices.Equal(got, want) {
		t.Errorf("stages: got %q, want %q", got, want)
	}
	if last.Files != 3 || last.TotalFiles != 3 || last.Tokens != r.Tokens || last.Cached != 0 {
		t.Errorf("progress: got %+v, want that of the report", last)
	}
	p := a.Provenance
	if p.Repository != "project" || p.Base != j.Checkpoint.Base || p.Encoder != j.Checkpoint.Encoder || p.EncoderInput == "" ||
		p.Checkpoint != "tiny" || p.CheckpointSHA256 != "c0ffee" || p.Tool != "code2lora test" || p.Files != 3 || p.Tokens != r.Tokens {
		t.Errorf("provenance: got %+v", p)
	}
	if a.Rank != 2 || a.Alpha != 4 || a.Dims != j.Model.Config.Dims() {
		t.Errorf("adapter: rank %d, alpha %g, dims %+v", a.Rank, a.Alpha, a.Dims)
	}
}

// TestConditioning compares the report with what package adapter says about
// the adapter and the average.
func TestConditioning(t *testing.T) {
	j := newJob(t, project(), encoder.Options{})
	a, r, _ := run(t, j)
	average, err := j.Checkpoint.AverageAdapter()
	if err != nil {
		t.Fatal(err)
	}
	distance, err := adapter.Distance(a, average)
	if err != nil {
		t.Fatal(err)
	}
	cosine, err := adapter.Cosine(a, average)
	if err != nil {
		t.Fatal(err)
	}
	if r.Conditioning != (adapt.Conditioning{Distance: distance, Cosine: cosine}) {
		t.Errorf("got %+v, want distance %g and cosine %g", r.Conditioning, distance, cosine)
	}
	if distance <= 0 || cosine >= 1 {
		t.Errorf("distance %g, cosine %g: the repository did not matter", distance, cosine)
	}
	if p := a.Provenance.MeanDistance; p == nil || *p != distance {
		t.Errorf("distance in the provenance: got %v, want %g", p, distance)
	}

	// A head without conditioning makes the average adapter for everything.
	head, err := hypernet.New(hypernet.FactoredKind, map[string]any{"rank": 2, "conditioning": "none",
		"coefficients": 3, "input": map[string]any{"dim": 2 * j.Model.HiddenSize, "components": 4}},
		hypernet.Setup{Dims: j.Model.Config.Dims()})
	if err != nil {
		t.Fatal(err)
	}
	if err := head.SetBuffers(j.Checkpoint.Head.Buffers()); err != nil {
		t.Fatal(err)
	}
	head.Init(1)
	for _, p := range head.Params() {
		for i := range p.Value {
			p.Value[i] = float32(i%7) - 3
		}
	}
	j.Checkpoint.Head = head
	if _, r, _ = run(t, j); r.Conditioning.Distance > adapt.Inactive || r.Conditioning.Cosine < 0.9999 {
		t.Errorf("without conditioning: got %+v, want distance 0 and cosine 1", r.Conditioning)
	}
}

func TestOtherRepositoryOtherAdapter(t *testing.T) {
	j := newJob(t, project(), encoder.Options{})
	a, _, _ := run(t, j)
	again, _, _ := run(t, j)
	if adapter.Digest(a) != adapter.Digest(again) {
		t.Error("the same repository gave two adapters")
	}
	files := project()
	files["pkg/c.py"] = "def version(major, minor):\n    return (major, minor)\n"
	j.Repository = write(t, files)
	other, _, _ := run(t, j)
	if adapter.Digest(a) == adapter.Digest(other) {
		t.Error("another file gave the same adapter")
	}
}

// TestCache holds that a second run reads only what has changed, and that the
// cache changes no bit.
func TestCache(t *testing.T) {
	files := project()
	j := newJob(t, files, encoder.Options{})
	plain, _, _ := run(t, j)
	cache, err := store.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	j.Cache = cache
	for i, want := range []int{0, 3} {
		a, r, last := run(t, j)
		if last.Cached != want || last.Files != 3 || r.Files != 3 {
			t.Errorf("run %d: %d of %d files from the cache, want %d of 3", i+1, last.Cached, last.Files, want)
		}
		if adapter.Digest(a) != adapter.Digest(plain) {
			t.Errorf("run %d: another adapter than without cache", i+1)
		}
	}
	files["pkg/a.py"] += "def perimeter(width, height):\n    return 2 * (width + height)\n"
	j.Repository = write(t, files)
	if _, _, last := run(t, j); last.Cached != 2 {
		t.Errorf("after a change: %d files from the cache, want 2", last.Cached)
	}
}

func TestEncoderOptions(t *testing.T) {
	j := newJob(t, project(), encoder.Options{Tests: true, MaxFiles: 2})
	_, r, _ := run(t, j)
	if r.Files != 2 || r.LeftOut != 2 || r.Skipped[gitrepo.ReasonTest] != 0 {
		t.Errorf("got %d files, %d left out, skipped %v, want 2 and 2 of 4, no test skipped", r.Files, r.LeftOut, r.Skipped)
	}
	j = newJob(t, project(), encoder.Options{Tests: true})
	j.Filter.SkipTests = true
	if _, r, _ = run(t, j); r.Files != 3 {
		t.Errorf("got %d files, want 3: the job leaves out tests", r.Files)
	}
	j.Filter = gitrepo.Filter{Include: []string{"pkg/a.py"}}
	j.Name = "owner/name"
	if a, r, _ := run(t, j); r.Files != 1 || r.Repository != "owner/name" || a.Provenance.Repository != "owner/name" {
		t.Errorf("got %d files of %q, want one of owner/name", r.Files, r.Repository)
	}
}

func TestRunRefuses(t *testing.T) {
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	for _, c := range []struct {
		name   string
		files  map[string]string
		change func(*adapt.Job)
		ctx    context.Context
		want   error
		text   string
	}{
		{name: "no sources", files: map[string]string{"a.js": "x", "b.css": "y"}, want: adapt.ErrNoSource, text: "left out: 2 language"},
		{name: "no files", files: map[string]string{}, want: adapt.ErrNoSource, text: "it has no files"},
		{name: "only tests", files: map[string]string{"test_a.py": "def test(): pass"}, want: adapt.ErrNoSource, text: "1 test"},
		{name: "too short", files: map[string]string{"a.py": "x\n"}, want: encoder.ErrNothing, text: "project"},
		{name: "missing", files: project(), change: func(j *adapt.Job) { j.Repository += "x" }, want: os.ErrNotExist},
		{name: "ref without git", files: project(), change: func(j *adapt.Job) { j.Ref = "v1" }, want: gitrepo.ErrNotGit},
		{name: "network", files: project(), change: func(j *adapt.Job) { j.Repository = "https://localhost:1/a/b" }, want: gitrepo.ErrNetwork},
		{name: "cancelled", files: project(), ctx: cancelled, want: context.Canceled},
		{name: "encoder of the checkpoint", files: project(), change: func(j *adapt.Job) { j.Checkpoint.Encoder = "hidden/9" }, text: "checkpoint tiny: encoder id"},
		{name: "layer of the checkpoint", files: project(), change: func(j *adapt.Job) {
			j.Checkpoint.Encoder = strings.Replace(j.Checkpoint.Encoder, "layer=1", "layer=9", 1)
		}, text: "layer 9, but the base has 3"},
	} {
		t.Run(c.name, func(t *testing.T) {
			j := newJob(t, c.files, encoder.Options{})
			if c.change != nil {
				c.change(&j)
			}
			ctx := c.ctx
			if ctx == nil {
				ctx = context.Background()
			}
			a, r, err := adapt.Run(ctx, j, nil)
			if err == nil || a != nil || r != nil {
				t.Fatalf("got %v, %v, %v, want an error alone", a, r, err)
			}
			if c.want != nil && !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			if !strings.Contains(err.Error(), c.text) {
				t.Errorf("got %q, want %q in it", err, c.text)
			}
		})
	}
}

func TestSkips(t *testing.T) {
	for _, c := range []struct {
		counts map[gitrepo.Reason]int
		want   string
	}{
		{nil, ""},
		{map[gitrepo.Reason]int{gitrepo.ReasonTest: 1}, "1 test"},
		{map[gitrepo.Reason]int{gitrepo.ReasonTest: 2, gitrepo.ReasonBinary: 2, gitrepo.ReasonLanguage: 10}, "10 language, 2 binary, 2 test"},
	} {
		if got := adapt.Skips(c.counts); got != c.want {
			t.Errorf("Skips(%v) = %q, want %q", c.counts, got, c.want)
		}
	}
}
