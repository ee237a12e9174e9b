package hypernet

import (
	"slices"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/kernel"
)

// mix is what a site multiplies its parameters with for one z.
type mix struct {
	gate []float32 // (r) or (r,r): E + D(z)
	a, b []float32 // (n): weights of the bases
}

// factoredTape keeps one forward pass.
type factoredTape struct {
	head  *Factored
	trunk *trunkTape
	mixes []mix // by site
	// The injected vector and its gradient; empty without Inject.
	injected, dinjected []float32
}

// expand makes the adapter for coefficients z and an injected vector, which is
// empty for zero.
func (f *Factored) expand(z, injected []float32) (*adapter.Adapter, []mix) {
	modules := make([]adapter.Module, len(f.opts.Modules))
	for i := range modules {
		modules[i] = f.sites[i].module
	}
	a := adapter.New(f.dims, modules, f.opts.Rank, f.opts.Alpha, false)
	clear(a.Layers[:f.opts.FirstLayer])
	mixes := make([]mix, len(f.sites))
	parallel(len(f.sites), f.work(), func(i int) {
		s := f.sites[i]
		mixes[i] = f.mixOf(s, z)
		dst := a.Layers[s.layer][s.module]
		f.siteForward(dst, s, mixes[i])
		if s.gain != nil && len(injected) > 0 {
			injectForward(dst.B, s.gain.Value, injected, f.opts.Rank)
		}
	})
	return a, mixes
}

// work estimates the multiply-adds of one pass over all sites.
func (f *Factored) work() int {
	n := 0
	for _, p := range f.list {
		n += len(p.Value)
	}
	if f.opts.Gate == GateFull {
		n *= f.opts.Rank
	}
	return n
}

// mixOf computes what depends on z.
//
//	gate = E + D(z),  D(z) = gate·z        a = aMix·z or z    b = bMix·z or z
func (f *Factored) mixOf(s *site, z []float32) mix {
	m := mix{a: z, b: z}
	if s.gate != nil {
		r := f.opts.Rank
		m.gate = make([]float32, s.gate.Shape[0])
		matVec(m.gate, z, s.gate.Value, nil)
		for j := range f.opts.meanRank() {
			if f.opts.Gate == GateFull {
				m.gate[j*r+j]++
			} else {
				m.gate[j]++
			}
		}
	}
	if s.aMix != nil {
		m.a = make([]float32, len(z))
		matVec(m.a, z, s.aMix.Value, nil)
	}
	if s.bMix != nil {
		m.b = make([]float32, len(z))
		matVec(m.b, z, s.bMix.Value, nil)
	}
	return m
}

// siteForward fills the pair of one site, which is zero before.
//
//	A' = gate·A  or  A + Σ_i a_i P_i        B' = B + Σ_i b_i Q_i
func (f *Factored) siteForward(dst *adapter.Pair, s *site, m mix) {
	r, in := f.opts.Rank, s.shape.In
	switch {
	case m.gate == nil:
		copy(dst.A, s.a.Value)
	case f.opts.Gate == GateFull:
		gemm(false, false, r, in, r, m.gate, s.a.Value, 0, dst.A)
	default:
		for j, g := range m.gate {
			kernel.Axpy(dst.A[j*in:][:in], g, s.a.Value[j*in:][:in])
		}
	}
	copy(dst.B, s.b.Value)
	addBases(dst.A, s.aBases, m.a)
	addBases(dst.B, s.bBases, m.b)
}

// addBases adds Σ_i w_i bases_i to dst; bases may be nil.
func addBases(dst []float32, bases *Param, w []float32) {
	if bases == nil {
		return
	}
	for i, v := range w {
		kernel.Axpy(dst, v, bases.Value[i*len(dst):][:len(dst)])
	}
}

// Backward adds the gradients of the parameters and of the context.
func (t *factoredTape) Backward(grad *adapter.Adapter) {
	f := t.head
	for _, s := range f.sites {
		checkGrad(grad, f.dims, s.layer, s.module, f.opts.Rank)
	}
	f.allocGrads()
	n, modules := f.trunk.size(), len(f.opts.Modules)
	dzs := make([]float32, len(f.sites)*n) // per site, summed in order below
	// Split by module type: its layers may share bases, and add to them in order.
	parallel(modules, 2*f.work(), func(m int) {
		for i := m; i < len(f.sites); i += modules {
			s := f.sites[i]
			f.siteBackward(dzs[i*n:][:n], grad.Layers[s.layer][s.module], s, t.mixes[i], t.trunk.z)
		}
	})
	for _, s := range f.sites {
		if s.gain != nil {
			injectBackward(t.dinjected, s.gain.Grad, grad.Layers[s.layer][s.module].B, t.injected, s.gain.Value, f.opts.Rank)
		}
	}
	if f.opts.Conditioning == ConditionNone {
		return
	}
	dz := make([]float32, n)
	for i := range f.sites {
		kernel.Add(dz, dzs[i*n:][:n])
	}
	t.trunk.backward(dz)
}

// siteBackward adds the gradients of siteForward and mixOf.
//
//	dgate = dA' Aᵀ    dA += gateᵀ dA'         (core)
//	da_i = dA'·P_i    dP_i += a_i dA'         (bases; likewise b, Q)
//	dB += dB'
func (f *Factored) siteBackward(dz []float32, g *adapter.Pair, s *site, m mix, z []float32) {
	r, in := f.opts.Rank, s.shape.In
	kernel.Add(s.b.Grad, g.B)
	switch {
	case m.gate == nil:
		kernel.Add(s.a.Grad, g.A)
	case f.opts.Gate == GateFull:
		dgate := make([]float32, r*r)
		gemm(false, true, r, r, in, g.A, s.a.Value, 0, dgate)
		gemm(true, false, r, in, r, m.gate, g.A, 1, s.a.Grad)
		matVecBackward(dz, s.gate.Grad, nil, dgate, z, s.gate.Value)
	default:
		dgate := make([]float32, r)
		for j, v := range m.gate {
			dgate[j] = kernel.Dot(g.A[j*in:][:in], s.a.Value[j*in:][:in])
			kernel.Axpy(s.a.Grad[j*in:][:in], v, g.A[j*in:][:in])
		}
		matVecBackward(dz, s.gate.Grad, nil, dgate, z, s.gate.Value)
	}
	basesBackward(dz, g.A, s.aBases, s.aMix, m.a, z)
	basesBackward(dz, g.B, s.bBases, s.bMix, m.b, z)
}

// basesBackward adds the gradients of one factor's bases and of their weights
// w, which are mix·z, or z if mix is nil.
func basesBackward(dz, dy []float32, bases, mix *Param, w, z []float32) {
	if bases == nil {
		return
	}
	dw := make([]float32, len(w))
	for i, v := range w {
		dw[i] = kernel.Dot(dy, bases.Value[i*len(dy):][:len(dy)])
		kernel.Axpy(bases.Grad[i*len(dy):][:len(dy)], v, dy)
	}
	if mix == nil {
		kernel.Add(dz, dw)
		return
	}
	matVecBackward(dz, mix.Grad, nil, dw, z, mix.Value)
}

// ContextGrad returns d(loss)/d(context).
func (t *factoredTape) ContextGrad() []float32 {
	return append(slices.Clone(t.trunk.ds), t.dinjected...)
}
