package nn

import (
	"math"

	"github.com/code2lora/code2lora/internal/kernel"
)

// LayerNormForward brings each row of x to mean 0 and variance 1, then scales
// and shifts it.
//
//	mean[t] = mean over d of x[t,d]
//	rstd[t] = 1 / sqrt(mean over d of (x[t,d] − mean[t])² + eps)
//	y[t,d]  = (x[t,d] − mean[t]) · rstd[t] · w[d] + b[d]
//
// Shapes: x, y (T,D); w, b (D); mean, rstd (T), kept for LayerNormBackward and
// summed in float64. y may be x.
func LayerNormForward(y, mean, rstd, x, w, b []float32, T, D int, eps float32) {
	for t := range T {
		xt, yt := x[t*D:][:D], y[t*D:][:D]
		var sum, squares float64
		for _, v := range xt {
			sum += float64(v)
		}
		m := sum / float64(D)
		for _, v := range xt {
			squares += (float64(v) - m) * (float64(v) - m)
		}
		r := 1 / math.Sqrt(squares/float64(D)+float64(eps))
		for d, v := range xt {
			yt[d] = float32((float64(v)-m)*r)*w[d] + b[d]
		}
		mean[t], rstd[t] = float32(m), float32(r)
	}
}

// LayerNormBackward adds the gradients of LayerNormForward to dx, dw and db.
// With n = (x − mean)·rstd and g = dy·w, row by row:
//
//	dx[t,d] += rstd[t] · (g[t,d] − mean over d of g − n[t,d] · mean over d of g·n)
//	dw[d]   += dy[t,d] · n[t,d]        db[d] += dy[t,d]
func LayerNormBackward(dx, dw, db, dy, x, w, mean, rstd []float32, T, D int) {
	n := make([]float32, D)
	for t := range T {
		xt, dxt, dyt, r := x[t*D:][:D], dx[t*D:][:D], dy[t*D:][:D], rstd[t]
		var sumG, sumGN float64
		for d, v := range xt {
			n[d] = (v - mean[t]) * r
			g := float64(dyt[d]) * float64(w[d])
			sumG += g
			sumGN += g * float64(n[d])
			dw[d] += dyt[d] * n[d]
		}
		kernel.Add(db[:D], dyt)
		meanG, meanGN := float32(sumG/float64(D)), float32(sumGN/float64(D))
		for d := range dxt {
			dxt[d] += r * (dyt[d]*w[d] - meanG - n[d]*meanGN)
		}
	}
}
