package adapter

import (
	"errors"
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/code2lora/code2lora/internal/gguf"
	"github.com/code2lora/code2lora/internal/kernel"
	"github.com/code2lora/code2lora/internal/safetensors"
)

// fileTypes has the value of general.file_type for a type of weights.
var fileTypes = map[gguf.Type]uint32{gguf.F32: 0, gguf.F16: 1, gguf.Q8_0: 7, gguf.BF16: 32}

// MergeGGUF writes a copy of the GGUF base model at basePath in which every
// adapted weight is W + Scale·B·A, stored as typ: F32, F16, BF16 or Q8_0 (F16
// where rows are no multiple of 32). Other tensors and the metadata are copied
// as they are, except that general.file_type and general.name say what was
// done and code2lora.adapter has the adapter's provenance.
//
// The file is streamed: memory is needed for a few rows only.
func MergeGGUF(basePath string, a *Adapter, outPath string, typ gguf.Type) error {
	if _, ok := fileTypes[typ]; !ok {
		return fmt.Errorf("merged weights cannot be stored as %s: want F32, F16, BF16 or Q8_0", typ)
	}
	f, err := gguf.Open(basePath)
	if err != nil {
		return err
	}
	defer f.Close()
	merged, err := newMerger(f, a)
	if err != nil {
		return fmt.Errorf("merging into %s: %w", basePath, err)
	}
	kvs, err := mergedMetadata(f, a, typ)
	if err != nil {
		return err
	}
	var tensors []gguf.TensorSource
	for _, t := range f.Tensors() {
		w, ok := merged[t.Name]
		if !ok {
			tensors = append(tensors, gguf.BytesSource(t.Name, t.Dims, t.Type, f.Data(t)))
			continue
		}
		stored := typ
		if typ == gguf.Q8_0 && t.Dims[0]%32 != 0 {
			stored = gguf.F16
		}
		tensors = append(tensors, gguf.TensorSource{Name: t.Name, Dims: t.Dims, Type: stored,
			Write: func(out io.Writer) error { return w.write(out, stored) }})
	}
	return gguf.Write(outPath, kvs, tensors)
}

// mergedMetadata returns the metadata of a merged model.
func mergedMetadata(f *gguf.File, a *Adapter, typ gguf.Type) ([]gguf.KV, error) {
	text, err := encodeSidecar(a)
	if err != nil {
		return nil, err
	}
	var kvs []gguf.KV
	for _, kv := range f.KVs() {
		switch kv.Key {
		case keySidecar:
			continue // of an earlier merge
		case "general.file_type":
			kv = gguf.Uint32KV(kv.Key, fileTypes[typ])
		case "general.name":
			name, _ := f.String(kv.Key)
			kv = gguf.StringKV(kv.Key, name+" + "+a.title())
		}
		kvs = append(kvs, kv)
	}
	return append(kvs, gguf.StringKV(keySidecar, string(text))), nil
}

// newMerger returns the weights of f that a changes, by tensor name.
func newMerger(f *gguf.File, a *Adapter) (map[string]*weight, error) {
	if err := a.check(); err != nil {
		return nil, err
	}
	if kind, ok := f.String(keyType); ok && kind != "model" {
		return nil, fmt.Errorf("%s is %q: no base model", keyType, kind)
	}
	if arch, _ := f.String(keyArch); arch != a.Dims.Arch {
		return nil, fmt.Errorf("%w: it is for architecture %q, not for %q", ErrBaseModel, a.Dims.Arch, arch)
	}
	merged := map[string]*weight{}
	for name, at := range sites(a.Dims, ggufName) {
		s, p := a.Dims.Modules[at.module], a.Layers[at.layer][at.module]
		t, ok := f.Tensor(name)
		if !ok {
			return nil, fmt.Errorf("%w: the base has no tensor %q", ErrBaseModel, name)
		}
		if len(t.Dims) != 2 || t.Dims[0] != uint64(s.In) || t.Dims[1] != uint64(s.Out) {
			return nil, fmt.Errorf("%w: tensor %q has dimensions %v, want [%d %d]", ErrBaseModel, name, t.Dims, s.In, s.Out)
		}
		if p == nil {
			continue
		}
		w, err := newWeight(f, t)
		if err != nil {
			return nil, err
		}
		w.a, w.rank, w.scale = p.A, a.Rank, a.Scale()
		w.b = toGGUF(p.B, s.Out, permutedHeads(a.Dims, at.module))
		merged[name] = w
	}
	if _, ok := f.Tensor(ggufName(a.Dims.NumHiddenLayers, QProj)); ok {
		return nil, fmt.Errorf("%w: the base has more than %d layers", ErrBaseModel, a.Dims.NumHiddenLayers)
	}
	if len(merged) == 0 {
		return nil, errors.New("the adapter has no pairs")
	}
	return merged, nil
}

