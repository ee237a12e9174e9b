package hypernet

import (
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/embedding"
	"github.com/code2lora/code2lora/internal/safetensors"
)

// descriptions are representations of texts of the given width.
func descriptions(rng *rand.Rand, n, dim int) []*embedding.Representation {
	reps := make([]*embedding.Representation, n)
	for i := range reps {
		reps[i] = &embedding.Representation{Encoder: "test", Tensors: map[string]embedding.Tensor{
			embedding.Description: {Shape: []int{dim}, Data: randn(rng, dim)}}}
	}
	return reps
}

func newText2LoRATest(t *testing.T, opts map[string]any, dims adapter.Dims, dim int) *Text2LoRA {
	t.Helper()
	h, err := New(Text2LoRAKind, opts, Setup{Dims: dims, Inputs: map[string][]int{embedding.Description: {dim}}})
	if err != nil {
		t.Fatal(err)
	}
	return h.(*Text2LoRA)
}

// smallText2LoRA has different widths everywhere, so that swapped ones show.
func smallText2LoRA() map[string]any {
	return map[string]any{"task": 5, "depth": 3, "type": 4, "hidden": 7, "blocks": 2, "neck": 6, "rank": 2, "alpha": 4}
}

func TestText2LoRAGradient(t *testing.T) {
	for _, change := range []map[string]any{
		{},
		{"blocks": 0, "bias": true},
		{"first_layer": 1, "modules": []string{"v_proj", "down_proj"}},
		{"input": map[string]any{"standardize": "pca", "components": 4, "clip": 3}},
	} {
		t.Run(caseName(change), func(t *testing.T) {
			opts := smallText2LoRA()
			for k, v := range change {
				opts[k] = v
			}
			rng := rand.New(rand.NewPCG(1, 2))
			h := newText2LoRATest(t, opts, testDims(), 9)
			mustFit(t, h, descriptions(rng, 11, 9))
			h.Init(3)
			randomise(rng, h.Params(), 0.2)
			gradientCase(t, h, rng)
		})
	}
}

// TestText2LoRAStart checks that a new head changes nothing, and that its
// adapters differ by layer and by description once it is trained.
func TestText2LoRAStart(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	h := newText2LoRATest(t, smallText2LoRA(), testDims(), 9)
	reps := descriptions(rng, 4, 9)
	mustFit(t, h, reps)
	h.Init(1)
	generate := func(rep *embedding.Representation) *adapter.Adapter {
		t.Helper()
		a, _, err := h.Generate(rep)
		if err != nil {
			t.Fatal(err)
		}
		if err := a.Validate(); err != nil {
			t.Fatal(err)
		}
		return a
	}
	for _, e := range generate(reps[0]).Pairs() {
		if inner64(e.B, e.B) != 0 || inner64(e.A, e.A) == 0 {
			t.Errorf("layer %d %s at the start: ‖A‖² = %g, ‖B‖² = %g, want only B zero", e.Layer, e.Module, inner64(e.A, e.A), inner64(e.B, e.B))
		}
	}
	randomise(rng, h.Params(), 0.3)
	a, b := generate(reps[0]), generate(reps[1])
	if a.Layers[0][adapter.QProj].B[0] == a.Layers[1][adapter.QProj].B[0] {
		t.Error("two layers have the same factors")
	}
	if a.Layers[0][adapter.QProj].B[0] == b.Layers[0][adapter.QProj].B[0] {
		t.Error("two descriptions have the same factors")
	}
}

