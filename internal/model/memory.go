package model

import (
	"fmt"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/kernel"
	"github.com/code2lora/code2lora/internal/memory"
)

// packings has, for each precision, how many bytes the packings of a weight
// take: made by [Load], and at first use of the forward and of the backward
// direction.
var packings = map[kernel.Precision]struct{ load, forward, backward int64 }{
	kernel.Float32:  {4, 0, 4},
	kernel.BFloat16: {4, 2, 2}, // products of few rows stay in float32
}

// numWeights returns the number of weights in frozen matrices, with the rows
// that packing adds.
func (c *Config) numWeights() int64 {
	const panel = 16 // rows, see kernel.Frozen
	size := func(rows, cols int) int64 { return int64((rows+panel-1)/panel*panel) * int64(cols) }
	var block int64
	for _, s := range c.Dims().Modules {
		block += size(s.Out, s.In)
	}
	return int64(c.NumHiddenLayers)*block + size(c.VocabSize, c.HiddenSize)
}

// needWeights returns an error if there is too little memory to load a model of
// this configuration.
func (c *Config) needWeights() error {
	bytes := func(p kernel.Precision) int64 { return c.numWeights() * (packings[p].load + packings[p].forward) }
	now := kernel.CurrentPrecision()
	remedy := "close other programs, or take a smaller base"
	for p := range packings {
		if bytes(p) < bytes(now) {
			remedy = fmt.Sprintf("use precision %s, %s", p, remedy)
		}
	}
	table := int64(min(c.MaxPositionEmbeddings, maxTabulated)) * int64(c.HeadDim) * 4 // of rotation angles
	return memory.Need("loading the weights", bytes(now)+table, remedy)
}

// NeedContext returns an error if there is too little memory for a sequence of
// the given number of tokens, counted from an empty [Cache], of which at most
// prompt tokens are added at a time with adapters of the given rank.
func (m *Model) NeedContext(tokens, prompt, rank int) error {
	cache := 2 * int64(m.NumHiddenLayers) * int64(m.NumKeyValueHeads) * int64(m.HeadDim) * 4 * int64(tokens)
	cache += cache / 4 // slices grow in steps of up to a quarter
	return memory.Need(fmt.Sprintf("a context of %d tokens", tokens), cache+m.passBytes(prompt, 1, rank, false),
		"shorten the prompt, generate fewer tokens, or close other programs")
}

// GradientBytes returns how much memory [Model.Gradient] takes beyond the
// loaded model, for a batch of the given number of tokens and labels with
// adapters of the given rank: activations of all layers, and the packings of
// the weights that a precision needs.
func (m *Model) GradientBytes(p kernel.Precision, tokens, labels, rank int) int64 {
	pack := packings[p]
	return m.numWeights()*(pack.forward+pack.backward) + m.passBytes(tokens, labels, rank, true)
}

// passBytes returns the memory that a pass over T rows takes from its arena,
// with a backward pass after it or not.
func (m *Model) passBytes(T, labels, rank int, backward bool) int64 {
	D, F, wide := int64(m.HiddenSize), int64(m.IntermediateSize), int64(max(m.HiddenSize, m.IntermediateSize))
	wq, wkv := int64(m.NumAttentionHeads*m.HeadDim), int64(m.NumKeyValueHeads*m.HeadDim)
	heads := int64(m.NumAttentionHeads + m.NumKeyValueHeads)
	buffers := 2*(wq+wkv+F) + 2 + heads              // see newBuffers
	layer := int64(adapter.NumModules) * int64(rank) // see lora
	if m.arch.qkNorm {
		layer += heads
	}
	row := D + wide + buffers // x and what all layers share
	if backward {
		layer += buffers + 2*D // x and xMid
		if m.arch.qkNorm {
			layer += 2 * (wq + wkv) // raw values, and their gradients
		}
		row += D + wide + buffers + D + F // dx and the gradients of one layer
	}
	chunk := int64(min(labels, max(1, logitsAtOnce/m.VocabSize)))
	floats := int64(T)*(row+int64(m.NumHiddenLayers)*layer) + chunk*(4*D+1+int64(m.VocabSize))
	return arenaBytes(floats, int64(T)*wide)
}

// arenaBytes bounds what an arena takes for slices of the given number of
// values in all, none of which is longer than longest: the end of a chunk that
// is too short for a slice stays unused.
func arenaBytes(floats, longest int64) int64 {
	if longest < chunkSize {
		floats += floats / (chunkSize - longest + 1) * longest / 2
	}
	return 4 * (floats + chunkSize)
}