// weight reads the rows of a tensor, with an update in the order of its rows.
type weight struct {
	name    string
	typ     gguf.Type
	data    []byte
	in, out int
	rowSize int
	rank    int // 0: no update
	scale   float32
	a, b    []float32
	// heads, if not 0, makes rows read an order of Hugging Face from one of
	// GGUF, see [ggufRow].
	heads int
}

func newWeight(f *gguf.File, t gguf.TensorInfo) (*weight, error) {
	if !t.Type.CanDequantize() {
		return nil, fmt.Errorf("tensor %q: type %s cannot be decoded", t.Name, t.Type)
	}
	if t.NumElements() == 0 || len(t.Dims) > 2 {
		return nil, fmt.Errorf("tensor %q: dimensions %v, want a vector or a matrix", t.Name, t.Dims)
	}
	w := &weight{name: t.Name, typ: t.Type, data: f.Data(t), in: int(t.Dims[0]), out: 1}
	if len(t.Dims) == 2 {
		w.out = int(t.Dims[1])
	}
	var err error
	if w.rowSize, err = t.Type.RowSize(w.in); err != nil {
		return nil, fmt.Errorf("tensor %q: %w", t.Name, err)
	}
	return w, nil
}

// rowBlock is the number of rows that are merged at a time.
const rowBlock = 64

// rows calls use with consecutive blocks of updated rows, which are valid
// during the call.
func (w *weight) rows(use func(values []float32) error) error {
	block := make([]float32, min(rowBlock, w.out)*w.in)
	for first := 0; first < w.out; first += rowBlock {
		n := min(rowBlock, w.out-first)
		values := block[:n*w.in]
		for i := range n {
			at := ggufRow(first+i, w.out, w.heads) * w.rowSize
			if err := gguf.DequantizeRow(values[i*w.in:][:w.in], w.typ, w.data[at:at+w.rowSize]); err != nil {
				return fmt.Errorf("tensor %q: %w", w.name, err)
			}
		}
		if w.rank > 0 {
			kernel.Gemm(false, false, n, w.in, w.rank, w.scale, w.b[first*w.rank:], w.rank, w.a, w.in, 1, values, w.in)
		}
		if err := use(values); err != nil {
			return fmt.Errorf("tensor %q: %w", w.name, err)
		}
	}
	return nil
}

// write writes the updated tensor as typ.
func (w *weight) write(out io.Writer, typ gguf.Type) error {
	var raw []byte
	return w.rows(func(values []float32) error {
		size, err := typ.RowSize(len(values))
		if err != nil {
			return err
		}
		if err := checkRange(values, typ); err != nil {
			return err
		}
		if len(raw) < size {
			raw = make([]byte, size)
		}
		if err := gguf.QuantizeRow(raw[:size], typ, values); err != nil {
			return err
		}
		_, err = out.Write(raw[:size])
		return err
	})
}

// checkRange reports a value that is not finite or too large for typ.
func checkRange(values []float32, typ gguf.Type) error {
	limit := float32(math.MaxFloat32)
	switch typ {
	case gguf.F16:
		limit = maxF16
	case gguf.Q8_0:
		limit = maxF16 * 127
	}
	for _, v := range values {
		if !(v <= limit && v >= -limit) {
			return fmt.Errorf("the merged value %g is beyond the range of %s", v, typ)
		}
	}
	return nil
}

