package hypernet

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/embedding"
)

// MeanPrefix begins the names of the parameters that the average adapter of a
// [Factored] head is made of, so that a trainer can treat them apart.
const MeanPrefix = "mean."

// Factored is a small head: one learned LoRA adapter for all repositories, plus
// a part of few numbers that depends on the repository.
//
// A trunk turns the context into n coefficients z, standardised over the
// training repositories: z = 0 is their mean. For layer l and module m, with a
// learned pair A (r,in) and B (out,r) each,
//
//	none     A' = A                     B' = B
//	core     A' = (E + D(z)) A          B' = B
//	bases    A' = A + Σ_i a_i(z) P_i    B' = B + Σ_i b_i(z) Q_i
//
// core: D(z) is a linear map of z to an r×r matrix, or to its diagonal, per
// layer and module. E is the identity on the first MeanRank components and zero
// on the rest; so the update is B (E + D(z)) A, the first components are
// modulated, and the rest are off on average.
//
// bases: P_i and Q_i are per layer and module, with a(z) = b(z) = z; or, with
// SharedBases, per module type, and a(z), b(z) are linear maps of z per layer.
// Factors b leaves A alone.
//
// With Inject, a vector v of the representation, centred and scaled to s by the
// training repositories, is written to the residual stream as it is: for o_proj
// and down_proj
//
//	B'[d,j] += g_j s[d]
//
// so that component j of the layer moves the stream along s whenever A_j fires.
// One gain per component is all that has to be learned about s.
//
// At the start B = 0, and the update is zero. A and the maps for components
// beyond MeanRank are random, everything else of the repository-dependent part
// is zero; so B learns at the first step and that part from the second on.
//
// Parameters for SmolLM2-135M (30 layers; Σ (in+out) = 10,176 per layer, so
// 305,280 per rank), seven modules, n = 16, k = 32 components, linear trunk
// (512):
//
//	none               r=8    2,442,240    r=16    4,884,480
//	core, diagonal     r=8    2,469,632    r=16    4,938,752
//	core, full         r=8    2,657,792    r=16    5,745,152
//	bases, shared      r=8    3,852,800    r=16    7,597,568
//	bases, per layer   r=8   41,518,592 (n=2: 7,326,784)
//
// At two bytes each, core with r = 16 makes 11.5 MB; a standardiser with 32
// components of a 1152-value vector adds 160 kB, a hundred anchors 13 kB.
type Factored struct {
	paramSet
	opts  FactoredOptions
	dims  adapter.Dims
	input Standardizer
	trunk trunk
	inj   injection
	sites []*site // by layer and module
}

// site is one adapted linear layer. Parameters that the options do not call
// for are nil.
type site struct {
	layer  int
	module adapter.Module
	shape  adapter.Shape
	a, b   *Param // (r,in), (out,r)
	gate   *Param // (r,n) or (r·r,n): z to D
	aMix   *Param // (n,n): z to a, with shared bases
	bMix   *Param // (n,n)
	aBases *Param // (n,r,in)
	bBases *Param // (n,out,r)
	gain   *Param // (r): g, with Inject
}

func newFactored(raw json.RawMessage, s Setup) (Head, error) {
	opts := DefaultFactoredOptions()
	if err := decodeOptions(raw, &opts); err != nil {
		return nil, err
	}
	return NewFactored(opts, s)
}

// NewFactored lays out a factored head.
func NewFactored(opts FactoredOptions, s Setup) (*Factored, error) {
	modules, err := s.resolve(&opts.Input, &opts.Modules)
	if err != nil {
		return nil, err
	}
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	if n := s.Dims.NumHiddenLayers; opts.FirstLayer >= n {
		return nil, fmt.Errorf("first_layer %d: the base has %d layers, want 0 to %d", opts.FirstLayer, n, n-1)
	}
	inj, err := newInjection(opts.Inject, s, modules)
	if err != nil {
		return nil, err
	}
	f := &Factored{opts: opts, dims: s.Dims, input: Standardizer{Options: opts.Input}, inj: inj,
		trunk: trunk{k: opts.Input.Width(), hidden: opts.Hidden, n: opts.Coefficients}}
	if opts.Conditioning != ConditionNone {
		f.trunk.layOut(&f.paramSet)
	}
	f.layOut(modules)
	return f, nil
}

