package kernel

// microGeneric is the micro-kernel in portable Go; see ops.
func microGeneric(c []float32, ldc int, a []float32, ars, acs int, b []float32, bs, ps, rows, panels, k int, add bool) {
	for q := range panels {
		for i := range rows {
			var acc [panelWidth]float32
			for p := range k {
				v := a[i*ars+p*acs]
				w := (*[panelWidth]float32)(b[q*ps+p*bs:])
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
