package model

import (
	"context"
	"slices"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/kernel"
	"github.com/code2lora/code2lora/internal/nn"
)

// GradientOptions choose what [Model.Gradient] differentiates.
type GradientOptions struct {
	// Detach cuts the path through the input of the LoRA branches, as the
	// authors' training code does (method.md §5): gradients then reach lower
	// layers only through the frozen weights, and are biased.
	Detach bool
	// Activations lists layers l whose input hidden state is differentiated
	// too; see [Result.Activations].
	Activations []int
	// Memory bounds the bytes of activations and temporary rows that a pass
	// holds; 0 is what the machine has left. Where the activations of all layers
	// don't fit, those of the lower layers are computed again in the backward
	// pass, which changes no bit of the result and costs up to a third more
	// time. Less than the least a batch can do with is an error, a
	// [memory.Shortage].
	Memory int64
}

// lowest returns the lowest layer that the backward pass has to enter; the
// number of layers means none.
func (p *pass) lowest(opt GradientOptions) int {
	low := p.m.NumHiddenLayers
	for _, l := range opt.Activations {
		low = min(low, l)
	}
	for _, g := range p.groups {
		if g.adapter != nil {
			low = min(low, g.adapter.LowestLayer())
		}
	}
	return low
}

// backward carries dx (T,D), the gradient of the last block's output, down to
// the lowest layer that needs it, and calls at with the gradient of each
// layer's input, unless ctx ends.
func (p *pass) backward(ctx context.Context, dx []float32, opt GradientOptions, at func(l int, dx []float32)) error {
	m, T := p.m, p.T
	if p.low == m.NumHiddenLayers {
		return ctx.Err()
	}
	wq, wkv := m.NumAttentionHeads*m.HeadDim, m.NumKeyValueHeads*m.HeadDim
	g := &gradients{
		h: p.h,
		q: p.mem.floats(T * wq), k: p.mem.floats(T * wkv), v: p.mem.floats(T * wkv), o: p.mem.floats(T * wq),
		gate: p.mem.floats(T * m.IntermediateSize), up: p.mem.floats(T * m.IntermediateSize),
		dh: p.mem.floats(T * m.HiddenSize), dact: p.mem.floats(T * m.IntermediateSize),
		acc: p.mem.floats(T * nn.BackwardScratch(m.NumKeyValueHeads, m.HeadDim)),
	}
	for l := m.NumHiddenLayers - 1; l >= p.low; l-- {
		if err := ctx.Err(); err != nil {
			return err
		}
		if T > 0 {
			p.layerBackward(l, p.restore(l), dx, g, opt, l > p.low || slices.Contains(opt.Activations, l))
		}
		at(l, dx)
	}
	return nil
}

// gradients are the temporary rows of the backward pass: gradients of the
// buffers of the same names, and others.
type gradients struct {
	q, k, v, o []float32
	gate, up   []float32
	h          []float32 // (T, max(D,F)): a recomputed activation
	dh         []float32 // (T,D)
	dact       []float32 // (T,F)
	acc        []float32 // of attention
}

// layerBackward turns dx from the gradient of block l's output into that of
// its input, and adds to the gradients of the adapters. See [pass.layer]. The
// gradient of the output of p.last is in its dx, and dx zero. Unless below, the
// input is that of the lowest layer, whose gradient nothing needs: then dx is
// left as it is.
func (p *pass) layerBackward(l int, s *saved, dx []float32, g *gradients, opt GradientOptions, below bool) {
	m, T, D := p.m, p.T, p.m.HiddenSize
	ly := &m.layers[l]
	rs, dy := &p.rows, dx
	if r, _ := p.output(l); r != rs {
		rs, dy = r, p.last.dx
	}
	p.mlpBackward(rs, l, s, dy, g, opt)

	// x += o_proj(attention(q, k, v))
	q, o, _, _ := s.of(rs.T, T)
	dq, do := g.q[:len(q)], g.o[:len(o)]
	p.linearBackward(rs, do, dy, o, l, adapter.OProj, s, opt, false)
	for _, d := range [][]float32{dq, g.k, g.v} {
		zero(d)
	}
	rs.tree.Backward(g.acc, dq, g.k, g.v, do, o, s.lse, q, s.k, s.v)
	m.rope.Backward(dq, rs.pos, rs.T, m.NumAttentionHeads)
	m.rope.Backward(g.k, p.pos, T, m.NumKeyValueHeads)
	if m.arch.qkNorm {
		p.normHeadsBackward(ly, dq, g.k, s)
	}
	h, dh := g.h[:T*D], g.dh
	if !below {
		dh = nil
	}
	nn.RMSNormApply(h, s.x, ly.attnNorm, s.rstd, T, D)
	p.linearBackward(&p.rows, dh, g.k, h, l, adapter.KProj, s, opt, false)
	p.linearBackward(&p.rows, dh, g.v, h, l, adapter.VProj, s, opt, true)
	if rs == &p.rows {
		p.linearBackward(rs, dh, dq, h, l, adapter.QProj, s, opt, true)
	} else {
		p.lastQueriesBackward(dh, dq, h, l, s, opt)
		p.last.put(dx, dy)
	}
	if below {
		nn.RMSNormBackward(dx, dh, s.x, ly.attnNorm, s.rstd, T, D)
	}
}

