// Package hypernet turns the representation of a repository into a LoRA
// adapter: the hypernetwork of arXiv 2606.06492 §3.2, forward and backward.
package hypernet

import (
	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/embedding"
)

// Param is one named trainable tensor with its gradient.
type Param struct {
	Name  string
	Shape []int
	Value []float32
	Grad  []float32 // same length, or nil before the first Backward; added to by it, zeroed by the optimiser
	Decay bool      // whether weight decay applies
}

// Generator makes adapters from repository representations.
//
// Generate may be called for several representations before Backward; each
// call returns its own tape. A generator whose tape is nil cannot be
// differentiated.
type Generator interface {
	// Generate returns the adapter for rep, with Dims, Rank and Alpha set and
	// an empty provenance, and the tape for Backward. It does not modify rep.
	Generate(rep *embedding.Representation) (*adapter.Adapter, Tape, error)
	// Params lists the trainable tensors in a fixed order.
	Params() []*Param
}

// Tape remembers one call of Generate.
type Tape interface {
	// Backward adds the gradient of the generator's parameters, given grad =
	// d(loss)/d(adapter), with the sharing of pairs that Generate produced.
	Backward(grad *adapter.Adapter)
}
