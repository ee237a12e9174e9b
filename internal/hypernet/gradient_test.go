package hypernet

import (
	"math/rand/v2"
	"testing"
)

func TestDirectGradient(t *testing.T) {
	for _, opts := range []map[string]any{
		{"hidden": 7, "rank": 3},
		{"hidden": 5, "rank": 2, "per_layer": true},
		{"hidden": 5, "rank": 2, "modules": []string{"v_proj", "down_proj"}},
		{"hidden": 5, "rank": 2, "input": map[string]any{"standardize": "pca", "components": 4, "clip": 3}},
	} {
		t.Run(caseName(opts), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(1, 2))
			h := mustNew(t, DirectKind, opts, testDims(), 9)
			mustFit(t, h, testReps(rng, 11, 9))
			h.Init(3)
			randomise(rng, h.Params(), 0.2)
			gradientCase(t, h, rng)
		})
	}
}

// TestDirectScaleBounds checks that a log-scale outside of its bounds is
// clamped and receives no gradient.
func TestDirectScaleBounds(t *testing.T) {
	for _, tt := range []struct {
		logScale float32
		bound    float32
		moves    bool
	}{{-3.5, 0.0303, true}, {0, 0.3, false}, {-20, 1e-5, false}} {
		rng := rand.New(rand.NewPCG(4, 5))
		h := mustNew(t, DirectKind, map[string]any{"hidden": 5, "rank": 2}, testDims(), 9).(*Direct)
		h.Init(1)
		for _, o := range h.outputs {
			o.logScale.Value[0] = tt.logScale
		}
		a, tape, err := h.GenerateContext(randn(rng, 9))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range a.Pairs() {
			for _, v := range e.A {
				if v > tt.bound || v < -tt.bound {
					t.Errorf("log-scale %g: value %g, want at most %g", tt.logScale, v, tt.bound)
				}
			}
		}
		tape.Backward(randomLike(rng, a))
		if g := h.outputs[0].logScale.Grad[0]; (g != 0) != tt.moves {
			t.Errorf("log-scale %g: gradient %g, want one: %t", tt.logScale, g, tt.moves)
		}
	}
}

func TestFactoredGradient(t *testing.T) {
	input := map[string]any{"standardize": "pca", "components": 5, "clip": 0}
	for _, opts := range []map[string]any{
		{"conditioning": "none", "rank": 2},
		{"conditioning": "core", "rank": 3, "gate": "full", "coefficients": 4},
		{"conditioning": "core", "rank": 3, "gate": "diagonal", "coefficients": 4, "hidden": 6},
		{"conditioning": "core", "rank": 3, "mean_rank": 1, "gate": "full", "coefficients": 0},
		{"conditioning": "core", "rank": 2, "first_layer": 1, "coefficients": 2, "inject": "lexicon"},
		{"conditioning": "bases", "rank": 2, "first_layer": 1, "coefficients": 2},
		{"conditioning": "core", "rank": 3, "mean_rank": 1, "gate": "diagonal", "coefficients": 2},
		{"conditioning": "core", "rank": 3, "coefficients": 4, "inject": "lexicon"},
		{"conditioning": "none", "rank": 2, "inject": "lexicon"},
		{"conditioning": "bases", "rank": 2, "coefficients": 3, "shared_bases": true},
		{"conditioning": "bases", "rank": 2, "coefficients": 3, "shared_bases": false, "hidden": 4},
		{"conditioning": "bases", "rank": 2, "coefficients": 3, "shared_bases": true, "factors": "b"},
		{"conditioning": "bases", "rank": 2, "coefficients": 0, "shared_bases": false, "factors": "b", "modules": []string{"up_proj", "k_proj"}},
	} {
		t.Run(caseName(opts), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(1, 2))
			opts["input"] = input
			h := mustNew(t, FactoredKind, opts, testDims(), 9)
			mustFit(t, h, testReps(rng, 11, 9))
			h.Init(3)
			randomise(rng, h.Params(), 0.3)
			gradientCase(t, h, rng)
		})
	}
}
