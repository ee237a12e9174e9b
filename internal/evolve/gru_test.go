package evolve

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/code2lora/code2lora/internal/embedding"
	"github.com/code2lora/code2lora/internal/hypernet"
	"github.com/code2lora/code2lora/internal/testutil"
)

// golden is testdata/gru.json, written by reference/gru_golden.py.
type golden struct {
	Params     map[string]embedding.Tensor
	Repository []float32
	Diffs      [][]float32
	Loss       []int
	DContexts  [][]float32
	States     [][]float32
	Contexts   [][]float32
	Runs       []struct {
		Steps  int
		AtLoss bool `json:"at_loss"`
		Grads  map[string][]float32
	}
}

func readGolden(t *testing.T) (*golden, *GRU) {
	t.Helper()
	data, err := os.ReadFile("testdata/gru.json")
	if err != nil {
		t.Fatal(err)
	}
	var gold golden
	if err := json.Unmarshal(data, &gold); err != nil {
		t.Fatal(err)
	}
	g, err := Read(hypernet.TensorMap(gold.Params))
	if err != nil {
		t.Fatal(err)
	}
	return &gold, g
}

// compare allows 1e-5, of the value where it is above 1.
func compare(t *testing.T, what string, got, want []float32) {
	t.Helper()
	if len(got) != len(want) || len(want) == 0 {
		t.Errorf("%s: %d values, want %d", what, len(got), len(want))
		return
	}
	for i := range want {
		if g, w := float64(got[i]), float64(want[i]); !(math.Abs(g-w) <= 1e-5*max(1, math.Abs(w))) {
			t.Errorf("%s: value %d is %g, want %g", what, i, g, w)
		}
	}
}

func TestForwardGolden(t *testing.T) {
	gold, g := readGolden(t)
	state, err := g.Start(gold.Repository)
	if err != nil {
		t.Fatal(err)
	}
	compare(t, "first state", state, gold.States[0])
	for i, diff := range gold.Diffs {
		if state, err = g.Step(state, diff); err != nil {
			t.Fatal(err)
		}
		ctx, err := g.Context(state)
		if err != nil {
			t.Fatal(err)
		}
		compare(t, fmt.Sprintf("state %d", i+1), state, gold.States[i+1])
		compare(t, fmt.Sprintf("context %d", i+1), ctx, gold.Contexts[i])
	}
}

// walk goes over the diffs and back, and returns the contexts.
func walk(t *testing.T, g *GRU, gold *golden, o Truncation) [][]float32 {
	t.Helper()
	w, err := g.Walk(gold.Repository, o)
	if err != nil {
		t.Fatal(err)
	}
	var contexts [][]float32
	for i, diff := range gold.Diffs {
		ctx, err := w.Step(diff)
		if err != nil {
			t.Fatal(err)
		}
		contexts = append(contexts, ctx)
		if slices.Contains(gold.Loss, i) {
			half := make([]float32, len(ctx)) // in two batches of tasks
			for j, v := range gold.DContexts[i] {
				half[j] = v / 2
			}
			w.AddGrad(half)
			w.AddGrad(half)
		}
		if w.Due() {
			w.Backward()
		}
	}
	w.Backward()
	return contexts
}

func TestBackwardGolden(t *testing.T) {
	gold, g := readGolden(t)
	for _, run := range gold.Runs {
		t.Run(fmt.Sprintf("%d %t", run.Steps, run.AtLoss), func(t *testing.T) {
			for _, p := range g.Params() {
				p.Grad = nil
			}
			for i, ctx := range walk(t, g, gold, Truncation{run.Steps, run.AtLoss}) {
				compare(t, fmt.Sprintf("context %d", i), ctx, gold.Contexts[i])
			}
			for _, p := range g.Params() {
				compare(t, "gradient of "+p.Name, p.Grad, run.Grads[p.Name])
			}
		})
	}
}

// TestGradient compares the gradients of a history in one segment with
// differences.
func TestGradient(t *testing.T) {
	gold, g := readGolden(t)
	walk(t, g, gold, Truncation{Steps: len(gold.Diffs)})
	loss := func() (sum float64) {
		state, err := g.Start(gold.Repository)
		for i, diff := range gold.Diffs {
			if err == nil {
				state, err = g.Step(state, diff)
			}
			if err != nil {
				t.Fatal(err)
			}
			if slices.Contains(gold.Loss, i) {
				ctx, _ := g.Context(state)
				sum += testutil.Dot(ctx, gold.DContexts[i])
			}
		}
		return sum
	}
	for _, p := range g.Params() {
		testutil.CheckGradient(t, p.Name, p.Grad, p.Value, loss)
	}
}

