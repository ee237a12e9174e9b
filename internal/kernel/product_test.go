package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// productCase is a product whose operands have some elements between rows.
type productCase struct {
	transA, transB, add bool
	m, n, k             int
}

// run computes the product with operands of exactly the needed size at p.
func (g productCase) run(t *testing.T, r *rand.Rand, p place) { g.runAs(t, r, p, false) }

// runAs is run or, with outer, the same with SumOuter, whose products have
// transA and add.
func (g productCase) runAs(t *testing.T, r *rand.Rand, p place, outer bool) {
	t.Helper()
	size := func(rows, cols, ld int) int { return max(0, (rows-1)*ld+cols) }
	ar, ac, br, bc := g.m, g.k, g.k, g.n
	xi, xp, wp, wj := ac+3, 1, bc+2, 1
	if g.transA {
		ar, ac = ac, ar
		xi, xp = 1, ac+3
	}
	if g.transB {
		br, bc = bc, br
		wp, wj = 1, bc+2
	}
	lda, ldb, ldc := ac+3, bc+2, g.n+1
	a, okA := p.make(t, size(ar, ac, lda))
	b, okB := p.make(t, size(br, bc, ldb))
	c, okC := p.make(t, size(g.m, g.n, ldc))
	fill(r, a)
	fill(r, b)
	fill(r, c)
	before := append([]float32(nil), c...)
	start := make([]float32, g.m*g.n)
	if g.add {
		for i := range g.m {
			copy(start[i*g.n:][:g.n], c[i*ldc:])
		}
	}
	exact := pairProduct64
	if outer && CurrentPrecision() == Float32 {
		exact = product64
	}
	want, bound := exact(start, a, xi, xp, b, wp, wj, g.m, g.n, g.k)
	if outer {
		SumOuter(g.m, g.n, g.k, a, lda, b, ldb, c, ldc)
	} else {
		Product(g.transA, g.transB, g.m, g.n, g.k, a, lda, b, ldb, g.add, c, ldc)
	}
	what := fmt.Sprintf("%+v at %s", g, p.name)
	var got []float32
	for i := range g.m {
		got = append(got, c[i*ldc:][:g.n]...)
		if i+1 < g.m {
			same(t, what+", between the rows of C", c[i*ldc+g.n:(i+1)*ldc], before[i*ldc+g.n:(i+1)*ldc])
		}
	}
	compare(t, what, got, want, bound)
	if !okA() || !okB() || !okC() {
		t.Fatalf("%s: wrote outside its operands", what)
	}
}

func TestProduct(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	shapes := [][3]int{{1, 1, 1}, {1, 17, 5}, {2, 16, 2}, {5, 40, 33}, {12, 32, 64}, {13, 33, 7}, {120, 64, 129}, {7, 3, 700}, {60, 5, 41}}
	eachBF16(t, func(t *testing.T) {
		for i, s := range shapes {
			for flags := range 8 {
				g := productCase{flags&1 > 0, flags&2 > 0, flags&4 > 0, s[0], s[1], s[2]}
				all := places()
				for pi, p := range all {
					if s[0]*s[1]*s[2] < 5000 || pi == (i+flags)%len(all) {
						g.run(t, r, p)
					}
				}
			}
		}
		for _, s := range [][3]int{{0, 3, 4}, {3, 0, 4}, {3, 4, 0}} {
			c := []float32{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}
			Product(false, false, s[0], s[1], s[2], make([]float32, 12), 4, make([]float32, 16), 4, true, c, 4)
			if c[0] != 1 || c[11] != 12 {
				t.Errorf("%v: an empty product changes C to %v", s, c)
			}
			Product(false, false, s[0], s[1], s[2], make([]float32, 12), 4, make([]float32, 16), 4, false, c, 4)
			if want := s[2] == 0; (c[0] == 0) != want {
				t.Errorf("%v: an empty product stores %v", s, c)
			}
		}
	})
}

// TestProductRows: a row has the same bits whatever the other rows are, with
// zeros appended to the sum, and on any number of threads.
func TestProductRows(t *testing.T) {
	defer SetThreads(0)
	r := rand.New(rand.NewPCG(9, 10))
	const m, n, k, more = 61, 64, 90, 35
	a, b := make([]float32, m*(k+more)), random(r, (k+more)*n)
	for i := range m {
		copy(a[i*(k+more):], random(r, k))
	}
	eachBF16(t, func(t *testing.T) {
		want := make([]float32, m*n)
		Product(false, false, m, n, k, a, k+more, b, n, false, want, n)
		for _, threads := range []int{1, 2, 3} {
			SetThreads(threads)
			for _, rows := range []int{1, 2, 7, 13, 60} {
				for _, terms := range []int{k, k + 1, k + more} {
					got := make([]float32, rows*n)
					Product(false, false, rows, n, terms, a, k+more, b, n, false, got, n)
					same(t, fmt.Sprintf("%d rows, %d terms, %d threads", rows, terms, threads), got, want[:rows*n])
				}
			}
		}
	})
}

