package model

import (
	"fmt"

	"github.com/code2lora/code2lora/internal/gguf"
	"github.com/code2lora/code2lora/internal/kernel"
	"github.com/code2lora/code2lora/internal/tokenizer"
)

// Load is [Open], and packs all weights, so that no pass has to wait for them.
func Load(path string) (*Model, *tokenizer.Tokenizer, error) {
	m, tok, err := Open(path)
	if err != nil {
		return nil, nil, err
	}
	if err := m.Prepare(); err != nil {
		m.Close()
		return nil, nil, fmt.Errorf("model %s: %w", path, err)
	}
	return m, tok, nil
}

// Open opens a GGUF file, reads its configuration and tokenizer, and checks that
// it has all weights. A matrix is read and packed when a pass first needs it, so
// that whoever asks for the hidden states of some blocks doesn't wait and pay for
// the others. The file stays mapped until [Model.Close].
func Open(path string) (*Model, *tokenizer.Tokenizer, error) {
	f, err := gguf.Open(path)
	if err != nil {
		return nil, nil, err
	}
	m, tok, err := fromGGUF(f)
	if err != nil {
		f.Close()
		return nil, nil, fmt.Errorf("model %s: %w", path, err)
	}
	m.close = f.Close
	return m, tok, nil
}

func fromGGUF(f *gguf.File) (*Model, *tokenizer.Tokenizer, error) {
	c, err := configFromGGUF(f)
	if err != nil {
		return nil, nil, err
	}
	tok, err := Tokenizer(f)
	if err != nil {
		return nil, nil, fmt.Errorf("tokenizer: %w", err)
	}
	if tok.VocabSize() > c.VocabSize {
		return nil, nil, fmt.Errorf("tokenizer has %d tokens, the embedding matrix %d rows", tok.VocabSize(), c.VocabSize)
	}
	m, err := build(c, &ggufWeights{f: f})
	return m, tok, err
}

// ReadConfig returns the configuration of a GGUF file without its weights.
func ReadConfig(path string) (Config, error) {
	f, err := gguf.Open(path)
	if err != nil {
		return Config{}, err
	}
	defer f.Close()
	c, err := configFromGGUF(f)
	if err != nil {
		return Config{}, fmt.Errorf("model %s: %w", path, err)
	}
	return c, nil
}

// configFromGGUF reads the metadata keys of interop.md §3.1.
func configFromGGUF(f *gguf.File) (Config, error) {
	arch, ok := f.String("general.architecture")
	if !ok {
		return Config{}, fmt.Errorf("metadata key %q is missing", "general.architecture")
	}
	if _, ok := archs[arch]; !ok {
		return Config{}, fmt.Errorf("architecture %q is not supported: want llama, qwen2 or qwen3", arch)
	}
	r := keys{f: f, prefix: arch + "."}
	c := Config{
		ModelType:             arch,
		HiddenSize:            r.size("embedding_length", 0),
		IntermediateSize:      r.size("feed_forward_length", 0),
		NumHiddenLayers:       r.size("block_count", 0),
		NumAttentionHeads:     r.size("attention.head_count", 0),
		MaxPositionEmbeddings: r.size("context_length", 0),
		RMSNormEps:            r.float("attention.layer_norm_rms_epsilon", 1e-5),
		RopeTheta:             r.float("rope.freq_base", 10000),
	}
	if r.err != nil {
		return c, r.err
	}
	c.NumKeyValueHeads = r.size("attention.head_count_kv", c.NumAttentionHeads)
	if c.NumAttentionHeads > 0 {
		c.HeadDim = r.size("attention.key_length", c.HiddenSize/c.NumAttentionHeads)
	}
	embed, ok := f.Tensor("token_embd.weight")
	if !ok || len(embed.Dims) != 2 || embed.Dims[1] > maxVocab {
		return c, fmt.Errorf("tensor %q is missing or is no matrix", "token_embd.weight")
	}
	c.VocabSize = int(embed.Dims[1])
	if r.err != nil {
		return c, r.err
	}
	if err := c.Validate(); err != nil {
		return c, err
	}
	if n := r.size("attention.value_length", c.HeadDim); n != c.HeadDim {
		return c, fmt.Errorf("value heads of size %d and key heads of size %d: only equal sizes are supported", n, c.HeadDim)
	}
	if n := r.size("rope.dimension_count", c.HeadDim); n != c.HeadDim {
		return c, fmt.Errorf("rotary embedding over %d of %d dimensions: only whole heads are supported", n, c.HeadDim)
	}
	if s, ok := f.String(arch + ".rope.scaling.type"); ok && s != "none" && s != "" {
		return c, fmt.Errorf("rotary scaling %q is not supported", s)
	}
	return c, r.err
}

// keys reads metadata under a prefix and remembers the first error.
type keys struct {
	f      *gguf.File
	prefix string
	err    error
}