// TestTruncationDetaches has a loss in the second segment only: the start of the
// history gets no gradient from it.
func TestTruncationDetaches(t *testing.T) {
	for _, tt := range []struct {
		steps int
		want  bool
	}{{1, false}, {2, true}, {16, true}} {
		g := mustInit(t)
		rng := rand.New(rand.NewPCG(1, 1))
		w, err := g.Walk(testutil.Randn(rng, 3), Truncation{Steps: tt.steps})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 2 {
			if _, err := w.Step(testutil.Randn(rng, 4)); err != nil {
				t.Fatal(err)
			}
			if i == 1 {
				w.AddGrad([]float32{1, -2, 3, 0, 1, 2})
			}
			if w.Due() {
				w.Backward()
			}
		}
		w.Backward()
		i := slices.IndexFunc(g.Params(), func(p *hypernet.Param) bool { return p.Name == "repo_init_proj.0.weight" })
		grad := g.Params()[i].Grad
		got := slices.ContainsFunc(grad, func(v float32) bool { return v != 0 })
		if got != tt.want {
			t.Errorf("%d steps: gradient reaches the first state: got %t, want %t", tt.steps, got, tt.want)
		}
	}
}

func mustInit(t *testing.T) *GRU {
	t.Helper()
	g, err := New(Options{Diff: 4, Repository: 3, Hidden: 6})
	if err != nil {
		t.Fatal(err)
	}
	g.Init(7)
	return g
}

func TestStepAfterSegment(t *testing.T) {
	g := mustInit(t)
	w, err := g.Walk(make([]float32, 3), Truncation{Steps: 1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Step(make([]float32, 4)); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Step(make([]float32, 4)); err == nil || !strings.Contains(err.Error(), "Backward") {
		t.Errorf("step after the segment's end: got %v, want an error that asks for Backward", err)
	}
	before := w.State()
	w.Backward()
	if got := w.State(); !slices.Equal(got, before) {
		t.Errorf("state after Backward: got %v, want %v", got, before)
	}
}

// TestReleasedShapes lays out the released recurrence.
func TestReleasedShapes(t *testing.T) {
	g, err := New(DefaultOptions())
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, p := range g.Params() {
		size := 1
		for _, d := range p.Shape {
			size *= d
		}
		n += size
	}
	if n != 33583104 || len(g.Params()) != 14 {
		t.Errorf("%d parameters in %d tensors, want 33583104 in 14", n, len(g.Params()))
	}
	if _, err := g.Start(make([]float32, 2048)); err == nil {
		t.Error("a start without values: got no error")
	}
}

func TestReadRejects(t *testing.T) {
	tests := []struct {
		name   string
		change func(ts hypernet.TensorMap)
		want   string
	}{
		{"missing size", func(ts hypernet.TensorMap) { delete(ts, "diff_proj.0.weight") }, `"diff_proj.0.weight" is missing`},
		{"missing", func(ts hypernet.TensorMap) { delete(ts, "output_norm.bias") }, `"output_norm.bias" is missing`},
		{"unknown", func(ts hypernet.TensorMap) { ts["gru.bias_ih_l1"] = embedding.Tensor{} }, `unknown tensor "gru.bias_ih_l1"`},
		{"shape", func(ts hypernet.TensorMap) {
			x := ts["gru.weight_hh_l0"]
			x.Shape = []int{6, 18}
			ts["gru.weight_hh_l0"] = x
		}, "want [18 6]"},
		{"one dimension", func(ts hypernet.TensorMap) {
			ts["repo_init_proj.0.weight"] = embedding.Tensor{Shape: []int{18}, Data: make([]float32, 18)}
		}, "two dimensions"},
		{"not finite", func(ts hypernet.TensorMap) {
			x := ts["output_norm.weight"]
			x.Data = slices.Clone(x.Data)
			x.Data[2] = float32(math.NaN())
			ts["output_norm.weight"] = x
		}, "not finite"},
	}
	for _, tt := range tests {
		ts := maps.Clone(mustInit(t).Tensors())
		tt.change(ts)
		if _, err := Read(ts); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want an error with %q", tt.name, err, tt.want)
		}
	}
}

func TestBadInput(t *testing.T) {
	g := mustInit(t)
	nan := float32(math.NaN())
	for _, tt := range []struct {
		name string
		err  func() error
		want string
	}{
		{"short vector", func() error { _, err := g.Start(nil); return err }, "vector of the repository has 0 values, want 3"},
		{"short state", func() error { _, err := g.Step(nil, make([]float32, 4)); return err }, "state has 0 values, want 6"},
		{"broken state", func() error { _, err := g.Context([]float32{0, nan, 0, 0, 0, 0}); return err }, "value 1 of state"},
		{"long diff", func() error { _, err := g.Step(make([]float32, 6), make([]float32, 5)); return err }, "has 5 values, want 4"},
		{"no steps", func() error { _, err := g.Walk(make([]float32, 3), Truncation{}); return err }, "0 steps"},
		{"no sizes", func() error { _, err := New(Options{}); return err }, "hidden_dim 0"},
	} {
		if err := tt.err(); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want an error with %q", tt.name, err, tt.want)
		}
	}
}
