package kernel

import (
	"math"
	"math/rand/v2"
	"testing"
)

// each runs f once for every implementation that this CPU can run, as the one
// in use.
func each(t *testing.T, f func(t *testing.T, o *ops)) {
	t.Helper()
	was := active
	defer func() { active = was }()
	for _, o := range implementations {
		active = o
		t.Run(o.name, func(t *testing.T) { f(t, o) })
	}
}

func random(r *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	return x
}

// product64 returns c + x (m, k) · w (k, n) for strided x and w, and the error
// that float32 may make in each element: every one of k products and sums, and
// the addition of c, rounds by at most 2^-24 of a partial sum, which is at
// most the sum of the absolute values.
func product64(c []float32, x []float32, xi, xp int, w []float32, wp, wj int, m, n, k int) (sum, bound []float64) {
	sum, bound = make([]float64, m*n), make([]float64, m*n)
	for i := range m {
		for j := range n {
			s := float64(c[i*n+j])
			abs := math.Abs(s)
			for p := range k {
				v := float64(x[i*xi+p*xp]) * float64(w[p*wp+j*wj])
				s += v
				abs += math.Abs(v)
			}
			sum[i*n+j], bound[i*n+j] = s, abs*float64(k+2)*0x1p-23
		}
	}
	return sum, bound
}

func compare(t *testing.T, what string, got []float32, want, bound []float64) {
	t.Helper()
	for i := range want {
		if !(math.Abs(float64(got[i])-want[i]) <= bound[i]) {
			t.Fatalf("%s: element %d is %g, want %g ± %g", what, i, got[i], want[i], bound[i])
		}
	}
}

func TestFrozen(t *testing.T) {
	each(t, func(t *testing.T, _ *ops) {
		r := rand.New(rand.NewPCG(1, 2))
		for _, s := range [][3]int{{1, 1, 1}, {1, 33, 70}, {2, 16, 16}, {5, 17, 3}, {6, 32, 700}, {7, 31, 64}, {13, 48, 37}, {12, 80, 321}, {29, 67, 53}, {61, 64, 640}, {400, 70, 35}, {3, 0, 5}, {3, 5, 0}, {0, 3, 3}} {
			T, out, in := s[0], s[1], s[2]
			w, x, dy := random(r, out*in), random(r, T*in), random(r, T*out)
			f := NewFrozen(w, out, in)
			y, dx := random(r, T*out), random(r, T*in)

			want, bound := product64(y, x, in, 1, w, 1, in, T, out, in)
			f.ForwardAdd(y, x, T)
			compare(t, "ForwardAdd", y, want, bound)

			want, bound = product64(make([]float32, T*out), x, in, 1, w, 1, in, T, out, in)
			for i := range y {
				y[i] = float32(math.NaN())
			}
			f.Forward(y, x, T)
			compare(t, "Forward", y, want, bound)

			want, bound = product64(dx, dy, out, 1, w, in, 1, T, in, out)
			f.Backward(dx, dy, T)
			compare(t, "Backward", dx, want, bound)

			row := make([]float32, in)
			for i := range out {
				f.Row(row, i)
				for k, v := range row {
					if v != w[i*in+k] {
						t.Fatalf("Row(%d)[%d] is %g, want %g", i, k, v, w[i*in+k])
					}
				}
			}
		}
	})
}
