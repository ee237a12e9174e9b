package model

import "github.com/code2lora/code2lora/internal/adapter"

// Label asks for the negative log-likelihood of one token: the logits at
// position Pos of a sequence (which have seen Tokens[0..Pos]) are scored
// against Target.
type Label struct {
	Pos    int
	Target int32
	Weight float32 // factor of this label in the loss; 0 scores without training
}

// Sequence is one packed sequence. Tasks that share a prefix (assertions of
// one file) are labels of one sequence.
//
// Sequences of one adapter that begin with the same tokens share the work on
// them without being asked. A caller that knows its tree
// can say so with Prefix: then each token is there once.
type Sequence struct {
	Tokens  []int32
	Labels  []Label // in any order; a position may have several
	Adapter int     // index into Batch.Adapters; -1 for the bare base
	// Prefix, if above 0, is 1 + the index of an earlier sequence of the batch
	// that Tokens continue: what comes before Tokens[0] is that sequence, with
	// its own prefix, up to its first PrefixLen own tokens, or all of them if
	// PrefixLen is 0. Both must have the same Adapter. Positions in Labels count
	// from Tokens[0].
	Prefix, PrefixLen int
	// Hidden, if not nil, has the hidden states (len(Tokens),D) that enter layer
	// Batch.From, one row for each token. See [Model.Hidden].
	Hidden []float32
}

// Batch is one request to the expensive pure function of this project:
// (base, adapters, batch) → (loss, gradient of the adapters). It holds plain
// data and can be sent to another process.
type Batch struct {
	Sequences []Sequence
	Adapters  []*adapter.Adapter
	// From is the layer in which the pass begins. Above 0, every sequence must
	// have Hidden, and no adapter may touch a layer below: then what the layers
	// below compute is the same for all adapters, and needs computing once.
	From int
}

// numLabels counts the labels of all sequences.
func (b Batch) numLabels() (n int) {
	for _, s := range b.Sequences {
		n += len(s.Labels)
	}
	return n
}

// Result answers a [Batch].
type Result struct {
	// Loss is the sum over labels of Weight · NLL.
	Loss float64
	// NLL has one slice per sequence: the negative log-likelihood in nats of
	// each label, in order.
	NLL [][]float32
	// Argmax has the most likely token at each label, in the same order.
	Argmax [][]int32
	// Grads has one gradient for each adapter of the batch, or is nil when
	// only scores were asked for.
	Grads []*adapter.Adapter
	// Activations has, for each layer asked for, the gradient of the hidden
	// state that enters it: (T,D), the rows of all sequences' own tokens in
	// order.
	Activations map[int][]float32
}
