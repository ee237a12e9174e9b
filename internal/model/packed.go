package model

import (
	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/kernel"
)

// Packed is an adapter packed for decoding with one model. It is a copy: what
// is done to the adapter afterwards doesn't change it. It may be used from
// several goroutines at once.
//
// The factors are float32 in the precision [kernel.Float32], bfloat16 in
// [kernel.BFloat16], and 8-bit codes in [kernel.Int8], since a decoded token waits
// for the memory of its adapter, and eight adapters are as large as a small base.
// Rounding to bfloat16 changes a factor by at most 2⁻⁹ of itself, to codes by at
// most 1/252 of the largest of 16 neighbours: some 0.2 and 0.7 % of an adapter's
// part of a linear layer's output, less than the rounding of both operands to
// bfloat16, or of activations to int8, does to the base's part, which is larger.
// Scoring and training always use the float32 factors.
type Packed struct {
	m      *Model
	rank   int
	bytes  int64
	layers [][adapter.NumModules]factors
}

// factorFormats are the formats of factors in each precision.
var factorFormats = [...]kernel.FactorFormat{
	kernel.Float32:  kernel.FactorFloat32,
	kernel.BFloat16: kernel.FactorBFloat16,
	kernel.Int8:     kernel.FactorInt8,
}

// factors are those of one linear layer; nil if it has none. b has the scale.
type factors struct{ a, b *kernel.Factor }

// Pack packs adapter a, which may be nil: so is the result then, which stands
// for the bare base.
func (m *Model) Pack(a *adapter.Adapter) (*Packed, error) {
	if a == nil {
		return nil, nil
	}
	if err := m.checkAdapter(a); err != nil {
		return nil, err
	}
	p := &Packed{m: m, rank: a.Rank, layers: make([][adapter.NumModules]factors, len(a.Layers))}
	format := factorFormats[kernel.CurrentPrecision()]
	entries := a.Pairs()
	var specs []kernel.FactorSpec
	for _, e := range entries {
		s := a.Dims.Modules[e.Module]
		specs = append(specs, kernel.FactorSpec{W: e.A, Out: a.Rank, In: s.In, Scale: 1},
			kernel.FactorSpec{W: e.B, Out: s.Out, In: a.Rank, Scale: a.Scale()})
	}
	packed, of := kernel.NewFactors(specs, format), map[*adapter.Pair]factors{}
	for i, e := range entries {
		f := factors{packed[2*i], packed[2*i+1]}
		of[e.Pair] = f
		p.bytes += int64(f.a.Bytes() + f.b.Bytes())
	}
	for l := range a.Layers {
		for mod, pair := range a.Layers[l] {
			p.layers[l][mod] = of[pair]
		}
	}
	return p, nil
}

// Bytes returns the memory that the packing takes.
func (p *Packed) Bytes() int64 {
	if p == nil {
		return 0
	}
	return p.bytes
}
