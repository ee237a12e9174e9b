package stats

import (
	"math"
	"slices"
	"testing"
)

func TestMcNemar(t *testing.T) {
	tests := []struct {
		a, b             int
		exact, chi, pChi float64 // scipy.stats.binomtest(a, a+b), chi2.sf(chi, 1)
	}{
		{10, 3, 0.09228515625, 2.769230769230769, 0.0960923294556734},
		{0, 5, 0.0625, 3.2, 0.07363827012030258},
		{121, 59, 4.4344492637551645e-06, 20.67222222222222, 5.450094825427117e-06},
		{7, 7, 1, 0, 1},
		{1, 0, 1, 0, 1},
		{0, 0, 1, 0, 1},
	}
	for _, tt := range tests {
		got := McNemar(tt.a, tt.b)
		if math.Abs(got.Exact/tt.exact-1) > 1e-9 || !near(got.ChiSq, tt.chi) || math.Abs(got.PChiSq/tt.pChi-1) > 1e-9 {
			t.Errorf("McNemar(%d, %d) = %+v, want %g, %g, %g", tt.a, tt.b, got, tt.exact, tt.chi, tt.pChi)
		}
		if back := McNemar(tt.b, tt.a); !near(back.Exact, got.Exact) || !near(back.OddsLog, -got.OddsLog) {
			t.Errorf("McNemar(%d, %d) = %+v, want the mirror image of %+v", tt.b, tt.a, back, got)
		}
	}
	pairs := []Pair{{"a", 1, 0}, {"a", 1, 1}, {"b", 0, 0}, {"b", 0, 1}, {"c", 1, 0}}
	if got := McNemarPairs(pairs); got.OnlyA != 2 || got.OnlyB != 1 {
		t.Errorf("McNemarPairs(%v) = %+v, want 2 and 1", pairs, got)
	}
}

func TestSignFlip(t *testing.T) {
	pairs := []Pair{{"a", 1, 0}, {"b", 2, 0}, {"c", 0, 0.5}, {"d", 3, 0}, {"e", 0.25, 0}}
	// scipy.stats.permutation_test(..., permutation_type="samples", n_resamples=inf)
	if got := SignFlip(pairs, Options{}); got != 0.1875 {
		t.Errorf("five repositories: got %g, want 0.1875", got)
	}
	if got := SignFlip(nil, Options{}); got != 1 {
		t.Errorf("no pairs: got %g, want 1", got)
	}
	// Many tasks in two repositories are no more evidence than two.
	var two []Pair
	for i := range 200 {
		two = append(two, Pair{string(rune('a' + i%2)), 1, 0})
	}
	if got := SignFlip(two, Options{}); got != 0.5 {
		t.Errorf("200 tasks of two repositories: got %g, want 0.5", got)
	}
	// All 16 in favour: 2 of 65,536 sign vectors are as large.
	var many, mixed []Pair
	for i := range 16 {
		many = append(many, Pair{string(rune('a' + i)), 1, 0})
		mixed = append(mixed, Pair{string(rune('a' + i)), float64(i % 2), float64(1 - i%2)})
	}
	if got := SignFlip(many, Options{}); got > 0.002 || got < 1.0/5001 {
		t.Errorf("16 of 16: got %g, want about 1/5001", got)
	}
	if got := SignFlip(mixed, Options{}); got != 1 {
		t.Errorf("8 of 16: got %g, want 1", got)
	}
}

func TestHolm(t *testing.T) {
	p := []float64{0.01, 0.04, 0.03, 0.005}
	want := []float64{0.03, 0.06, 0.06, 0.02}
	got := Holm(p)
	for i := range want {
		if !near(got[i], want[i]) {
			t.Fatalf("Holm(%v) = %v, want %v", p, got, want)
		}
	}
	if got := Holm([]float64{0.6, 0.9}); !slices.Equal(got, []float64{1, 1}) {
		t.Errorf("large p-values: got %v, want 1 and 1", got)
	}
	if got := Holm(nil); len(got) != 0 {
		t.Errorf("Holm of nothing: got %v", got)
	}
}

func TestEffectSizes(t *testing.T) {
	if got, want := CohenH(0.5, 0.25), math.Pi/2-math.Pi/3; !near(got, want) {
		t.Errorf("CohenH(0.5, 0.25) = %g, want %g", got, want)
	}
	var a, b []float64
	for i, v := range sample() {
		if i < 20 {
			a = append(a, v.X)
		} else {
			b = append(b, v.X*0.9+0.05)
		}
	}
	if got := CliffDelta(a, b); !near(got, 0.09) { // mean of sign(x - y) over all pairs
		t.Errorf("CliffDelta = %g, want 0.09", got)
	}
	if got := CliffDelta([]float64{2, 3}, []float64{1}); got != 1 {
		t.Errorf("CliffDelta of larger figures = %g, want 1", got)
	}
	if got := CliffDelta(nil, a); !math.IsNaN(got) {
		t.Errorf("CliffDelta of nothing = %g, want NaN", got)
	}
	var pairs []Pair
	for _, d := range []float64{1, -2, 3, 0, 2, -1, 5, 5} {
		pairs = append(pairs, Pair{"a", d, 0})
	}
	if got := RankBiserial(pairs); !near(got, 0.6428571428571429) { // with scipy.stats.rankdata
		t.Errorf("RankBiserial = %g, want 0.642857…", got)
	}
	if got := RankBiserial(pairs[3:4]); got != 0 {
		t.Errorf("RankBiserial without a difference = %g, want 0", got)
	}
}

func TestWilson(t *testing.T) {
	tests := []struct {
		k, n             int
		level, low, high float64 // scipy.stats.binomtest(k, n).proportion_ci(level, "wilson")
	}{
		{3, 10, 0, 0.10779126740630102, 0.6032218525388546},
		{0, 20, 0.95, 0, 0.16112515805281935},
		{20, 20, 0.99, 0.7508945989012464, 1},
		{319, 1000, 0.95, 0.29085168384683435, 0.3485336027249366},
	}
	for _, tt := range tests {
		got := Wilson(tt.k, tt.n, tt.level)
		if math.Abs(got.Low-tt.low) > 1e-9 || math.Abs(got.High-tt.high) > 1e-9 {
			t.Errorf("Wilson(%d, %d, %g) = %+v, want [%g, %g]", tt.k, tt.n, tt.level, got, tt.low, tt.high)
		}
	}
	if got := Wilson(0, 0, 0); got.Low != 0 || got.High != 1 {
		t.Errorf("Wilson of no trials = %+v, want 0 to 1", got)
	}
}
