package hypernet

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/embedding"
)

// injected are options of a head that injects the lexicon.
func injected(more map[string]any) map[string]any {
	opts := map[string]any{"conditioning": "core", "rank": 3, "coefficients": 2, "inject": embedding.Lexicon,
		"input": map[string]any{"standardize": "pca", "components": 5}}
	for k, v := range more {
		opts[k] = v
	}
	return opts
}

// TestInjectStandardise checks that over the training repositories the vector
// has mean 0 and, all values together, variance 1, with directions kept.
func TestInjectStandardise(t *testing.T) {
	reps := testReps(rand.New(rand.NewPCG(1, 2)), 11, 9)
	for _, rep := range reps {
		for d, v := range rep.Tensors[embedding.Lexicon].Data {
			rep.Tensors[embedding.Lexicon].Data[d] = 40 + 3*v
		}
	}
	in := injection{tensor: embedding.Lexicon, dim: 6}
	if _, err := in.context(reps[0]); err == nil || !strings.Contains(err.Error(), "not standardised") {
		t.Errorf("before fit: got error %v", err)
	}
	if err := in.fit(reps); err != nil {
		t.Fatal(err)
	}
	mean, square := make([]float64, 6), 0.0
	for _, rep := range reps {
		s, err := in.context(rep)
		if err != nil {
			t.Fatal(err)
		}
		x := rep.Tensors[embedding.Lexicon].Data
		for d, v := range s {
			mean[d] += float64(v) / 11
			square += float64(v) * float64(v) / (11 * 6)
			if want := (x[d] - in.mean[d]) / in.rms[0]; v != want {
				t.Errorf("value %d: got %g, want %g", d, v, want)
			}
		}
	}
	for d, v := range mean {
		if math.Abs(v) > 1e-5 {
			t.Errorf("mean %d is %g, want 0", d, v)
		}
	}
	if math.Abs(square-1) > 1e-5 {
		t.Errorf("mean square %g, want 1", square)
	}
}

// TestInjectWrites checks the formula B'[d,j] = B[d,j] + g_j s[d], on the layers
// that write to the stream and on no others, and not at the average.
func TestInjectWrites(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	reps := testReps(rng, 11, 9)
	h := mustNew(t, FactoredKind, injected(nil), testDims(), 9).(*Factored)
	mustFit(t, h, reps)
	h.Init(3)
	for _, s := range h.sites {
		if got, want := s.gain != nil, s.module == adapter.OProj || s.module == adapter.DownProj; got != want {
			t.Errorf("%s: a gain: %t, want %t", s.name(), got, want)
		}
	}
	randomise(rng, h.Params(), 0.3)
	ctx, err := h.Context(reps[0])
	if err != nil {
		t.Fatal(err)
	}
	k := len(ctx) - 6
	average, err := h.Average()
	if err != nil {
		t.Fatal(err)
	}
	a, _, err := h.GenerateContext(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range h.sites {
		base := average.Layers[s.layer][s.module].B
		if !slices.Equal(base, s.b.Value) {
			t.Errorf("%s: the average adapter's B is not the mean's", s.name())
		}
		for i, got := range a.Layers[s.layer][s.module].B {
			want := base[i]
			if s.gain != nil {
				want += s.gain.Value[i%3] * ctx[k+i/3]
			}
			if math.Abs(float64(got-want)) > 1e-5 {
				t.Fatalf("%s: B[%d] is %g, want %g", s.name(), i, got, want)
			}
		}
	}
}

func TestInjectRefuses(t *testing.T) {
	dims := testDims()
	uneven := testDims()
	uneven.Modules[adapter.OProj].Out = 4
	inputs := func(lexicon ...int) map[string][]int {
		m := map[string][]int{embedding.Repository: {9}}
		if lexicon != nil {
			m[embedding.Lexicon] = lexicon
		}
		return m
	}
	for _, tt := range []struct {
		name  string
		more  map[string]any
		setup Setup
		want  string
	}{
		{"no such tensor", nil, Setup{dims, inputs()}, `no tensor "lexicon"`},
		{"wrong length", nil, Setup{dims, inputs(7)}, "7 values, and the hidden size is 6"},
		{"no module", map[string]any{"modules": []string{"q_proj", "up_proj"}}, Setup{dims, inputs(6)}, "add o_proj or down_proj"},
		{"two streams", nil, Setup{uneven, inputs(6)}, "6 values for one module and 4 for o_proj"},
	} {
		if _, err := New(FactoredKind, injected(tt.more), tt.setup); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got error %v, want one that contains %q", tt.name, err, tt.want)
		}
	}
	// One such module is enough.
	if _, err := New(FactoredKind, injected(map[string]any{"modules": []string{"o_proj"}}), Setup{dims, inputs(6)}); err != nil {
		t.Errorf("o_proj alone: %v", err)
	}
}

func TestInjectFitRefuses(t *testing.T) {
	for _, tt := range []struct {
		name  string
		spoil func(reps []*embedding.Representation)
		want  string
	}{
		{"missing", func(reps []*embedding.Representation) { delete(reps[4].Tensors, embedding.Lexicon) }, "training repository 4"},
		{"length", func(reps []*embedding.Representation) {
			reps[4].Tensors[embedding.Lexicon] = embedding.Tensor{Shape: []int{5}, Data: []float32{1, 2, 3, 4, 5}}
		}, "5 values, want 6"},
		{"NaN", func(reps []*embedding.Representation) {
			reps[4].Tensors[embedding.Lexicon].Data[1] = float32(math.NaN())
		}, "not finite"},
		{"all the same", func(reps []*embedding.Representation) {
			for _, rep := range reps {
				rep.Tensors[embedding.Lexicon] = embedding.Tensor{Shape: []int{6}, Data: []float32{0.1, 0.2, 0.3, 0.7, 1.1, 1.3}}
			}
		}, "the same for all training repositories"},
	} {
		reps := testReps(rand.New(rand.NewPCG(1, 2)), 11, 9)
		h := mustNew(t, FactoredKind, injected(nil), testDims(), 9)
		tt.spoil(reps)
		if err := h.Fit(reps); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got error %v, want one that contains %q", tt.name, err, tt.want)
		}
	}
	// A repository that lacks the tensor is refused in use as well.
	reps := testReps(rand.New(rand.NewPCG(1, 2)), 11, 9)
	h := mustNew(t, FactoredKind, injected(nil), testDims(), 9)
	mustFit(t, h, reps)
	h.Init(1)
	delete(reps[0].Tensors, embedding.Lexicon)
	if _, _, err := h.Generate(reps[0]); err == nil || !strings.Contains(err.Error(), `no tensor "lexicon"`) {
		t.Errorf("generate without the tensor: got error %v", err)
	}
}
