package model

import (
	"context"

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
			p.layerBackward(l, p.restore(l), dx, g, opt)
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
// its input, and adds to the gradients of the adapters. See [pass.layer].
func (p *pass) layerBackward(l int, s *saved, dx []float32, g *gradients, opt GradientOptions) {
	m, T, D, F := p.m, p.T, p.m.HiddenSize, p.m.IntermediateSize
	ly := &m.layers[l]

	// x += down_proj(silu(gate) · up)
	act := g.h[:T*F]
	p.swiGLU(act, s.gate, s.up)
	p.linearBackward(g.dact, dx, act, l, adapter.DownProj, s, opt, false)
	kernel.Parallel(T, func(t int) {
		i := t * F
		clear(g.gate[i:][:F])
		clear(g.up[i:][:F])
		kernel.SwiGLUBackward(g.gate[i:][:F], g.up[i:][:F], g.dact[i:][:F], s.gate[i:][:F], s.up[i:][:F])
	})
	h := g.h[:T*D]
	nn.RMSNormApply(h, s.xMid, ly.ffnNorm, s.rstdMid, T, D)
	p.linearBackward(g.dh, g.gate, h, l, adapter.GateProj, s, opt, false)
	p.linearBackward(g.dh, g.up, h, l, adapter.UpProj, s, opt, true)
	nn.RMSNormBackward(dx, g.dh, s.xMid, ly.ffnNorm, s.rstdMid, T, D)

	// x += o_proj(attention(q, k, v))
	p.linearBackward(g.o, dx, s.o, l, adapter.OProj, s, opt, false)
	wq, wkv := len(g.q)/T, len(g.k)/T
	kernel.Parallel(T, func(t int) {
		clear(g.q[t*wq:][:wq])
		clear(g.k[t*wkv:][:wkv])
		clear(g.v[t*wkv:][:wkv])
	})
	p.tree.Backward(g.acc, g.q, g.k, g.v, g.o, s.o, s.lse, s.q, s.k, s.v)
	m.rope.Backward(g.q, p.pos, T, m.NumAttentionHeads)
	m.rope.Backward(g.k, p.pos, T, m.NumKeyValueHeads)
	if m.arch.qkNorm {
		p.normHeadsBackward(ly, g, s)
	}
	nn.RMSNormApply(h, s.x, ly.attnNorm, s.rstd, T, D)
	p.linearBackward(g.dh, g.q, h, l, adapter.QProj, s, opt, false)
	p.linearBackward(g.dh, g.k, h, l, adapter.KProj, s, opt, true)
	p.linearBackward(g.dh, g.v, h, l, adapter.VProj, s, opt, true)
	nn.RMSNormBackward(dx, g.dh, s.x, ly.attnNorm, s.rstd, T, D)
}

// linearBackward adds the gradients of one adapted linear layer: of its input
// to dx, which it overwrites unless add, of the adapters' factors to their
// gradients.
func (p *pass) linearBackward(dx, dy, x []float32, l int, mod adapter.Module, s *saved, opt GradientOptions, add bool) {
	defer p.mem.giveBack(p.mem.mark())
	du := p.mem.floats(p.T * p.rank)
	p.m.layers[l].linear[mod].BackwardParts(dx, dy, p.T, add, opt.Detach, p.parts(l, mod, du))
	for _, g := range p.groups {
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
func (p *pass) normHeadsBackward(ly *layer, g *gradients, s *saved) {
	m := p.m
	back := func(dy, x, w, rstd []float32, n int) {
		defer p.mem.giveBack(p.mem.mark())
		dx := p.mem.zeros(len(dy))
		nn.RMSNormBackward(dx, dy, x, w, rstd, n, m.HeadDim)
		copy(dy, dx)
	}
	back(g.q, s.qRaw, ly.qNorm, s.qRstd, p.T*m.NumAttentionHeads)
	back(g.k, s.kRaw, ly.kNorm, s.kRstd, p.T*m.NumKeyValueHeads)
}
