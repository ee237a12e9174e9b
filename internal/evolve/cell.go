package evolve

import (
	"math"
	"slices"

	"github.com/code2lora/code2lora/internal/kernel"
	"github.com/code2lora/code2lora/internal/nn"
)

// startTape keeps the forward pass of h_0.
type startTape struct {
	e    []float32 // (Repository)
	u    []float32 // (H) before the GELU
	a    []float32 // (H) after it
	stat [2]float32
	y    []float32 // (H) h_0
}

func (g *GRU) start(repository []float32) (*startTape, error) {
	if err := g.check("vector of the repository", repository, g.opts.Repository); err != nil {
		return nil, err
	}
	h := g.opts.Hidden
	t := &startTape{e: slices.Clone(repository), a: make([]float32, h), y: make([]float32, h)}
	t.u = g.repo.forward(t.e)
	nn.GELUForward(t.a, t.u)
	g.repoNorm.normalize(t.y, t.a, &t.stat)
	return t, nil
}

// startBackward adds the gradients of start, given dh = d(loss)/d(h_0).
func (g *GRU) startBackward(t *startTape, dh []float32) {
	du := make([]float32, len(dh))
	g.repoNorm.normalizeBackward(du, dh, t.a, &t.stat)
	nn.GELUBackward(du, t.u)
	g.repo.backward(nil, du, t.e, 1)
}

// stepTape keeps the forward pass of one commit. All are (H) but d.
type stepTape struct {
	d       []float32 // (Diff)
	u, x    []float32 // before and after LN_d
	r, z, n []float32
	m       []float32 // W_hn h + b_hn, which r multiplies
	h, next []float32 // h_{t-1}, h_t
	stat    [2]float32
	out     [2]float32 // of LN_o
	dctx    []float32  // gradient of the context; nil without a loss
}

func (g *GRU) step(state, diff []float32) (*stepTape, error) {
	h := g.opts.Hidden
	if err := g.check("state", state, h); err != nil {
		return nil, err
	}
	if err := g.check("vector of the diff", diff, g.opts.Diff); err != nil {
		return nil, err
	}
	t := &stepTape{d: slices.Clone(diff), h: slices.Clone(state), x: make([]float32, h), next: make([]float32, h)}
	t.u = g.diff.forward(t.d)
	g.diffNorm.normalize(t.x, t.u, &t.stat)
	in, rec := g.input.forward(t.x), g.hidden.forward(t.h)
	t.m = rec[2*h:]
	t.r, t.z, t.n = in[:h], in[h:2*h], in[2*h:]
	for i := range h {
		t.r[i] = sigmoid(t.r[i] + rec[i])
		t.z[i] = sigmoid(t.z[i] + rec[h+i])
		t.n[i] = float32(math.Tanh(float64(t.n[i] + t.r[i]*t.m[i])))
		t.next[i] = (1-t.z[i])*t.n[i] + t.z[i]*t.h[i]
	}
	return t, nil
}

// gates writes one row each of din and drec (3H), the gradients before the
// gates of what comes from the input and from the state, given dh =
// d(loss)/d(h_t), and leaves in dh what h_{t-1} gets directly, dh ⊙ z.
//
//	dn = dh(1−z)(1−n²)    dz = dh(h−n)·z(1−z)    dr = dn·m·r(1−r)
//	din = dr, dz, dn      drec = dr, dz, dn·r
func (t *stepTape) gates(din, drec, dh []float32) {
	h := len(dh)
	for i, d := range dh {
		r, z, n := t.r[i], t.z[i], t.n[i]
		dn := d * (1 - z) * (1 - n*n)
		dz := d * (t.h[i] - n) * z * (1 - z)
		dr := dn * t.m[i] * r * (1 - r)
		din[i], din[h+i], din[2*h+i] = dr, dz, dn
		drec[i], drec[h+i], drec[2*h+i] = dr, dz, dn*r
		dh[i] = d * z
	}
}

// context computes LN_o and keeps its statistics.
func (g *GRU) context(state []float32, stat *[2]float32) []float32 {
	y := make([]float32, len(state))
	g.outNorm.normalize(y, state, stat)
	return y
}

func sigmoid(x float32) float32 { return float32(1 / (1 + math.Exp(-float64(x)))) }

// forward is w·x + b of a linear layer for one input.
func (a affine) forward(x []float32) []float32 {
	y := slices.Clone(a.b.Value)
	kernel.Gemm(false, true, 1, len(y), len(x), 1, x, len(x), a.w.Value, len(x), 1, y, len(y))
	return y
}

// backward adds the gradients of forward for T inputs, rows of x (T,in) and dy
// (T,out), to the parameters and to dx (T,in), unless it is nil.
func (a affine) backward(dx, dy, x []float32, T int) {
	out, in := a.w.Shape[0], a.w.Shape[1]
	kernel.Gemm(true, false, out, in, T, 1, dy, out, x, in, 1, a.w.Grad, in)
	for t := range T {
		kernel.Add(a.b.Grad, dy[t*out:][:out])
	}
	if dx != nil {
		kernel.Gemm(false, false, T, in, out, 1, dy, out, a.w.Value, in, 1, dx, in)
	}
}

// normalize is the LayerNorm of one vector; stat keeps mean and 1/deviation.
func (a affine) normalize(y, x []float32, stat *[2]float32) {
	nn.LayerNormForward(y, stat[:1], stat[1:], x, a.w.Value, a.b.Value, 1, len(x), normEps)
}

// normalizeBackward adds the gradients of normalize.
func (a affine) normalizeBackward(dx, dy, x []float32, stat *[2]float32) {
	nn.LayerNormBackward(dx, a.w.Grad, a.b.Grad, dy, x, a.w.Value, stat[:1], stat[1:], 1, len(x))
}
