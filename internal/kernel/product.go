package kernel

// Product does C (m, n) = op(A) (m, k) · op(B) (k, n), or C += if add, like
// [Gemm], but in the current precision: with [BFloat16], and with [Int8] where
// the CPU has it, both operands are rounded to bfloat16 and their sums are
// float32, for any number of rows. Else it is Gemm.
//
// A row of the result depends on that row of op(A) and on op(B) only, and not
// on terms of the sum that are zeros in A and follow all others.
func Product(transA, transB bool, m, n, k int, a []float32, lda int, b []float32, ldb int, add bool, c []float32, ldc int) {
	o := active.bf16
	if o == nil || CurrentPrecision() == Float32 {
		beta := float32(0)
		if add {
			beta = 1
		}
		Gemm(transA, transB, m, n, k, 1, a, lda, b, ldb, beta, c, ldc)
		return
	}
	checkMatrix("A", transA, m, k, a, lda)
	checkMatrix("B", transB, k, n, b, ldb)
	checkMatrix("C", false, m, n, c, ldc)
	half := ceilDiv(k, 2)
	if m == 0 || n == 0 || k == 0 {
		if !add {
			scaleMatrix(c, ldc, m, n, 0)
		}
		return
	}
	left := packBuffer(m * half)
	defer packBuffers.Put(left)
	av := view{*left, half, 1}
	if transA {
		o.zipRows(*left, m, a, lda, m, k)
		av = view{*left, 1, m}
	} else {
		for i := range m {
			o.roundPairs((*left)[i*half:][:half], a[i*lda:][:k])
		}
	}
	width := ceilDiv(n, panelWidth) * panelWidth
	right := packBuffer(width * half)
	defer packBuffers.Put(right)
	bp := panels{*right, width, panelWidth}
	if transB {
		o.packRows(*right, b, ldb, n, k)
		bp = panels{*right, panelWidth, half * panelWidth}
	} else {
		o.zipRows(*right, width, b, ldb, n, k)
	}
	o.product(c, ldc, av, bp, m, n, half, add)
}

// zipRows writes pairs of neighbours in a column of src (k, n) to rows of dst
// (⌈k/2⌉, width): word (p, j) is the pair (src[2p][j], src[2p+1][j]). What is
// beyond n is zero, and so is a missing last row.
func (o *ops) zipRows(dst []float32, width int, src []float32, ld, n, k int) {
	o.zipPairs(dst, width, src, ld, n, k/2)
	if k%2 == 1 {
		last := packBuffer(2 * n)
		defer packBuffers.Put(last)
		copy(*last, src[(k-1)*ld:][:n])
		clear((*last)[n:])
		o.zipPairs(dst[k/2*width:], width, *last, n, n, 1)
	}
	if n < width {
		for p := range ceilDiv(k, 2) {
			clear(dst[p*width:][n:width])
		}
	}
}

// packRows writes panels of 16 rows of src (n, k), transposed, in pairs of
// neighbours in a row.
func (o *ops) packRows(dst, src []float32, ld, n, k int) {
	half := ceilDiv(k, 2)
	rows := packBuffer(panelWidth * half)
	defer packBuffers.Put(rows)
	for j := 0; j < n; j += panelWidth {
		w := min(panelWidth, n-j)
		for i := range w {
			o.roundPairs((*rows)[i*half:][:half], src[(j+i)*ld:][:k])
		}
		active.packTransposed(dst[j*half:], *rows, half, w, half, 1)
	}
}
