package adapter

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"math"
)

// ErrBaseModel is returned when an adapter was made for another base model.
var ErrBaseModel = errors.New("adapter was made for another base model")

// CheckBase returns an error that wraps [ErrBaseModel] unless a fits the base
// model: the shapes of all linear layers must be equal, and so must the
// digests of the weight files where both are known.
func CheckBase(a *Adapter, base Base, d Dims) error {
	made := a.Provenance.Base
	switch {
	case made.SHA256 != "" && base.SHA256 != "" && made.SHA256 != base.SHA256:
		return fmt.Errorf("%w: it is for %s, not for %s", ErrBaseModel, made.describe(a.Dims), base.describe(d))
	case a.Dims != d:
		return fmt.Errorf("%w: it is for %s, not for %s: %s", ErrBaseModel, made.describe(a.Dims), base.describe(d), difference(a.Dims, d))
	}
	return nil
}

// describe names a base model as well as it is known.
func (b Base) describe(d Dims) string {
	name := b.Name
	if name == "" {
		name = b.HubID
	}
	if name == "" {
		name = fmt.Sprintf("a %s model of %d layers", d.Arch, d.NumHiddenLayers)
	}
	if len(b.SHA256) >= 12 {
		return fmt.Sprintf("%s (sha256 %.12s)", name, b.SHA256)
	}
	return name
}

// difference says in what the first dimensions differ from the second.
func difference(a, b Dims) string {
	switch {
	case a.Arch != b.Arch:
		return fmt.Sprintf("architecture %s against %s", a.Arch, b.Arch)
	case a.NumHiddenLayers != b.NumHiddenLayers:
		return fmt.Sprintf("%d layers against %d", a.NumHiddenLayers, b.NumHiddenLayers)
	case a.NumAttentionHeads != b.NumAttentionHeads || a.NumKeyValueHeads != b.NumKeyValueHeads:
		return fmt.Sprintf("%d heads (%d for keys) against %d (%d)",
			a.NumAttentionHeads, a.NumKeyValueHeads, b.NumAttentionHeads, b.NumKeyValueHeads)
	}
	for m := range NumModules {
		if s, t := a.Modules[m], b.Modules[m]; s != t {
			return fmt.Sprintf("%s is %dx%d against %dx%d", m, s.Out, s.In, t.Out, t.In)
		}
	}
	return "nothing"
}

// Norm has Frobenius norms of one module type, over all layers: the root of
// the sum of their squares. A pair that several layers share counts for each.
type Norm struct {
	Module Module
	Layers int     // layers in which the module is adapted
	A, B   float64 // of the factors
	Delta  float64 // of ΔW = Scale·B·A
}

// Norms returns the norms of every module type that a adapts.
func Norms(a *Adapter) []Norm {
	g := newGrams(a, a)
	var norms []Norm
	for _, m := range a.Modules() {
		n := Norm{Module: m}
		for l := range a.Layers {
			p := a.Layers[l][m]
			if p == nil {
				continue
			}
			n.Layers++
			n.A += dot(p.A, p.A)
			n.B += dot(p.B, p.B)
			n.Delta += g.inner(l, m)
		}
		n.A, n.B, n.Delta = math.Sqrt(n.A), math.Sqrt(n.B), math.Sqrt(max(n.Delta, 0))
		norms = append(norms, n)
	}
	return norms
}

// Distance returns ‖ΔW_a − ΔW_b‖ / ‖ΔW_b‖ over all linear layers, where a
// layer that is not adapted has ΔW = 0. The ranks may differ. The distance of
// anything from an adapter without effect is infinite, except of another one:
// that is 0.
func Distance(a, b *Adapter) (float64, error) {
	aa, ab, bb, err := products(a, b)
	if err != nil {
		return 0, err
	}
	d := math.Sqrt(max(aa+bb-2*ab, 0))
	if d == 0 {
		return 0, nil
	}
	return d / math.Sqrt(bb), nil
}

// Cosine returns ⟨ΔW_a, ΔW_b⟩ / (‖ΔW_a‖·‖ΔW_b‖) over all linear layers; it is
// 0 if one of them has no effect. The ranks may differ.
func Cosine(a, b *Adapter) (float64, error) {
	aa, ab, bb, err := products(a, b)
	if err != nil || aa <= 0 || bb <= 0 {
		return 0, err
	}
	return max(-1, min(1, ab/(math.Sqrt(aa)*math.Sqrt(bb)))), nil
}