// layOut adds the parameters of all sites; the average adapter first.
func (f *Factored) layOut(modules []adapter.Module) {
	r := f.opts.Rank
	for l := f.opts.FirstLayer; l < f.dims.NumHiddenLayers; l++ {
		for _, m := range modules {
			s := &site{layer: l, module: m, shape: f.dims.Modules[m]}
			s.a = f.add(MeanPrefix+s.name()+".lora_A", true, r, s.shape.In)
			s.b = f.add(MeanPrefix+s.name()+".lora_B", true, s.shape.Out, r)
			f.sites = append(f.sites, s)
		}
	}
	for _, s := range f.sites {
		if f.inj.tensor != "" && writesStream(s.module) {
			s.gain = f.add("inject."+s.name()+".gain", false, r)
		}
	}
	switch f.opts.Conditioning {
	case ConditionCore:
		size := r
		if f.opts.Gate == GateFull {
			size = r * r
		}
		for _, s := range f.sites {
			s.gate = f.add("core."+s.name()+".weight", true, size, f.trunk.size())
		}
	case ConditionBases:
		f.layOutBases(len(modules))
	}
}

func (f *Factored) layOutBases(modules int) {
	n, r, both := f.trunk.size(), f.opts.Rank, f.opts.Factors == FactorsBoth
	for i, s := range f.sites {
		if f.opts.SharedBases && i >= modules {
			s.aBases, s.bBases = f.sites[i-modules].aBases, f.sites[i-modules].bBases
			continue
		}
		name := s.name()
		if f.opts.SharedBases {
			name = s.module.String()
		}
		if both {
			s.aBases = f.add("bases."+name+".lora_A", true, n, r, s.shape.In)
		}
		s.bBases = f.add("bases."+name+".lora_B", true, n, s.shape.Out, r)
	}
	if !f.opts.SharedBases {
		return
	}
	for _, s := range f.sites {
		if both {
			s.aMix = f.add("mix."+s.name()+".lora_A", false, n, n)
		}
		s.bMix = f.add("mix."+s.name()+".lora_B", false, n, n)
	}
}

func (s *site) name() string { return fmt.Sprintf("layers.%d.%s", s.layer, s.module) }

// Kind returns [FactoredKind].
func (f *Factored) Kind() string { return FactoredKind }

// Options returns the resolved [FactoredOptions].
func (f *Factored) Options() any { return f.opts }

// Dims returns the layers that generated adapters fit.
func (f *Factored) Dims() adapter.Dims { return f.dims }

// ContextSize returns the length of the context: the standardised input vector
// followed by the injected one.
func (f *Factored) ContextSize() int { return f.opts.Input.Width() + f.inj.dim }

// Fit measures the training repositories, and keeps their contexts to centre
// the coefficients on.
func (f *Factored) Fit(training []*embedding.Representation) error {
	vs, err := f.input.vectors(training)
	if err != nil {
		return err
	}
	if err := f.input.Fit(vs); err != nil {
		return err
	}
	contexts := make([][]float32, len(vs))
	for i, v := range vs {
		if contexts[i], err = f.input.Transform(v); err != nil {
			return err
		}
	}
	if err := f.inj.fit(training); err != nil {
		return err
	}
	return f.trunk.setAnchors(contexts)
}

// Buffers returns the tensors of the standardiser and the anchors.
func (f *Factored) Buffers() map[string]embedding.Tensor {
	b := f.input.buffers()
	if n := f.trunk.numAnchors(); n > 0 {
		b[bufferAnchors] = embedding.Tensor{Shape: []int{n, f.trunk.k}, Data: f.trunk.anchors}
	}
	f.inj.buffers(b)
	return b
}

// SetBuffers is the inverse of Buffers.
func (f *Factored) SetBuffers(b map[string]embedding.Tensor) error {
	if err := f.input.setBuffers(b); err != nil {
		return err
	}
	if err := f.trunk.setBuffer(b); err != nil {
		return err
	}
	if err := f.inj.setBuffers(b); err != nil {
		return err
	}
	return unknownBuffers(b)
}

