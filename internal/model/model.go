// Package model is the frozen language model: its weights, the forward pass
// with unmerged LoRA adapters, and the backward pass to those adapters.
//
// Everything expensive in this project is one pure function,
//
//	(base, adapters, batch) → (loss, gradient of the adapters)
//
// which is [Model.Gradient] on a [Batch]. [Model.Score] is the same without
// the gradient. Neither keeps state between calls. Decoding keeps a [Cache]
// per sequence and calls [Model.Extend]; encoders read hidden states through
// [Model.Hidden].
//
// All rows of a batch lie one after the other, without padding: sequences of
// different lengths cost what their tokens cost, and less where they have
// tokens in common, since a prefix that several sequences share is computed
// once, forward and backward. Nothing is computed after the last label of a
// sequence, and logits exist only at labels. A pass may begin at the hidden
// states of a layer that the caller kept ([Batch].From), and holds itself to a
// number of bytes if asked ([GradientOptions].Memory). None of that changes a
// score by a bit. Linear layers are packed once (package kernel), when a model is
// loaded or a pass first needs them, and stay frozen; the adapter of a row is
// applied next to them.
//
// The supported architectures are llama, qwen2 and qwen3, read from GGUF
// (interop: llama.cpp's gguf-py/gguf/constants.py).
package model

import (
	"fmt"
	"math/rand/v2"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/kernel"
	"github.com/code2lora/code2lora/internal/nn"
)

// Model is a frozen language model. Its methods may be called concurrently.
type Model struct {
	Config
	arch       arch
	embed      func(dst []float32, token int32) // row of the embedding matrix
	output     *kernel.Frozen                   // (V,D); the embedding matrix when tied
	outputNorm []float32                        // (D)
	layers     []layer
	rope       *nn.RoPE
	close      func() error
}

// layer holds the weights of one decoder block.
type layer struct {
	attnNorm, ffnNorm []float32                          // (D)
	linear            [adapter.NumModules]*kernel.Frozen // (out,in)
	bias              [adapter.NumModules][]float32      // (out) or nil
	qNorm, kNorm      []float32                          // (hd), qwen3 only
}

// matrix is a weight matrix before packing: rows by columns, read row by row.
type matrix struct {
	rows, cols int
	kernel.Source
}

func (m matrix) frozen() *kernel.Frozen { return kernel.NewFrozenFrom(m.rows, m.cols, m.Source) }

// weights is where a model's tensors come from. The names are those of GGUF
// (interop.md §3.2). matrix checks a tensor and allocates nothing of its size;
// vector returns nil for an absent optional tensor.
type weights interface {
	matrix(name string, rows, cols int) (matrix, error)
	vector(name string, n int, required bool) ([]float32, error)
	has(name string) bool
}

// moduleTensor maps module types to GGUF tensor names.
var moduleTensor = [adapter.NumModules]string{
	adapter.QProj: "attn_q", adapter.KProj: "attn_k", adapter.VProj: "attn_v", adapter.OProj: "attn_output",
	adapter.GateProj: "ffn_gate", adapter.UpProj: "ffn_up", adapter.DownProj: "ffn_down",
}

// build assembles a model from its weights.
func build(c Config, w weights) (*Model, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	a, ok := archs[c.ModelType]
	if !ok {
		return nil, fmt.Errorf("architecture %q is not supported: want llama, qwen2 or qwen3", c.ModelType)
	}
	m := &Model{Config: c, arch: a, layers: make([]layer, c.NumHiddenLayers)}
	embed, err := w.matrix("token_embd.weight", c.VocabSize, c.HiddenSize)
	if err != nil {
		return nil, err
	}
	m.embed = func(dst []float32, token int32) { embed.Row(dst, int(token)) }
	out := embed
	m.TieWordEmbeddings = !w.has("output.weight")
	if !m.TieWordEmbeddings {
		if out, err = w.matrix("output.weight", c.VocabSize, c.HiddenSize); err != nil {
			return nil, err
		}
	}
	if m.outputNorm, err = w.vector("output_norm.weight", c.HiddenSize, true); err != nil {
		return nil, err
	}
	factors, err := w.vector("rope_freqs.weight", c.HeadDim/2, false)
	if err != nil {
		return nil, err
	}
	linear := make([][adapter.NumModules]matrix, c.NumHiddenLayers)
	for l := range m.layers {
		if linear[l], err = m.loadLayer(l, w); err != nil {
			return nil, err
		}
	}
	m.output = out.frozen()
	for l := range m.layers {
		for mod := range linear[l] {
			m.layers[l].linear[mod] = linear[l][mod].frozen()
		}
	}
	m.rope = nn.NewRoPE(min(c.MaxPositionEmbeddings, maxTabulated), c.HeadDim, c.RopeTheta, factors)
	return m, nil
}

