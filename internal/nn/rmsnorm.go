package nn

import (
	"math"

	"github.com/code2lora/code2lora/internal/kernel"
)

// RMSNormForward scales each row of x to unit root mean square, then by w.
//
//	rstd[t] = 1 / sqrt(mean over d of x[t,d]² + eps)
//	y[t,d]  = x[t,d] · rstd[t] · w[d]
//
// Shapes: x, y (T,D); w (D); rstd (T), kept for RMSNormBackward. y may be x.
func RMSNormForward(y, rstd, x, w []float32, T, D int, eps float32) {
	kernel.Parallel(T, func(t int) {
		xt, yt := x[t*D:][:D], y[t*D:][:D]
		r := float32(1 / math.Sqrt(float64(kernel.Dot(xt, xt))/float64(D)+float64(eps)))
		kernel.ScaleMul(yt, xt, w[:D], r)
		rstd[t] = r
	})
}

// RMSNormApply repeats RMSNormForward with the rstd that it kept.
func RMSNormApply(y, x, w, rstd []float32, T, D int) {
	kernel.Parallel(T, func(t int) {
		kernel.ScaleMul(y[t*D:][:D], x[t*D:][:D], w[:D], rstd[t])
	})
}

// RMSNormBackward adds the gradient of RMSNormForward to dx; w is frozen.
// With n = x·rstd and g = dy·w, row by row:
//
//	dx[t,d] += rstd[t] · (g[t,d] − n[t,d] · mean over d of g·n)
func RMSNormBackward(dx, dy, x, w, rstd []float32, T, D int) {
	kernel.Parallel(T, func(t int) {
		xt, dxt, dyt, r := x[t*D:][:D], dx[t*D:][:D], dy[t*D:][:D], rstd[t]
		c := kernel.DotMul(dyt, xt, w[:D]) * r * r * r / float32(D)
		kernel.NormBackward(dxt, dyt, w[:D], xt, r, c)
	})
}
