package kernel

import (
	"fmt"
	"math"
)

// sumBlock is how many exponentials are summed in float32 before the sum is
// carried in float64: a vocabulary has 50,000 and more.
const sumBlock = 4096

func sameLen(what string, n int, others ...int) {
	for _, m := range others {
		if m != n {
			panic(fmt.Sprintf("kernel: %s of vectors of %d and %d elements", what, n, m))
		}
	}
}

// Dot returns Σ x[i]·y[i].
func Dot(x, y []float32) float32 {
	sameLen("Dot", len(x), len(y))
	return active.dot(x, y)
}

// Axpy does y[i] += a·x[i].
func Axpy(y []float32, a float32, x []float32) {
	sameLen("Axpy", len(y), len(x))
	active.axpy(y, a, x)
}

// Add does y[i] += x[i].
func Add(y, x []float32) {
	sameLen("Add", len(y), len(x))
	active.add(y, x)
}

// Scale does x[i] *= a.
func Scale(x []float32, a float32) { active.scale(x, a) }

// Sum returns Σ x[i].
func Sum(x []float32) float32 { return active.sum(x) }

// Exp does dst[i] = e^src[i] with a relative error below 2e-7 (for results
// that are subnormal: an absolute error of one unit in the last place). dst
// and src may be the same slice.
func Exp(dst, src []float32) {
	sameLen("Exp", len(dst), len(src))
	active.exp(dst, src)
}

// ExpSub does dst[i] = e^(src[i]−shift), as [Exp] does. dst and src may be the
// same slice.
func ExpSub(dst, src []float32, shift float32) {
	sameLen("ExpSub", len(dst), len(src))
	active.expSub(dst, src, shift)
}

// SoftmaxRow does x[i] = e^(x[i]-m) / Σ e^(x[j]-m), m the largest x[i]. All
// of x becomes NaN if one element is NaN or +Inf, or all are -Inf.
func SoftmaxRow(x []float32) { SoftmaxLogSum(x) }

// SoftmaxLogSum is SoftmaxRow, and returns log Σ e^x[i] of what x was, as
// [LogSumExp] does.
func SoftmaxLogSum(x []float32) float32 {
	if len(x) == 0 {
		return float32(math.Inf(-1))
	}
	m := active.max(x)
	logSum := m // if that is infinite
	if math.IsInf(float64(m), 0) {
		m = float32(math.NaN()) // what Inf - Inf would give
	}
	var sum float64
	for lo := 0; lo < len(x); lo += sumBlock {
		b := x[lo:min(lo+sumBlock, len(x))]
		sum += float64(active.expSub(b, b, m))
	}
	active.scale(x, float32(1/sum))
	if m == m {
		logSum = float32(float64(m) + math.Log(sum))
	}
	return logSum
}

// LogSumExp returns log Σ e^x[i], which is -Inf for an empty x.
func LogSumExp(x []float32) float32 {
	m := active.max(x)
	if math.IsInf(float64(m), 0) || m != m {
		return m
	}
	var sum float64
	for lo := 0; lo < len(x); lo += sumBlock {
		sum += float64(active.sumExpSub(x[lo:min(lo+sumBlock, len(x))], m))
	}
	return float32(float64(m) + math.Log(sum))
}

// SwiGLU does h[i] = silu(gate[i])·up[i], silu(g) = g / (1 + e^-g). h may be
// gate or up.
func SwiGLU(h, gate, up []float32) {
	sameLen("SwiGLU", len(h), len(gate), len(up))
	active.swiGLU(h, gate, up)
}

// SwiGLUBackward overwrites dgate and dup with the gradients of [SwiGLU] for
// the gradient dh of its result, and h with the result. With s = 1/(1+e^-gate):
//
//	h[i]     = gate·s·up
//	dup[i]   = dh·gate·s
//	dgate[i] = dh·up·s·(1 + gate·(1-s))
func SwiGLUBackward(h, dgate, dup, dh, gate, up []float32) {
	sameLen("SwiGLUBackward", len(dh), len(h), len(dgate), len(dup), len(gate), len(up))
	active.swiGLUBackward(h, dgate, dup, dh, gate, up)
}

// ScaleMul does y[i] = (x[i]·r)·w[i]: a row of RMSNorm whose reciprocal root
// mean square is r. y may be x.
func ScaleMul(y, x, w []float32, r float32) {
	sameLen("ScaleMul", len(y), len(x), len(w))
	active.scaleMul(y, x, w, r)
}

// DotMul returns Σ x[i]·w[i]·y[i].
func DotMul(x, y, w []float32) float32 {
	sameLen("DotMul", len(x), len(y), len(w))
	return active.dotMul(x, y, w)
}

// NormBackward does dx[i] += r·dy[i]·w[i] − c·x[i]: a row of the gradient of
// RMSNorm.
func NormBackward(dx, dy, w, x []float32, r, c float32) {
	sameLen("NormBackward", len(dx), len(dy), len(w), len(x))
	active.normBackward(dx, dy, w, x, r, c)
}

// SubMul does y[i] = x[i]·(y[i] − a): a row of the gradient of a softmax.
func SubMul(y, x []float32, a float32) {
	sameLen("SubMul", len(y), len(x))
	active.subMul(y, x, a)
}
