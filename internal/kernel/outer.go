package kernel

// The blocks of SumOuter: a block of the wider operand, rounded and in pairs of
// rows (16 KiB), and the part of C it is for (8 KiB if the other operand has 16
// columns) stay in the L1 cache.
const (
	outerColumns = 128
	outerRows    = 64 // even
)

// SumOuter does C (m, n) += Aᵀ·B, the sum of the outer products of the T rows of
// A (T, m) and B (T, n), in the current precision as [Product] does. It is for
// many rows, of which those of one operand are short, such as what is between
// the factors of an adapter: the other is read once, in the order of memory, and
// no more of it is copied at a time than a cache holds.
func SumOuter(m, n, T int, a []float32, lda int, b []float32, ldb int, c []float32, ldc int) {
	checkMatrix("A", true, m, T, a, lda)
	checkMatrix("B", false, T, n, b, ldb)
	checkMatrix("C", false, m, n, c, ldc)
	if m == 0 || n == 0 || T == 0 {
		return
	}
	o := active.bf16
	switch {
	case o == nil || CurrentPrecision() == Float32:
		outerFloat32(m, n, T, a, lda, b, ldb, c, ldc)
	case m > n:
		right := packBuffer(ceilDiv(n, panelWidth) * panelWidth * ceilDiv(T, 2))
		defer packBuffers.Put(right)
		bp := panels{*right, ceilDiv(n, panelWidth) * panelWidth, panelWidth}
		o.zipRows(*right, bp.bs, b, ldb, n, T)
		o.outerBlocks(T, m, a, lda, func(block []float32, t, i, pairs, cols, width int) {
			o.tile(c[i*ldc:], ldc, view{block, 1, width}, panels{bp.data[t/2*bp.bs:], bp.bs, bp.ps}, cols, n, pairs, true)
		})
	default:
		left := packBuffer(m * ceilDiv(T, 2))
		defer packBuffers.Put(left)
		o.zipRows(*left, m, a, lda, m, T)
		o.outerBlocks(T, n, b, ldb, func(block []float32, t, j, pairs, cols, width int) {
			o.tile(c[j:], ldc, view{(*left)[t/2*m:], 1, m}, panels{block, width, panelWidth}, m, cols, pairs, true)
		})
	}
}

// outerBlocks cuts x (T, n) into blocks of columns, which it hands to the
// threads, and those into blocks of rows, which it rounds and gives to f in
// order: pairs of rows from row t on, of cols columns from column j on.
func (o *ops) outerBlocks(T, n int, x []float32, ld int, f func(block []float32, t, j, pairs, cols, width int)) {
	Parallel(ceilDiv(n, outerColumns), func(i int) {
		j := i * outerColumns
		cols := min(outerColumns, n-j)
		width := ceilDiv(cols, panelWidth) * panelWidth
		block := packBuffer(width * outerRows / 2)
		defer packBuffers.Put(block)
		for t := 0; t < T; t += outerRows {
			k := min(outerRows, T-t)
			o.zipRows(*block, width, x[t*ld+j:], ld, cols, k)
			f(*block, t, j, ceilDiv(k, 2), cols, width)
		}
	})
}

// outerFloat32 makes products with few rows, which read the wider operand where
// it lies.
func outerFloat32(m, n, T int, a []float32, lda int, b []float32, ldb int, c []float32, ldc int) {
	if m <= n {
		Gemm(true, false, m, n, T, 1, a, lda, b, ldb, 1, c, ldc)
		return
	}
	t := packBuffer(m * n)
	defer packBuffers.Put(t)
	Gemm(true, false, n, m, T, 1, b, ldb, a, lda, 0, *t, m)
	const rows = 64
	Parallel(ceilDiv(m, rows), func(q int) {
		for i := q * rows; i < min(m, (q+1)*rows); i++ {
			row := c[i*ldc:][:n]
			for j := range row {
				row[j] += (*t)[j*m+i]
			}
		}
	})
}
