package hypernet

import (
	"math"
	"runtime"
	"sync"
)

// A head is mostly matrix times vector: every weight is read once, so memory
// sets the pace and the loops below are plain. Products of matrices with each
// other (gates, anchors) go to package kernel.

// parallel calls f on consecutive ranges that together are [0,n), on several
// goroutines if the work, in multiply-adds, is worth it. Each index is owned by
// one call, so the result does not depend on the number of goroutines.
func parallel(n, work int, f func(lo, hi int)) {
	workers := min(runtime.GOMAXPROCS(0), n, work/(1<<17)+1)
	if workers <= 1 {
		f(0, n)
		return
	}
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() { f(n*w/workers, n*(w+1)/workers) })
	}
	wg.Wait()
}

// dot returns x·y, in eight interleaved partial sums.
func dot(x, y []float32) float32 {
	var s [8]float32
	y = y[:len(x)]
	i := 0
	for ; i+8 <= len(x); i += 8 {
		xi, yi := x[i:i+8:i+8], y[i:i+8:i+8]
		s[0] += xi[0] * yi[0]
		s[1] += xi[1] * yi[1]
		s[2] += xi[2] * yi[2]
		s[3] += xi[3] * yi[3]
		s[4] += xi[4] * yi[4]
		s[5] += xi[5] * yi[5]
		s[6] += xi[6] * yi[6]
		s[7] += xi[7] * yi[7]
	}
	for ; i < len(x); i++ {
		s[i&7] += x[i] * y[i]
	}
	return ((s[0] + s[4]) + (s[1] + s[5])) + ((s[2] + s[6]) + (s[3] + s[7]))
}

// axpy adds a·x to y.
func axpy(a float32, x, y []float32) {
	y = y[:len(x)]
	for i, v := range x {
		y[i] += a * v
	}
}

// matVec computes one linear layer for one input.
//
//	y[o] = Σ_i w[o,i]·x[i] + b[o]
//
// Shapes: y, b (out); x (in); w (out,in). A nil b stands for zeros.
func matVec(y, x, w, b []float32) {
	in := len(x)
	parallel(len(y), len(w), func(lo, hi int) {
		for o := lo; o < hi; o++ {
			v := dot(x, w[o*in:][:in])
			if b != nil {
				v += b[o]
			}
			y[o] = v
		}
	})
}

// matVecBackward adds the gradients of matVec to dx, dw and db; each may be
// nil.
//
//	dx[i] += Σ_o dy[o]·w[o,i]    dw[o,i] += dy[o]·x[i]    db[o] += dy[o]
func matVecBackward(dx, dw, db, dy, x, w []float32) {
	in, out := len(x), len(dy)
	if db != nil {
		axpy(1, dy, db)
	}
	if dw != nil {
		parallel(out, len(w), func(lo, hi int) {
			for o := lo; o < hi; o++ {
				axpy(dy[o], x, dw[o*in:][:in])
			}
		})
	}
	if dx != nil { // split by columns: each dx[i] has one owner and one order
		parallel(in, len(w), func(lo, hi int) {
			for o := range out {
				axpy(dy[o], w[o*in+lo:o*in+hi], dx[lo:hi])
			}
		})
	}
}

// gelu is x·Φ(x) with the exact normal distribution function, not its tanh
// approximation.
func gelu(x float32) float32 {
	v := float64(x)
	return float32(0.5 * v * (1 + math.Erf(v/math.Sqrt2)))
}

// geluGrad is the derivative of gelu: Φ(x) + x·φ(x).
func geluGrad(x float32) float32 {
	v := float64(x)
	return float32(0.5*(1+math.Erf(v/math.Sqrt2)) + v*math.Exp(-v*v/2)/math.Sqrt(2*math.Pi))
}

// geluForward sets y = gelu(x), element by element.
func geluForward(y, x []float32) {
	for i, v := range x {
		y[i] = gelu(v)
	}
}

// geluBackward multiplies dy by the derivative at x.
func geluBackward(dy, x []float32) {
	for i, v := range x {
		dy[i] *= geluGrad(v)
	}
}
