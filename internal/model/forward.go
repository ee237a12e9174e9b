package model

import (
	"context"
	"fmt"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/kernel"
	"github.com/code2lora/code2lora/internal/nn"
)

// segment is a run of rows that belong to one sequence.
type segment struct {
	at, n   int              // first row, rows
	adapter *adapter.Adapter // nil for the bare base
	grad    *adapter.Adapter // receives the adapter's gradient in the backward pass
}

// pass is one forward pass over the rows of a batch.
type pass struct {
	m      *Model
	mem    *arena
	rows             // all of them
	last   *lastRows // of the last layer; nil for all
	segs   []segment
	rank   int     // largest rank of an adapter
	layout *layout // of the batch
	x      []float32
	h      []float32 // (T, max(D,F)), see buffers
	saves            // for a backward pass
}

// group is a run of neighbouring rows with the same adapter and the same place
// for its gradient: a batch may list one adapter twice.
type group struct {
	at, n         int
	adapter, grad *adapter.Adapter
}

// saved holds what the backward pass of one layer needs: its buffers (q and k
// rotated), and
type saved struct {
	buffers
	x, xMid      []float32 // (T,D) input of the block, input of its MLP
	qRaw, kRaw   []float32 // q and k before their norm, qwen3 only
	qRstd, kRstd []float32
	u            [adapter.NumModules][]float32 // (T,r) of each adapted linear layer
}

// newTreePass prepares a pass over the rows of a layout, and what enters its
// first layer. The adapters' gradients go to grads, if that is not nil.
func newTreePass(m *Model, b Batch, y *layout, grads []*adapter.Adapter) *pass {
	segs := make([]segment, len(y.runs))
	for i, r := range y.runs {
		segs[i].n = r.need
		if r.adapter >= 0 {
			segs[i].adapter = b.Adapters[r.adapter]
			if grads != nil {
				segs[i].grad = grads[r.adapter]
			}
		}
	}
	p := newPass(m, segs)
	p.layout, p.tree = y, nn.NewTree(m.NumAttentionHeads, m.NumKeyValueHeads, m.HeadDim, y.nodes())
	p.pos = p.tree.Positions()
	D := m.HiddenSize
	p.x = p.mem.floats(p.T * D)
	for _, r := range y.runs {
		x := p.x[r.at*D:][:r.need*D]
		if r.hidden != nil {
			copy(x, r.hidden)
			continue
		}
		kernel.Parallel(r.need, func(i int) { m.embed(x[i*D:][:D], r.tokens[i]) })
	}
	return p
}

func newPass(m *Model, segs []segment) *pass {
	p := &pass{m: m, mem: newArena(), segs: segs}
	for i := range segs {
		s := &segs[i]
		s.at = p.T
		p.T += s.n
		if s.adapter != nil {
			p.rank = max(p.rank, s.adapter.Rank)
		}
		if g := len(p.groups) - 1; g >= 0 && p.groups[g].adapter == s.adapter && p.groups[g].grad == s.grad {
			p.groups[g].n += s.n
		} else {
			p.groups = append(p.groups, group{s.at, s.n, s.adapter, s.grad})
		}
	}
	return p
}

// free ends the pass: its slices may be reused.
func (p *pass) free() { p.mem.free() }

// buffers are the rows that a layer works on.
type buffers struct {
	h             []float32 // (T, max(D,F)), overwritten by every layer
	q, k, v, o    []float32
	gate, up      []float32
	rstd, rstdMid []float32
	lse           []float32
}

// newBuffers allocates buffers. All of a pass have the same h.
func (p *pass) newBuffers() buffers {
	m, T := p.m, p.T
	if p.h == nil {
		p.h = p.mem.floats(T * max(m.HiddenSize, m.IntermediateSize))
	}
	wq, wkv := m.NumAttentionHeads*m.HeadDim, m.NumKeyValueHeads*m.HeadDim
	return buffers{
		h: p.h,
		q: p.mem.floats(T * wq), k: p.mem.floats(T * wkv), v: p.mem.floats(T * wkv), o: p.mem.floats(T * wq),
		gate: p.mem.floats(T * m.IntermediateSize), up: p.mem.floats(T * m.IntermediateSize),
		rstd: p.mem.floats(T), rstdMid: p.mem.floats(T), lse: p.mem.floats(T * m.NumAttentionHeads),
	}
}

