package hypernet

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/embedding"
)

// testDims has two layers with odd sizes, so that swapped indices show.
func testDims() adapter.Dims {
	d := adapter.Dims{Arch: "llama", NumHiddenLayers: 2, NumAttentionHeads: 3, NumKeyValueHeads: 1}
	shapes := [adapter.NumModules]adapter.Shape{{In: 6, Out: 6}, {In: 6, Out: 2}, {In: 6, Out: 2}, {In: 6, Out: 6}, {In: 6, Out: 11}, {In: 6, Out: 11}, {In: 11, Out: 6}}
	d.Modules = shapes
	return d
}

// smolDims are those of SmolLM2-135M.
func smolDims() adapter.Dims {
	return adapter.Dims{Arch: "llama", NumHiddenLayers: 30, NumAttentionHeads: 9, NumKeyValueHeads: 3,
		Modules: [adapter.NumModules]adapter.Shape{{In: 576, Out: 576}, {In: 576, Out: 192}, {In: 576, Out: 192},
			{In: 576, Out: 576}, {In: 576, Out: 1536}, {In: 576, Out: 1536}, {In: 1536, Out: 576}}}
}

func randn(rng *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(rng.NormFloat64())
	}
	return x
}

// testReps makes representations with one repository vector each: a common
// part, as real ones have, and an own part.
func testReps(rng *rand.Rand, n, dim int) []*embedding.Representation {
	common := randn(rng, dim)
	reps := make([]*embedding.Representation, n)
	for i := range reps {
		v := randn(rng, dim)
		for d := range v {
			v[d] = 0.3*v[d] + 2*common[d]
		}
		reps[i] = representation(v)
		reps[i].Tensors[embedding.Lexicon] = embedding.Tensor{Shape: []int{6}, Data: randn(rng, 6)}
	}
	return reps
}

func representation(v []float32) *embedding.Representation {
	return &embedding.Representation{Encoder: "test", Tensors: map[string]embedding.Tensor{
		embedding.Repository: {Shape: []int{len(v)}, Data: v}}}
}

// randomLike fills an adapter of the same shape with random values.
func randomLike(rng *rand.Rand, a *adapter.Adapter) *adapter.Adapter {
	g := adapter.ZerosLike(a)
	for _, e := range g.Pairs() {
		copy(e.A, randn(rng, len(e.A)))
		copy(e.B, randn(rng, len(e.B)))
	}
	return g
}

// inner is the inner product of all factors of two adapters.
func inner(a, b *adapter.Adapter) float64 {
	var sum float64
	pa, pb := a.Pairs(), b.Pairs()
	for i := range pa {
		sum += inner64(pa[i].A, pb[i].A) + inner64(pa[i].B, pb[i].B)
	}
	return sum
}

func inner64(x, y []float32) float64 {
	var sum float64
	for i := range x {
		sum += float64(x[i]) * float64(y[i])
	}
	return sum
}

// randomise replaces the initial values, many of which are zero and would hide
// gradients.
func randomise(rng *rand.Rand, ps []*Param, scale float32) {
	for _, p := range ps {
		for i := range p.Value {
			p.Value[i] += scale * float32(rng.NormFloat64())
		}
	}
}

// checkGradient compares a gradient with differences of loss, extrapolated from
// two step sizes to an error of the order h⁴.
//
// What remains is the rounding of the forward pass: a sum of some hundred
// values with relative errors of 2⁻²³ each, times 3/h, is about 2e-4 of the
// loss. floor is that error, absolute.
func checkGradient(t *testing.T, name string, got, x []float32, loss func() float64, floor float64) {
	t.Helper()
	if len(got) != len(x) {
		t.Errorf("%s: gradient of %d values, want %d", name, len(got), len(x))
		return
	}
	for i := range x {
		old := x[i]
		slope := func(h float32) float64 {
			x[i] = old + h
			up := loss()
			x[i] = old - h
			down := loss()
			x[i] = old
			return (up - down) / float64(2*h)
		}
		want := (4*slope(1.0/128) - slope(1.0/64)) / 3
		if math.Abs(float64(got[i])-want) > floor+1e-3*math.Abs(want) {
			t.Errorf("%s[%d]: gradient %g, want %g", name, i, got[i], want)
			return
		}
	}
}

// gradientCase checks all gradients of a head at one context.
func gradientCase(t *testing.T, h ContextHead, rng *rand.Rand) {
	t.Helper()
	ctx := randn(rng, h.ContextSize())
	a, tape, err := h.GenerateContext(ctx)
	if err != nil {
		t.Fatal(err)
	}
	grad := randomLike(rng, a)
	loss := func() float64 {
		a, _, err := h.GenerateContext(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return inner(a, grad)
	}
	for _, p := range h.Params() {
		if p.Grad != nil {
			clear(p.Grad)
		}
	}
	tape.Backward(grad)
	floor := 2e-4 * max(1, math.Abs(loss()))
	for _, p := range h.Params() {
		checkGradient(t, p.Name, p.Grad, p.Value, loss, floor)
	}
	checkGradient(t, "context", tape.ContextGrad(), ctx, loss, floor)

	// A second call adds: gradients are sums over micro-batches.
	before := h.Params()[0].Grad[0]
	tape.Backward(grad)
	if got, want := h.Params()[0].Grad[0], 2*before; math.Abs(float64(got-want)) > 1e-5*math.Abs(float64(want)) {
		t.Errorf("%s after two backward passes: gradient %g, want %g", h.Params()[0].Name, got, want)
	}
}

func mustNew(t *testing.T, kind string, opts any, dims adapter.Dims, dim int) ContextHead {
	t.Helper()
	h, err := New(kind, opts, Setup{Dims: dims, Inputs: map[string][]int{embedding.Repository: {dim}, embedding.Lexicon: {6}}})
	if err != nil {
		t.Fatal(err)
	}
	return h.(ContextHead)
}

func mustFit(t *testing.T, h Head, reps []*embedding.Representation) {
	t.Helper()
	if err := h.Fit(reps); err != nil {
		t.Fatal(err)
	}
}

func caseName(opts map[string]any) string { return fmt.Sprint(opts) }
