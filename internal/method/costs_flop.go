package method

import (
	"context"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/model"
	"github.com/code2lora/code2lora/internal/retrieve"
	"github.com/code2lora/code2lora/internal/tune"
)

// sizes are those numbers of a base that decide how much it computes. A weight
// costs two FLOP a token; norms, biases and activations are left out.
type sizes struct {
	block     float64 // weights of a block
	blocks    float64 // blocks
	head      float64 // weights of the output matrix, used where a token is predicted
	attention float64 // heads × their length
	hidden    int
}

func sizesOf(c *model.Config) sizes {
	s := sizes{blocks: float64(c.NumHiddenLayers), head: float64(c.VocabSize) * float64(c.HiddenSize),
		attention: float64(c.NumAttentionHeads) * float64(c.HeadDim), hidden: c.HiddenSize}
	for _, m := range c.Dims().Modules {
		s.block += float64(m.In) * float64(m.Out)
	}
	return s
}

// Parameters counts the weights of a base that a token passes: those of the
// blocks and of the output, without norms, biases and the table of embeddings.
func Parameters(c *model.Config) float64 { return sizesOf(c).parameters() }

// parameters are all weights that a token passes in training.
func (s sizes) parameters() float64 { return s.block*s.blocks + s.head }

// pass is the FLOP of n tokens through some blocks: their weights, and 4 ×
// heads × length for each earlier token that one looks at, itself included.
func (s sizes) pass(n int, blocks float64) float64 {
	t := float64(n)
	return blocks * (2*s.block*t + 2*s.attention*t*(t+1))
}

// windows is the FLOP of tokens through the first blocks, in windows that do
// not see each other.
func (s sizes) windows(tokens, window, blocks int) float64 {
	full := 0.0
	if window > 0 && tokens > window {
		full = float64(tokens/window) * s.pass(window, float64(blocks))
		tokens %= window
	}
	return full + s.pass(tokens, float64(blocks))
}

// query is the FLOP of a prompt and an answer with an adapter of so many
// numbers. The last token of an answer is predicted, but not read.
func (s sizes) query(prompt, answer int, factors float64) float64 {
	read := prompt + max(answer-1, 0)
	return s.pass(read, s.blocks) + 2*factors*float64(read) + 2*s.head*float64(max(answer, 1))
}

// fit is the FLOP of a fit, of its steps without validations. For each token and
// weight W of a linear layer, y = Wx is 2 FLOP, the gradient of its input, W'g,
// is 2, and the gradient of the weight, g·x', is 2. The usual 6 for each weight
// hold where all weights are trained. Here
//
//   - frozen weights have no gradient of their own: 2 + 2. These are those of the
//     adapted blocks, and of the output, which only labelled tokens pass;
//   - below the lowest adapted block nothing needs a gradient: 2;
//   - an adapter's factors have all three: 6;
//   - weights that are trained themselves (the method full) have the third one on
//     top: 2 + 2 + 2.
//
// Attention between tokens, optimiser and recomputation are left out, and what
// windows share counts in each, so this is what the fit needs and not what an
// engine may do beyond that. A record without labels has the output counted for
// every token, which is more than was needed.
func (s sizes) fit(r *tune.Result) float64 {
	tokens, labels := float64(r.Tokens), float64(r.Labels)
	if r.Labels == 0 {
		labels = tokens
	}
	adapted := s.blocks
	if r.Options.Layers > 0 {
		adapted = min(float64(r.Options.Layers), s.blocks)
	}
	flop := 2*s.block*s.blocks*tokens + 2*s.head*labels // forward
	flop += 2*s.block*adapted*tokens + 2*s.head*labels  // gradients of inputs
	if r.Options.Method == tune.Full {
		return flop + 2*float64(r.Parameters)*tokens
	}
	return flop + 6*float64(r.Parameters)*tokens
}

// factorsOf counts the numbers of an adapter that a token passes: those of a
// pair which layers share count in each of them.
func factorsOf(a *adapter.Adapter) float64 {
	n := 0
	if a == nil {
		return 0
	}
	for _, layer := range a.Layers {
		for _, p := range layer {
			if p != nil {
				n += len(p.A) + len(p.B)
			}
		}
	}
	return float64(n)
}

// embedded counts what the embedder of contexts computes.
type embedded struct {
	sizes sizes
	count func(text string) int
	layer int
	texts []string
}

// work is what an embedder has computed, and the size of its vectors.
type work struct{ flop, bytes float64 }

// take returns what was computed since it was taken last.
func (e *embedded) take() work {
	var w work
	for _, text := range e.texts {
		w.flop += e.sizes.pass(min(e.count(text), embeddedTokens), float64(e.layer))
		w.bytes += 4 * float64(e.sizes.hidden)
	}
	e.texts = e.texts[:0]
	return w
}

// embeddedTokens is how much retrieve.Hidden reads of a text.
const embeddedTokens = 512

// watch has the embedder of contexts counted.
func watch(c *Contexts, s sizes) *embedded {
	e := &embedded{sizes: s, count: func(text string) int { return len(c.Tokenizer.Encode(text)) }}
	embedder := c.Embedder
	c.Embedder = func(layer int) (retrieve.Embedder, error) {
		if e.layer = layer; layer == 0 {
			e.layer = (int(s.blocks) + 1) / 2 // as retrieve.NewHidden chooses
		}
		inner, err := embedder(layer)
		return &counted{inner, e}, err
	}
	return e
}

// counted is an embedder that notes what it was asked for; tokens are counted
// later, so that no time is taken.
type counted struct {
	retrieve.Embedder
	to *embedded
}

func (c *counted) Embed(ctx context.Context, texts []string) ([][]float32, error) {
	c.to.texts = append(c.to.texts, texts...)
	return c.Embedder.Embed(ctx, texts)
}