// run applies layers from..to−1 to x, unless ctx ends.
func (p *pass) run(ctx context.Context, from, to int) error {
	if p.T == 0 {
		return ctx.Err()
	}
	b := p.newBuffers()
	for l := from; l < to; l++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		p.layer(l, &b, nil)
	}
	return nil
}

// layer applies block l to x:
//
//	x += o_proj(attention(rope(q), rope(k), v)),  q, k, v = projections of rmsnorm(x)
//	x += down_proj(silu(gate_proj(h)) · up_proj(h)),  h = rmsnorm(x)
//
// With s, whose buffers b is, it saves what the backward pass needs. Of the last
// layer's output, and of what only that needs, it computes no more rows than
// are needed: then the output is that of p.last.
func (p *pass) layer(l int, b *buffers, s *saved) {
	rs, x := p.output(l)
	p.linearAdd(rs, x, p.layerUpToDown(l, b, s), l, adapter.DownProj, s)
}

// layerUpToDown is layer without its last step, whose operand it returns.
func (p *pass) layerUpToDown(l int, b *buffers, s *saved) []float32 {
	m, T, D, F := p.m, p.T, p.m.HiddenSize, p.m.IntermediateSize
	ly := &m.layers[l]
	h := b.h[:T*D]
	nn.RMSNormForward(h, b.rstd, p.x, ly.attnNorm, T, D, float32(m.RMSNormEps))
	if s != nil {
		p.mem.keep(&s.x, p.x, T*D)
	}
	rs, x := p.output(l)
	q, o, gate, up := b.of(rs.T, T)
	if rs == &p.rows {
		p.linear(rs, h, l, s, linear{adapter.QProj, q}, linear{adapter.KProj, b.k}, linear{adapter.VProj, b.v})
	} else {
		p.linear(&p.rows, h, l, s, linear{adapter.KProj, b.k}, linear{adapter.VProj, b.v})
		p.last.gather(x, p.x)
		p.last.gather(p.last.h, h)
		p.linear(rs, p.last.h, l, s, linear{adapter.QProj, q})
		h = b.h[:rs.T*D]
	}
	if m.arch.qkNorm {
		p.normHeads(ly, q, b.k, s)
	}
	m.rope.Forward(q, rs.pos, rs.T, m.NumAttentionHeads)
	m.rope.Forward(b.k, p.pos, T, m.NumKeyValueHeads)
	rs.tree.Forward(o, b.lse, q, b.k, b.v)
	p.linearAdd(rs, x, o, l, adapter.OProj, s)

	if s != nil {
		p.mem.keep(&s.xMid, x, T*D)
	}
	nn.RMSNormForward(h, b.rstdMid, x, ly.ffnNorm, rs.T, D, float32(m.RMSNormEps))
	p.linear(rs, h, l, s, linear{adapter.GateProj, gate}, linear{adapter.UpProj, up})
	act := b.h[:rs.T*F]
	swiGLU(act, gate, up, rs.T)
	return act
}

// of returns the first rows of those buffers of T rows whose rows are queries.
func (b *buffers) of(rows, T int) (q, o, gate, up []float32) {
	first := func(x []float32) []float32 { return x[:len(x)/T*rows] }
	return first(b.q), first(b.o), first(b.gate), first(b.up)
}

// normHeads applies the q/k norm of qwen3 to each head.
func (p *pass) normHeads(ly *layer, q, k []float32, s *saved) {
	m := p.m
	nq, nk := len(q)/m.HeadDim, len(k)/m.HeadDim
	if s == nil {
		defer p.mem.giveBack(p.mem.mark())
		s = &saved{}
	} else {
		p.mem.keep(&s.qRaw, q, p.T*m.NumAttentionHeads*m.HeadDim)
		p.mem.keep(&s.kRaw, k, len(k))
	}
	if s.qRstd == nil {
		s.qRstd, s.kRstd = p.mem.floats(p.T*m.NumAttentionHeads), p.mem.floats(nk)
	}
	nn.RMSNormForward(q, s.qRstd, q, ly.qNorm, nq, m.HeadDim, float32(m.RMSNormEps))
	nn.RMSNormForward(k, s.kRstd, k, ly.kNorm, nk, m.HeadDim, float32(m.RMSNormEps))
}

