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

// TestCodes does the same for the micro-kernels for panels of codes.
func TestCodes(t *testing.T) {
	r := rand.New(rand.NewPCG(27, 28))
	each(t, func(t *testing.T, o *ops) {
		for rows := 1; rows <= o.codesRows; rows++ {
			for pi, p := range places() {
				for i, steps := range []int{1, 15, 16, 17, 32, 51} {
					testCodes(t, r, o, p, rows, steps, 1+(i+pi)%3, (i+pi/2)%2 == 0)
				}
			}
		}
	})
}

func testCodes(t *testing.T, r *rand.Rand, o *ops, p place, rows, steps, count int, add bool) {
	t.Helper()
	lda, ldc, n := steps+3, count*panelWidth+5, count*panelWidth
	a, okA := p.make(t, (rows-1)*lda+steps)
	b, okB := p.make(t, count*codesSize(steps)/4)
	c, okC := p.make(t, (rows-1)*ldc+n)
	fill(r, a)
	fill(r, c)
	w := random(r, steps*n)
	for q := range count {
		packCodesPanel(floatBytes(b)[q*codesSize(steps):], w[q*steps*panelWidth:][:steps*panelWidth], steps)
	}
	before := append([]float32(nil), c...)
	o.codes(c, ldc, a, lda, floatBytes(b), rows, steps, count, add)
	what := fmt.Sprintf("%s %d rows, %d steps, %d panels, add %t at %s", o.name, rows, steps, count, add, p.name)
	for i := range rows {
		for j := range n {
			var want, abs float64
			if add {
				want = float64(before[i*ldc+j])
				abs = math.Abs(want)
			}
			for k := range steps {
				v := float64(a[i*lda+k]) * decodeCode(floatBytes(b)[j/panelWidth*codesSize(steps):], k, j%panelWidth, steps)
				want += v
				abs += math.Abs(v)
			}
			bound := second * abs * float64(steps+4) * u
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

// decodeCode returns column k of row j of a panel of codes.
func decodeCode(panel []byte, k, j, in int) float64 {
	block := panel[codesSize(k/codeColumns*codeColumns):]
	scale := bf16Value(uint16(block[2*j]) | uint16(block[2*j+1])<<8)
	return float64(scale) * float64(int8(block[codeScales+k%codeColumns*panelWidth+j]))
}

// TestPackCodes checks that a code is off by half of a scale at most, and what
// becomes of numbers that have none.
func TestPackCodes(t *testing.T) {
	const in = 37
	r := rand.New(rand.NewPCG(29, 30))
	panel := random(r, in*panelWidth)
	for k := range in {
		panel[k*panelWidth+1] = 0
		panel[k*panelWidth+2] *= 1e-41 // subnormal
		panel[k*panelWidth+3] *= 1e37
	}
	nan, inf := float32(math.NaN()), float32(math.Inf(-1))
	panel[20*panelWidth+4], panel[33*panelWidth+5] = nan, inf
	packed := make([]byte, codesSize(in))
	packCodesPanel(packed, panel, in)
	for k := range in {
		for j := range panelWidth {
			v, got := float64(panel[k*panelWidth+j]), decodeCode(packed, k, j, in)
			if j == 4 && k/codeColumns == 1 || j == 5 && k/codeColumns == 2 {
				if !math.IsNaN(got) {
					t.Errorf("column %d of row %d, beside NaN or infinity, is %g, want NaN", k, j, got)
				}
				continue
			}
			var largest float64
			for i := k / codeColumns * codeColumns; i < min(in, (k/codeColumns+1)*codeColumns); i++ {
				largest = max(largest, math.Abs(float64(panel[i*panelWidth+j])))
			}
			// A scale is at most 2⁻⁷ of itself, or one subnormal number, too large.
			bound := largest/254*(1+0x1p-7) + 0x1p-134
			if !(math.Abs(got-v) <= bound) {
				t.Errorf("column %d of row %d is %g, want %g ± %g", k, j, got, v, bound)
			}
		}
	}
}

// TestFactorError measures by how much the rounding of factors of rank 16
// changes an update B·(A·x), relative to its size.
func TestFactorError(t *testing.T) {
	const in, rank, out = 576, 16, 1536
	r := rand.New(rand.NewPCG(31, 32))
	a, b, x := random(r, rank*in), random(r, out*rank), random(r, in)
	update := func(format FactorFormat) []float32 {
		f := NewFactors([]FactorSpec{{a, rank, in, 1}, {b, out, rank, 2}}, format)
		u, y := make([]float32, rank), make([]float32, out)
		f[0].Forward(u, rank, x, in, 1, 0, f[0].Panels(), false)
		f[1].Forward(y, out, u, rank, 1, 0, f[1].Panels(), false)
		return y
	}
	want := update(FactorFloat32)
	for format, most := range map[FactorFormat]float64{FactorBFloat16: 0.003, FactorInt8: 0.009} {
		var diff, size float64
		for i, got := range update(format) {
			d := float64(got) - float64(want[i])
			diff += d * d
			size += float64(want[i]) * float64(want[i])
		}
		rel := math.Sqrt(diff / size)
		t.Logf("format %d: %.2f %%", format, 100*rel)
		if !(rel <= most) {
			t.Errorf("format %d: relative error %.4f, want at most %g", format, rel, most)
		}
	}
}

// TestFactor checks products of all formats with odd sizes against float64, for
// all rows at once and, to the bit, for one and for some panels.
func TestFactor(t *testing.T) {
	r := rand.New(rand.NewPCG(23, 24))
	each(t, func(t *testing.T, o *ops) {
		for _, s := range []struct{ T, out, in int }{{1, 1, 1}, {3, 16, 7}, {9, 35, 5}, {2, 3, 48}, {17, 40, 33}, {1, 16, 700}, {11, 50, 16}} {
			for _, format := range []FactorFormat{FactorFloat32, FactorBFloat16, FactorInt8} {
				for _, add := range []bool{false, true} {
					testFactor(t, r, s.T, s.out, s.in, format, add)
				}
			}
		}
	})
}

// factorValues returns scale·w (out, in), rounded to a format.
func factorValues(w []float32, out, in int, scale float32, format FactorFormat) []float64 {
	v, panel, codes := make([]float64, out*in), make([]float32, in*panelWidth), make([]byte, codesSize(in))
	for j := range out {
		for k := range in {
			panel[k*panelWidth] = w[j*in+k] * scale
		}
		packCodesPanel(codes, panel, in)
		for k := range in {
			x := panel[k*panelWidth]
			switch v[j*in+k] = float64(x); format {
			case FactorBFloat16:
				lo, _ := unpair(pair(x, 0))
				v[j*in+k] = float64(lo)
			case FactorInt8:
				v[j*in+k] = decodeCode(codes, k, 0, in)
			}
		}
	}
	return v
}

func testFactor(t *testing.T, r *rand.Rand, T, out, in int, format FactorFormat, add bool) {
	t.Helper()
	const scale = 1.5
	w, ldx, ldy := random(r, out*in), in+2, out+3
	x, y := random(r, T*ldx), random(r, T*ldy)
	f := NewFactors([]FactorSpec{{random(r, 3), 1, 3, 1}, {w, out, in, scale}}, format)[1]
	values := factorValues(w, out, in, scale, format)
	before := append([]float32(nil), y...)
	f.Forward(y, ldy, x, ldx, T, 0, f.Panels(), add)
	what := fmt.Sprintf("%d rows of (%d, %d), format %d, add %t", T, out, in, format, add)
	for i := range T {
		for j := range out {
			var want, abs float64
			if add {
				want = float64(before[i*ldy+j])
				abs = math.Abs(want)
			}
			for k := range in {
				p := float64(x[i*ldx+k]) * values[j*in+k]
				want += p
				abs += math.Abs(p)
			}
			bound := second * abs * float64(in+4) * u
			if got := float64(y[i*ldy+j]); !(math.Abs(got-want) <= bound) {
				t.Fatalf("%s: (%d, %d) is %g, want %g ± %g", what, i, j, got, want, bound)
			}
		}
		for j := out; j < ldy; j++ {
			if y[i*ldy+j] != before[i*ldy+j] {
				t.Fatalf("%s: wrote between rows", what)
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
			t.Fatalf("%s: element %d is %g alone, %g together", what, i, one[i], y[i])
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
