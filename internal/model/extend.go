package model

import (
	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/kernel"
	"github.com/code2lora/code2lora/internal/nn"
)

// Workspace is the memory of a pass that extends caches. Its zero value is
// ready. It grows to what the largest pass needs, and must not be used by two
// passes at once.
type Workspace struct {
	m      *Model
	T      int
	exts   []Extension
	at     []int   // first row of each extension
	pos    []int32 // (T)
	groups []rowGroup

	x, h, act      []float32 // (T,D), (T,D), (T,F)
	q, k, v, o     []float32
	gate, up       []float32
	rstd, headRstd []float32
	u              []float32 // of adapters, see lora
	last, out      []float32 // (rows,D), (rows,V)
	updates        []update
	attention      []attentionUnit
	pages          [][][]float32  // of each extension, in the layer at hand
	scratch        chan []float32 // one for each thread, long enough for all units
	scratchSize    int
}

// rowGroup is a run of neighbouring rows with the same adapter.
type rowGroup struct {
	at, n   int
	adapter *Packed
}

// attentionUnit is one unit of the attention of an extension.
type attentionUnit struct{ ext, unit int }

// update is y += scale·B (A x) for some rows.
type update struct {
	factors
	y, x, u  []float32
	ldy, ldx int
	T        int
}

// resize returns s with n values, of arbitrary content.
func resize(s []float32, n int) []float32 {
	if cap(s) < n {
		return make([]float32, n)
	}
	return s[:n]
}

// begin lays out the rows of a pass, and fills x with embeddings.
func (w *Workspace) begin(m *Model, exts []Extension) {
	w.m, w.exts, w.T = m, exts, 0
	w.at, w.pos, w.groups, w.attention, w.pages = w.at[:0], w.pos[:0], w.groups[:0], w.attention[:0], w.pages[:0]
	attn, scratch := m.cached(), 0
	for i, e := range exts {
		n := len(e.Tokens)
		scratch = max(scratch, attn.Scratch(n, e.Cache.n+n))
		e.Cache.reserve(n)
		w.at = append(w.at, w.T)
		for j := range n {
			w.pos = append(w.pos, int32(e.Cache.n+j))
		}
		if g := len(w.groups) - 1; g >= 0 && w.groups[g].adapter == e.Cache.adapter {
			w.groups[g].n += n
		} else {
			w.groups = append(w.groups, rowGroup{w.T, n, e.Cache.adapter})
		}
		for u := range attn.Units(n) {
			w.attention = append(w.attention, attentionUnit{i, u})
		}
		w.pages = append(w.pages, make([][]float32, len(e.Cache.pages)))
		w.T += n
	}
	w.needScratch(scratch)
	T, D, F := w.T, m.HiddenSize, m.IntermediateSize
	wq, wkv := m.NumAttentionHeads*m.HeadDim, m.NumKeyValueHeads*m.HeadDim
	w.x, w.h, w.act = resize(w.x, T*D), resize(w.h, T*D), resize(w.act, T*F)
	w.q, w.o, w.k, w.v = resize(w.q, T*wq), resize(w.o, T*wq), resize(w.k, T*wkv), resize(w.v, T*wkv)
	w.gate, w.up, w.rstd = resize(w.gate, T*F), resize(w.up, T*F), resize(w.rstd, T)
	kernel.Parallel(len(exts), func(i int) {
		for j, t := range exts[i].Tokens {
			m.embed(w.x[(w.at[i]+j)*D:][:D], t)
		}
	})
}

// needScratch provides as many buffers of at least n values as there are threads.
func (w *Workspace) needScratch(n int) {
	if threads := kernel.Threads(); n > w.scratchSize || threads != cap(w.scratch) {
		w.scratchSize, w.scratch = n+n/4, make(chan []float32, threads)
		for range threads {
			w.scratch <- nil // made when it is first used
		}
	}
}

// The projections that read the same input.
var (
	attentionInputs = []adapter.Module{adapter.QProj, adapter.KProj, adapter.VProj}
	mlpInputs       = []adapter.Module{adapter.GateProj, adapter.UpProj}
	attentionOutput = []adapter.Module{adapter.OProj}
	mlpOutput       = []adapter.Module{adapter.DownProj}
)

// layer applies block l to x; see pass.layer.
func (w *Workspace) layer(l int) {
	m, T, D := w.m, w.T, w.m.HiddenSize
	ly, eps := &m.layers[l], float32(m.RMSNormEps)
	nn.RMSNormForward(w.h, w.rstd, w.x, ly.attnNorm, T, D, eps)
	w.linear(l, attentionInputs, w.h, false, w.q, w.k, w.v)
	if m.arch.qkNorm {
		nq, nk := T*m.NumAttentionHeads, T*m.NumKeyValueHeads
		w.headRstd = resize(w.headRstd, nq)
		nn.RMSNormForward(w.q, w.headRstd, w.q, ly.qNorm, nq, m.HeadDim, eps)
		nn.RMSNormForward(w.k, w.headRstd[:nk], w.k, ly.kNorm, nk, m.HeadDim, eps)
	}
	m.rope.Forward(w.q, w.pos, T, m.NumAttentionHeads)
	m.rope.Forward(w.k, w.pos, T, m.NumKeyValueHeads)
	w.attend(l)
	w.linear(l, attentionOutput, w.o, true, w.x)

	nn.RMSNormForward(w.h, w.rstd, w.x, ly.ffnNorm, T, D, eps)
	w.linear(l, mlpInputs, w.h, false, w.gate, w.up)
	F := m.IntermediateSize
	kernel.Parallel(T, func(t int) { kernel.SwiGLU(w.act[t*F:][:F], w.gate[t*F:][:F], w.up[t*F:][:F]) })
	w.linear(l, mlpOutput, w.act, true, w.x)
}

