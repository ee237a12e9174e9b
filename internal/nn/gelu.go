package nn

import "math"

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

// GELUForward sets y = gelu(x), element by element. y may be x.
func GELUForward(y, x []float32) {
	for i, v := range x {
		y[i] = gelu(v)
	}
}

// GELUBackward multiplies dy, in place, by the derivative at x: dy becomes dx.
func GELUBackward(dy, x []float32) {
	for i, v := range x {
		dy[i] *= geluGrad(v)
	}
}
