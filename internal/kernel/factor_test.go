package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// TestHalf runs the micro-kernels for bfloat16 panels on operands of exactly
// the needed size at every place, and compares with float64.
func TestHalf(t *testing.T) {
	r := rand.New(rand.NewPCG(21, 22))
	each(t, func(t *testing.T, o *ops) {
		for rows := 1; rows <= o.halfRows; rows++ {
			for pi, p := range places() {
				for pairs := 1; pairs <= 9; pairs += 1 + pi%2 {
					testHalf(t, r, o, p, rows, pairs, 1+(pairs+pi)%3, (pairs+pi/2)%2 == 0)
				}
			}
		}
	})
}

func testHalf(t *testing.T, r *rand.Rand, o *ops, p place, rows, pairs, count int, add bool) {
	t.Helper()
	lda, ldc, n := 2*pairs+3, count*panelWidth+5, count*panelWidth
	a, okA := p.make(t, (rows-1)*lda+2*pairs)
	b, okB := p.make(t, pairs*n)
	c, okC := p.make(t, (rows-1)*ldc+n)
	fill(r, a)
	fill(r, c)
	for i := range b {
		b[i] = pair(float32(r.NormFloat64()), float32(r.NormFloat64()))
	}
	before := append([]float32(nil), c...)
	o.half(c, ldc, a, lda, b, rows, pairs, count, add)
	what := fmt.Sprintf("%s %d rows, %d pairs, %d panels, add %t at %s", o.name, rows, pairs, count, add, p.name)
	for i := range rows {
		for j := range n {
			var want, abs float64
			if add {
				want = float64(before[i*ldc+j])
				abs = math.Abs(want)
			}
			for q := range pairs {
				lo, hi := unpair(b[(j/panelWidth*pairs+q)*panelWidth+j%panelWidth])
				x, y := float64(a[i*lda+2*q])*float64(lo), float64(a[i*lda+2*q+1])*float64(hi)
				want += x + y
				abs += math.Abs(x) + math.Abs(y)
			}
			bound := second * abs * float64(2*pairs+2) * u
			if got := float64(c[i*ldc+j]); !(math.Abs(got-want) <= bound) {
				t.Fatalf("%s: element (%d, %d) is %g, want %g ± %g", what, i, j, got, want, bound)
			}
		}
	}
	if !okA() || !okB() || !okC() {
		t.Fatalf("%s: wrote outside its operands", what)
	}
	for i := range rows - 1 {
		for j := i*ldc + n; j < (i+1)*ldc; j++ {
			if c[j] != before[j] {
				t.Fatalf("%s: wrote between rows", what)
			}
		}
	}
}

// TestFactor checks products of both kinds of factors with odd sizes against
// float64, for all rows at once and, to the bit, for one and for some panels.
func TestFactor(t *testing.T) {
	r := rand.New(rand.NewPCG(23, 24))
	each(t, func(t *testing.T, o *ops) {
		for _, s := range []struct{ T, out, in int }{{1, 1, 1}, {3, 16, 7}, {9, 35, 5}, {2, 3, 48}, {17, 40, 33}, {1, 16, 700}} {
			for _, half := range []bool{false, true} {
				for _, add := range []bool{false, true} {
					testFactor(t, r, s.T, s.out, s.in, half, add)
				}
			}
		}
	})
}

func testFactor(t *testing.T, r *rand.Rand, T, out, in int, half, add bool) {
	t.Helper()
	const scale = 1.5
	w, ldx, ldy := random(r, out*in), in+2, out+3
	x, y := random(r, T*ldx), random(r, T*ldy)
	f := NewFactors([]FactorSpec{{random(r, 3), 1, 3, 1}, {w, out, in, scale}}, half)[1]
	before := append([]float32(nil), y...)
	f.Forward(y, ldy, x, ldx, T, 0, f.Panels(), add)
	for i := range T {
		for j := range out {
			var want, abs float64
			if add {
				want = float64(before[i*ldy+j])
				abs = math.Abs(want)
			}
			for k := range in {
				v := w[j*in+k] * scale
				if half {
					v, _ = unpair(pair(v, 0))
				}
				p := float64(x[i*ldx+k]) * float64(v)
				want += p
				abs += math.Abs(p)
			}
			bound := second * abs * float64(in+3) * u
			if got := float64(y[i*ldy+j]); !(math.Abs(got-want) <= bound) {
				t.Fatalf("%d rows of (%d, %d), bfloat16 %t, add %t: (%d, %d) is %g, want %g ± %g",
					T, out, in, half, add, i, j, got, want, bound)
			}
		}
		for j := out; j < ldy; j++ {
			if y[i*ldy+j] != before[i*ldy+j] {
				t.Fatalf("%d rows of (%d, %d), bfloat16 %t: wrote between rows", T, out, in, half)
			}
		}
	}
	one := append([]float32(nil), before...)
	for i := range T {
		for q := f.Panels() - 1; q >= 0; q-- {
			f.Forward(one[i*ldy:], ldy, x[i*ldx:], ldx, 1, q, q+1, add)
		}
	}
	for i := range one {
		if one[i] != y[i] {
			t.Fatalf("%d rows of (%d, %d), bfloat16 %t: element %d is %g alone, %g together", T, out, in, half, i, one[i], y[i])
		}
	}
}

// TestMulPanels checks that zeros at the end of a sum, and other rows, do not
// change a row.
func TestMulPanels(t *testing.T) {
	r := rand.New(rand.NewPCG(25, 26))
	each(t, func(t *testing.T, o *ops) {
		const m, n, k = 13, 48, 64
		a, b := random(r, m*k), random(r, k*n)
		for _, terms := range []int{1, 2, 5, 31, 63} {
			for i := range m {
				clear(a[i*k+terms : (i+1)*k])
			}
			c, one := make([]float32, m*n), make([]float32, n)
			MulPanels(c, n, a, k, b, n, panelWidth, m, n, k, false)
			for i := range m {
				MulPanels(one, n, a[i*k:], k, b, n, panelWidth, 1, n, terms, false)
				for j := range n {
					var want, abs float64
					for p := range terms {
						v := float64(a[i*k+p]) * float64(b[p*n+j])
						want += v
						abs += math.Abs(v)
					}
					if got := c[i*n+j]; got != one[j] || !(math.Abs(float64(got)-want) <= second*abs*(k+1)*u) {
						t.Fatalf("%d terms: (%d, %d) is %g in %d rows, %g alone, want %g", terms, i, j, got, m, one[j], want)
					}
				}
			}
		}
	})
}
