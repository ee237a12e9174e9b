package kernel

import "math"

func dotGeneric(x, y []float32) float32 {
	y = y[:len(x)]
	var s [4]float32
	i := 0
	for ; i+4 <= len(x); i += 4 {
		s[0] += x[i] * y[i]
		s[1] += x[i+1] * y[i+1]
		s[2] += x[i+2] * y[i+2]
		s[3] += x[i+3] * y[i+3]
	}
	for ; i < len(x); i++ {
		s[0] += x[i] * y[i]
	}
	return (s[0] + s[1]) + (s[2] + s[3])
}

func axpyGeneric(y []float32, a float32, x []float32) {
	x = x[:len(y)]
	for i := range y {
		y[i] += a * x[i]
	}
}

func addGeneric(y, x []float32) {
	x = x[:len(y)]
	for i := range y {
		y[i] += x[i]
	}
}

func scaleGeneric(x []float32, a float32) {
	for i := range x {
		x[i] *= a
	}
}

func sumGeneric(x []float32) float32 {
	var s [4]float32
	i := 0
	for ; i+4 <= len(x); i += 4 {
		s[0] += x[i]
		s[1] += x[i+1]
		s[2] += x[i+2]
		s[3] += x[i+3]
	}
	for ; i < len(x); i++ {
		s[0] += x[i]
	}
	return (s[0] + s[1]) + (s[2] + s[3])
}

// maxGeneric returns the largest x[i], -Inf if there is none, and NaN if one is NaN.
func maxGeneric(x []float32) float32 {
	m := float32(math.Inf(-1))
	for _, v := range x {
		m = max(m, v)
	}
	return m
}

func exp32(x float32) float32 { return float32(math.Exp(float64(x))) }

func expGeneric(dst, src []float32) {
	src = src[:len(dst)]
	for i := range dst {
		dst[i] = exp32(src[i])
	}
}

// expSubGeneric does dst[i] = e^(src[i]-shift) and returns the sum.
func expSubGeneric(dst, src []float32, shift float32) float32 {
	src = src[:len(dst)]
	var s float32
	for i := range dst {
		e := exp32(src[i] - shift)
		dst[i] = e
		s += e
	}
	return s
}

// sumExpSubGeneric returns Σ e^(src[i]-shift).
func sumExpSubGeneric(src []float32, shift float32) float32 {
	var s float32
	for _, v := range src {
		s += exp32(v - shift)
	}
	return s
}

func swiGLUGeneric(h, gate, up []float32) {
	gate, up = gate[:len(h)], up[:len(h)]
	for i := range h {
		h[i] = gate[i] / (1 + exp32(-gate[i])) * up[i]
	}
}

func swiGLUBackwardGeneric(h, dgate, dup, dh, gate, up []float32) {
	h, dgate, dup, gate, up = h[:len(dh)], dgate[:len(dh)], dup[:len(dh)], gate[:len(dh)], up[:len(dh)]
	for i, d := range dh {
		s := 1 / (1 + exp32(-gate[i]))
		h[i] = gate[i] * s * up[i]
		dup[i] = d * gate[i] * s
		dgate[i] = d * up[i] * s * (1 + gate[i]*(1-s))
	}
}

func scaleMulGeneric(y, x, w []float32, r float32) {
	x, w = x[:len(y)], w[:len(y)]
	for i := range y {
		y[i] = x[i] * r * w[i]
	}
}

func dotMulGeneric(x, y, w []float32) float32 {
	y, w = y[:len(x)], w[:len(x)]
	var s [4]float32
	for i, v := range x {
		s[i%4] += v * w[i] * y[i]
	}
	return (s[0] + s[1]) + (s[2] + s[3])
}

func normBackwardGeneric(dx, dy, w, x []float32, r, c float32) {
	dy, w, x = dy[:len(dx)], w[:len(dx)], x[:len(dx)]
	for i := range dx {
		dx[i] += r*dy[i]*w[i] - c*x[i]
	}
}

func subMulGeneric(y, x []float32, a float32) {
	x = x[:len(y)]
	for i := range y {
		y[i] = x[i] * (y[i] - a)
	}
}