// linear computes ys = x Wᵀ + bias + adapter update for projections of the same
// x, or adds all that to ys.
func (w *Workspace) linear(l int, mods []adapter.Module, x []float32, add bool, ys ...[]float32) {
	ly := &w.m.layers[l]
	for i, mod := range mods {
		if add {
			ly.linear[mod].ForwardAdd(ys[i], x, w.T)
		} else {
			ly.linear[mod].Forward(ys[i], x, w.T)
		}
		nn.AddBias(ys[i], ly.bias[mod], w.T, ly.linear[mod].Out())
	}
	w.lora(l, mods, x, ys)
}

// updateRows is the most rows in one update.
const updateRows = 64

// lora adds the updates of all adapters, and of all projections of the same x,
// to ys. One update is one piece of work: it reads factors of its own, and
// where there are many rows, many pieces read the same ones.
func (w *Workspace) lora(l int, mods []adapter.Module, x []float32, ys [][]float32) {
	w.updates = w.updates[:0]
	need := 0
	for _, g := range w.groups {
		if g.adapter == nil {
			continue
		}
		for t := 0; t < g.n; t += updateRows {
			n, at := min(updateRows, g.n-t), g.at+t
			for i, mod := range mods {
				f := g.adapter.layers[l][mod]
				if f.a == nil {
					continue
				}
				s := w.m.layers[l].linear[mod]
				w.updates = append(w.updates, update{factors: f, T: n,
					y: ys[i][at*s.Out():], ldy: s.Out(), x: x[at*s.In():], ldx: s.In()})
				need += n * g.adapter.rank
			}
		}
	}
	if len(w.updates) == 0 {
		return
	}
	w.u = resize(w.u, need)
	for i, at := 0, 0; i < len(w.updates); i++ {
		n := w.updates[i].T * w.updates[i].b.In()
		w.updates[i].u = w.u[at:][:n]
		at += n
	}
	// Neighbours read factors that lie one behind the other, so a thread takes
	// several where there are enough.
	step := max(1, min(len(mods), len(w.updates)/(2*kernel.Threads())))
	kernel.Parallel((len(w.updates)+step-1)/step, func(i int) {
		for j := i * step; j < min(len(w.updates), (i+1)*step); j++ {
			w.updates[j].run()
		}
	})
}

func (u *update) run() {
	r := u.b.In()
	u.a.Forward(u.u, r, u.x, u.ldx, u.T, 0, u.a.Panels(), false)
	u.b.Forward(u.y, u.ldy, u.u, r, u.T, 0, u.b.Panels(), true)
}

// attend stores the new keys and values of layer l, and runs attention over all
// of each sequence.
func (w *Workspace) attend(l int) {
	m, attn := w.m, w.m.cached()
	size, wq, wkv := attn.PageSize(), m.NumAttentionHeads*m.HeadDim, m.NumKeyValueHeads*m.HeadDim
	for i, e := range w.exts {
		for p, page := range e.Cache.pages {
			w.pages[i][p] = page[l*size:][:size]
		}
		for j := range e.Tokens {
			row, at := e.Cache.n+j, (w.at[i]+j)*wkv
			attn.Put(w.pages[i][row/nn.PageRows], row%nn.PageRows, w.k[at:][:wkv], w.v[at:][:wkv])
		}
	}
	kernel.Parallel(len(w.attention), func(i int) {
		u := w.attention[i]
		e, at := w.exts[u.ext], w.at[u.ext]*wq
		buf := <-w.scratch
		if buf == nil {
			buf = make([]float32, w.scratchSize)
		}
		attn.Forward(u.unit, w.o[at:], w.q[at:], buf, len(e.Tokens), e.Cache.n, w.pages[u.ext])
		w.scratch <- buf
	})
}

// logits ends the pass: its rows count from now on.
func (w *Workspace) logits(exts []Extension) [][]float32 {
	m, D, V, n := w.m, w.m.HiddenSize, w.m.VocabSize, 0
	for i := range exts {
		n += exts[i].rows()
	}
	w.last, w.rstd, w.out = resize(w.last, n*D), resize(w.rstd, n), resize(w.out, n*V)
	rows, row := make([][]float32, len(exts)), 0
	for i := range exts {
		e := &exts[i]
		k := e.rows()
		copy(w.last[row*D:], w.x[(w.at[i]+len(e.Tokens)-k)*D:][:k*D])
		rows[i] = w.out[row*V:][: k*V : k*V]
		row += k
		e.Cache.n += len(e.Tokens)
	}
	nn.RMSNormForward(w.last, w.rstd, w.last, m.outputNorm, n, D, float32(m.RMSNormEps))
	m.output.Forward(w.out, w.last, n)
	w.exts = nil
	return rows
}
