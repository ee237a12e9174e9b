package kernel

// halfGeneric does C (rows, panels·16) = A (rows, 2·pairs) · B, or adds it to
// C, where B lies in panels of pairs of bfloat16 numbers; see pair. The terms
// of even and of odd steps have sums of their own, which are added at the end.
func halfGeneric(c []float32, ldc int, a []float32, lda int, b []float32, rows, pairs, panels int, add bool) {
	for q := range panels {
		panel := b[q*pairs*panelWidth:][:pairs*panelWidth]
		for i := range rows {
			var even, odd [panelWidth]float32
			for p := range pairs {
				x0, x1 := a[i*lda+2*p], a[i*lda+2*p+1]
				for j, w := range panel[p*panelWidth:][:panelWidth] {
					lo, hi := unpair(w)
					even[j] += x0 * lo
					odd[j] += x1 * hi
				}
			}
			row := c[i*ldc+q*panelWidth:][:panelWidth]
			for j := range row {
				s := even[j] + odd[j]
				if add {
					s += row[j]
				}
				row[j] = s
			}
		}
	}
}