// TestProductFloat32 compares with Gemm in the other precisions, but for Int8
// where there is bfloat16.
func TestProductFloat32(t *testing.T) {
	defer keep()()
	r := rand.New(rand.NewPCG(9, 11))
	const m, n, k = 9, 20, 33
	a, b := random(r, m*k), random(r, k*n)
	for _, p := range []Precision{Float32, Int8} {
		if err := SetPrecision(p); err != nil {
			t.Fatal(err)
		}
		if p == Int8 && active.bf16 != nil {
			continue
		}
		for _, add := range []bool{false, true} {
			got, want, beta := random(r, m*n), make([]float32, m*n), float32(0)
			copy(want, got)
			if add {
				beta = 1
			}
			Product(false, true, m, n, k, a, k, b, k, add, got, n)
			Gemm(false, true, m, n, k, 1, a, k, b, k, beta, want, n)
			same(t, p.String(), got, want)
		}
	}
}

func TestZipPairs(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 7))
	eachBF16(t, func(t *testing.T) {
		for _, p := range places() {
			for n := range 70 {
				pairs, width, ld := 1+n%3, n+n%5, n+n%7
				src, _ := p.make(t, (2*pairs-1)*ld+n)
				dst, untouched := p.make(t, (pairs-1)*width+n)
				for i := range src {
					src[i] = math.Float32frombits(r.Uint32())
					if i%3 == 0 { // between two bfloat16 numbers
						src[i] = math.Float32frombits(r.Uint32()&^0xffff | 0x8000)
					}
				}
				for i := range dst {
					dst[i] = -7
				}
				active.bf16.zipPairs(dst, width, src, ld, n, pairs)
				want := rounded(src)
				for at, v := range dst {
					what := fmt.Sprintf("word %d of %d rows of %d at %s", at, pairs, n, p.name)
					if i, q := at%max(1, width), at/max(1, width); i < n {
						lo, hi := unpair(v)
						same(t, what, []float32{lo, hi}, []float32{want[2*q*ld+i], want[(2*q+1)*ld+i]})
					} else if v != -7 {
						t.Fatalf("%s: wrote between rows", what)
					}
				}
				if !untouched() {
					t.Fatalf("%d pairs at %s: wrote outside", n, p.name)
				}
			}
		}
	})
}

// TestSumOuter is TestProduct of SumOuter, in all precisions.
func TestSumOuter(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	shapes := [][3]int{{1, 1, 1}, {1, 17, 5}, {16, 2, 2}, {16, 300, 33}, {130, 32, 64}, {13, 33, 7}, {257, 16, 129}, {3, 7, 700}, {60, 5, 41}, {8, 8, 200}}
	all := places()
	run := func(t *testing.T) {
		for i, s := range shapes {
			g := productCase{true, false, true, s[0], s[1], s[2]}
			for pi, p := range all {
				if s[0]*s[1]*s[2] < 5000 || pi == i%len(all) {
					g.runAs(t, r, p, true)
				}
			}
		}
		c := []float32{1, 2}
		SumOuter(1, 2, 0, nil, 1, nil, 2, c, 2)
		SumOuter(0, 2, 1, nil, 1, c, 2, nil, 2)
		if c[0] != 1 || c[1] != 2 {
			t.Errorf("an empty sum changes C to %v", c)
		}
	}
	eachBF16(t, run)
	each(t, func(t *testing.T, _ *ops) { run(t) })
}

// TestSumOuterThreads: no result depends on the number of threads.
func TestSumOuterThreads(t *testing.T) {
	defer SetThreads(0)
	r := rand.New(rand.NewPCG(13, 14))
	const m, n, T = 600, 16, 300
	a, b := random(r, T*m), random(r, T*n)
	eachBF16(t, func(t *testing.T) {
		var want [2][]float32
		for _, threads := range []int{1, 2, 3} {
			SetThreads(threads)
			for i, s := range [2]struct {
				m, n int
				a, b []float32
			}{{m, n, a, b}, {n, m, b, a}} {
				got := make([]float32, m*n)
				SumOuter(s.m, s.n, T, s.a, s.m, s.b, s.n, got, s.n)
				if threads == 1 {
					want[i] = got
				}
				same(t, fmt.Sprintf("%d threads", threads), got, want[i])
			}
		}
	})
}

func FuzzProduct(f *testing.F) {
	f.Add(uint64(1), uint8(3), uint8(17), uint16(9), uint8(0))
	f.Add(uint64(2), uint8(130), uint8(64), uint16(700), uint8(7))
	f.Fuzz(func(t *testing.T, seed uint64, m, n uint8, k uint16, flags uint8) {
		g := productCase{flags&1 > 0, flags&2 > 0, flags&4 > 0, 1 + int(m), 1 + int(n), 1 + int(k%1000)}
		eachBF16(t, func(t *testing.T) { g.run(t, rand.New(rand.NewPCG(seed, 1)), places()[0]) })
	})
}
