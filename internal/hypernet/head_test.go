package hypernet

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/embedding"
)

func TestNewRefuses(t *testing.T) {
	inputs := map[string][]int{embedding.Repository: {9}}
	for _, tt := range []struct {
		name, kind string
		opts       any
		dims       adapter.Dims
		want       string
	}{
		{"kind", "mamba", nil, testDims(), `unknown kind of head "mamba"`},
		{"option", DirectKind, map[string]any{"hiden": 4}, testDims(), `unknown field "hiden"`},
		{"option type", DirectKind, map[string]any{"hidden": "wide"}, testDims(), "hidden"},
		{"rank", DirectKind, map[string]any{"rank": 0}, testDims(), "rank 0"},
		{"hidden", DirectKind, map[string]any{"hidden": -1}, testDims(), "hidden -1"},
		{"alpha", FactoredKind, map[string]any{"alpha": -2}, testDims(), "alpha -2"},
		{"module", DirectKind, map[string]any{"modules": []string{"lm_head"}}, testDims(), `unknown module "lm_head"`},
		{"module twice", DirectKind, map[string]any{"modules": []string{"q_proj", "q_proj"}}, testDims(), "listed twice"},
		{"dims", DirectKind, nil, adapter.Dims{NumHiddenLayers: 2}, "maps 0 to 0"},
		{"layers", DirectKind, nil, adapter.Dims{NumHiddenLayers: 1 << 30}, "layers"},
		{"tensor", DirectKind, map[string]any{"input": map[string]any{"tensor": "diff"}}, testDims(), `no tensor "diff"`},
		{"input dim", DirectKind, map[string]any{"input": map[string]any{"dim": 8}}, testDims(), "dim 8"},
		{"standardize", DirectKind, map[string]any{"input": map[string]any{"standardize": "l2"}}, testDims(), `standardize "l2"`},
		{"components", DirectKind, map[string]any{"input": map[string]any{"standardize": "pca", "components": 10}}, testDims(), "components 10"},
		{"conditioning", FactoredKind, map[string]any{"conditioning": "film"}, testDims(), `conditioning "film"`},
		{"gate", FactoredKind, map[string]any{"gate": "sparse"}, testDims(), `gate "sparse"`},
		{"mean rank", FactoredKind, map[string]any{"rank": 4, "mean_rank": 5}, testDims(), "mean_rank 5"},
		{"first layer", FactoredKind, map[string]any{"first_layer": 2}, testDims(), "first_layer 2: the base has 2 layers"},
		{"first layer below 0", FactoredKind, map[string]any{"first_layer": -1}, testDims(), "first_layer -1"},
		{"hidden without output", FactoredKind, map[string]any{"coefficients": 0, "hidden": 5}, testDims(), "hidden 5"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.kind == FactoredKind {
				m := tt.opts.(map[string]any)
				m["input"] = map[string]any{"standardize": "zscore"}
			}
			_, err := New(tt.kind, tt.opts, Setup{Dims: tt.dims, Inputs: inputs})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got error %v, want one that contains %q", err, tt.want)
			}
		})
	}
}

// TestFirstLayer checks that layers below are not adapted, neither for a
// repository nor on average.
func TestFirstLayer(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	reps := testReps(rng, 11, 9)
	for first, want := range []int{0, 1} {
		h := mustNew(t, FactoredKind, map[string]any{"rank": 2, "coefficients": 2, "first_layer": first, "input": map[string]any{"components": 3}}, testDims(), 9)
		mustFit(t, h, reps)
		h.Init(3)
		own, _, err := h.Generate(reps[0])
		if err != nil {
			t.Fatal(err)
		}
		average, err := h.Average()
		if err != nil {
			t.Fatal(err)
		}
		if a, b := own.LowestLayer(), average.LowestLayer(); a != want || b != want {
			t.Errorf("first_layer %d: adapters reach down to layers %d and %d, want %d", first, a, b, want)
		}
	}
}

// TestOptionsRoundTrip checks that resolved options lay out the same head again
// without the encoder at hand.
func TestOptionsRoundTrip(t *testing.T) {
	for kind, opts := range map[string]any{
		DirectKind:   map[string]any{"hidden": 5, "modules": []string{"v_proj", "k_proj"}},
		FactoredKind: map[string]any{"rank": 4, "input": map[string]any{"standardize": "pca", "components": 3}},
	} {
		h := mustNew(t, kind, opts, testDims(), 9)
		raw, err := json.Marshal(h.Options())
		if err != nil {
			t.Fatal(err)
		}
		again, err := New(kind, json.RawMessage(raw), Setup{Dims: testDims()})
		if err != nil {
			t.Fatal(err)
		}
		for i, p := range h.Params() {
			if q := again.Params()[i]; p.Name != q.Name || !slices.Equal(p.Shape, q.Shape) {
				t.Errorf("%s: parameter %d is %q %v, want %q %v", kind, i, q.Name, q.Shape, p.Name, p.Shape)
			}
		}
	}
}

