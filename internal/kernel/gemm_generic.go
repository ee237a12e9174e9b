package kernel

// microGeneric is the micro-kernel in portable Go; see ops.
func microGeneric(c []float32, ldc int, a view, b panels, t tileShape, k int, add bool) {
	for q := range t.panels {
		for i := range t.groups * t.rows {
			var acc [panelWidth]float32
			for p := range k {
				v := a.data[i*a.rs+p*a.cs]
				w := (*[panelWidth]float32)(b.data[q*b.ps+p*b.bs:])
				for j := range acc {
					acc[j] += v * w[j]
				}
			}
			out := (*[panelWidth]float32)(c[i*ldc+q*panelWidth:])
			if add {
				for j := range acc {
					out[j] += acc[j]
				}
			} else {
				*out = acc
			}
		}
	}
}

func copyPanelGeneric(dst, src []float32, ld, n int) {
	for p := range n {
		copy(dst[p*panelWidth:][:panelWidth], src[p*ld:])
	}
}
