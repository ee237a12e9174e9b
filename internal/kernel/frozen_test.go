package kernel

import (
	"math"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
)

// each runs f once for every implementation that this CPU can run, as the one
// in use, in the precision Float32.
func each(t *testing.T, f func(t *testing.T, o *ops)) {
	t.Helper()
	defer keep()()
	precision.Store(int32(Float32))
	for _, o := range implementations {
		active = o
		t.Run(o.name, func(t *testing.T) { f(t, o) })
	}
}

// keep returns what restores the implementation and the precision in use.
func keep() func() {
	was, precisionWas := active, CurrentPrecision()
	return func() {
		active = was
		precision.Store(int32(precisionWas))
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
			f.Backward(dx, dy, T, true)
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

// TestFrozenPlaces reads x and writes y at the ends of accessible memory.
func TestFrozenPlaces(t *testing.T) {
	r := rand.New(rand.NewPCG(17, 18))
	each(t, func(t *testing.T, _ *ops) {
		for _, p := range places() {
			for T := 1; T <= 14; T++ {
				out, in := 19+T, 37-T
				w := random(r, out*in)
				f := NewFrozen(w, out, in)
				x, okX := p.make(t, T*in)
				y, okY := p.make(t, T*out)
				fill(r, x)
				want, bound := product64(make([]float32, T*out), x, in, 1, w, 1, in, T, out, in)
				f.Forward(y, x, T)
				compare(t, "Forward at "+p.name, y, want, bound)
				clear(x)
				want, bound = product64(x, y, out, 1, w, in, 1, T, in, out)
				f.Backward(x, y, T, true)
				compare(t, "Backward at "+p.name, x, want, bound)
				if !okX() || !okY() {
					t.Fatalf("at %s with %d rows: wrote outside", p.name, T)
				}
			}
		}
	})
}

// TestDeterminism wants the same bits from any number of threads, and for a
// row whatever the other rows are.
func TestDeterminism(t *testing.T) {
	defer SetThreads(0)
	r := rand.New(rand.NewPCG(19, 20))
	const T, out, in = 403, 176, 331
	f := NewFrozen(random(r, out*in), out, in)
	x, dy := random(r, T*in), random(r, T*out)
	each(t, func(t *testing.T, _ *ops) {
		var y, dx, c []float32
		for threads := 1; threads <= 5; threads++ {
			SetThreads(threads)
			y2, dx2, c2 := make([]float32, T*out), make([]float32, T*in), make([]float32, out*in)
			f.Forward(y2, x, T)
			f.Backward(dx2, dy, T, true)
			Gemm(true, false, out, in, T, 0.5, dy, out, x, in, 0, c2, in)
			if threads == 1 {
				y, dx, c = y2, dx2, c2
				continue
			}
			same(t, "Forward on more threads", y2, y)
			same(t, "Backward on more threads", dx2, dx)
			same(t, "Gemm on more threads", c2, c)
		}
		for _, n := range []int{1, 2, 3, 5, 8, 13, 100} {
			y2, dx2 := make([]float32, n*out), make([]float32, n*in)
			const at = 7
			f.Forward(y2, x[at*in:][:n*in], n)
			same(t, "Forward of fewer rows", y2, y[at*out:][:n*out])
			f.Backward(dx2, dy[at*out:][:n*out], n, true)
			same(t, "Backward of fewer rows", dx2, dx[at*in:][:n*in])
		}
	})
}

func same(t *testing.T, what string, got, want []float32) {
	t.Helper()
	for i := range want {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
			t.Fatalf("%s: element %d is %g, want %g", what, i, got[i], want[i])
		}
	}
}

// TestFrozenNonFinite: NaN and infinity reach their row, or column, and no
// other; the filling of the last panel stays out of it.
func TestFrozenNonFinite(t *testing.T) {
	inf := float32(math.Inf(1))
	each(t, func(t *testing.T, _ *ops) {
		for _, bad := range []float32{inf, -inf, float32(math.NaN())} {
			const T, out, in = 9, 21, 35
			w, x := make([]float32, out*in), make([]float32, T*in)
			for i := range w {
				w[i] = 1
			}
			for i := range x {
				x[i] = 1
			}
			x[4*in+33] = bad
			w[20*in+2] = 2 * bad
			y := make([]float32, T*out)
			NewFrozen(w, out, in).Forward(y, x, T)
			for i, v := range y {
				finite := !math.IsInf(float64(v), 0) && v == v
				if want := i/out != 4 && i%out != 20; finite != want {
					t.Fatalf("with %g: element (%d, %d) is %g", bad, i/out, i%out, v)
				}
			}
		}
	})
}

// TestFrozenRows: rows are asked for in order, each with a slice of its own.
func TestFrozenFrom(t *testing.T) {
	defer keep()()
	precision.Store(int32(Float32))
	var reads [37]atomic.Int32
	done := 0
	f := NewFrozenFrom(37, 5, Source{Done: func() { done++ }, Row: func(dst []float32, i int) {
		if len(dst) != 5 || cap(dst) != 5 {
			t.Errorf("row(%d) with %d elements of %d, want 5", i, len(dst), cap(dst))
		}
		reads[i].Add(1)
		for k := range dst {
			dst[k] = float32(10*i + k)
		}
	}})
	if f.Out() != 37 || f.In() != 5 {
		t.Fatalf("a matrix (%d, %d), want (37, 5)", f.Out(), f.In())
	}
	if n := reads[0].Load(); n != 0 {
		t.Errorf("row 0 was read %d times before it was needed", n)
	}
	f.Prepare()
	f.Forward(make([]float32, 37), make([]float32, 5), 1)
	if done != 1 {
		t.Errorf("%d packings were done, want 1", done)
	}
	for i := range reads {
		if n := reads[i].Load(); n != 1 {
			t.Errorf("row %d was read %d times for one packing", i, n)
		}
	}
	row := make([]float32, 5)
	f.Row(row, 36)
	if row[4] != 364 {
		t.Errorf("element (36, 4) is %g, want 364", row[4])
	}
}

// TestForwardAll compares products that share their operand with the same
// products alone, bit for bit, in every precision; and Backward that overwrites
// with Backward that adds to zeros.
func TestForwardAll(t *testing.T) {
	each(t, func(t *testing.T, o *ops) {
		r := rand.New(rand.NewPCG(21, 22))
		for _, p := range []Precision{Float32, BFloat16, Int8} {
			if SetPrecision(p) != nil {
				continue
			}
			for _, T := range []int{0, 1, 7, 8, 40} {
				const in = 256
				quant, _ := quantised(r, Q4_K, 48, in)
				other, _ := quantised(r, Q6_K, 17, in)
				plain := NewFrozen(random(r, 20*in), 20, in)
				x := random(r, T*in)
				var ps []Output
				var want [][]float32
				for i, f := range []*Frozen{quant, plain, other} {
					y := random(r, T*f.Out())
					w := slices.Clone(y)
					if i == 1 {
						f.ForwardAdd(w, x, T)
					} else {
						f.Forward(w, x, T)
					}
					ps, want = append(ps, Output{W: f, Y: y, Add: i == 1}), append(want, w)
				}
				ForwardAll(x, T, ps...)
				for i, p := range ps {
					if !slices.Equal(p.Y, want[i]) {
						t.Errorf("%v, %d rows: product %d differs from the same alone", CurrentPrecision(), T, i)
					}
				}
				dy, dx, zero := random(r, T*20), random(r, T*in), make([]float32, T*in)
				plain.Backward(dx, dy, T, false)
				plain.Backward(zero, dy, T, true)
				if !slices.Equal(dx, zero) {
					t.Errorf("%v, %d rows: Backward over old values differs from one to zeros", CurrentPrecision(), T)
				}
			}
		}
	})
}
