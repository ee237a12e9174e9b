package hypernet

import (
	"fmt"
	"math"

	"github.com/code2lora/code2lora/internal/embedding"
	"github.com/code2lora/code2lora/internal/kernel"
	"github.com/code2lora/code2lora/internal/nn"
)

// trunk maps a context s (k) to coefficients z (n) that are standardised over
// the anchors s_1 … s_N, the contexts of the training repositories:
//
//	f(s) = W0 s                        hidden = 0
//	f(s) = W2 GELU(W0 s + b0)          hidden > 0
//	f(s) = s                           n = 0
//	z    = (f(s) − μ) / √(v + ε),      μ, v = mean and variance of f(s_1) … f(s_N)
//
// Because μ and v follow the weights, the coefficients of the training
// repositories have mean 0 and variance 1 at every step: the adapter at z = 0
// stays their average, and z cannot collapse to a constant. A last bias would
// cancel, so there is none. Unlike in batch normalisation, the statistics are
// exact and the same in training and in use.
type trunk struct {
	k, hidden, n int
	w0, b0, w2   *Param
	anchors      []float32 // (N,k)
}

// varianceEps keeps a coefficient that does not vary at zero.
const varianceEps = 1e-5

func (t *trunk) numAnchors() int { return len(t.anchors) / t.k }

// size is the number of coefficients.
func (t *trunk) size() int {
	if t.n == 0 {
		return t.k
	}
	return t.n
}

// layOut adds the parameters. They are not decayed: the scale of f cancels.
func (t *trunk) layOut(ps *paramSet) {
	switch {
	case t.n == 0:
	case t.hidden == 0:
		t.w0 = ps.add("trunk.0.weight", false, t.n, t.k)
	default:
		t.w0 = ps.add("trunk.0.weight", false, t.hidden, t.k)
		t.b0 = ps.add("trunk.0.bias", false, t.hidden)
		t.w2 = ps.add("trunk.2.weight", false, t.n, t.hidden)
	}
}

func (t *trunk) init(seed uint64) {
	if t.w0 != nil {
		InitUniform(t.w0, seed, t.k)
	}
	if t.w2 != nil {
		InitUniform(t.b0, seed, t.k)
		InitUniform(t.w2, seed, t.hidden)
	}
}

// trunkTape keeps one forward pass over the context, row 0, and the anchors,
// rows 1 to N; M = N+1.
type trunkTape struct {
	trunk *trunk
	s     []float32 // (M,k)
	x     []float32 // (M,hidden) before the GELU
	h     []float32 // (M,hidden)
	f     []float32 // (M,n)
	mean  []float64 // (n)
	rstd  []float64 // (n) 1/√(v+ε)
	z     []float32 // (n)
	ds    []float32 // (k) gradient of the context
}

// forward computes the coefficients of s.
func (t *trunk) forward(s []float32) *trunkTape {
	n, M := t.size(), t.numAnchors()+1
	tt := &trunkTape{trunk: t, s: make([]float32, 0, M*t.k), mean: make([]float64, n), rstd: make([]float64, n),
		z: make([]float32, n), ds: make([]float32, t.k)}
	tt.s = append(append(tt.s, s...), t.anchors...)
	switch {
	case t.n == 0:
		tt.f = tt.s
	case t.hidden == 0:
		tt.f = make([]float32, M*n)
		gemm(false, true, M, n, t.k, tt.s, t.w0.Value, 0, tt.f)
	default:
		tt.x, tt.h, tt.f = make([]float32, M*t.hidden), make([]float32, M*t.hidden), make([]float32, M*n)
		for m := range M {
			copy(tt.x[m*t.hidden:], t.b0.Value)
		}
		gemm(false, true, M, t.hidden, t.k, tt.s, t.w0.Value, 1, tt.x)
		nn.GELUForward(tt.h, tt.x)
		gemm(false, true, M, n, t.hidden, tt.h, t.w2.Value, 0, tt.f)
	}
	for j := range n {
		mean, variance := columnMoments(tt.f[n:], n, j)
		tt.mean[j], tt.rstd[j] = mean, 1/math.Sqrt(variance+varianceEps)
		tt.z[j] = float32((float64(tt.f[j]) - mean) * tt.rstd[j])
	}
	return tt
}