// Init sets the initial values described at [Factored].
func (f *Factored) Init(seed uint64) {
	f.alloc()
	if f.opts.Conditioning != ConditionNone {
		f.trunk.init(seed)
	}
	for _, s := range f.sites {
		InitUniform(s.a, seed, s.shape.In)
		if s.gate != nil {
			f.initGate(s, seed)
		}
		for _, mix := range []*Param{s.aMix, s.bMix} {
			if mix == nil {
				continue
			}
			for i := range f.trunk.size() { // the identity: basis i starts as coefficient i
				mix.Value[i*f.trunk.size()+i] = 1
			}
		}
	}
}

// initGate draws the diagonal entries of D for components that are off on
// average from N(0, 1/n), so that each is on, with either sign, for some
// repositories; at zero neither they nor their columns of B would ever learn.
func (f *Factored) initGate(s *site, seed uint64) {
	n, r := f.trunk.size(), f.opts.Rank
	rng := paramRand(seed, s.gate.Name)
	for j := f.opts.meanRank(); j < r; j++ {
		row := j
		if f.opts.Gate == GateFull {
			row = j*r + j
		}
		for i := range n {
			s.gate.Value[row*n+i] = float32(rng.NormFloat64() / math.Sqrt(float64(n)))
		}
	}
}

// Average returns the adapter at z = 0: A (the first MeanRank components for
// core) and B of the average adapter, exactly.
func (f *Factored) Average() (*adapter.Adapter, error) {
	if err := f.ready(); err != nil {
		return nil, err
	}
	a, _ := f.expand(make([]float32, f.trunk.size()), nil)
	return a, nil
}

// Context reads and standardises the vectors of a representation.
func (f *Factored) Context(rep *embedding.Representation) ([]float32, error) {
	ctx, err := f.input.context(rep)
	if err != nil {
		return nil, err
	}
	s, err := f.inj.context(rep)
	return append(ctx, s...), err
}

// Generate returns the adapter for rep.
func (f *Factored) Generate(rep *embedding.Representation) (*adapter.Adapter, Tape, error) {
	ctx, err := f.Context(rep)
	if err != nil {
		return nil, nil, err
	}
	return tapeOf(f.GenerateContext(ctx))
}

// GenerateContext returns the adapter for a context.
func (f *Factored) GenerateContext(ctx []float32) (*adapter.Adapter, ContextTape, error) {
	if len(ctx) != f.ContextSize() {
		return nil, nil, fmt.Errorf("context has %d values, want %d", len(ctx), f.ContextSize())
	}
	if err := f.ready(); err != nil {
		return nil, nil, err
	}
	k := f.opts.Input.Width()
	t, err := f.coefficients(ctx[:k])
	if err != nil {
		return nil, nil, err
	}
	injected := slices.Clone(ctx[k:])
	a, mixes := f.expand(t.z, injected)
	return a, &factoredTape{head: f, trunk: t, mixes: mixes, injected: injected, dinjected: make([]float32, len(injected))}, nil
}

// Coefficients returns z for a representation; over the training repositories
// each coefficient has mean 0 and variance 1.
func (f *Factored) Coefficients(rep *embedding.Representation) ([]float32, error) {
	if err := f.ready(); err != nil {
		return nil, err
	}
	ctx, err := f.Context(rep)
	if err != nil {
		return nil, err
	}
	t, err := f.coefficients(ctx[:f.opts.Input.Width()])
	if err != nil {
		return nil, err
	}
	return t.z, nil
}

func (f *Factored) coefficients(ctx []float32) (*trunkTape, error) {
	if f.opts.Conditioning == ConditionNone {
		return &trunkTape{trunk: &f.trunk, z: make([]float32, f.trunk.size()), ds: make([]float32, f.trunk.k)}, nil
	}
	if f.trunk.numAnchors() == 0 {
		return nil, errors.New("the factored head has no training repositories to centre on: fit it, or load a checkpoint")
	}
	return f.trunk.forward(ctx), nil
}

// IsMean reports whether a parameter belongs to the average adapter of a
// [Factored] head.
func IsMean(p *Param) bool { return strings.HasPrefix(p.Name, MeanPrefix) }

// IsTrunk reports whether a parameter belongs to the trunk of a head, which
// depends on the input.
func IsTrunk(p *Param) bool { return strings.HasPrefix(p.Name, "trunk.") }