// TestParameterCounts pins the numbers that the documentation gives.
func TestParameterCounts(t *testing.T) {
	qwen := adapter.Dims{Arch: "qwen2", NumHiddenLayers: 28, NumAttentionHeads: 12, NumKeyValueHeads: 2,
		Modules: [adapter.NumModules]adapter.Shape{{In: 1536, Out: 1536}, {In: 1536, Out: 256}, {In: 1536, Out: 256},
			{In: 1536, Out: 1536}, {In: 1536, Out: 8960}, {In: 1536, Out: 8960}, {In: 8960, Out: 1536}}}
	for _, tt := range []struct {
		kind string
		opts string
		dims adapter.Dims
		want int
	}{
		{DirectKind, `{}`, qwen, 679_090_190},
		{DirectKind, `{"hidden":512}`, qwen, 339_612_686},
		{DirectKind, `{"hidden":32,"input":{"standardize":"pca","components":32}}`, smolDims(), 5_375_054},
		{FactoredKind, `{"conditioning":"none","rank":8}`, smolDims(), 2_442_240},
		{FactoredKind, `{"conditioning":"none","rank":16}`, smolDims(), 4_884_480},
		{FactoredKind, `{"gate":"diagonal","rank":8}`, smolDims(), 2_469_632},
		{FactoredKind, `{"gate":"diagonal","rank":16}`, smolDims(), 4_938_752},
		{FactoredKind, `{"rank":8}`, smolDims(), 2_657_792},
		{FactoredKind, `{"rank":16}`, smolDims(), 5_745_152},
		{FactoredKind, `{"conditioning":"bases","rank":8}`, smolDims(), 3_852_800},
		{FactoredKind, `{"conditioning":"bases","rank":16}`, smolDims(), 7_597_568},
		{FactoredKind, `{"conditioning":"bases","shared_bases":false}`, smolDims(), 41_518_592},
		{FactoredKind, `{"conditioning":"bases","shared_bases":false,"coefficients":2}`, smolDims(), 7_326_784},
	} {
		h := mustNew(t, tt.kind, json.RawMessage(tt.opts), tt.dims, 2048)
		if got := NumParameters(h); got != tt.want {
			t.Errorf("%s %s: %d parameters, want %d", tt.kind, tt.opts, got, tt.want)
		}
		if h.Params()[0].Value != nil {
			t.Errorf("%s %s: laying out the head allocated it", tt.kind, tt.opts)
		}
	}
}

// TestDirectTensorNames checks names, shapes and order against the released
// state dict.
func TestDirectTensorNames(t *testing.T) {
	h := mustNew(t, DirectKind, map[string]any{"hidden": 5, "rank": 2}, testDims(), 9)
	types := []string{"down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj"}
	want := []string{"trunk.0.weight", "trunk.0.bias", "trunk.2.weight", "trunk.2.bias"}
	for _, head := range []string{"heads_A.", "heads_B."} {
		for _, typ := range types {
			want = append(want, head+typ+".weight", head+typ+".bias")
		}
	}
	for _, scale := range []string{"log_scale_A.", "log_scale_B."} {
		for _, typ := range types {
			want = append(want, scale+typ)
		}
	}
	var got []string
	shapes := map[string][]int{}
	for _, p := range h.Params() {
		got = append(got, p.Name)
		shapes[p.Name] = p.Shape
	}
	if !slices.Equal(got, want) {
		t.Errorf("got tensors %q, want %q", got, want)
	}
	for name, want := range map[string][]int{
		"trunk.0.weight": {5, 9}, "heads_A.down_proj.weight": {22, 5}, "heads_B.down_proj.weight": {12, 5},
		"heads_B.k_proj.bias": {4}, "log_scale_A.q_proj": {},
	} {
		if got := shapes[name]; !slices.Equal(got, want) {
			t.Errorf("%s: shape %v, want %v", name, got, want)
		}
	}
}

