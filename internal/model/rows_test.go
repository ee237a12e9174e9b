package model

import (
	"context"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/code2lora/code2lora/internal/kernel"
	"github.com/code2lora/code2lora/internal/testutil"
)

// everyRow adds a label that doesn't count to each row of the batch, so that
// the last layer has to finish them all. Labels that count keep their places.
func everyRow(b Batch) Batch {
	b.Sequences = slices.Clone(b.Sequences)
	for i := range b.Sequences {
		s := &b.Sequences[i]
		s.Labels = slices.Clone(s.Labels)
		for pos := range s.Tokens {
			s.Labels = append(s.Labels, Label{Pos: pos})
		}
	}
	return b
}

// TestLastRows: the last layer finishes the labelled rows alone, which have the
// same bits as if it finished all, and the same gradients but for the order of
// sums.
func TestLastRows(t *testing.T) {
	defer func(p kernel.Precision) { _ = kernel.SetPrecision(p) }(kernel.CurrentPrecision())
	for _, precision := range []kernel.Precision{kernel.Float32, kernel.BFloat16} {
		if kernel.SetPrecision(precision) != nil {
			continue // not on this machine
		}
		for _, arch := range []string{"llama", "qwen2", "qwen3"} {
			t.Run(precision.String()+"/"+arch, func(t *testing.T) {
				testLastRows(t, wide(t, arch), precision)
			})
		}
	}
}

func testLastRows(t *testing.T, m *Model, precision kernel.Precision) {
	ctx := context.Background()
	few := recomputeBatch(m)
	for i := range few.Sequences[1:] {
		few.Sequences[1+i].Labels = nil
	}
	// Fewer rows than a product in bfloat16 has at least, but not fewer labels.
	few.Sequences[0].Labels = slices.Repeat(few.Sequences[0].Labels, 2)
	for _, b := range []Batch{recomputeBatch(m), few} {
		all := everyRow(b)
		got, err := m.Gradient(ctx, b, GradientOptions{})
		if err != nil {
			t.Fatal(err)
		}
		want, err := m.Gradient(ctx, all, GradientOptions{})
		if err != nil {
			t.Fatal(err)
		}
		scored, err := m.Score(ctx, b)
		if err != nil {
			t.Fatal(err)
		}
		for i, s := range b.Sequences {
			n := len(s.Labels)
			if !slices.Equal(got.NLL[i], want.NLL[i][:n]) || !slices.Equal(scored.NLL[i], got.NLL[i]) {
				t.Errorf("sequence %d: scores %v, and %v with the gradient, want %v", i, scored.NLL[i], got.NLL[i], want.NLL[i][:n])
			}
		}
		bound := 1e-5
		if precision != kernel.Float32 {
			bound = 2e-2 // a sum in another order may be rounded to another number
		}
		for i, g := range want.Grads {
			for j, w := range g.Pairs() {
				e := got.Grads[i].Pairs()[j]
				for name, x := range map[string][2][]float32{"A": {e.A, w.A}, "B": {e.B, w.B}} {
					if d := testutil.RelativeError(x[0], x[1]); d > bound {
						t.Errorf("adapter %d layer %d %s: gradient of %s is off by %g", i, e.Layer, e.Module, name, d)
					}
				}
			}
		}
	}
}

// TestLowestInput: gradients of adapters are the same bits whether the gradient
// of the lowest layer's input is asked for or not.
func TestLowestInput(t *testing.T) {
	m, ctx := wide(t, "llama"), context.Background()
	b := recomputeBatch(m)
	rng := rand.New(rand.NewPCG(9, 9))
	for i := range b.Sequences { // nothing to share, as activations prevent that
		b.Sequences[i].Tokens[0] = int32(rng.IntN(40) + 40*i)
	}
	for _, top := range []bool{false, true} {
		low := 2
		if top { // the lowest layer is the last one
			low = m.NumHiddenLayers - 1
			for _, a := range b.Adapters {
				for l := range low {
					a.Layers[l] = a.Layers[0]
				}
			}
		}
		want, err := m.Gradient(ctx, b, GradientOptions{Activations: []int{low}})
		if err != nil {
			t.Fatal(err)
		}
		got, err := m.Gradient(ctx, b, GradientOptions{})
		if err != nil {
			t.Fatal(err)
		}
		sameBits(t, got, want)
	}
}
