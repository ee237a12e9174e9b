package hypernet

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/code2lora/code2lora/internal/adapter"
)

// TestConditioning compares with the pairwise functions of package adapter.
func TestConditioning(t *testing.T) {
	for _, shared := range []bool{false, true} {
		rng := rand.New(rand.NewPCG(1, 2))
		average := randomLike(rng, adapter.New(testDims(), []adapter.Module{adapter.QProj, adapter.DownProj}, 3, 6, shared))
		var as []*adapter.Adapter
		for range 4 {
			a := randomLike(rng, average)
			for i, e := range a.Pairs() { // mostly the average
				for j := range e.A {
					e.A[j] = average.Pairs()[i].A[j] + 0.2*e.A[j]
				}
				copy(e.B, average.Pairs()[i].B)
			}
			as = append(as, a)
		}
		got, err := Conditioning(average, as)
		if err != nil {
			t.Fatal(err)
		}
		var cosines, distances []float64
		for i, a := range as {
			d, err := adapter.Distance(a, average)
			if err != nil {
				t.Fatal(err)
			}
			distances = append(distances, d)
			for _, b := range as[:i] {
				c, err := adapter.Cosine(a, b)
				if err != nil {
					t.Fatal(err)
				}
				cosines = append(cosines, c)
			}
		}
		for _, tt := range []struct {
			name      string
			got, want Range
		}{{"cosine", got.Cosine, rangeOf(cosines)}, {"distance", got.Distance, rangeOf(distances)}} {
			if math.Abs(tt.got.Min-tt.want.Min) > 1e-5 || math.Abs(tt.got.Mean-tt.want.Mean) > 1e-5 || math.Abs(tt.got.Max-tt.want.Max) > 1e-5 {
				t.Errorf("shared %t: %s %+v, want %+v", shared, tt.name, tt.got, tt.want)
			}
		}
		if got.Residual.Max > 0.9 {
			t.Errorf("shared %t: residual cosine up to %g of independent deviations", shared, got.Residual.Max)
		}
	}
}

func TestConditioningRefuses(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	zero := adapter.New(testDims(), []adapter.Module{adapter.QProj}, 3, 6, false)
	a := randomLike(rng, zero)
	wide := adapter.New(testDims(), []adapter.Module{adapter.QProj}, 4, 6, false)
	other := adapter.New(testDims(), []adapter.Module{adapter.KProj}, 3, 6, false)
	for _, tt := range []struct {
		average  *adapter.Adapter
		adapters []*adapter.Adapter
		want     string
	}{
		{a, []*adapter.Adapter{a}, "at least 2"},
		{zero, []*adapter.Adapter{a, a}, "no effect"},
		{a, []*adapter.Adapter{a, wide}, "adapter 3 of 3 differs"},
		{a, []*adapter.Adapter{a, other}, "adapter 3 of 3 does not adapt layer 0 q_proj"},
	} {
		if _, err := Conditioning(tt.average, tt.adapters); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("got error %v, want one that contains %q", err, tt.want)
		}
	}
	same, err := Conditioning(a, []*adapter.Adapter{a, a})
	if err != nil {
		t.Fatal(err)
	}
	if same.Distance.Max != 0 || math.Abs(same.Cosine.Min-1) > 1e-6 {
		t.Errorf("of one adapter twice: %+v, want no distance and a cosine of 1", same)
	}
}