func TestInitIsDeterministic(t *testing.T) {
	for kind, opts := range map[string]any{
		DirectKind:   map[string]any{"hidden": 5},
		FactoredKind: map[string]any{"input": map[string]any{"standardize": "zscore"}},
	} {
		a, b, other := mustNew(t, kind, opts, testDims(), 9), mustNew(t, kind, opts, testDims(), 9), mustNew(t, kind, opts, testDims(), 9)
		a.Init(1)
		b.Init(1)
		other.Init(2)
		same := true
		for i, p := range a.Params() {
			if !slices.Equal(p.Value, b.Params()[i].Value) {
				t.Errorf("%s: %q differs between two heads with the same seed", kind, p.Name)
			}
			same = same && slices.Equal(p.Value, other.Params()[i].Value)
		}
		if same {
			t.Errorf("%s: the seed changes nothing", kind)
		}
	}
}

// TestDirectInit compares the initial distribution with PyTorch's defaults.
func TestDirectInit(t *testing.T) {
	h := mustNew(t, DirectKind, map[string]any{"hidden": 64}, testDims(), 256)
	h.Init(5)
	for _, p := range h.Params() {
		fanIn := 64.0
		switch {
		case strings.HasPrefix(p.Name, "log_scale"):
			if p.Value[0] != -3.5 {
				t.Errorf("%s is %g, want -3.5", p.Name, p.Value[0])
			}
			continue
		case strings.HasPrefix(p.Name, "trunk.0"):
			fanIn = 256
		}
		bound := 1 / math.Sqrt(fanIn)
		var sumsq float64
		for _, v := range p.Value {
			if math.Abs(float64(v)) > bound {
				t.Errorf("%s: value %g, want at most %g", p.Name, v, bound)
			}
			sumsq += float64(v) * float64(v)
		}
		// The variance of U(-b,b) is b²/3; 0.2 is five standard deviations
		// of the estimate for the 1000 values or more that are checked.
		if n := len(p.Value); n >= 1000 && math.Abs(sumsq/float64(n)/(bound*bound/3)-1) > 0.2 {
			t.Errorf("%s: variance %g, want %g", p.Name, sumsq/float64(n), bound*bound/3)
		}
	}
}

func factoredCases() []map[string]any {
	input := map[string]any{"standardize": "pca", "components": 5, "clip": 3}
	return []map[string]any{
		{"conditioning": "none", "rank": 3, "input": input},
		{"conditioning": "core", "rank": 3, "coefficients": 2, "input": input},
		{"conditioning": "core", "rank": 3, "mean_rank": 1, "coefficients": 3, "hidden": 8, "input": input},
		{"conditioning": "core", "rank": 3, "mean_rank": 1, "gate": "diagonal", "coefficients": 0, "input": input},
		{"conditioning": "bases", "rank": 3, "coefficients": 3, "input": input},
		{"conditioning": "bases", "rank": 3, "coefficients": 3, "shared_bases": false, "input": input},
		{"conditioning": "core", "rank": 3, "coefficients": 2, "inject": "lexicon", "input": input},
	}
}

// TestFactoredStart checks that a new head changes nothing, that its average
// adapter learns at once, and that the part that depends on the repository
// learns as soon as B is not zero.
func TestFactoredStart(t *testing.T) {
	for _, opts := range factoredCases() {
		t.Run(caseName(opts), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(1, 2))
			reps := testReps(rng, 12, 9)
			h := mustNew(t, FactoredKind, opts, testDims(), 9)
			mustFit(t, h, reps)
			h.Init(1)
			moved := map[string]bool{}
			for step := range 2 {
				for _, rep := range reps[:2] {
					a, tape, err := h.Generate(rep)
					if err != nil {
						t.Fatal(err)
					}
					grad := adapter.ZerosLike(a)
					for i, e := range a.Pairs() { // loss: Σ G ⊙ BA with random G
						s := h.Dims().Modules[e.Module]
						g, p := randn(rng, s.Out*s.In), grad.Pairs()[i]
						gemm(false, true, s.Out, a.Rank, s.In, g, e.A, 0, p.B)
						gemm(true, false, a.Rank, s.In, s.Out, e.B, g, 0, p.A)
						if step == 0 && slices.ContainsFunc(e.B, func(v float32) bool { return v != 0 }) {
							t.Fatalf("layer %d %s: the update is not zero at the start", e.Layer, e.Module)
						}
					}
					tape.Backward(grad)
				}
				for _, p := range h.Params() {
					for i, g := range p.Grad {
						moved[p.Name] = moved[p.Name] || g != 0
						p.Value[i] -= 0.01 * g
					}
					clear(p.Grad)
				}
				if step == 0 && !moved["mean.layers.0.q_proj.lora_B"] {
					t.Error("B has no gradient at the first step")
				}
			}
			for _, p := range h.Params() {
				if !moved[p.Name] && !strings.HasPrefix(p.Name, "trunk.") && !strings.HasPrefix(p.Name, "mix.") {
					t.Errorf("%s has no gradient within two steps", p.Name)
				}
			}
		})
	}
}