// MergeSafetensors writes the weights of the GGUF base model at basePath,
// updated by a, as one safetensors file with the names, shapes and row order
// of a Hugging Face checkpoint. All tensors are stored as dtype: F32, F16 or
// BF16. The configuration and the tokenizer, which a checkpoint folder needs
// besides, are those of the base model. Tensors that transformers computes
// itself (rope_freqs) are left out.
func MergeSafetensors(basePath string, a *Adapter, outPath string, dtype safetensors.DType) error {
	dtype, err := Options{dtype}.dtype()
	if err != nil {
		return err
	}
	f, err := gguf.Open(basePath)
	if err != nil {
		return err
	}
	defer f.Close()
	tensors, err := mergedTensors(f, a, dtype)
	if err != nil {
		return fmt.Errorf("merging into %s: %w", basePath, err)
	}
	return safetensors.Write(outPath, tensors, map[string]string{"format": "pt"})
}

func mergedTensors(f *gguf.File, a *Adapter, dtype safetensors.DType) ([]safetensors.Tensor, error) {
	merged, err := newMerger(f, a)
	if err != nil {
		return nil, err
	}
	var tensors []safetensors.Tensor
	for _, t := range f.Tensors() {
		if t.Name == "rope_freqs.weight" {
			continue
		}
		name, m, ok := hfTensor(t.Name)
		if !ok {
			return nil, fmt.Errorf("tensor %q has no name in a Hugging Face checkpoint", t.Name)
		}
		w := merged[t.Name]
		if w == nil {
			if w, err = newWeight(f, t); err != nil {
				return nil, err
			}
		}
		shape := []int{w.in}
		if len(t.Dims) == 2 {
			shape = []int{w.out, w.in}
		}
		if m != NumModules && permutedHeads(a.Dims, m) > 0 {
			if err := w.unpermute(a.Dims, m); err != nil {
				return nil, err
			}
		}
		tensors = append(tensors, safetensors.Tensor{Name: name, DType: dtype, Shape: shape,
			Write: func(out io.Writer) error { return w.writeFloats(out, dtype) }})
	}
	return tensors, nil
}

// unpermute makes w deliver its rows in the order of Hugging Face.
func (w *weight) unpermute(d Dims, m Module) error {
	heads, out := permutedHeads(d, m), d.Modules[m].Out
	if w.out == 1 && w.in == out { // a bias: its values are the rows
		w.in, w.out = 1, out
		var err error
		if w.rowSize, err = w.typ.RowSize(1); err != nil {
			return fmt.Errorf("tensor %q: %w", w.name, err)
		}
	}
	if w.out != out {
		return fmt.Errorf("%w: tensor %q has %d rows, want %d", ErrBaseModel, w.name, w.out, out)
	}
	w.heads = heads
	if w.rank > 0 {
		w.b = fromGGUF(w.b, out, heads) // the update comes in the order of the rows
	}
	return nil
}

func (w *weight) writeFloats(out io.Writer, dtype safetensors.DType) error {
	return w.rows(func(values []float32) error {
		return safetensors.Float32Tensor("", dtype, nil, values).Write(out)
	})
}

// hfTensor translates the name of a tensor of a base model. The module is that
// of a projection's weight or bias, otherwise [NumModules].
func hfTensor(name string) (hf string, m Module, ok bool) {
	switch name {
	case "token_embd.weight":
		return "model.embed_tokens.weight", NumModules, true
	case "output_norm.weight":
		return "model.norm.weight", NumModules, true
	case "output.weight":
		return "lm_head.weight", NumModules, true
	}
	rest, ok := strings.CutPrefix(name, "blk.")
	number, rest, found := strings.Cut(rest, ".")
	layer, isLayer := parseLayer(number)
	part, kind, _ := strings.Cut(rest, ".")
	if !ok || !found || !isLayer || kind != "weight" && kind != "bias" {
		return "", 0, false
	}
	for m, p := range ggufModules {
		if p == part {
			return hfName(layer, Module(m)) + "." + kind, Module(m), true
		}
	}
	norms := map[string]string{"attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm",
		"attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm"}
	norm, ok := norms[part]
	return fmt.Sprintf("model.layers.%d.%s.%s", layer, norm, kind), NumModules, ok
}
