package hypernet

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/code2lora/code2lora/internal/embedding"
)

func standardizer(mode string, dim, components int, clip float64) *Standardizer {
	return &Standardizer{Options: InputOptions{Tensor: embedding.Repository, Dim: dim, Standardize: mode, Components: components, Clip: clip}}
}

func TestZScore(t *testing.T) {
	s := standardizer(StandardizeScore, 3, 0, 0)
	if err := s.Fit([][]float32{{1, 5, 1000}, {3, 5, 1000.0001}, {1, 5, 1000}, {3, 5, 1000}}); err != nil {
		t.Fatal(err)
	}
	got, err := s.Transform([]float32{4, 9, 2000})
	if err != nil {
		t.Fatal(err)
	}
	// The first has mean 2 and deviation 1; the others do not vary.
	if want := []float32{2, 0, 0}; got[0] != want[0] || got[1] != want[1] || got[2] != want[2] {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestWhitening checks that the training vectors become uncorrelated, with unit
// variance and mean zero, in every direction.
func TestWhitening(t *testing.T) {
	const n, dim, k = 20, 50, 12
	rng := rand.New(rand.NewPCG(1, 2))
	var vectors [][]float32
	for range n {
		v := randn(rng, dim)
		for d := range v {
			v[d] = v[d]*float32(1+d%7) + 100
		}
		v[3] = 5 // constant
		vectors = append(vectors, v)
	}
	s := standardizer(StandardizePCA, dim, k, 0)
	if err := s.Fit(vectors); err != nil {
		t.Fatal(err)
	}
	var ys [][]float32
	for _, v := range vectors {
		y, err := s.Transform(v)
		if err != nil {
			t.Fatal(err)
		}
		ys = append(ys, y)
	}
	for i := range k {
		for j := range k {
			var mean, cov float64
			for _, y := range ys {
				mean += float64(y[i]) / n
				cov += float64(y[i]) * float64(y[j]) / n
			}
			want := 0.0
			if i == j {
				want = 1
			}
			if math.Abs(cov-want) > 1e-4 || math.Abs(mean) > 1e-4 {
				t.Errorf("components %d, %d: mean %g, covariance %g, want 0 and %g", i, j, mean, cov, want)
			}
		}
	}
}

func TestClip(t *testing.T) {
	s := standardizer(StandardizeScore, 1, 0, 1.5)
	if err := s.Fit([][]float32{{-1}, {1}}); err != nil {
		t.Fatal(err)
	}
	for in, want := range map[float32]float32{0.5: 0.5, 9: 1.5, -9: -1.5} {
		if got, err := s.Transform([]float32{in}); err != nil || got[0] != want {
			t.Errorf("Transform(%g) = %v, %v, want %g", in, got, err, want)
		}
	}
}

func TestFitRefuses(t *testing.T) {
	for _, tt := range []struct {
		name    string
		s       *Standardizer
		vectors [][]float32
		want    string
	}{
		{"none", standardizer(StandardizeNone, 2, 0, 0), nil, "no training repositories"},
		{"one", standardizer(StandardizeScore, 2, 0, 0), [][]float32{{1, 2}}, "at least 2"},
		{"length", standardizer(StandardizeScore, 2, 0, 0), [][]float32{{1, 2}, {1}}, "vector 1 has 1 values"},
		{"equal", standardizer(StandardizeScore, 2, 0, 0), [][]float32{{1, 2}, {1, 2}}, "the same"},
		{"few", standardizer(StandardizePCA, 4, 3, 0), [][]float32{{1, 2, 3, 4}, {2, 1, 5, 3}, {0, 0, 1, 9}}, "span only 2"},
	} {
		if err := tt.s.Fit(tt.vectors); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got error %v, want one that contains %q", tt.name, err, tt.want)
		}
	}
}
