package hypernet

import (
	"encoding/json"
	"math/rand/v2"
	"testing"

	"github.com/code2lora/code2lora/internal/embedding"
)

// BenchmarkGenerate and BenchmarkBackward measure heads of the size of a
// checkpoint for SmolLM2-135M.
func BenchmarkGenerate(b *testing.B) { benchmarkHeads(b, false) }

func BenchmarkBackward(b *testing.B) { benchmarkHeads(b, true) }

func benchmarkHeads(b *testing.B, backward bool) {
	for _, bb := range []struct{ name, kind, opts string }{
		{"direct", DirectKind, `{"hidden":32,"input":{"standardize":"pca","components":32}}`},
		{"core", FactoredKind, `{"rank":16}`},
		{"diagonal", FactoredKind, `{"rank":16,"gate":"diagonal"}`},
		{"bases", FactoredKind, `{"rank":16,"conditioning":"bases"}`},
	} {
		b.Run(bb.name, func(b *testing.B) {
			rng := rand.New(rand.NewPCG(1, 2))
			reps := testReps(rng, 40, 1152)
			h, err := New(bb.kind, json.RawMessage(bb.opts), Setup{Dims: smolDims(), Inputs: map[string][]int{embedding.Repository: {1152}}})
			if err != nil {
				b.Fatal(err)
			}
			if err := h.Fit(reps); err != nil {
				b.Fatal(err)
			}
			h.Init(1)
			a, tape, err := h.Generate(reps[0])
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if backward {
					tape.Backward(a)
				} else if _, _, err := h.Generate(reps[0]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
