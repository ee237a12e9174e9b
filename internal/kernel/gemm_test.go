package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// TestMicro runs every micro-kernel on operands of exactly the needed size at
// every place, with A read along its rows and along its columns.
func TestMicro(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	each(t, func(t *testing.T, o *ops) {
		most := 1
		for m := 1; m <= o.mr; m++ {
			most = max(most, o.np(m))
		}
		for rows := 1; rows <= o.mr; rows++ {
			for count := 1; count <= most; count++ {
				if count > o.np(rows) {
					continue
				}
				for pi, p := range places() {
					for _, k := range []int{1, 2, 3, 4, 5, 7, 8, 9, 13} {
						shape := tileShape{1 + (k+pi)%3, rows, count}
						testMicro(t, r, o, p, shape, k, k%2 == 0, (k+pi)%4 < 2)
					}
				}
			}
		}
	})
}

func testMicro(t *testing.T, r *rand.Rand, o *ops, p place, s tileShape, k int, trans, add bool) {
	t.Helper()
	m, n := s.groups*s.rows, s.panels*panelWidth
	lda, ldc := k+3, n+5
	a, b := view{rs: lda, cs: 1}, panels{bs: panelWidth, ps: k*panelWidth + 16}
	needA, needB := (m-1)*lda+k, (s.panels-1)*b.ps+k*panelWidth
	if trans {
		lda = m + 3
		a.rs, a.cs = 1, lda
		needA = (k-1)*lda + m
		b.bs, b.ps = n+7, panelWidth // B as it lies in a matrix
		needB = (k-1)*b.bs + n
	}
	var okA, okB, okC func() bool
	var c []float32
	a.data, okA = p.make(t, needA)
	b.data, okB = p.make(t, needB)
	c, okC = p.make(t, (m-1)*ldc+n)
	fill(r, a.data)
	fill(r, b.data)
	for i := range c {
		c[i] = math.Float32frombits(canary)
	}
	start := make([]float32, m*n)
	if add {
		fill(r, start)
	}
	for i := range m {
		if add {
			copy(c[i*ldc:][:n], start[i*n:])
		}
	}
	what := fmt.Sprintf("%s %+v k=%d trans=%v add=%v at %s", o.name, s, k, trans, add, p.name)
	o.micro(c, ldc, a, b, s, k, add)
	got := make([]float32, 0, m*n)
	for i := range m {
		got = append(got, c[i*ldc:][:n]...)
		if i+1 < m {
			for _, v := range c[i*ldc+n : (i+1)*ldc] {
				if math.Float32bits(v) != canary {
					t.Fatalf("%s: wrote between the rows of C", what)
				}
			}
		}
	}
	flat := make([]float32, k*n) // B (k, n)
	for q := range s.panels {
		for p := range k {
			copy(flat[p*n+q*panelWidth:][:panelWidth], b.data[q*b.ps+p*b.bs:])
		}
	}
	want, bound := product64(start, a.data, a.rs, a.cs, flat, n, 1, m, n, k)
	compare(t, what, got, want, bound)
	if !okA() || !okB() || !okC() {
		t.Fatalf("%s: wrote outside its operands", what)
	}
}

// gemmCase is a product with everything that can vary about it.
type gemmCase struct {
	transA, transB bool
	m, n, k        int
	alpha, beta    float32
	padA, padB     int // leading dimensions beyond the width
	padC           int
}

