package nn_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/code2lora/code2lora/internal/kernel"
	"github.com/code2lora/code2lora/internal/testutil"
)

// TestTreeBFloat16: in bfloat16, outputs are as independent of the tree as in
// float32, results as independent of the threads, and all are near those in
// float32.
func TestTreeBFloat16(t *testing.T) {
	was := kernel.CurrentPrecision()
	defer func() { _ = kernel.SetPrecision(was) }()
	set := func(p kernel.Precision) {
		if err := kernel.SetPrecision(p); err != nil {
			t.Skip(err)
		}
	}
	set(kernel.BFloat16)
	t.Run("unfolded", TestTreeUnfolded)
	t.Run("threads", TestTreeThreads)
	t.Run("outputs of queries", TestTreeQueriesOutputs)
	for seed := range uint64(4) {
		rng := rand.New(rand.NewPCG(seed, 11))
		d := newTreeData(rng, 6, 2, 8, randomNodes(rng, 6, 90))
		results := func(p kernel.Precision) [][]float32 {
			set(p)
			d.forward()
			d.backward()
			return [][]float32{slices.Clone(d.o), slices.Clone(d.dq), slices.Clone(d.dk), slices.Clone(d.dv)}
		}
		want, got := results(kernel.Float32), results(kernel.BFloat16)
		for i, name := range []string{"o", "dq", "dk", "dv"} {
			// Each product rounds both operands by at most 2^-9, most by less.
			e := testutil.RelativeError(got[i], want[i])
			if e > 1e-2 || e == 0 {
				t.Errorf("seed %d: %s of %v is off by %g, want some, and at most 1e-2", seed, name, d.nodes, e)
			}
		}
	}
}