// TestFactoredAverage checks that the coefficients of the training repositories
// have mean 0 and variance 1 whatever the weights, and that the average adapter
// is the repository-independent part.
func TestFactoredAverage(t *testing.T) {
	for _, opts := range factoredCases()[1:] {
		t.Run(caseName(opts), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(3, 4))
			reps := testReps(rng, 12, 9)
			h := mustNew(t, FactoredKind, opts, testDims(), 9).(*Factored)
			mustFit(t, h, reps)
			h.Init(1)
			randomise(rng, h.Params(), 0.3)
			n := h.trunk.size()
			var all []float32
			for _, rep := range reps {
				z, err := h.Coefficients(rep)
				if err != nil {
					t.Fatal(err)
				}
				all = append(all, z...)
			}
			for j := range n {
				mean, variance := columnMoments(all, n, j)
				if math.Abs(mean) > 1e-5 || math.Abs(variance-1) > 1e-3 {
					t.Errorf("coefficient %d: mean %g and variance %g, want 0 and 1", j, mean, variance)
				}
			}
			avg, err := h.Average()
			if err != nil {
				t.Fatal(err)
			}
			rows := 3
			if h.opts.Conditioning == ConditionCore {
				rows = h.opts.meanRank()
			}
			s := h.sites[0]
			p := avg.Layers[s.layer][s.module]
			want := make([]float32, len(p.A))
			copy(want, s.a.Value[:rows*s.shape.In])
			if !slices.Equal(p.A, want) || !slices.Equal(p.B, s.b.Value) {
				t.Error("the average adapter is not the repository-independent part")
			}
		})
	}
}

// TestGenerateDistinguishes checks that adapters of two repositories whose
// vectors are nearly parallel differ, and that Generate keeps its input.
func TestGenerateDistinguishes(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	reps := testReps(rng, 12, 9)
	h := mustNew(t, FactoredKind, factoredCases()[1], testDims(), 9)
	mustFit(t, h, reps)
	h.Init(1)
	randomise(rng, h.Params(), 0.3)
	before := slices.Clone(reps[0].Tensors[embedding.Repository].Data)
	a, _, err := h.Generate(reps[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Validate(); err != nil {
		t.Error(err)
	}
	if a.Rank != 3 || a.Alpha != 16 || a.Provenance != (adapter.Provenance{}) {
		t.Errorf("rank %d, alpha %g, provenance %v; want 3, 16 and none", a.Rank, a.Alpha, a.Provenance)
	}
	b, _, err := h.Generate(reps[1])
	if err != nil {
		t.Fatal(err)
	}
	if cos := inner(a, b) / math.Sqrt(inner(a, a)*inner(b, b)); cos > 0.99 {
		t.Errorf("cosine of two adapters is %g, want them to differ", cos)
	}
	if !slices.Equal(before, reps[0].Tensors[embedding.Repository].Data) {
		t.Error("Generate modified the representation")
	}
}

func TestGenerateRefuses(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	reps := testReps(rng, 12, 9)
	h := mustNew(t, FactoredKind, factoredCases()[1], testDims(), 9)
	fails := func(what, want string, rep *embedding.Representation) {
		t.Helper()
		if a, tape, err := h.Generate(rep); err == nil || !strings.Contains(err.Error(), want) || a != nil || tape != nil {
			t.Errorf("%s: got error %v, want one that contains %q", what, err, want)
		}
	}
	fails("unfitted", "not standardised", reps[0])
	mustFit(t, h, reps)
	fails("without values", "has no value", reps[0])
	h.Init(1)
	fails("zero vector", "all zero", representation(make([]float32, 9)))
	fails("short vector", "want 9", representation([]float32{1}))
	fails("NaN", "not finite", representation(append(make([]float32, 8), float32(math.NaN()))))
	if _, _, err := h.GenerateContext(make([]float32, 4)); err == nil {
		t.Error("a context of the wrong length was accepted")
	}
}

func TestRegister(t *testing.T) {
	want := errorString("made by the test")
	Register("test-kind", func(json.RawMessage, Setup) (Head, error) { return nil, want })
	if _, err := New("test-kind", nil, Setup{}); err == nil || !strings.Contains(err.Error(), string(want)) {
		t.Errorf("got error %v, want the factory's", err)
	}
	if !slices.Contains(Kinds(), "test-kind") {
		t.Errorf("kinds are %q, want test-kind among them", Kinds())
	}
}

type errorString string

func (e errorString) Error() string { return string(e) }