// testGemm compares the implementation in use with float64, and with the
// portable one.
func testGemm(t *testing.T, r *rand.Rand, p place, g gemmCase) {
	t.Helper()
	matrix := func(trans bool, rows, cols, pad int) (x []float32, ld, ri, ci int) {
		if trans {
			rows, cols = cols, rows
		}
		ld = cols + pad
		n := 0
		if rows > 0 && cols > 0 {
			n = (rows-1)*ld + cols
		}
		x, _ = p.make(t, n)
		fill(r, x)
		if trans {
			return x, ld, 1, ld
		}
		return x, ld, ld, 1
	}
	a, lda, ai, ap := matrix(g.transA, g.m, g.k, g.padA)
	b, ldb, bp, bj := matrix(g.transB, g.k, g.n, g.padB)
	ldc := g.n + g.padC
	c, okC := p.make(t, max(0, (g.m-1)*ldc+g.n))
	start := make([]float32, g.m*g.n)
	for i := range c {
		c[i] = math.Float32frombits(canary)
	}
	for i := range g.m {
		row := c[i*ldc:][:g.n]
		if g.beta != 0 { // else C may hold anything
			fill(r, row)
		}
		copy(start[i*g.n:], row)
	}
	other := append([]float32(nil), c...)
	what := fmt.Sprintf("%s Gemm %+v at %s", active.name, g, p.name)
	run := func(c []float32) {
		Gemm(g.transA, g.transB, g.m, g.n, g.k, g.alpha, a, lda, b, ldb, g.beta, c, ldc)
	}
	run(c)
	was := active
	active = &generic
	run(other)
	active = was
	for i := range g.m {
		for j := range g.n {
			var s, abs float64
			if g.beta != 0 {
				s = float64(g.beta) * float64(start[i*g.n+j])
				abs = math.Abs(s)
			}
			for p := range g.k {
				v := float64(g.alpha) * float64(a[i*ai+p*ap]) * float64(b[p*bp+j*bj])
				s += v
				abs += math.Abs(v)
			}
			bound := abs * float64(g.k+4) * u * second
			got, portable := c[i*ldc+j], other[i*ldc+j]
			if !(math.Abs(float64(got)-s) <= bound+tiny && math.Abs(float64(portable)-s) <= bound+tiny) {
				t.Fatalf("%s: element (%d, %d) is %g, by generic %g, want %g ± %g", what, i, j, got, portable, s, bound)
			}
		}
		for j := g.n; j < ldc && i*ldc+j < len(c); j++ {
			if math.Float32bits(c[i*ldc+j]) != canary {
				t.Fatalf("%s: wrote to column %d of C", what, j)
			}
		}
	}
	if !okC() {
		t.Fatalf("%s: wrote outside C", what)
	}
}

func TestGemm(t *testing.T) {
	sizes := []int{0, 1, 2, 3, 5, 6, 7, 8, 11, 12, 13, 15, 16, 17, 23, 29, 31, 32, 33, 37, 47, 48, 49, 61, 64, 67, 70}
	scalars := []float32{1, 0, -0.75}
	r := rand.New(rand.NewPCG(13, 14))
	all := places()
	each(t, func(t *testing.T, _ *ops) {
		pick := func() int { return sizes[r.IntN(len(sizes))] }
		for i := range 800 {
			testGemm(t, r, all[i%len(all)], gemmCase{
				i&1 != 0, i&2 != 0, pick(), pick(), pick(),
				scalars[r.IntN(3)], scalars[r.IntN(3)],
				r.IntN(4), r.IntN(4), r.IntN(4),
			})
		}
		// Sizes that reach the cuts of every dimension, and all threads.
		for i := range 4 {
			tA, tB := i&1 != 0, i&2 != 0
			for _, s := range [][3]int{{391, 53, 41}, {17, 331, 347}, {131, 97, 641}, {1, 211, 2503}, {67, 521, 19}} {
				testGemm(t, r, all[i], gemmCase{tA, tB, s[0], s[1], s[2], 1, 1, 1, 2, 3})
			}
		}
	})
}

// TestGemmPackLimit takes B in several parts.
func TestGemmPackLimit(t *testing.T) {
	was := packLimit
	defer func() { packLimit = was }()
	r := rand.New(rand.NewPCG(15, 16))
	for _, packLimit = range []int{1, 50 * panelWidth, 200 * panelWidth} {
		each(t, func(t *testing.T, _ *ops) {
			for i := range 4 {
				testGemm(t, r, places()[0], gemmCase{i&1 != 0, i&2 != 0, 391, 53, 23, 1, 1, 0, 0, 0})
				testGemm(t, r, places()[0], gemmCase{i&1 != 0, i&2 != 0, 41, 83, 67, 2, 0, 0, 0, 1})
			}
		})
	}
}

func FuzzGemm(f *testing.F) {
	f.Add(uint64(1), uint16(5), uint16(17), uint16(9), uint8(3))
	f.Add(uint64(2), uint16(64), uint16(64), uint16(330), uint8(0))
	all := places()
	f.Fuzz(func(t *testing.T, seed uint64, m, n, k uint16, bits uint8) {
		r := rand.New(rand.NewPCG(seed, 0))
		each(t, func(t *testing.T, _ *ops) {
			testGemm(t, r, all[int(seed%uint64(len(all)))], gemmCase{
				bits&1 != 0, bits&2 != 0, int(m % 200), int(n % 200), int(k % 700),
				[]float32{1, 0.5}[bits>>2&1], []float32{0, 1, -1, 2}[bits>>3&3],
				int(bits >> 5 & 3), int(bits >> 6), int(bits >> 7),
			})
		})
	})
}
