package evolve

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/code2lora/code2lora/internal/testutil"
)

// TestResume compares a pass that goes on from a state, with gradients added at
// the end of a segment, with one that never stopped.
func TestResume(t *testing.T) {
	o := Options{Diff: 5, Repository: 3, Hidden: 4}
	rng := rand.New(rand.NewPCG(1, 2))
	repository := testutil.Randn(rng, o.Repository)
	var diffs, grads [][]float32
	for range 7 {
		diffs, grads = append(diffs, testutil.Randn(rng, o.Diff)), append(grads, testutil.Randn(rng, o.Hidden))
	}
	run := func(resume bool) *GRU {
		g, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		g.Init(3)
		w, err := g.Walk(repository, Truncation{Steps: 3})
		if err != nil {
			t.Fatal(err)
		}
		var held []int
		end := func() {
			for i, k := range held {
				if k != 1 && resume {
					w.AddGradAt(i, grads[k])
				}
			}
			held = nil
			w.Backward()
			if resume {
				if w, err = g.Resume(w.State(), Truncation{Steps: 3}); err != nil {
					t.Fatal(err)
				}
			}
		}
		for k, d := range diffs {
			if _, err := w.Step(d); err != nil {
				t.Fatal(err)
			}
			if held = append(held, k); k != 1 && !resume {
				w.AddGrad(grads[k])
			}
			if w.Due() {
				end()
			}
		}
		end()
		return g
	}
	want, got := run(false), run(true)
	for i, p := range want.Params() {
		if !slices.Equal(p.Grad, got.Params()[i].Grad) {
			t.Errorf("%s: gradient %v, want %v", p.Name, got.Params()[i].Grad, p.Grad)
		}
	}
	for name, state := range map[string][]float32{"short": {1}, "not finite": {1, 2, float32(math.NaN()), 3}} {
		if _, err := got.Resume(state, Truncation{Steps: 1}); err == nil {
			t.Errorf("%s state: was resumed", name)
		}
	}
	if _, err := got.Resume(make([]float32, 4), Truncation{}); err == nil {
		t.Error("a truncation after no step was taken")
	}
}