// Prepare packs all weights for the precision that is set, if there is memory
// for them. It need not be called: passes pack what they need themselves.
func (m *Model) Prepare() error {
	// Every tensor is there in the shape that the configuration gives it, so
	// sizes that the file cannot back have been refused: now memory may be used.
	if err := m.needWeights(); err != nil {
		return err
	}
	for f := range m.matrices() {
		f.Prepare()
	}
	return nil
}

// maxTabulated bounds the context: 32,768 positions of angles take 8 MiB at
// head size 64, which are tabulated as far as sequences reach.
const maxTabulated = 32768

// loadLayer reads the vectors of block l, and returns its matrices unpacked.
func (m *Model) loadLayer(l int, w weights) (linear [adapter.NumModules]matrix, err error) {
	ly, prefix := &m.layers[l], fmt.Sprintf("blk.%d.", l)
	vec := func(name string, n int, required bool) (v []float32) {
		if err == nil {
			v, err = w.vector(prefix+name, n, required)
		}
		return v
	}
	ly.attnNorm = vec("attn_norm.weight", m.HiddenSize, true)
	ly.ffnNorm = vec("ffn_norm.weight", m.HiddenSize, true)
	if m.arch.qkNorm {
		ly.qNorm = vec("attn_q_norm.weight", m.HeadDim, true)
		ly.kNorm = vec("attn_k_norm.weight", m.HeadDim, true)
	}
	heads := [adapter.NumModules]int{adapter.QProj: m.NumAttentionHeads, adapter.KProj: m.NumKeyValueHeads}
	for mod, s := range m.Config.Dims().Modules {
		attn := adapter.Module(mod) <= adapter.VProj
		b := vec(moduleTensor[mod]+".bias", s.Out, m.arch.qkvBias && attn)
		if err != nil {
			return linear, err
		}
		mat, err := w.matrix(prefix+moduleTensor[mod]+".weight", s.Out, s.In)
		if err != nil {
			return linear, err
		}
		if m.arch.permutedQK && heads[mod] > 0 {
			mat, b = unpermute(mat, b, heads[mod])
		}
		linear[mod], ly.bias[mod] = mat, b
	}
	return linear, err
}

// unpermute undoes the row order of q and k in llama GGUF files, so that the
// model computes in the order of the Hugging Face checkpoint:
//
//	hf row k·hd + j·hd/2 + i  =  gguf row k·hd + 2i + j
func unpermute(mat matrix, bias []float32, heads int) (matrix, []float32) {
	hd := mat.rows / heads
	at := func(row int) int {
		k, j, i := row/hd, row%hd/(hd/2), row%(hd/2)
		return k*hd + 2*i + j
	}
	row, stored := mat.Row, mat.Stored
	mat.Row = func(dst []float32, i int) { row(dst, at(i)) }
	if stored != nil {
		mat.Stored = func(i int) []byte { return stored(at(i)) }
	}
	if bias == nil {
		return mat, nil
	}
	b := make([]float32, len(bias))
	for i := range b {
		b[i] = bias[at(i)]
	}
	return mat, b
}

// Close releases the weight file. The model must not be used afterwards.
func (m *Model) Close() error {
	if m.close == nil {
		return nil
	}
	return m.close()
}

// NewRandom returns a model with normally distributed weights, for tests of
// packages that need a model and not a language.
func NewRandom(c Config, seed uint64) (*Model, error) {
	m, err := build(c, randomWeights{rand.New(rand.NewPCG(seed, 0)), !c.TieWordEmbeddings})
	if err != nil {
		return nil, err
	}
	return m, m.Prepare()
}

type randomWeights struct {
	rng    *rand.Rand
	untied bool
}

func (w randomWeights) has(string) bool { return w.untied }

func (w randomWeights) matrix(_ string, rows, cols int) (matrix, error) {
	data := make([]float32, rows*cols)
	for i := range data {
		data[i] = float32(w.rng.NormFloat64() * 0.15)
	}
	row := func(dst []float32, i int) { copy(dst, data[i*cols:][:cols]) }
	return matrix{rows: rows, cols: cols, Source: kernel.Source{Row: row}}, nil
}

func (w randomWeights) vector(name string, n int, required bool) ([]float32, error) {
	if !required {
		return nil, nil
	}
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(1 + 0.1*w.rng.NormFloat64())
	}
	return v, nil
}

// MaxContext returns the longest sequence that the model takes, in tokens.
func (m *Model) MaxContext() int { return m.rope.Positions() }

// OutputRow writes row token of the output matrix (D), which is the embedding
// matrix of a tied model: the logit of the token is its product with the final
// normalised hidden state.
func (m *Model) OutputRow(dst []float32, token int32) { m.output.Row(dst, int(token)) }

// OutputNorm returns the weight (D) of the final norm. It must not be modified.
func (m *Model) OutputNorm() []float32 { return m.outputNorm }
