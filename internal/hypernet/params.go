package hypernet

import (
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"slices"
)

// paramSet is the ordered list of a head's parameters. Adding a parameter only
// records its shape; alloc makes the memory, so that the layout of a file can
// be compared with what the file really contains first.
type paramSet struct {
	list []*Param
}

// add records a parameter. No dimensions make a scalar.
func (ps *paramSet) add(name string, decay bool, shape ...int) *Param {
	if shape == nil {
		shape = []int{}
	}
	p := &Param{Name: name, Shape: shape, Decay: decay}
	ps.list = append(ps.list, p)
	return p
}

// Params lists the trainable tensors in a fixed order.
func (ps *paramSet) Params() []*Param { return ps.list }

// alloc makes values and gradients of all parameters, all zero.
func (ps *paramSet) alloc() {
	for _, p := range ps.list {
		p.Value = make([]float32, numElements(p.Shape))
		p.Grad = make([]float32, len(p.Value))
	}
}

// allocGrads makes the gradients of parameters that were read from a file.
func (ps *paramSet) allocGrads() {
	for _, p := range ps.list {
		if p.Grad == nil {
			p.Grad = make([]float32, len(p.Value))
		}
	}
}

// ready reports whether the parameters have values.
func (ps *paramSet) ready() error {
	for _, p := range ps.list {
		if p.Value == nil {
			return fmt.Errorf("parameter %q has no value: initialise the head or read its tensors", p.Name)
		}
	}
	return nil
}

// NumParameters counts the trainable values of a generator. It works before
// the parameters are allocated.
func NumParameters(g Generator) int {
	n := 0
	for _, p := range g.Params() {
		n += numElements(p.Shape)
	}
	return n
}

// numElements is the product of the dimensions, math.MaxInt if that is too
// large, and 1 for a scalar.
func numElements(shape []int) int {
	n := 1
	for _, d := range shape {
		if d < 0 || (d > 0 && n > math.MaxInt/d) {
			return math.MaxInt
		}
		n *= d
	}
	return n
}

func sameShape(a, b []int) bool { return slices.Equal(a, b) }

// paramRand returns the generator of one parameter's initial values. Each
// parameter has its own stream, so that an option which adds one does not
// change the others.
func paramRand(seed uint64, name string) *rand.Rand {
	h := fnv.New64a()
	h.Write([]byte(name)) // never fails
	return rand.New(rand.NewPCG(seed, h.Sum64()))
}

// InitUniform sets p to U(-1/√fanIn, 1/√fanIn): PyTorch's default for a linear
// layer and for its bias, kaiming-uniform with a = √5. The values depend on the
// seed and on the name of p only.
func InitUniform(p *Param, seed uint64, fanIn int) {
	rng, bound := paramRand(seed, p.Name), 1/math.Sqrt(float64(fanIn))
	for i := range p.Value {
		p.Value[i] = float32((2*rng.Float64() - 1) * bound)
	}
}
