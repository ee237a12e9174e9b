package stats

import (
	"encoding/json"
	"math"
	"slices"
	"testing"
)

// Constants in the tests of this package were computed with NumPy 2.4 and
// SciPy 1.17, and the calls are named beside them.

// near reports whether got and want differ by rounding only.
func near(got, want float64) bool {
	return got == want || math.Abs(got-want) <= 1e-12*max(1, math.Abs(want))
}

func TestRandom(t *testing.T) {
	tests := []struct {
		seed, n uint32
		want    []uint32 // default_rng(seed).integers(0, n, size=len(want))
	}{
		{0, 7, []uint32{5, 4, 3, 1, 2, 0, 0, 0, 1, 5, 4, 6, 3, 4, 6, 5, 4, 3, 3, 6}},
		{3407, 1000, []uint32{583, 121, 816, 344, 466, 679, 690, 769, 106, 132}},
		{1, 3 << 30, []uint32{1524247487, 1648692854, 2432564812, 3061657868, 112267929, 464370616, // a third is rejected
			2650887133, 3055813762, 802821630, 1363629939, 2666216678, 827829271}},
		{5, 1, []uint32{0, 0}},
	}
	for _, tt := range tests {
		r := newRandom(tt.seed)
		got := make([]uint32, len(tt.want))
		for i := range got {
			got[i] = r.below(tt.n)
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("seed %d below %d: got %v, want %v", tt.seed, tt.n, got, tt.want)
		}
	}
}

// sample is 40 figures in five clusters of 20, 5, 9, 4 and 2.
func sample() (values []Value) {
	for i := range 40 {
		c := "e"
		switch {
		case i < 20:
			c = "a"
		case i < 25:
			c = "b"
		case i < 34:
			c = "c"
		case i < 38:
			c = "d"
		}
		values = append(values, Value{c, float64(i*i*7%11) / 10})
	}
	return values
}

func TestTaskInterval(t *testing.T) {
	var x []float64
	for _, v := range sample() {
		x = append(x, v.X)
	}
	// numpy.quantile(x[default_rng(seed).integers(0, 40, (5000, 40))].mean(1), [.025, .975])
	for seed, want := range [][2]float64{{0.5, 0.6975624999999991}, {0.5, 0.6975}, {0.5, 0.7025}} {
		got := TaskInterval(x, Options{Seed: uint32(seed)})
		if !near(got.Mean, 0.6025) || !near(got.Low, want[0]) || !near(got.High, want[1]) || got.N != 40 {
			t.Errorf("seed %d: got %+v, want 0.6025 in %v", seed, got, want)
		}
	}
	if got := TaskInterval(nil, Options{}); !math.IsNaN(got.Mean) || !math.IsNaN(got.Low) || got.N != 0 {
		t.Errorf("of nothing: got %+v, want NaN", got)
	}
}

func TestMean(t *testing.T) {
	tests := []struct {
		average         Average
		mean, low, high float64 // as above, drawing 2,000 times 5 clusters with seed 9
	}{
		{Micro, 0.6024999999999999, 0.5692307692307691, 0.6628571428571428},
		{Macro, 0.6557777777777778, 0.557, 0.8217777777777778},
	}
	values := sample()
	for _, tt := range tests {
		o := Options{Average: tt.average, Level: 0.9, Resamples: 2000, Seed: 9}
		got := Mean(values, o)
		if !near(got.Mean, tt.mean) || !near(got.Low, tt.low) || !near(got.High, tt.high) || got.N != 40 || got.Clusters != 5 {
			t.Errorf("%s: got %+v, want %g in [%g, %g]", tt.average, got, tt.mean, tt.low, tt.high)
		}
		pairs := make([]Pair, len(values))
		for i, v := range values {
			pairs[i] = Pair{v.Cluster, v.X + 0.25, 0.25}
		}
		if d := Difference(pairs, o); !near(d.Mean, tt.mean) || !near(d.Low, tt.low) || !near(d.High, tt.high) {
			t.Errorf("%s: difference: got %+v, want %+v", tt.average, d, got)
		}
	}
	// The order of clusters doesn't matter; that of tasks changes roundings.
	o := Options{Average: Macro}
	want := Mean(values, o)
	swapped := slices.Concat(values[20:], values[:20])
	if got := Mean(swapped, o); got != want {
		t.Errorf("another order: got %+v, want %+v", got, want)
	}
}

func TestMeanOfFew(t *testing.T) {
	if got := Mean(nil, Options{}); !math.IsNaN(got.Mean) || !math.IsNaN(got.Low) || got.Clusters != 0 {
		t.Errorf("no values: got %+v, want NaN", got)
	}
	got := Mean([]Value{{"a", 1}, {"a", 0}}, Options{})
	if got.Mean != 0.5 || !math.IsNaN(got.Low) || !math.IsNaN(got.High) {
		t.Errorf("one repository: got %+v, want 0.5 without bounds", got)
	}
	text, err := json.Marshal(got)
	if want := `{"mean":0.5,"low":null,"high":null,"n":2,"clusters":1}`; err != nil || string(text) != want {
		t.Errorf("one repository in JSON: got %s, %v, want %s", text, err, want)
	}
	var back Interval
	if err := json.Unmarshal(text, &back); err != nil || back.Mean != 0.5 || !math.IsNaN(back.Low) || back.N != 2 {
		t.Errorf("read back: got %+v, %v", back, err)
	}
}

// TestClusters: what is the same all over a repository tells no more when the
// repository has more tasks.
func TestClusters(t *testing.T) {
	var few, many []Value
	for i := range 10 {
		v := Value{string(rune('a' + i)), float64(i % 2)}
		few = append(few, v)
		for range 50 {
			many = append(many, v)
		}
	}
	a, b := Mean(few, Options{}), Mean(many, Options{})
	if !near(a.Low, b.Low) || !near(a.High, b.High) {
		t.Errorf("fifty copies of each task: got [%g, %g], want [%g, %g]", b.Low, b.High, a.Low, a.High)
	}
	var x []float64
	for _, v := range many {
		x = append(x, v.X)
	}
	if c := TaskInterval(x, Options{}); c.High-c.Low > (b.High-b.Low)/3 {
		t.Errorf("by task: got [%g, %g], want it too narrow, as the paper's are", c.Low, c.High)
	}
}

func TestOptions(t *testing.T) {
	for _, o := range []Options{{Average: "median"}, {Level: 1}, {Level: -0.1}, {Level: math.NaN()}, {Resamples: -1}} {
		if err := o.Validate(); err == nil {
			t.Errorf("%+v: got no error", o)
		}
	}
	for _, o := range []Options{{}, {Average: Macro, Level: 0.99, Resamples: 10, Seed: 1}} {
		if err := o.Validate(); err != nil {
			t.Errorf("%+v: got %v", o, err)
		}
	}
}

func TestQuantile(t *testing.T) {
	x := []float64{1, 2, 4}
	for q, want := range map[float64]float64{0: 1, 0.25: 1.5, 0.5: 2, 0.75: 3, 1: 4} {
		if got := quantile(x, q); got != want {
			t.Errorf("quantile(%v, %g) = %g, want %g", x, q, got, want)
		}
	}
}
