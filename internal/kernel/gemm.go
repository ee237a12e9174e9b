package kernel

import (
	"fmt"
	"sync"
)

// packLimit bounds the copy of B that Gemm makes at a time, in elements.
const packLimit = 4 << 20

// packBuffers holds *[]float32 for the panels that Gemm packs.
var packBuffers = sync.Pool{New: func() any { return new([]float32) }}

func packBuffer(n int) *[]float32 {
	p := packBuffers.Get().(*[]float32)
	if cap(*p) < n {
		*p = aligned(n)
	}
	*p = (*p)[:n]
	return p
}

// Gemm does C (m, n) = beta·C + alpha · op(A) (m, k) · op(B) (k, n), where
// op(X) is X, or its transpose if transX. So A is (k, m) if transA, else
// (m, k), and B is (n, k) if transB, else (k, n). With beta = 0, C need not
// hold numbers. The slices may be longer than the matrices.
func Gemm(transA, transB bool, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int) {
	checkMatrix("A", transA, m, k, a, lda)
	checkMatrix("B", transB, k, n, b, ldb)
	checkMatrix("C", false, m, n, c, ldc)
	if m == 0 || n == 0 {
		return
	}
	add := beta != 0
	if beta != 1 && (add || k == 0 || alpha == 0) {
		scaleMatrix(c, ldc, m, n, beta)
	}
	if k == 0 || alpha == 0 {
		return
	}
	av := view{a, lda, 1}
	if transA {
		av = view{a, 1, lda}
	}
	g := gemm{o: active, a: av, b: b, ldb: ldb, transB: transB, m: m, n: n, k: k, alpha: alpha, add: add}
	switch {
	case transB && !transA && m <= 3:
		g.dots(c, ldc)
	case !transB && alpha == 1 && m <= g.o.mr && n >= panelWidth:
		g.unpacked(c, ldc)
	default:
		g.packed(c, ldc)
	}
}

// checkMatrix panics unless x holds op(X) (rows, cols).
func checkMatrix(name string, trans bool, rows, cols int, x []float32, ld int) {
	r, s := rows, cols
	if trans {
		r, s = s, r
	}
	if rows < 0 || cols < 0 || ld < s || r > 0 && s > 0 && len(x) < (r-1)*ld+s {
		panic(fmt.Sprintf("kernel: Gemm: %s (%d, %d) with leading dimension %d in %d elements", name, r, s, ld, len(x)))
	}
}

func scaleMatrix(c []float32, ldc, m, n int, beta float32) {
	for i := range m {
		row := c[i*ldc : i*ldc+n]
		if beta == 0 {
			clear(row)
		} else {
			Scale(row, beta)
		}
	}
}

// gemm is a product that C is overwritten with or, if add, that is added to C.
type gemm struct {
	o       *ops
	a       view
	b       []float32
	ldb     int
	transB  bool
	m, n, k int
	alpha   float32
	add     bool
}

// dots is for a few rows times a transposed matrix, where a copy of B would
// cost more than the product.
func (g *gemm) dots(c []float32, ldc int) {
	work := func(j int) {
		row := g.b[j*g.ldb:][:g.k]
		for i := range g.m {
			v := g.alpha * g.o.dot(g.a.data[i*g.a.rs:][:g.k], row)
			if g.add {
				v += c[i*ldc+j]
			}
			c[i*ldc+j] = v
		}
	}
	if g.m*g.n*g.k >= serialWork {
		Parallel(g.n, work)
		return
	}
	for j := range g.n {
		work(j)
	}
}

// unpacked is for so few rows that each element of B is used once.
func (g *gemm) unpacked(c []float32, ldc int) {
	whole := g.n / panelWidth * panelWidth
	g.o.product(c, ldc, g.a, panels{g.b, g.ldb, panelWidth}, g.m, whole, g.k, g.add)
	if whole < g.n {
		buf := packBuffer(g.k * panelWidth)
		g.pack(*buf, whole)
		g.o.product(c[whole:], ldc, g.a, panels{*buf, panelWidth, 0}, g.m, g.n-whole, g.k, g.add)
		packBuffers.Put(buf)
	}
}

// packed is the general case.
func (g *gemm) packed(c []float32, ldc int) {
	ps := g.k * panelWidth
	step := max(1, packLimit/ps) * panelWidth
	for j := 0; j < g.n; j += step {
		n := min(step, g.n-j)
		count := ceilDiv(n, panelWidth)
		buf := packBuffer(count * ps)
		pack := func(q int) { g.pack((*buf)[q*ps:(q+1)*ps], j+q*panelWidth) }
		if count*ps >= serialWork/8 {
			Parallel(count, pack)
		} else {
			for q := range count {
				pack(q)
			}
		}
		g.o.product(c[j:], ldc, g.a, panels{*buf, panelWidth, ps}, g.m, n, g.k, g.add)
		packBuffers.Put(buf)
	}
}

// pack copies the 16 columns of alpha·op(B) from column j on to dst.
func (g *gemm) pack(dst []float32, j int) {
	n := min(panelWidth, g.n-j)
	if g.transB {
		g.o.packTransposed(dst, g.b[j*g.ldb:], g.ldb, n, g.k, g.alpha)
		return
	}
	for p := range g.k {
		row := dst[p*panelWidth:][:panelWidth]
		copy(row, g.b[p*g.ldb+j:][:n])
		clear(row[n:])
	}
	if g.alpha != 1 {
		g.o.scale(dst[:g.k*panelWidth], g.alpha)
	}
}

// packTransposed makes a panel of n <= 16 rows of k elements of src, whose
// leading dimension is ld: dst[p*16+j] = alpha·src[j*ld+p], zero for j >= n.
func (o *ops) packTransposed(dst, src []float32, ld, n, k int, alpha float32) {
	done := 0
	if n == panelWidth {
		done = o.transpose(dst, src, ld, k)
	}
	for p := done; p < k; p++ {
		row := (*[panelWidth]float32)(dst[p*panelWidth:])
		for j := range n {
			row[j] = src[j*ld+p]
		}
		clear(row[n:])
	}
	if alpha != 1 {
		o.scale(dst[:k*panelWidth], alpha)
	}
}
