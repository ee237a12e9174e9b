package kernel

import (
	"fmt"
	"sync"
)

// packLimit bounds the copy of B that Gemm makes at a time, in elements. Only
// a test changes it.
var packLimit = 4 << 20

// unpackedRows is the number of rows up to which a product reads B as it is:
// it would not use a packing often enough.
const unpackedRows = 32

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
	case transB && !transA && m == 1:
		g.dots(c)
	case !transB && alpha == 1 && m <= unpackedRows && n >= panelWidth:
		g.unpacked(c, ldc)
	case k <= rankSteps && m > unpackedRows:
		g.update(c, ldc)
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

// dots is for one row times a transposed matrix, where a copy of B would cost
// more than the product.
func (g *gemm) dots(c []float32) {
	row := g.a.data[:g.k]
	work := func(j int) {
		v := g.alpha * g.o.dot(row, g.b[j*g.ldb:][:g.k])
		if g.add {
			v += c[j]
		}
		c[j] = v
	}
	if g.n*g.k >= serialWork {
		Parallel(g.n, work)
		return
	}
	for j := range g.n {
		work(j)
	}
}

// unpacked is for few rows.
func (g *gemm) unpacked(c []float32, ldc int) {
	whole := g.n / panelWidth * panelWidth
	g.o.product(c, ldc, g.a, panels{g.b, g.ldb, panelWidth}, g.m, whole, g.k, g.add)
	if whole < g.n {
		g.tile(c, ldc, whole, g.n)
	}
}

// rankSteps is the number of terms up to which a product counts as an update of
// C: it takes more time to read and write C than to multiply.
const rankSteps = 32

// update is for few terms: C is passed through row by row, in the order of
// memory.
func (g *gemm) update(c []float32, ldc int) {
	ps := g.k * panelWidth
	count := ceilDiv(g.n, panelWidth)
	buf := packBuffer(count * ps)
	defer packBuffers.Put(buf)
	for q := range count {
		g.pack((*buf)[q*ps:(q+1)*ps], q*panelWidth)
	}
	width := g.o.np(g.m) * panelWidth
	block := 0
	rows := g.o.mr
	for block < g.m && block*g.n < updateBlock {
		block += rows
	}
	Parallel(ceilDiv(g.m, block), func(t int) {
		for i := t * block; i < min(g.m, (t+1)*block); i += rows {
			a := view{g.a.data[i*g.a.rs:], g.a.rs, g.a.cs}
			m := min(rows, g.m-i)
			for j := 0; j < g.n; j += width {
				b := panels{(*buf)[j/panelWidth*ps:], panelWidth, ps}
				g.o.stripe(c[i*ldc+j:], ldc, a, b, m, min(width, g.n-j), g.k, g.add)
			}
		}
	})
}

// updateBlock is how many elements of C a thread takes at a time.
const updateBlock = 1 << 16

// packed is the general case.
func (g *gemm) packed(c []float32, ldc int) {
	rows, cols := g.o.grid(g.m, g.n, g.k)
	if rows >= g.m && cols*g.k <= packLimit { // a column of tiles: each packs what it needs
		Parallel(ceilDiv(g.n, cols), func(t int) { g.tile(c, ldc, t*cols, min(g.n, (t+1)*cols)) })
		return
	}
	ps := g.k * panelWidth
	step := max(1, packLimit/ps) * panelWidth
	for j := 0; j < g.n; j += step {
		n := min(step, g.n-j)
		buf := packBuffer(ceilDiv(n, panelWidth) * ps)
		pack := func(q int) { g.pack((*buf)[q*ps:(q+1)*ps], j+q*panelWidth) }
		if count := ceilDiv(n, panelWidth); count*ps >= serialWork/8 {
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

// tile does columns from..to-1 of C, from a multiple of 16, on the calling
// goroutine.
func (g *gemm) tile(c []float32, ldc, from, to int) {
	ps := g.k * panelWidth
	count := ceilDiv(to-from, panelWidth)
	buf := packBuffer(count * ps)
	for q := range count {
		g.pack((*buf)[q*ps:(q+1)*ps], from+q*panelWidth)
	}
	g.o.tile(c[from:], ldc, g.a, panels{*buf, panelWidth, ps}, g.m, to-from, g.k, g.add)
	packBuffers.Put(buf)
}

// pack copies the 16 columns of alpha·op(B) from column j on to dst.
func (g *gemm) pack(dst []float32, j int) {
	n := min(panelWidth, g.n-j)
	if g.transB {
		g.o.packTransposed(dst, g.b[j*g.ldb:], g.ldb, n, g.k, g.alpha)
		return
	}
	if n == panelWidth {
		g.o.copyPanel(dst, g.b[j:], g.ldb, g.k)
	} else {
		for p := range g.k {
			row := dst[p*panelWidth:][:panelWidth]
			copy(row, g.b[p*g.ldb+j:][:n])
			clear(row[n:])
		}
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
