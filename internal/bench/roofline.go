package bench

import (
	"fmt"
	"strings"

	"github.com/code2lora/code2lora/internal/gguf"
	"github.com/code2lora/code2lora/internal/kernel"
	"github.com/code2lora/code2lora/internal/model"
	"github.com/code2lora/code2lora/internal/tokenizer"
)

// network is a model without its weights.
type network struct {
	name, path   string
	config       model.Config
	block, head  float64 // weights in the linear layers of all blocks, and in the output matrix
	fileBlock    float64 // bytes of the same in the file
	fileHead     float64
	sumInOut     float64 // Σ (in + out) over all linear layers: a LoRA has r times as many numbers
	attentionDim float64 // H·hd·L
	kvDim        float64 // 2·Hkv·hd·L: numbers that the cache keeps of a token
}

// subject is a model that is measured.
type subject struct {
	*network
	*model.Model
	tokenizer *tokenizer.Tokenizer
	precision kernel.Precision
}

// openNetwork reads sizes from a GGUF file.
func openNetwork(m Model) (*network, error) {
	c, err := model.ReadConfig(m.Path)
	if err != nil {
		return nil, err
	}
	f, err := gguf.Open(m.Path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	n := &network{name: m.Name, path: m.Path, config: c, head: float64(c.VocabSize) * float64(c.HiddenSize)}
	for _, s := range c.Dims().Modules {
		n.block += float64(s.In) * float64(s.Out) * float64(c.NumHiddenLayers)
		n.sumInOut += float64(s.In+s.Out) * float64(c.NumHiddenLayers)
	}
	for _, t := range f.Tensors() {
		switch {
		case strings.HasPrefix(t.Name, "blk.") && len(t.Dims) == 2:
			n.fileBlock += float64(t.Size)
		case t.Name == "token_embd.weight" && n.fileHead == 0, t.Name == "output.weight":
			n.fileHead = float64(t.Size)
		}
	}
	n.attentionDim = float64(c.NumAttentionHeads * c.HeadDim * c.NumHiddenLayers)
	n.kvDim = 2 * float64(c.NumKeyValueHeads*c.HeadDim*c.NumHiddenLayers)
	return n, nil
}

// Roofline says how fast a work could be on this machine at most.
type Roofline struct {
	Bytes    float64 `json:"bytes"`    // from memory, per token
	FLOP     float64 `json:"flop"`     // per token
	Limit    float64 `json:"limit"`    // tokens/s
	Bound    string  `json:"bound"`    // "memory" or "arithmetic"
	Fraction float64 `json:"fraction"` // of the limit that was reached
}

// cost is what a token needs at least.
type cost struct{ bytes, flop float64 }

// roofline compares a speed in tokens/s with what GB/s and GFLOP/s allow; it is
// nil where one of them was not measured.
func (c *cost) roofline(speed, bandwidth, peak float64) *Roofline {
	if bandwidth <= 0 || peak <= 0 {
		return nil
	}
	memory, arithmetic := c.bytes/(bandwidth*1e9), c.flop/(peak*1e9)
	r := &Roofline{Bytes: c.bytes, FLOP: c.flop, Limit: 1 / max(memory, arithmetic), Bound: "memory"}
	if arithmetic > memory {
		r.Bound = "arithmetic"
	}
	r.Fraction = speed / r.Limit
	return r
}

// pairRows is the number of rows from which kernel.BFloat16 multiplies in
// bfloat16.
const pairRows = 8

// weights returns the bytes of all weights of the blocks, and of the output
// matrix, as a product of some rows reads them.
func (n *network) weights(p kernel.Precision, rows int) (block, head float64) {
	switch {
	case p == kernel.Float32 || p == kernel.BFloat16 && rows < pairRows:
		return 4 * n.block, 4 * n.head
	case p == kernel.BFloat16:
		return 2 * n.block, 2 * n.head
	default: // as in the file
		return n.fileBlock, n.fileHead
	}
}

// pass describes a pass over the weights.
type pass struct {
	rows     int     // tokens
	context  float64 // tokens that one attends to, on average
	logits   float64 // share of the tokens with logits
	rank     float64 // of the adapters; 0: none
	adapters float64 // number of different ones
	decoding bool    // keys and values come from memory
	backward bool
}

// cost returns what a token of a pass needs:
//
//	operations, forward:  2·block + 4·H·hd·L·context + 2·V·D·logits + 2·r·Σ(in+out)
//	backward:             the same for frozen matrices; twice for attention and LoRA
//	bytes:                weights (twice with backward) and adapters by rows, keys and values
func (n *network) cost(p kernel.Precision, w pass) *cost {
	block, head := n.weights(p, w.rows)
	frozen, attention := 2*n.block+2*n.head*w.logits, 4*n.attentionDim*w.context
	lora := 2 * w.rank * n.sumInOut
	c := &cost{
		bytes: (block + head + 4*w.adapters*w.rank*n.sumInOut) / float64(w.rows),
		flop:  frozen + attention + lora,
	}
	if w.backward {
		c.bytes *= 2
		c.flop += frozen + 2*attention + 2*lora
	}
	if w.decoding {
		c.bytes += 4 * n.kvDim * w.context
	}
	return c
}

// room returns an error unless a work's sequence fits the model.
func (s *subject) room(tokens int) error {
	if most := s.MaxContext(); tokens > most {
		return fmt.Errorf("it takes %d tokens, and the context of %s has %d: leave this work out", tokens, s.name, most)
	}
	return nil
}