// size reads a count; a missing one is fallback, or an error if that is 0.
func (r *keys) size(key string, fallback int) int {
	v, ok := r.f.Uint(r.prefix + key)
	switch {
	case !ok && fallback == 0:
		if r.err == nil {
			r.err = fmt.Errorf("metadata key %q is missing", r.prefix+key)
		}
	case !ok:
		return fallback
	case v > maxPositions:
		if r.err == nil {
			r.err = fmt.Errorf("metadata key %q is %d: want at most %d", r.prefix+key, v, maxPositions)
		}
		return 0
	}
	return int(v)
}

func (r *keys) float(key string, fallback float64) float64 {
	if v, ok := r.f.Float(r.prefix + key); ok {
		return float64(v)
	}
	return fallback
}

// Tokenizer builds the tokenizer that a GGUF file describes (interop.md §3.5).
func Tokenizer(f *gguf.File) (*tokenizer.Tokenizer, error) {
	if kind, _ := f.String("tokenizer.ggml.model"); kind != "gpt2" {
		return nil, fmt.Errorf("tokenizer.ggml.model is %q: only byte-level BPE (%q) is supported", kind, "gpt2")
	}
	const p = "tokenizer.ggml."
	pre, ok := f.String(p + "pre")
	if !ok {
		pre = "default"
	}
	tokens, _ := f.Strings(p + "tokens")
	types, _ := f.Ints(p + "token_type")
	merges, _ := f.Strings(p + "merges")
	id := func(names ...string) int32 {
		for _, n := range names {
			if v, ok := f.Uint(p + n + "_token_id"); ok && v < uint64(len(tokens)) {
				return int32(v)
			}
		}
		return -1
	}
	addBOS, _ := f.Bool(p + "add_bos_token")
	spec := tokenizer.Spec{
		Pre: pre, Tokens: tokens, Merges: merges, AddBOS: addBOS,
		BOS: id("bos"), EOS: id("eos"), EOT: id("eot"), EOM: id("eom"),
		FIMPre: id("fim_pre", "prefix"), FIMSuf: id("fim_suf", "suffix"), FIMMid: id("fim_mid", "middle"),
		FIMPad: id("fim_pad"), FIMRep: id("fim_rep"), FIMSep: id("fim_sep"),
	}
	for _, t := range types {
		spec.Types = append(spec.Types, int32(t))
	}
	return tokenizer.New(spec)
}

// ggufWeights reads tensors of a mapped GGUF file.
type ggufWeights struct{ f *gguf.File }

func (w *ggufWeights) has(name string) bool {
	_, ok := w.f.Tensor(name)
	return ok
}

func (w *ggufWeights) matrix(name string, rows, cols int) (matrix, error) {
	t, ok := w.f.Tensor(name)
	if !ok {
		return matrix{}, fmt.Errorf("tensor %q is missing", name)
	}
	if len(t.Dims) != 2 || t.Dims[0] != uint64(cols) || t.Dims[1] != uint64(rows) {
		return matrix{}, fmt.Errorf("tensor %q has dimensions %v, want [%d %d]", name, t.Dims, cols, rows)
	}
	if !t.Type.CanDequantize() {
		return matrix{}, fmt.Errorf("tensor %q is stored as %s, which is not supported: take a file in F16, Q8_0, Q6_K, Q5_K or Q4_K", name, t.Type)
	}
	size, err := t.Type.RowSize(cols)
	if err != nil {
		return matrix{}, fmt.Errorf("tensor %q: %w", name, err)
	}
	data := w.f.Data(t)
	stored := func(i int) []byte { return data[i*size:][:size:size] }
	src := kernel.Source{Row: func(dst []float32, i int) {
		// Type and sizes were checked above, so a row cannot fail to decode.
		if err := gguf.DequantizeRow(dst, t.Type, stored(i)); err != nil {
			panic(fmt.Sprintf("model: tensor %q row %d: %v", name, i, err))
		}
	}}
	if format, ok := kernel.ParseBlockFormat(t.Type.String()); ok {
		src.Format, src.Stored = format, stored
	}
	src.Done = func() { w.f.Release(t) }
	return matrix{rows, cols, src}, nil
}

func (w *ggufWeights) vector(name string, n int, required bool) ([]float32, error) {
	t, ok := w.f.Tensor(name)
	if !ok {
		if required {
			return nil, fmt.Errorf("tensor %q is missing", name)
		}
		return nil, nil
	}
	if len(t.Dims) != 1 || t.Dims[0] != uint64(n) {
		return nil, fmt.Errorf("tensor %q has dimensions %v, want [%d]", name, t.Dims, n)
	}
	v := make([]float32, n)
	if err := gguf.DequantizeRow(v, t.Type, w.f.Data(t)); err != nil {
		return nil, fmt.Errorf("tensor %q: %w", name, err)
	}
	return v, nil
}