// mlpBackward is the part of layerBackward that belongs to
//
//	x += down_proj(silu(gate_proj(h)) · up_proj(h)),  h = rmsnorm(x)
func (p *pass) mlpBackward(rs *rows, l int, s *saved, dx []float32, g *gradients, opt GradientOptions) {
	T, D, F := rs.T, p.m.HiddenSize, p.m.IntermediateSize
	ly := &p.m.layers[l]
	_, _, gate, up := s.of(T, p.T)
	dgate, dup, dact, dh := g.gate[:T*F], g.up[:T*F], g.dact[:T*F], g.dh[:T*D]
	act := g.h[:T*F]
	mark := p.mem.mark()
	du := p.inputBackward(rs, dact, dx, l, adapter.DownProj, opt, false)
	kernel.Parallel(T, func(t int) {
		i := t * F
		kernel.SwiGLUBackward(act[i:][:F], dgate[i:][:F], dup[i:][:F], dact[i:][:F], gate[i:][:F], up[i:][:F])
	})
	p.factorsBackward(rs, dx, act, du, l, adapter.DownProj, s)
	p.mem.giveBack(mark)
	h := g.h[:T*D]
	nn.RMSNormApply(h, s.xMid, ly.ffnNorm, s.rstdMid, T, D)
	p.linearBackward(rs, dh, dgate, h, l, adapter.GateProj, s, opt, false)
	p.linearBackward(rs, dh, dup, h, l, adapter.UpProj, s, opt, true)
	nn.RMSNormBackward(dx, dh, s.xMid, ly.ffnNorm, s.rstdMid, T, D)
}

// lastQueriesBackward is linearBackward of the queries of p.last: it adds to dh
// (rows of the pass,D), unless that is nil. h is the input of the layer in all
// rows of the pass.
func (p *pass) lastQueriesBackward(dh, dq, h []float32, l int, s *saved, opt GradientOptions) {
	q := p.last
	q.gather(q.h, h)
	if dh == nil {
		p.linearBackward(&q.rows, nil, dq, q.h, l, adapter.QProj, s, opt, false)
		return
	}
	rows := q.x // which has been read
	q.gather(rows, dh)
	p.linearBackward(&q.rows, rows, dq, q.h, l, adapter.QProj, s, opt, true)
	q.put(dh, rows)
}

// zero clears x, on all threads.
func zero(x []float32) {
	const chunk = 1 << 14
	kernel.Parallel((len(x)+chunk-1)/chunk, func(i int) { clear(x[i*chunk : min(len(x), (i+1)*chunk)]) })
}

// linearBackward adds the gradients of one adapted linear layer: of its input
// to dx, which it overwrites unless add, of the adapters' factors to their
// gradients. A nil dx is not needed.
func (p *pass) linearBackward(rs *rows, dx, dy, x []float32, l int, mod adapter.Module, s *saved, opt GradientOptions, add bool) {
	defer p.mem.giveBack(p.mem.mark())
	du := p.inputBackward(rs, dx, dy, l, mod, opt, add)
	p.factorsBackward(rs, dy, x, du, l, mod, s)
}

// inputBackward is the part of linearBackward that belongs to its input. It
// returns the gradient of what is between the adapters' factors (T,rank).
func (p *pass) inputBackward(rs *rows, dx, dy []float32, l int, mod adapter.Module, opt GradientOptions, add bool) []float32 {
	du := p.mem.floats(p.T * p.rank)
	w, parts := p.m.layers[l].linear[mod], p.parts(rs, l, mod, du)
	if dx == nil {
		w.FillMidBackward(dy, rs.T, parts)
	} else {
		w.BackwardParts(dx, dy, rs.T, add, opt.Detach, parts)
	}
	return du
}

// factorsBackward is the part of linearBackward that belongs to the adapters.
func (p *pass) factorsBackward(rs *rows, dy, x, du []float32, l int, mod adapter.Module, s *saved) {
	for _, g := range rs.groups {
		if g.adapter == nil || g.adapter.Layers[l][mod] == nil {
			continue
		}
		grad, r := g.grad.Layers[l][mod], g.adapter.Rank
		in, out := len(grad.A)/r, len(grad.B)/r
		nn.LoRAGradient(grad.A, grad.B, dy[g.at*out:], s.u[mod][g.at*p.rank:], du[g.at*p.rank:], x[g.at*in:],
			g.n, in, out, r, g.adapter.Scale())
	}
}

// normHeadsBackward turns the gradients of the normalised q and k into those
// of q and k.
func (p *pass) normHeadsBackward(ly *layer, dq, dk []float32, s *saved) {
	m := p.m
	back := func(dy, x, w, rstd []float32, n int) {
		defer p.mem.giveBack(p.mem.mark())
		dx := p.mem.zeros(len(dy))
		nn.RMSNormBackward(dx, dy, x, w, rstd, n, m.HeadDim)
		copy(dy, dx)
	}
	back(dq, s.qRaw, ly.qNorm, s.qRstd, len(dq)/m.HeadDim)
	back(dk, s.kRaw, ly.kNorm, s.kRstd, len(dk)/m.HeadDim)
}
