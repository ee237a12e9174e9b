package hypernet

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/code2lora/code2lora/internal/adapter"
)

// Spread says how much the adapters of several repositories differ in their
// effect ΔW, over all linear layers. The released heads score a mean cosine of
// 0.996 and above: their adapters hardly depend on the repository.
type Spread struct {
	Adapters int `json:"adapters"`
	// Cosine of ΔW, over pairs of adapters.
	Cosine Range `json:"cosine"`
	// Residual is the cosine of ΔW − ΔW̄, over pairs: near 1, all adapters
	// differ from the average in the same way; near 0 or below, each in its own.
	Residual Range `json:"residual_cosine"`
	// Distance is ‖ΔW − ΔW̄‖ / ‖ΔW̄‖, over adapters.
	Distance Range `json:"distance"`
}

// Range summarises some values.
type Range struct {
	Min  float64 `json:"min"`
	Mean float64 `json:"mean"`
	Max  float64 `json:"max"`
}

// Conditioning measures the spread of adapters that one head made, around its
// average adapter. It needs two adapters or more, of one shape, and an average
// that is not zero.
//
// Inner products are float32 sums: distances below about 1e-3 are rounding.
func Conditioning(average *adapter.Adapter, adapters []*adapter.Adapter) (*Spread, error) {
	if len(adapters) < 2 {
		return nil, fmt.Errorf("%d adapters: want at least 2 to compare", len(adapters))
	}
	gram, err := Gram(append([]*adapter.Adapter{average}, adapters...))
	if err != nil {
		return nil, err
	}
	mean := gram[0][0]
	if mean <= 0 {
		return nil, errors.New("the average adapter has no effect: there is nothing to compare with")
	}
	s := &Spread{Adapters: len(adapters)}
	var cosines, residuals, distances []float64
	residual := func(i, j int) float64 { return gram[i][j] - gram[i][0] - gram[j][0] + mean }
	for i := 1; i < len(gram); i++ {
		distances = append(distances, math.Sqrt(max(residual(i, i), 0)/mean))
		for j := 1; j < i; j++ {
			cosines = append(cosines, cosine(gram[i][j], gram[i][i], gram[j][j]))
			residuals = append(residuals, cosine(residual(i, j), residual(i, i), residual(j, j)))
		}
	}
	s.Cosine, s.Residual, s.Distance = rangeOf(cosines), rangeOf(residuals), rangeOf(distances)
	return s, nil
}

// cosine returns xy/√(xx·yy), and 0 if one of the vectors is zero.
func cosine(xy, xx, yy float64) float64 {
	if xx <= 0 || yy <= 0 {
		return 0
	}
	return min(max(xy/(math.Sqrt(xx)*math.Sqrt(yy)), -1), 1)
}

func rangeOf(x []float64) Range {
	r := Range{Min: x[0], Max: x[0]}
	for _, v := range x {
		r.Min, r.Max = min(r.Min, v), max(r.Max, v)
		r.Mean += v / float64(len(x))
	}
	return r
}

// Gram returns the inner products of the updates B·A of N adapters of one shape
// with each other (N,N), without their scale: over all modules, or only those
// given. With the factors of N adapters stacked, S = [A_1; …; A_N] (N·r,in) and T = [B_1 … B_N]
// (out,N·r), the block (i,j) of S Sᵀ ⊙ Tᵀ T sums to ⟨B_i A_i, B_j A_j⟩.
func Gram(as []*adapter.Adapter, modules ...adapter.Module) ([][]float64, error) {
	first, n := as[0], len(as)
	gram := make([][]float64, n)
	layers := 1 // if all layers are the same, one stands for all
	for i, a := range as {
		gram[i] = make([]float64, n)
		if a.Dims != first.Dims || a.Rank != first.Rank || a.Alpha != first.Alpha {
			return nil, fmt.Errorf("adapter %d of %d differs from the first in base, rank or alpha", i+1, n)
		}
		if !a.Shared() {
			layers = len(first.Layers)
		}
	}
	for l := range layers {
		for m := range adapter.NumModules {
			if len(modules) > 0 && !slices.Contains(modules, m) {
				continue
			}
			if err := addGram(gram, as, l, m); err != nil {
				return nil, err
			}
		}
	}
	return gram, nil
}

// addGram adds the inner products at one linear layer.
func addGram(gram [][]float64, as []*adapter.Adapter, l int, m adapter.Module) error {
	shape, r, n := as[0].Dims.Modules[m], as[0].Rank, len(as)
	if as[0].Layers[l][m] == nil {
		return nil
	}
	s, t := make([]float32, n*r*shape.In), make([]float32, shape.Out*n*r)
	for i, a := range as {
		p := a.Layers[l][m]
		if p == nil {
			return fmt.Errorf("adapter %d of %d does not adapt layer %d %s, and the first does", i+1, n, l, m)
		}
		copy(s[i*r*shape.In:], p.A)
		for o := range shape.Out {
			copy(t[(o*n+i)*r:], p.B[o*r:][:r])
		}
	}
	ss, tt := make([]float32, n*r*n*r), make([]float32, n*r*n*r)
	gemm(false, true, n*r, n*r, shape.In, s, s, 0, ss)
	gemm(true, false, n*r, n*r, shape.Out, t, t, 0, tt)
	for i := range n * r {
		for j := range n * r {
			gram[i/r][j/r] += float64(ss[i*n*r+j]) * float64(tt[i*n*r+j])
		}
	}
	return nil
}
