package kernel

// The blocks of SumOuter: a block of B, rounded and in pairs of rows (16 KiB),
// and the columns of C it is for (8 KiB with 16 rows) stay in the L1 cache.
const (
	outerColumns = 128
	outerRows    = 64 // even
)

// SumOuter does C (m, n) += Aᵀ·B, the sum over T of the outer products of rows
// of A (T, m) and B (T, n), in the current precision as [Product] does. It is
// for many rows and a small m, such as the rank of an adapter: so it reads B
// once and in the order of memory, and copies no more of it than a cache holds.
func SumOuter(m, n, T int, a []float32, lda int, b []float32, ldb int, c []float32, ldc int) {
	o := active.bf16
	if o == nil || CurrentPrecision() == Float32 {
		Gemm(true, false, m, n, T, 1, a, lda, b, ldb, 1, c, ldc)
		return
	}
	checkMatrix("A", true, m, T, a, lda)
	checkMatrix("B", false, T, n, b, ldb)
	checkMatrix("C", false, m, n, c, ldc)
	if m == 0 || n == 0 || T == 0 {
		return
	}
	left := packBuffer(m * ceilDiv(T, 2))
	defer packBuffers.Put(left)
	o.zipRows(*left, m, a, lda, m, T)
	Parallel(ceilDiv(n, outerColumns), func(i int) {
		j := i * outerColumns
		cols := min(outerColumns, n-j)
		width := ceilDiv(cols, panelWidth) * panelWidth
		block := packBuffer(width * outerRows / 2)
		defer packBuffers.Put(block)
		for t := 0; t < T; t += outerRows {
			k := min(outerRows, T-t)
			o.zipRows(*block, width, b[t*ldb+j:], ldb, cols, k)
			o.tile(c[j:], ldc, view{(*left)[t/2*m:], 1, m}, panels{*block, width, panelWidth}, m, cols, ceilDiv(k, 2), true)
		}
	})
}