// products returns the three inner products of two adapters' updates.
func products(a, b *Adapter) (aa, ab, bb float64, err error) {
	if a.Dims != b.Dims {
		return 0, 0, 0, fmt.Errorf("adapters of different base models cannot be compared: %s", difference(a.Dims, b.Dims))
	}
	return newGrams(a, a).total(), newGrams(a, b).total(), newGrams(b, b).total(), nil
}

// grams computes inner products of ΔW of two adapters, without forming ΔW:
//
//	⟨B₁A₁, B₂A₂⟩ = tr(A₁ᵀB₁ᵀB₂A₂) = Σᵢⱼ (B₁ᵀB₂)ᵢⱼ (A₁A₂ᵀ)ᵢⱼ
//
// with matrices of r₁×r₂ only. Shared pairs are computed once.
type grams struct {
	a, b *Adapter
	memo map[[2]*Pair]float64
}

func newGrams(a, b *Adapter) *grams { return &grams{a, b, map[[2]*Pair]float64{}} }

func (g *grams) total() float64 {
	var sum float64
	for l := range g.a.Layers {
		for m := range NumModules {
			sum += g.inner(l, m)
		}
	}
	return sum
}

// inner returns the inner product at one linear layer.
func (g *grams) inner(l int, m Module) float64 {
	p, q := g.a.Layers[l][m], g.b.Layers[l][m]
	if p == nil || q == nil {
		return 0
	}
	if v, ok := g.memo[[2]*Pair{p, q}]; ok {
		return v
	}
	in, r1, r2 := g.a.Dims.Modules[m].In, g.a.Rank, g.b.Rank
	bb := make([]float64, r1*r2) // B₁ᵀB₂
	for o := range g.a.Dims.Modules[m].Out {
		row1, row2 := p.B[o*r1:][:r1], q.B[o*r2:][:r2]
		for i, v := range row1 {
			out := bb[i*r2:][:r2]
			for j, w := range row2 {
				out[j] += float64(v) * float64(w)
			}
		}
	}
	var sum float64
	for i := range r1 {
		for j := range r2 {
			sum += bb[i*r2+j] * dot(p.A[i*in:][:in], q.A[j*in:][:in])
		}
	}
	sum *= g.a.scale() * g.b.scale()
	g.memo[[2]*Pair{p, q}] = sum
	return sum
}

func (a *Adapter) scale() float64 { return a.Alpha / float64(a.Rank) }

// dot returns x·y in float64.
func dot(x, y []float32) float64 {
	var sum float64
	y = y[:len(x)]
	for i, v := range x {
		sum += float64(v) * float64(y[i])
	}
	return sum
}

// Digest returns a SHA-256 digest, in hex, of everything that determines the
// effect of an adapter: dimensions, rank, alpha and the factors of every
// layer, whether they are shared or not. Provenance is not part of it.
func Digest(a *Adapter) string {
	h := sha256.New()
	d := a.Dims
	fmt.Fprintf(h, "code2lora adapter 1\n%q %d %d %d %v\n%d %x\n", d.Arch, d.NumHiddenLayers, d.NumAttentionHeads,
		d.NumKeyValueHeads, d.Modules, a.Rank, math.Float64bits(a.Alpha))
	memo := map[*Pair][]byte{}
	for l := range a.Layers {
		for m, p := range a.Layers[l] {
			if p == nil {
				continue
			}
			if memo[p] == nil {
				memo[p] = digestPair(p)
			}
			fmt.Fprintf(h, "%d %s %x\n", l, Module(m), memo[p])
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

func digestPair(p *Pair) []byte {
	h := sha256.New()
	for _, f := range [2][]float32{p.A, p.B} {
		fmt.Fprintf(h, "%d\n", len(f))
		writeFloats(h, f)
	}
	return h.Sum(nil)
}

func writeFloats(h hash.Hash, values []float32) {
	var buf [4096]byte
	for len(values) > 0 {
		n := min(len(values), len(buf)/4)
		for i, v := range values[:n] {
			binary.LittleEndian.PutUint32(buf[4*i:], math.Float32bits(v))
		}
		h.Write(buf[:4*n])
		values = values[n:]
	}
}
