// Package embedding holds what an encoder makes of a repository and a
// hypernetwork reads: a [Representation].
//
// The direct head reads one vector under the name [Repository]. A generator
// that solves for low-rank weights reads statistics summed over all tokens
// instead, such as one (D,D) second-moment matrix per layer; they travel as
// further named tensors, so that no caller between an encoder and a generator
// has to know which of them are in use.
package embedding

import (
	"fmt"
	"math"
)

// Repository is the name of the pooled repository vector: the mean over files
// followed by the maximum over files (arXiv 2606.06492 §3.1; recipe B of the
// authors' code), not normalised.
const Repository = "repository"

// Lexicon is the name of a direction (D) of the base model's residual stream:
// the one that raises the logits of the tokens that a repository uses.
const Lexicon = "lexicon"

// Second is the name of the second moments of file vectors, the mean of xxᵀ
// (d,d): which of their dimensions vary together.
const Second = "second"

// Cross is the name of the cross moments of file vectors x with k random
// projections of them, the mean of x(Rx)ᵀ (d,k). It is a sketch of [Second] that
// has its range, up to what k directions can hold (Halko, Martinsson and Tropp,
// Finding structure with randomness, SIAM Review 53, 2011, §4).
const Cross = "cross"

// Description is the name of the vector of a text about a repository, such as
// the beginning of its README.
const Description = "description"

// Tensor is a dense row-major float32 tensor.
type Tensor struct {
	Shape []int
	Data  []float32
}

// Representation is one repository at one commit, as an encoder sees it.
type Representation struct {
	Encoder string // id of the encoder and of all its options that change the result
	Input   string // digest over (path, blob id) of what was read
	Files   int    // files read
	LeftOut int    // files that the encoder's limits left out
	Tokens  int    // tokens read
	Tensors map[string]Tensor
}

// Vector returns the named tensor, which must have the given length and
// finite, not all zero values: a zero vector is what a failed encoding looks
// like, and a hypernetwork would silently accept it.
func (r *Representation) Vector(name string, length int) ([]float32, error) {
	t, ok := r.Tensors[name]
	if !ok {
		return nil, fmt.Errorf("representation by encoder %q has no tensor %q", r.Encoder, name)
	}
	if len(t.Data) != length {
		return nil, fmt.Errorf("tensor %q of encoder %q has %d values, want %d", name, r.Encoder, len(t.Data), length)
	}
	zero := true
	for i, v := range t.Data {
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			return nil, fmt.Errorf("tensor %q of encoder %q: value %d is not finite", name, r.Encoder, i)
		}
		zero = zero && v == 0
	}
	if zero {
		return nil, fmt.Errorf("tensor %q of encoder %q is all zero: nothing was encoded", name, r.Encoder)
	}
	return t.Data, nil
}