// TestText2LoRALayout checks which values of an output layer go where.
func TestText2LoRALayout(t *testing.T) {
	h := newText2LoRATest(t, map[string]any{"task": 5, "depth": 3, "type": 4, "hidden": 7, "neck": 6, "rank": 2, "bias": true,
		"modules": []string{"k_proj"}}, testDims(), 9)
	h.alloc()
	for i := range h.outputs[0].b.Value {
		h.outputs[0].b.Value[i] = float32(i)
	}
	a, _, err := h.GenerateContext(make([]float32, 9))
	if err != nil {
		t.Fatal(err)
	}
	for l := range a.Layers { // k_proj of testDims: A (2,6), B (2,2)
		p := a.Layers[l][adapter.KProj]
		for i, want := range []float32{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11} {
			if p.A[i] != want {
				t.Errorf("layer %d: A[%d] = %g, want %g", l, i, p.A[i], want)
			}
		}
		for i, want := range []float32{12, 13, 14, 15} {
			if p.B[i] != want {
				t.Errorf("layer %d: B[%d] = %g, want %g", l, i, p.B[i], want)
			}
		}
	}
}

func TestText2LoRASize(t *testing.T) {
	tests := []struct {
		opts map[string]any
		want int
	}{
		// As the table of the baseline has it: heads of 512·16·10,176 values.
		{nil, 83_361_792 + 32_832 + 128 + 960 + 64 + 224 + 64 + 131_712 + 2*131_968 + 256 + 66_048 + 262_656},
		{map[string]any{"neck": 64, "rank": 8}, 5_210_112 + 32_832 + 128 + 960 + 64 + 224 + 64 + 131_712 + 2*131_968 + 256 + 66_048 + 32_832},
	}
	for _, tt := range tests {
		h, err := New(Text2LoRAKind, tt.opts, Setup{Dims: smolDims(), Inputs: map[string][]int{embedding.Description: {512}}})
		if err != nil {
			t.Fatal(err)
		}
		if got := NumParameters(h); got != tt.want {
			t.Errorf("%v: %d parameters, want %d", tt.opts, got, tt.want)
		}
	}
	if small := tests[1].want * 2; small > 15e6 {
		t.Errorf("the small head takes %d bytes in float16, want at most 15 MB", small)
	}
}

func TestText2LoRACheckpoint(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	opts := smallText2LoRA()
	opts["input"] = map[string]any{"standardize": "zscore"}
	h := newText2LoRATest(t, opts, testDims(), 9)
	reps := descriptions(rng, 5, 9)
	mustFit(t, h, reps)
	h.Init(3)
	randomise(rng, h.Params(), 0.2)
	path := filepath.Join(t.TempDir(), "head.safetensors")
	if err := Save(path, &Checkpoint{Info: Info{Name: "t2l", Encoder: "test"}, Head: h}, safetensors.F32); err != nil {
		t.Fatal(err)
	}
	c, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	want, _, err := h.Generate(reps[2])
	if err != nil {
		t.Fatal(err)
	}
	got, tape, err := c.Head.Generate(reps[2])
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range got.Pairs() {
		w := want.Pairs()[i]
		for j := range e.A {
			if e.A[j] != w.A[j] {
				t.Fatalf("layer %d %s: A[%d] = %g after loading, want %g", e.Layer, e.Module, j, e.A[j], w.A[j])
			}
		}
	}
	tape.Backward(randomLike(rng, got)) // gradients of a loaded head are allocated
	if c.Head.Params()[0].Grad == nil {
		t.Error("a loaded head has no gradient after Backward")
	}
}

func TestText2LoRAErrors(t *testing.T) {
	for _, tt := range []struct {
		opts map[string]any
		want string
	}{
		{map[string]any{"neck": 0}, "neck 0"},
		{map[string]any{"blocks": -1}, "blocks -1"},
		{map[string]any{"first_layer": 2}, "first_layer 2"},
		{map[string]any{"dropout": 0.1}, "dropout"},
		{map[string]any{"input": map[string]any{"tensor": "repository"}}, `no tensor "repository"`},
	} {
		_, err := New(Text2LoRAKind, tt.opts, Setup{Dims: testDims(), Inputs: map[string][]int{embedding.Description: {9}}})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v: error %v, want one with %q", tt.opts, err, tt.want)
		}
	}
}