// linear is a linear layer and its output.
type linear struct {
	mod adapter.Module
	y   []float32
}

// linear computes y = x Wᵀ + bias + adapter update for layers with the same x.
func (p *pass) linear(rs *rows, x []float32, l int, s *saved, to ...linear) {
	ly := &p.m.layers[l]
	mid := p.middle(s)
	if s == nil {
		defer p.mem.giveBack(p.mem.mark())
	}
	outputs := make([]kernel.Output, len(to))
	for i, t := range to {
		outputs[i] = kernel.Output{W: ly.linear[t.mod], Y: t.y, Parts: p.parts(rs, l, t.mod, mid(t.mod))}
	}
	kernel.ForwardAll(x, rs.T, outputs...)
	for _, t := range to {
		nn.AddBias(t.y, ly.bias[t.mod], rs.T, len(t.y)/rs.T)
	}
}

// linearAdd adds the same to y, the residual stream.
func (p *pass) linearAdd(rs *rows, y, x []float32, l int, mod adapter.Module, s *saved) {
	ly := &p.m.layers[l]
	mid := p.middle(s)
	if s == nil {
		defer p.mem.giveBack(p.mem.mark())
	}
	kernel.ForwardAll(x, rs.T, kernel.Output{W: ly.linear[mod], Y: y, Add: true, Parts: p.parts(rs, l, mod, mid(mod))})
	nn.AddBias(y, ly.bias[mod], rs.T, p.m.HiddenSize)
}

// middle returns where what is between the factors of an adapted linear layer
// goes (T,rank): where the backward pass finds it or, without s, to one place
// for all.
func (p *pass) middle(s *saved) func(mod adapter.Module) []float32 {
	var one []float32
	return func(mod adapter.Module) []float32 {
		at := &one
		if s != nil {
			at = &s.u[mod]
		}
		if *at == nil {
			*at = p.mem.floats(p.T * p.rank)
		}
		return *at
	}
}

// parts returns the adapters' parts of a linear layer, which have mid (T,rank)
// for what is between their factors.
func (p *pass) parts(rs *rows, l int, mod adapter.Module, mid []float32) []kernel.LowRank {
	var parts []kernel.LowRank
	for _, g := range rs.groups {
		if g.adapter == nil || g.adapter.Layers[l][mod] == nil {
			continue
		}
		pair, r := g.adapter.Layers[l][mod], g.adapter.Rank
		parts = append(parts, kernel.LowRank{At: g.at, N: g.n, Rank: r, A: pair.A, B: pair.B, Scale: g.adapter.Scale(),
			Mid: mid[g.at*p.rank:][:g.n*r]})
	}
	return parts
}

// swiGLU computes h = silu(gate) · up in T rows.
func swiGLU(h, gate, up []float32, T int) {
	F := len(h) / T
	kernel.Parallel(T, func(t int) { kernel.SwiGLU(h[t*F:][:F], gate[t*F:][:F], up[t*F:][:F]) })
}

// checkTokens reports the first token that is not in the vocabulary and a
// sequence that is longer than the context.
func (m *Model) checkTokens(tokens []int32, past int) error {
	if n := past + len(tokens); n > m.MaxContext() {
		return fmt.Errorf("sequence of %d tokens: the model's context is %d", n, m.MaxContext())
	}
	for i, t := range tokens {
		if t < 0 || int(t) >= m.VocabSize {
			return fmt.Errorf("token %d at position %d: the vocabulary has %d", t, past+i, m.VocabSize)
		}
	}
	return nil
}

// checkAdapter reports an adapter that does not fit the model.
func (m *Model) checkAdapter(a *adapter.Adapter) error {
	if a == nil {
		return nil
	}
	if d := m.Config.Dims(); a.Dims != d {
		return fmt.Errorf("adapter for %s with %d layers does not fit base %s with %d layers: linear layers differ",
			a.Dims.Arch, a.Dims.NumHiddenLayers, d.Arch, d.NumHiddenLayers)
	}
	return a.Validate()
}
