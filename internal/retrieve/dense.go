package retrieve

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"

	"github.com/code2lora/code2lora/internal/encoder"
	"github.com/code2lora/code2lora/internal/lru"
	"github.com/code2lora/code2lora/internal/model"
	"github.com/code2lora/code2lora/internal/tokenizer"
)

// Embedder turns texts into vectors. Its methods may be called concurrently.
type Embedder interface {
	// Name says which it is, with everything that changes its vectors.
	Name() string
	// Embed returns a vector for each text, all of one length, at least 1.
	Embed(ctx context.Context, texts []string) ([][]float32, error)
}

// Hidden is an [Embedder] that asks the frozen base model itself: the mean of the
// hidden states of a text's first tokens.
type Hidden struct {
	model     *model.Model
	tokenizer *tokenizer.Tokenizer
	options   HiddenOptions
}

// HiddenOptions choose hidden states.
type HiddenOptions struct {
	Base  string // digest of the model's weights; for the name
	Layer int    // blocks that the states have passed; 0: half of them
	// Tokens is how much of a text is read, from its beginning as in the paper's
	// code; 0: 512. A query is shorter: see [RetrievalOptions].QueryChars.
	Tokens int
}

// NewHidden returns an embedder.
func NewHidden(m *model.Model, t *tokenizer.Tokenizer, o HiddenOptions) (*Hidden, error) {
	if o.Layer == 0 {
		o.Layer = (m.NumHiddenLayers + 1) / 2
	}
	if o.Tokens == 0 {
		o.Tokens = min(512, m.MaxContext())
	}
	if o.Layer < 0 || o.Layer > m.NumHiddenLayers {
		return nil, fmt.Errorf("embedding by hidden states: layer %d, but the base has %d", o.Layer, m.NumHiddenLayers)
	}
	if o.Tokens < 1 || o.Tokens > m.MaxContext() {
		return nil, fmt.Errorf("embedding by hidden states: %d tokens of a text, want 1 to %d", o.Tokens, m.MaxContext())
	}
	return &Hidden{m, t, o}, nil
}

// Name implements [Embedder].
func (h *Hidden) Name() string {
	return fmt.Sprintf("hidden/1 base=%s layer=%d tokens=%d", h.options.Base, h.options.Layer, h.options.Tokens)
}

// passTokens is the number of tokens in one pass over the weights.
const passTokens = 2048

// Embed implements [Embedder]. A text without tokens has a vector of zeros.
func (h *Hidden) Embed(ctx context.Context, texts []string) ([][]float32, error) {
	vectors := make([][]float32, len(texts))
	var batch [][]int32
	var at []int
	rows := 0
	flush := func() error {
		if len(batch) == 0 {
			return nil
		}
		states, err := h.model.Hidden(ctx, batch, h.options.Layer)
		if err != nil {
			return err
		}
		for i, ids := range batch {
			vectors[at[i]] = mean(states[i], len(ids), h.model.HiddenSize)
		}
		batch, at, rows = batch[:0], at[:0], 0
		return nil
	}
	for i, text := range texts {
		ids := h.tokenizer.Encode(text)
		ids = ids[:min(len(ids), h.options.Tokens)]
		if len(ids) == 0 {
			vectors[i] = make([]float32, h.model.HiddenSize)
			continue
		}
		if rows+len(ids) > passTokens {
			if err := flush(); err != nil {
				return nil, err
			}
		}
		batch, at, rows = append(batch, ids), append(at, i), rows+len(ids)
	}
	return vectors, flush()
}

// mean returns the mean of the n rows of states (n,d).
func mean(states []float32, n, d int) []float32 {
	sum := make([]float64, d)
	for t := range n {
		for j, x := range states[t*d:][:d] {
			sum[j] += float64(x)
		}
	}
	v := make([]float32, d)
	for j, s := range sum {
		v[j] = float32(s / float64(n))
	}
	return v
}

