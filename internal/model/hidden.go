package model

import (
	"context"
	"fmt"
)

// Hidden returns the hidden states of several sequences after the given number
// of blocks (0: the embeddings; NumHiddenLayers: what the final norm reads):
// one slice (tokens, D) per sequence. It runs no further than asked, and
// computes common prefixes once; weights that aren't packed yet are, if there is
// memory for them. They are, bit for bit, what sequences without
// an adapter have at that place in [Model.Score] and [Model.Gradient], so they
// may stand in for it, see [Sequence]; only in precision bfloat16 there are
// other bits in a batch of less than eight tokens.
func (m *Model) Hidden(ctx context.Context, sequences [][]int32, blocks int) ([][]float32, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if blocks < 0 || blocks > m.NumHiddenLayers {
		return nil, fmt.Errorf("hidden states after %d blocks: the model has %d", blocks, m.NumHiddenLayers)
	}
	if len(sequences) == 0 {
		return nil, nil
	}
	b := Batch{Sequences: make([]Sequence, len(sequences))}
	for i, tokens := range sequences {
		if len(tokens) == 0 {
			return nil, fmt.Errorf("sequence %d has no tokens", i)
		}
		if err := m.checkTokens(tokens, 0); err != nil {
			return nil, fmt.Errorf("sequence %d: %w", i, err)
		}
		b.Sequences[i] = Sequence{Tokens: tokens, Adapter: -1}
	}
	y := newLayout(b, true, true)
	if err := m.needBlocks(blocks, y.T); err != nil {
		return nil, err
	}
	p := newTreePass(m, b, y, nil)
	defer p.free()
	if err := p.run(ctx, 0, blocks); err != nil {
		return nil, err
	}
	out := make([][]float32, len(sequences))
	for i := range out {
		out[i] = y.ownRows(nil, i, len(sequences[i]), p.x, m.HiddenSize)
	}
	return out, nil
}