// columnMoments returns mean and variance of column j of a matrix with n
// columns.
func columnMoments(x []float32, n, j int) (mean, variance float64) {
	rows := float64(len(x) / n)
	for i := j; i < len(x); i += n {
		mean += float64(x[i]) / rows
	}
	for i := j; i < len(x); i += n {
		variance += (float64(x[i]) - mean) * (float64(x[i]) - mean) / rows
	}
	return mean, variance
}

// backward adds the gradients of the parameters and of the context, given
// dz (n). With c = f − μ, per coefficient,
//
//	df(s)   = dz·rstd
//	dμ      = −dz·rstd
//	dv      = −dz·c(s)·rstd³/2
//	df(s_i) = dμ/N + dv·2c(s_i)/N
func (tt *trunkTape) backward(dz []float32) {
	t, n := tt.trunk, len(dz)
	M := len(tt.s) / t.k
	N := float64(M - 1)
	df := make([]float32, M*n)
	for j := range n {
		rstd, g := tt.rstd[j], float64(dz[j])
		dv := -g * (float64(tt.f[j]) - tt.mean[j]) * rstd * rstd * rstd / 2
		df[j] = float32(g * rstd)
		for m := 1; m < M; m++ {
			c := float64(tt.f[m*n+j]) - tt.mean[j]
			df[m*n+j] = float32(-g*rstd/N + 2*dv*c/N)
		}
	}
	switch {
	case t.n == 0:
		kernel.Add(tt.ds, df[:n]) // the anchors are not trained
	case t.hidden == 0:
		gemm(true, false, n, t.k, M, df, tt.s, 1, t.w0.Grad)
		matVecBackward(tt.ds, nil, nil, df[:n], tt.s[:t.k], t.w0.Value)
	default:
		dx := make([]float32, M*t.hidden)
		gemm(true, false, n, t.hidden, M, df, tt.h, 1, t.w2.Grad)
		gemm(false, false, M, t.hidden, n, df, t.w2.Value, 0, dx)
		nn.GELUBackward(dx, tt.x)
		for m := range M {
			kernel.Add(t.b0.Grad, dx[m*t.hidden:][:t.hidden])
		}
		gemm(true, false, t.hidden, t.k, M, dx, tt.s, 1, t.w0.Grad)
		matVecBackward(tt.ds, nil, nil, dx[:t.hidden], tt.s[:t.k], t.w0.Value)
	}
}

// bufferAnchors is the name of the anchors in a checkpoint.
const bufferAnchors = "input.anchors"

// maxAnchors bounds the anchors kept; of more training repositories, every
// i-th is kept.
const maxAnchors = 1024

// setAnchors keeps the contexts of the training repositories.
func (t *trunk) setAnchors(contexts [][]float32) error {
	if len(contexts) < 2 {
		return fmt.Errorf("%d training repositories: want at least 2, to centre the coefficients", len(contexts))
	}
	kept := min(len(contexts), maxAnchors)
	t.anchors = make([]float32, 0, kept*t.k)
	for i := range kept {
		t.anchors = append(t.anchors, contexts[i*len(contexts)/kept]...)
	}
	return nil
}

// setBuffer takes the anchors out of b.
func (t *trunk) setBuffer(b map[string]embedding.Tensor) error {
	a, ok := b[bufferAnchors]
	if !ok {
		return fmt.Errorf("tensor %q is missing", bufferAnchors)
	}
	if len(a.Shape) != 2 || a.Shape[0] < 2 || a.Shape[0] > maxAnchors {
		return fmt.Errorf("tensor %q: shape %v, want 2 to %d rows of %d values", bufferAnchors, a.Shape, maxAnchors, t.k)
	}
	if err := checkTensor(bufferAnchors, a, []int{a.Shape[0], t.k}); err != nil {
		return err
	}
	t.anchors = a.Data
	delete(b, bufferAnchors)
	return nil
}