// vectorCache keeps vectors by text: that of a chunk is a blob's part with its
// path, so a new commit costs the files that it changed.
type vectorCache struct {
	embedder Embedder
	kept     *lru.Cache[string, []float32]
	disk     encoder.Cache // or nil
}

// vectorBytes bounds the vectors in memory.
const vectorBytes = 256 << 20

func newVectorCache(e Embedder, disk encoder.Cache) *vectorCache {
	return &vectorCache{e, lru.New[string, []float32](vectorBytes), disk}
}

// vectors returns a vector of length 1 for each text.
func (c *vectorCache) vectors(ctx context.Context, texts []string) ([][]float32, error) {
	vectors := make([][]float32, len(texts))
	keys := make([]string, len(texts))
	var missing []string
	var at []int
	for i, text := range texts {
		sum := sha256.Sum256([]byte(text))
		keys[i] = "chunk-vector " + c.embedder.Name() + " " + hex.EncodeToString(sum[:])
		v, err := c.get(keys[i])
		if err != nil {
			return nil, err
		}
		if vectors[i] = v; v == nil {
			missing, at = append(missing, text), append(at, i)
		}
	}
	if len(missing) == 0 {
		return vectors, nil
	}
	made, err := c.embedder.Embed(ctx, missing)
	if err != nil {
		return nil, fmt.Errorf("embedding %d texts: %w", len(missing), err)
	}
	if len(made) != len(missing) {
		return nil, fmt.Errorf("embedding %d texts: %s gave %d vectors", len(missing), c.embedder.Name(), len(made))
	}
	for j, v := range made {
		if len(v) == 0 || len(v) != len(made[0]) {
			return nil, fmt.Errorf("embedding %d texts: %s gave vectors of lengths %d and %d", len(missing), c.embedder.Name(), len(made[0]), len(v))
		}
		v = unitLength(v)
		vectors[at[j]] = v
		if err := c.put(keys[at[j]], v); err != nil {
			return nil, err
		}
	}
	return vectors, nil
}

func (c *vectorCache) get(key string) ([]float32, error) {
	if v, ok := c.kept.Get(key); ok {
		return v, nil
	}
	if c.disk == nil {
		return nil, nil
	}
	data, ok, err := c.disk.Get(key)
	if err != nil || !ok || len(data) == 0 || len(data)%4 != 0 {
		return nil, err
	}
	v := make([]float32, len(data)/4)
	for i := range v {
		v[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
	}
	c.kept.Put(key, v, int64(len(data)+200))
	return v, nil
}

func (c *vectorCache) put(key string, v []float32) error {
	c.kept.Put(key, v, int64(4*len(v)+200))
	if c.disk == nil {
		return nil
	}
	var data []byte
	for _, x := range v {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(x))
	}
	return c.disk.Put(key, data)
}

// unitLength scales a vector to length 1; zeros stay.
func unitLength(v []float32) []float32 {
	var square float64
	for _, x := range v {
		square += float64(x) * float64(x)
	}
	if square == 0 {
		return v
	}
	out := make([]float32, len(v))
	for i, x := range v {
		out[i] = float32(float64(x) / math.Sqrt(square))
	}
	return out
}

// cosines returns the cosine between a query and each of several vectors. With
// center, the mean of the vectors is taken off all of them before: hidden states
// have a large part in common that says nothing about a text.
func cosines(query []float32, vectors [][]float32, center bool) []float64 {
	mu := make([]float64, len(query))
	if center {
		for _, v := range vectors {
			for j, x := range v {
				mu[j] += float64(x) / float64(len(vectors))
			}
		}
	}
	scores := make([]float64, len(vectors))
	for i, v := range vectors {
		var dot, qq, vv float64
		for j, x := range v {
			a, b := float64(query[j])-mu[j], float64(x)-mu[j]
			dot += a * b
			qq += a * a
			vv += b * b
		}
		if qq > 0 && vv > 0 {
			scores[i] = dot / math.Sqrt(qq*vv)
		}
	}
	return scores
}
