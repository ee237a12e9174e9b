package model

import (
	"fmt"
	"iter"

	"github.com/code2lora/code2lora/internal/kernel"
	"github.com/code2lora/code2lora/internal/memory"
)

// matrices yields all frozen matrices, the output matrix first.
func (m *Model) matrices() iter.Seq[*kernel.Frozen] {
	return func(yield func(*kernel.Frozen) bool) {
		if !yield(m.output) {
			return
		}
		for l := range m.layers {
			for _, f := range m.layers[l].linear {
				if !yield(f) {
					return
				}
			}
		}
	}
}

// packingBytes returns the memory for packings that do not exist yet, for
// passes over the given number of rows, of which some have labels.
func (m *Model) packingBytes(p kernel.Precision, rows, labels int, backward bool) (n int64) {
	for f := range m.matrices() {
		T := rows
		if f == m.output {
			T = labels
		}
		n += f.PackingBytes(p, T, false)
		if backward {
			n += f.PackingBytes(p, T, true)
		}
	}
	return n
}

// manyRows is a number of rows whose product uses the packing that
// [kernel.Frozen.Prepare] makes.
const manyRows = 1 << 10

// needWeights returns an error if there is too little memory for the packings
// of the weights, which are not made yet, and the table of rotation angles.
func (m *Model) needWeights() error {
	now := kernel.CurrentPrecision()
	bytes := m.packingBytes(now, manyRows, manyRows, false)
	remedy := "close other programs, or take a smaller base"
	if now != kernel.Int8 && m.packingBytes(kernel.Int8, manyRows, manyRows, false) < bytes {
		remedy = "use --precision int8 (or CODE2LORA_PRECISION=int8), " + remedy
	}
	angles := int64(min(m.MaxPositionEmbeddings, maxTabulated)) * int64(m.HeadDim) * 4
	return memory.Need("loading the weights", bytes+angles, remedy)
}

// needBlocks returns an error if there is too little memory for the packings that
// a forward pass over T rows through the first blocks has yet to make.
func (m *Model) needBlocks(blocks, T int) error {
	var bytes, codes int64
	for l := range blocks {
		for _, f := range m.layers[l].linear {
			bytes += f.PackingBytes(kernel.CurrentPrecision(), T, false)
			codes += f.PackingBytes(kernel.Int8, T, false)
		}
	}
	if bytes == 0 { // they are there
		return nil
	}
	remedy := "close other programs, or take a smaller base"
	if codes < bytes {
		remedy = "use --precision int8 (or CODE2LORA_PRECISION=int8), " + remedy
	}
	return memory.Need(fmt.Sprintf("loading the weights of %d blocks", blocks), bytes, remedy)
}

// NeedContext returns an error if there is too little memory for a sequence of
// the given number of tokens, counted from an empty [Cache], of which at most
// rows tokens are added at a time with adapters of the given rank.
func (m *Model) NeedContext(tokens, rows, rank int) error {
	context, packings := m.contextBytes(tokens, rows, rank)
	what := fmt.Sprintf("a context of %d tokens", tokens)
	remedy := "shorten the prompt, generate fewer tokens, or close other programs"
	if packings > context {
		what += fmt.Sprintf(", and decoding in float32 besides %v,", kernel.CurrentPrecision())
		remedy = "use --precision float32 or int8, or close other programs"
	}
	return memory.Need(what, context+packings, remedy)
}

// contextBytes returns the memory for a context, and that for packings that its
// passes will make: a prompt and the single tokens after it may need different
// ones.
func (m *Model) contextBytes(tokens, rows, rank int) (context, packings int64) {
	p := kernel.CurrentPrecision()
	packings = m.packingBytes(p, 1, 1, false)
	if p == kernel.BFloat16 {
		packings += m.packingBytes(p, manyRows, 1, false)
	}
	scores := 5 * int64(kernel.Threads()) * int64(m.cached().Scratch(rows, tokens)) // see Workspace.needScratch
	const small = 1 << 18                                                           // what allocations are rounded up by
	return m.CacheBytes(tokens) + m.workspaceBytes(rows, rank) + scores + small, packings
}

// workspaceBytes returns the memory of a [Workspace] for passes of T rows that
// ask for the logits of one.
func (m *Model) workspaceBytes(T, rank int) int64 {
	D, F := int64(m.HiddenSize), int64(m.IntermediateSize)
	wq, wkv := int64(m.NumAttentionHeads*m.HeadDim), int64(m.NumKeyValueHeads*m.HeadDim)
	row := 2*D + 3*F + 2*(wq+wkv) + int64(m.NumAttentionHeads) + 1 + 3*int64(rank)
	return 4 * (int64(T)*row + D + int64(m.VocabSize))
}

// GradientBytes returns how much memory [Model.Gradient] takes beyond the
// loaded model, for a batch of the given number of tokens and labels with
// adapters of the given rank: activations, and packings of the weights that do
// not exist yet in precision p. It runs fastest with most, and can do with
// least, for which it computes almost all layers twice.
func (m *Model) GradientBytes(p kernel.Precision, tokens, labels, rank int) (most, least int64) {
	packings, L := m.packingBytes(p, tokens, labels, true), m.NumHiddenLayers
	f := m.footprint(tokens, labels, rank, true)
	return packings + m.arenaBytes(f.total(L, L), tokens), packings + m.arenaBytes(f.total(L, 1), tokens)
}

// arenaBytes bounds what the arena of a pass over T rows takes for the given
// number of values.
func (m *Model) arenaBytes(floats int64, T int) int64 {
	return arenaBytes(floats, int64(T)*int64(max(m.HiddenSize, m.IntermediateSize)))
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
