package nn_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/code2lora/code2lora/internal/nn"
	"github.com/code2lora/code2lora/internal/testutil"
)

// TestCached compares attention over pages with that over rows, and demands
// the same bits however the rows are cut into calls.
func TestCached(t *testing.T) {
	rng := rand.New(rand.NewPCG(31, 32))
	for _, tt := range []struct{ H, Hkv, HD, n int }{
		{4, 2, 6, 150}, {3, 3, 16, 65}, {7, 1, 20, 64}, {2, 1, 3, 1}, {9, 3, 64, 130},
	} {
		a := nn.Cached{H: tt.H, Hkv: tt.Hkv, HD: tt.HD}
		wq, wkv := tt.H*tt.HD, tt.Hkv*tt.HD
		q, k, v := testutil.Randn(rng, tt.n*wq), testutil.Randn(rng, tt.n*wkv), testutil.Randn(rng, tt.n*wkv)
		want, lse := make([]float32, tt.n*wq), make([]float32, tt.n*tt.H)
		nn.NewTree(tt.H, tt.Hkv, tt.HD, []nn.Node{{N: tt.n, Parent: -1}}).Forward(want, lse, q, k, v)
		var first []float32
		for _, step := range []int{tt.n, 1, 7, 64} {
			var pages [][]float32
			got := make([]float32, tt.n*wq)
			for at := 0; at < tt.n; at += step {
				m := min(step, tt.n-at)
				for i := at; i < at+m; i++ {
					if i%nn.PageRows == 0 {
						pages = append(pages, make([]float32, a.PageSize()))
					}
					a.Put(pages[i/nn.PageRows], i%nn.PageRows, k[i*wkv:], v[i*wkv:])
				}
				for u := range a.Units(m) {
					a.Forward(u, got[at*wq:], q[at*wq:], make([]float32, a.Scratch(m, at+m)), m, at, pages)
				}
			}
			if e := testutil.RelativeError(got, want); e > 1e-6 {
				t.Errorf("%+v in steps of %d: off by %g", tt, step, e)
			}
			if first == nil {
				first = got
			} else if !slices.Equal(got, first) {
				t.Errorf("%+v: steps of %d give other bits than one step", tt, step)
			}
		}
	}
}
