package model

import (
	"context"
	"fmt"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/nn"
)

// Cache holds the keys and values of one sequence for decoding. Its contents
// depend on the adapter, so a cache belongs to one.
type Cache struct {
	m       *Model
	adapter *adapter.Adapter
	n       int         // rows held
	k, v    [][]float32 // per layer (capacity, Hkv·hd)
}

// NewCache returns an empty cache for a sequence that uses adapter a, which
// may be nil.
func (m *Model) NewCache(a *adapter.Adapter) (*Cache, error) {
	if err := m.checkAdapter(a); err != nil {
		return nil, err
	}
	return &Cache{m: m, adapter: a, k: make([][]float32, m.NumHiddenLayers), v: make([][]float32, m.NumHiddenLayers)}, nil
}

// Len returns the number of tokens whose keys and values are held.
func (c *Cache) Len() int { return c.n }

// Truncate forgets all but the first n tokens.
func (c *Cache) Truncate(n int) { c.n = min(c.n, max(0, n)) }

// put stores the keys and values of new rows behind those of layer l, and
// returns all of them. The rows count once the pass has ended.
func (c *Cache) put(l int, k, v []float32) (ks, vs []float32) {
	at := c.n * c.m.NumKeyValueHeads * c.m.HeadDim
	c.k[l] = append(c.k[l][:at], k...)
	c.v[l] = append(c.v[l][:at], v...)
	return c.k[l], c.v[l]
}

// Extension asks to append tokens to the sequence of a cache.
type Extension struct {
	Cache  *Cache
	Tokens []int32 // at least one
}

// Extend appends tokens to several sequences, in one pass over the weights,
// and returns for each the logits (V) that follow its last token. Sequences
// may use different adapters. On error the caches are as before. A cache must
// not be used by two calls at once.
func (m *Model) Extend(ctx context.Context, exts []Extension) ([][]float32, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if len(exts) == 0 {
		return nil, nil
	}
	segs := make([]segment, len(exts))
	var tokens []int32
	seen := map[*Cache]bool{}
	for i, e := range exts {
		switch {
		case e.Cache == nil || e.Cache.m != m:
			return nil, fmt.Errorf("extension %d: its cache was made for another model", i)
		case seen[e.Cache]:
			return nil, fmt.Errorf("extension %d: its cache is used twice in one call", i)
		case len(e.Tokens) == 0:
			return nil, fmt.Errorf("extension %d has no tokens", i)
		}
		if err := m.checkTokens(e.Tokens, e.Cache.n); err != nil {
			return nil, fmt.Errorf("extension %d: %w", i, err)
		}
		seen[e.Cache] = true
		segs[i] = segment{n: len(e.Tokens), adapter: e.Cache.adapter, cache: e.Cache}
		tokens = append(tokens, e.Tokens...)
	}
	p := newPass(m, segs)
	defer p.free()
	p.embedTokens(tokens)
	if err := p.run(ctx, 0, m.NumHiddenLayers); err != nil {
		return nil, err
	}
	D, V, n := m.HiddenSize, m.VocabSize, len(segs)
	x, rstd, logits := p.mem.floats(n*D), p.mem.floats(n), make([]float32, n*V)
	for i, s := range p.segs {
		copy(x[i*D:][:D], p.x[(s.at+s.n-1)*D:][:D])
	}
	nn.RMSNormForward(x, rstd, x, m.outputNorm, n, D, float32(m.RMSNormEps))
	m.output.Forward(logits, x, n)
	rows := make([][]float32, n)
	for i := range rows {
		rows[i] = logits[i*V:][:V:V]
		exts[i].Cache.n += len(exts[i].Tokens)
	}
	return rows, nil
}

// Hidden returns the hidden states of several sequences after the given number
// of blocks (0: the embeddings; NumHiddenLayers: what the final norm reads):
// one slice (tokens, D) per sequence. It runs no further than asked, and
// computes common prefixes once. They are, bit for bit, what sequences without
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
