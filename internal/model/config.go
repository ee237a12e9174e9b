package model

import (
	"errors"
	"fmt"

	"github.com/code2lora/code2lora/internal/adapter"
)

// Config describes a decoder-only language model. The field names are those of
// the published config.json.
type Config struct {
	ModelType             string  `json:"model_type"` // "llama", "qwen2" or "qwen3"; general.architecture in GGUF
	HiddenSize            int     `json:"hidden_size"`
	IntermediateSize      int     `json:"intermediate_size"`
	NumHiddenLayers       int     `json:"num_hidden_layers"`
	NumAttentionHeads     int     `json:"num_attention_heads"`
	NumKeyValueHeads      int     `json:"num_key_value_heads"`
	HeadDim               int     `json:"head_dim"`
	VocabSize             int     `json:"vocab_size"`
	MaxPositionEmbeddings int     `json:"max_position_embeddings"`
	RMSNormEps            float64 `json:"rms_norm_eps"`
	RopeTheta             float64 `json:"rope_theta"`
	TieWordEmbeddings     bool    `json:"tie_word_embeddings"`
}

// limits on sizes, far above any published model: a file that exceeds them is
// damaged, and must not make us allocate.
const (
	maxSize      = 1 << 20
	maxLayers    = 1 << 10
	maxVocab     = 1 << 24
	maxPositions = 1 << 22
	// The table of rotation angles has maxTabulated rows of this size, whatever
	// the file weighs: 128 MiB at most.
	maxHeadDim = 1 << 10
)

// Validate reports every field that cannot be.
func (c *Config) Validate() error {
	var errs []error
	bound := func(name string, v, most int) {
		if v < 1 || v > most {
			errs = append(errs, fmt.Errorf("%s %d: want 1 to %d", name, v, most))
		}
	}
	bound("hidden_size", c.HiddenSize, maxSize)
	bound("intermediate_size", c.IntermediateSize, maxSize)
	bound("num_hidden_layers", c.NumHiddenLayers, maxLayers)
	bound("num_attention_heads", c.NumAttentionHeads, maxSize)
	bound("num_key_value_heads", c.NumKeyValueHeads, maxSize)
	bound("head_dim", c.HeadDim, maxHeadDim)
	bound("vocab_size", c.VocabSize, maxVocab)
	bound("max_position_embeddings", c.MaxPositionEmbeddings, maxPositions)
	if c.NumKeyValueHeads > 0 && c.NumAttentionHeads%c.NumKeyValueHeads != 0 {
		errs = append(errs, fmt.Errorf("num_attention_heads %d is no multiple of num_key_value_heads %d",
			c.NumAttentionHeads, c.NumKeyValueHeads))
	}
	if c.HeadDim%2 != 0 {
		errs = append(errs, fmt.Errorf("head_dim %d is odd: rotary embeddings need pairs", c.HeadDim))
	}
	if !(c.RMSNormEps > 0 && c.RMSNormEps < 1) {
		errs = append(errs, fmt.Errorf("rms_norm_eps %g: want a value between 0 and 1", c.RMSNormEps))
	}
	if !(c.RopeTheta > 1) {
		errs = append(errs, fmt.Errorf("rope_theta %g: want a value above 1", c.RopeTheta))
	}
	return errors.Join(errs...)
}

// Dims returns the shapes of the linear layers, which an adapter must fit.
func (c *Config) Dims() adapter.Dims {
	d, f := c.HiddenSize, c.IntermediateSize
	q, kv := c.NumAttentionHeads*c.HeadDim, c.NumKeyValueHeads*c.HeadDim
	return adapter.Dims{
		Arch:              c.ModelType,
		NumHiddenLayers:   c.NumHiddenLayers,
		NumAttentionHeads: c.NumAttentionHeads,
		NumKeyValueHeads:  c.NumKeyValueHeads,
		Modules: [adapter.NumModules]adapter.Shape{
			adapter.QProj:    {In: d, Out: q},
			adapter.KProj:    {In: d, Out: kv},
			adapter.VProj:    {In: d, Out: kv},
			adapter.OProj:    {In: q, Out: d},
			adapter.GateProj: {In: d, Out: f},
			adapter.UpProj:   {In: d, Out: f},
			adapter.DownProj: {In: f, Out: d},
		},
	}
}

// arch says in what one architecture differs from the others.
type arch struct {
	permutedQK bool // GGUF stores q and k rows for rotating adjacent pairs
	qkvBias    bool // q, k and v must have biases (else they may)
	qkNorm     bool // RMS norm per head on q and k before the rotation
}

var archs = map[string]arch{
	"llama": {permutedQK: true},
	"qwen2": {qkvBias: true},
	"qwen3": {qkNorm: true},
}
