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
	blocks       []matrix // linear layers of all blocks
	output       matrix
	block, head  float64 // weights in blocks, and in output
	sumInOut     float64 // Σ (in + out) over all linear layers: a LoRA has r times as many numbers
	attentionDim float64 // H·hd·L
	kvDim        float64 // 2·Hkv·hd·L: numbers that the cache keeps of a token
}

// matrix is a frozen matrix without its weights, and how they are stored.
type matrix struct {
	*kernel.Frozen
	format kernel.BlockFormat // 0: not quantised
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
	tied := matrix{}
	for _, t := range f.Tensors() {
		if len(t.Dims) != 2 {
			continue
		}
		format, _ := kernel.ParseBlockFormat(t.Type.String())
		m := matrix{kernel.NewFrozenFrom(int(t.Dims[1]), int(t.Dims[0]), kernel.Source{Format: format}), format}
		switch {
		case strings.HasPrefix(t.Name, "blk."):
			n.blocks = append(n.blocks, m)
		case t.Name == "output.weight":
			n.output = m
		case t.Name == "token_embd.weight":
			tied = m
		}
	}
	if n.output.Frozen == nil {
		n.output = tied // ReadConfig has found it
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

// weights returns the bytes of all weights that a pass of some rows reads, of
// which some have logits.
func (n *network) weights(p kernel.Precision, rows, logits int, backward bool) (bytes float64) {
	for _, m := range n.blocks {
		bytes += float64(m.PackingBytes(p, rows, backward))
	}
	if logits > 0 {
		bytes += float64(n.output.PackingBytes(p, logits, backward))
	}
	return bytes
}

// pass describes a pass over the weights.
type pass struct {
	rows     int     // tokens
	context  float64 // tokens that one attends to, on average
	logits   int     // tokens with logits
	rank     float64 // of the adapters; 0: none
	adapters float64 // bytes of all of them
	decoding bool    // keys and values come from memory
	backward bool
}

// cost returns what a token of a pass needs:
//
//	operations, forward:  2·block + 4·H·hd·L·context + 2·V·D·logits/rows + 2·r·Σ(in+out)
//	backward:             the same for frozen matrices; twice for attention and LoRA
//	bytes:                packed weights and adapters by rows (again for backward), keys and values
func (n *network) cost(p kernel.Precision, w pass) *cost {
	rows := float64(w.rows)
	frozen, attention := 2*n.block+2*n.head*float64(w.logits)/rows, 4*n.attentionDim*w.context
	lora := 2 * w.rank * n.sumInOut
	c := &cost{bytes: (n.weights(p, w.rows, w.logits, false) + w.adapters) / rows, flop: frozen + attention + lora}
	if w.backward {
		c.bytes += (n.weights(p, w.rows, w.logits, true) + w.adapters) / rows
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
