package hypernet

import "github.com/code2lora/code2lora/internal/kernel"

// parallel calls f(0) … f(n-1), on several threads if the work, in
// multiply-adds, is worth it. Each index is owned by one call, so the result
// does not depend on the number of threads.
func parallel(n, work int, f func(i int)) {
	if work < 1<<16 {
		for i := range n {
			f(i)
		}
		return
	}
	kernel.Parallel(n, f)
}

// gemm computes c = beta·c + op(a)·op(b) for packed matrices: op(a) is (m,k),
// op(b) (k,n), c (m,n).
func gemm(transA, transB bool, m, n, k int, a, b []float32, beta float32, c []float32) {
	lda, ldb := k, n
	if transA {
		lda = m
	}
	if transB {
		ldb = k
	}
	kernel.Gemm(transA, transB, m, n, k, 1, a, lda, b, ldb, beta, c, n)
}

// matVec computes one linear layer for one input.
//
//	y[o] = Σ_i w[o,i]·x[i] + b[o]
//
// Shapes: y, b (out); x (in); w (out,in). A nil b stands for zeros.
func matVec(y, x, w, b []float32) {
	if b == nil {
		clear(y)
	} else {
		copy(y, b)
	}
	gemm(false, true, 1, len(y), len(x), x, w, 1, y)
}

// matVecBackward adds the gradients of matVec to dx, dw and db; each may be
// nil.
//
//	dx[i] += Σ_o dy[o]·w[o,i]    dw[o,i] += dy[o]·x[i]    db[o] += dy[o]
func matVecBackward(dx, dw, db, dy, x, w []float32) {
	in, out := len(x), len(dy)
	if db != nil {
		kernel.Add(db, dy)
	}
	if dw != nil {
		parallel(out, len(w), func(o int) { kernel.Axpy(dw[o*in:][:in], dy[o], x) })
	}
	if dx != nil {
		gemm(false, false, 1, in, out, dy, w, 1, dx)
	}
}
