package tune

import (
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/hypernet"
)

// factors is an adapter that is being fitted: the parameters are those of its
// factors that are free.
type factors struct {
	adapter *adapter.Adapter
	params  []*hypernet.Param
	places  []place // of each parameter
}

// place says which factor of an adapter a parameter is.
type place struct {
	layer  int
	module adapter.Module
	a      bool // A, else B
}

// newFactors returns an adapter that changes nothing yet. Its random values
// depend on the seed and the place alone.
func newFactors(o *Options, d adapter.Dims, hidden int) (*factors, error) {
	modules, err := o.modules()
	if err != nil {
		return nil, err
	}
	if o.Layers > d.NumHiddenLayers {
		return nil, fmt.Errorf("layers %d: the base has %d", o.Layers, d.NumHiddenLayers)
	}
	first := 0
	if o.Layers > 0 {
		first = d.NumHiddenLayers - o.Layers
	}
	f := &factors{adapter: &adapter.Adapter{Dims: d, Rank: o.Rank, Alpha: o.Alpha,
		Layers: make([][adapter.NumModules]*adapter.Pair, d.NumHiddenLayers)}}
	if o.Method == Full {
		// alpha/rank = 1: the update is the product as it is.
		f.adapter.Rank, f.adapter.Alpha = hidden, float64(hidden)
	} else if o.Alpha == 0 {
		f.adapter.Alpha = 2 * float64(o.Rank)
	}
	var one []float32 // the identity, the same for all: nobody writes to it
	if o.Method == Full {
		one = identity(hidden)
	}
	for l := first; l < d.NumHiddenLayers; l++ {
		for _, m := range modules {
			if err := f.add(l, m, one, o.Seed); err != nil {
				return nil, err
			}
		}
	}
	return f, nil
}

// add adds the pair of one linear layer; with the identity one of (D,D), all its
// weights are free.
//
//	in = D:   A = 1, B = ΔW (out,D)
//	out = D:  B = 1, A = ΔW (D,in)
func (f *factors) add(l int, m adapter.Module, one []float32, seed uint64) error {
	s, r := f.adapter.Dims.Modules[m], f.adapter.Rank
	p := &adapter.Pair{}
	f.adapter.Layers[l][m] = p
	name := fmt.Sprintf("layers.%d.%s.lora_", l, m)
	switch {
	case one == nil:
		p.A, p.B = make([]float32, r*s.In), make([]float32, s.Out*r)
		f.free(name+"A", p.A, []int{r, s.In}, place{l, m, true})
		f.free(name+"B", p.B, []int{s.Out, r}, place{l, m, false})
		// As in PyTorch: uniform with bound 1/√in for A, zero for B.
		h := fnv.New64a()
		h.Write([]byte(name)) // never fails
		rng, bound := rand.New(rand.NewPCG(seed, h.Sum64())), 1/math.Sqrt(float64(s.In))
		for i := range p.A {
			p.A[i] = float32((2*rng.Float64() - 1) * bound)
		}
	case s.In == r:
		p.A, p.B = one, make([]float32, s.Out*r)
		f.free(name+"B", p.B, []int{s.Out, r}, place{l, m, false})
	case s.Out == r:
		p.A, p.B = make([]float32, r*s.In), one
		f.free(name+"A", p.A, []int{r, s.In}, place{l, m, true})
	default:
		return fmt.Errorf("method %s: %s maps %d to %d values, and neither is the hidden size %d: leave it out of modules", Full, m, s.In, s.Out, r)
	}
	return nil
}

func (f *factors) free(name string, values []float32, shape []int, at place) {
	f.params = append(f.params, &hypernet.Param{Name: name, Shape: shape, Value: values, Grad: make([]float32, len(values)), Decay: true})
	f.places = append(f.places, at)
}

// begin takes the values of an adapter that has the rank and the alpha of f, and
// at least its layers and modules.
func (f *factors) begin(from *adapter.Adapter) error {
	if from.Rank != f.adapter.Rank || from.Alpha != f.adapter.Alpha {
		return fmt.Errorf("begin: the adapter has rank %d and alpha %g, and the fit %d and %g: they must be equal", from.Rank, from.Alpha,
			f.adapter.Rank, f.adapter.Alpha)
	}
	for i, p := range f.params {
		at := f.places[i]
		pair := from.Layers[at.layer][at.module]
		if pair == nil {
			return fmt.Errorf("begin: the adapter has nothing for %s of layer %d, which is fitted", at.module, at.layer)
		}
		values := pair.B
		if at.a {
			values = pair.A
		}
		copy(p.Value, values)
	}
	n := 0
	for l := range from.Layers {
		for m := range from.Layers[l] {
			if from.Layers[l][m] != nil && f.adapter.Layers[l][m] == nil {
				n++
			}
		}
	}
	if n > 0 {
		return fmt.Errorf("begin: the adapter has %d layers and modules that are not fitted: fit these too", n)
	}
	return nil
}

// addGradient adds the gradient of an adapter to that of the parameters.
func (f *factors) addGradient(g *adapter.Adapter) {
	for i, p := range f.params {
		at := f.places[i]
		from := g.Layers[at.layer][at.module].B
		if at.a {
			from = g.Layers[at.layer][at.module].A
		}
		for j, v := range from {
			p.Grad[j] += v
		}
	}
}

// numParameters counts the free values.
func (f *factors) numParameters() (n int) {
	for _, p := range f.params {
		n += len(p.Value)
	}
	return n
}

func identity(n int) []float32 {
	one := make([]float32, n*n)
	for i := range n {
		one[i*n+i] = 1
	}
	return one
}
