package hypernet

// gemm computes c = beta·c + alpha·op(a)·op(b) for packed row-major matrices:
// op(a) is (m,k), op(b) (k,n), c (m,n).
func gemm(transA, transB bool, m, n, k int, alpha float32, a, b []float32, beta float32, c []float32) {
	for i := range m {
		ci := c[i*n:][:n]
		for j := range ci {
			ci[j] *= beta
		}
		if beta == 0 {
			clear(ci)
		}
		if transB && !transA {
			for j := range ci {
				ci[j] += alpha * dot(a[i*k:][:k], b[j*k:][:k])
			}
			continue
		}
		for p := range k {
			v := a[p*m*b2i(transA)+i*b2i(transA)+(i*k+p)*b2i(!transA)]
			if transB {
				for j := range ci {
					ci[j] += alpha * v * b[j*k+p]
				}
				continue
			}
			axpy(alpha*v, b[p*n:][:n], ci)
		}
	}
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}
