package hypernet

import (
	"math"

	"github.com/code2lora/code2lora/internal/kernel"
)

// rowLayer maps rows of one width to rows of another. What forward returns
// besides carries the gradient of the result back: it adds the gradients of the
// layer's parameters and returns that of x, as often as it is called.
type rowLayer interface {
	forward(x []float32, rows int) (y []float32, backward rowBackward)
}

type rowBackward func(dy []float32) (dx []float32)

// affine is y = x Wᵀ + b, with W (out,in) and b (out), or nil for zeros.
type affine struct{ w, b *Param }

func (l affine) forward(x []float32, rows int) ([]float32, rowBackward) {
	out, in := l.w.Shape[0], l.w.Shape[1]
	y := make([]float32, rows*out)
	if l.b != nil {
		for i := range rows {
			copy(y[i*out:], l.b.Value)
		}
	}
	gemm(false, true, rows, out, in, x, l.w.Value, 1, y)
	return y, func(dy []float32) []float32 {
		gemm(true, false, out, in, rows, dy, x, 1, l.w.Grad)
		if l.b != nil {
			for i := range rows {
				kernel.Add(l.b.Grad, dy[i*out:][:out])
			}
		}
		dx := make([]float32, rows*in)
		gemm(false, false, rows, in, out, dy, l.w.Value, 0, dx)
		return dx
	}
}

// layerNorm standardises each row and scales it: with n̂ = (x − mean)/√(var + ε)
//
//	y = gain·n̂ + bias
//	dx = rstd·(g − mean(g) − n̂·mean(g·n̂)),  g = gain·dy
type layerNorm struct{ gain, bias *Param }

// layerNormEps is PyTorch's default.
const layerNormEps = 1e-5

func (l layerNorm) forward(x []float32, rows int) ([]float32, rowBackward) {
	n := len(l.gain.Value)
	y, unit, rstd := make([]float32, len(x)), make([]float32, len(x)), make([]float64, rows)
	for i := range rows {
		row := x[i*n:][:n]
		var mean, variance float64
		for _, v := range row {
			mean += float64(v) / float64(n)
		}
		for _, v := range row {
			variance += (float64(v) - mean) * (float64(v) - mean) / float64(n)
		}
		rstd[i] = 1 / math.Sqrt(variance+layerNormEps)
		for j, v := range row {
			u := float32((float64(v) - mean) * rstd[i])
			unit[i*n+j], y[i*n+j] = u, u*l.gain.Value[j]+l.bias.Value[j]
		}
	}
	return y, func(dy []float32) []float32 {
		dx := make([]float32, len(dy))
		for i := range rows {
			l.backward(dx[i*n:][:n], dy[i*n:][:n], unit[i*n:][:n], rstd[i])
		}
		return dx
	}
}

func (l layerNorm) backward(dx, dy, unit []float32, rstd float64) {
	n := float64(len(dy))
	var mean, along float64
	for j, d := range dy {
		g := float64(d) * float64(l.gain.Value[j])
		mean += g / n
		along += g * float64(unit[j]) / n
		l.gain.Grad[j] += d * unit[j]
		l.bias.Grad[j] += d
	}
	for j, d := range dy {
		g := float64(d) * float64(l.gain.Value[j])
		dx[j] = float32(rstd * (g - mean - float64(unit[j])*along))
	}
}

// silu is y = x·σ(x).
type silu struct{}

func (silu) forward(x []float32, _ int) ([]float32, rowBackward) {
	y := make([]float32, len(x))
	for i, v := range x {
		y[i] = float32(float64(v) * sigmoid(float64(v)))
	}
	return y, func(dy []float32) []float32 {
		dx := make([]float32, len(dy))
		for i, v := range x {
			s := sigmoid(float64(v))
			dx[i] = float32(float64(dy[i]) * s * (1 + float64(v)*(1-s)))
		}
		return dx
	}
}

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

// chain applies layers one after the other.
type chain []rowLayer

func (c chain) forward(x []float32, rows int) ([]float32, rowBackward) {
	backs := make([]rowBackward, len(c))
	for i, l := range c {
		x, backs[i] = l.forward(x, rows)
	}
	return x, func(dy []float32) []float32 {
		for i := len(c) - 1; i >= 0; i-- {
			dy = backs[i](dy)
		}
		return dy
	}
}

// residual is y = x + f(x).
type residual struct{ f rowLayer }

func (l residual) forward(x []float32, rows int) ([]float32, rowBackward) {
	y, back := l.f.forward(x, rows)
	kernel.Add(y, x)
	return y, func(dy []float32) []float32 {
		dx := back(dy)
		kernel.Add(dx, dy)
		return dx
	}
}
