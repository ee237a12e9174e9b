package adapter

import (
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/code2lora/code2lora/internal/gguf"
	"github.com/code2lora/code2lora/internal/safetensors"
)

// Suffixes and keys of an adapter in a GGUF file.
const (
	ggufA      = ".lora_a"
	ggufB      = ".lora_b"
	keyType    = "general.type"
	keyArch    = "general.architecture"
	keyLoRA    = "adapter.type"
	keyAlpha   = "adapter.lora.alpha"
	keyALoRA   = "adapter.alora.invocation_tokens"
	keySidecar = "code2lora.adapter" // the text of the sidecar; other readers ignore it
)

// maxF16 is the largest finite half.
const maxF16 = 65504

// WriteGGUF writes a file that llama.cpp and what is built on it load. A pair
// that layers share is written for each of them, layers without a pair are
// left out. For architecture llama the rows of B of q and k are permuted.
//
// llama.cpp takes alpha 0 for scale 1, so that such an adapter is refused.
func WriteGGUF(path string, a *Adapter, opt Options) error {
	dtype, err := opt.dtype()
	if err != nil {
		return err
	}
	if err := a.check(); err != nil {
		return err
	}
	if float32(a.Alpha) == 0 {
		return errors.New("alpha 0 cannot be written: llama.cpp would apply the adapter with scale 1")
	}
	typ := map[safetensors.DType]gguf.Type{safetensors.F32: gguf.F32, safetensors.F16: gguf.F16, safetensors.BF16: gguf.BF16}[dtype]
	for _, e := range a.Pairs() {
		if peak := max(slices.Max(e.A), slices.Max(e.B), -slices.Min(e.A), -slices.Min(e.B)); typ == gguf.F16 && peak > maxF16 {
			return fmt.Errorf("layer %d %s: value %g is beyond the range of F16: use BF16 or F32", e.Layer, e.Module, peak)
		}
	}
	kvs, err := ggufMetadata(a)
	if err != nil {
		return err
	}
	var tensors []gguf.TensorSource
	for l := range a.Layers {
		for m, p := range a.Layers[l] {
			if p == nil {
				continue
			}
			m := Module(m)
			s, r := a.Dims.Modules[m], uint64(a.Rank)
			tensors = append(tensors,
				gguf.Float32Source(ggufName(l, m)+ggufA, []uint64{uint64(s.In), r}, typ, p.A),
				gguf.TensorSource{Name: ggufName(l, m) + ggufB, Dims: []uint64{r, uint64(s.Out)}, Type: typ,
					Write: func(w io.Writer) error {
						b := toGGUF(p.B, s.Out, permutedHeads(a.Dims, m))
						return gguf.Float32Source("", nil, typ, b).Write(w)
					}})
		}
	}
	if len(tensors) == 0 {
		return errors.New("the adapter has no pairs")
	}
	return gguf.Write(path, kvs, tensors)
}

// ggufMetadata returns the metadata of an adapter file.
func ggufMetadata(a *Adapter) ([]gguf.KV, error) {
	text, err := encodeSidecar(a)
	if err != nil {
		return nil, err
	}
	base := a.Provenance.Base
	kvs := []gguf.KV{
		gguf.StringKV(keyArch, a.Dims.Arch),
		gguf.StringKV(keyType, "adapter"),
		gguf.StringKV(keyLoRA, "lora"),
		gguf.Float32KV(keyAlpha, float32(a.Alpha)),
		gguf.StringKV("general.name", a.title()),
	}
	if base.Name != "" || base.HubID != "" {
		kvs = append(kvs, gguf.Uint32KV("general.base_model.count", 1))
		if base.Name != "" {
			kvs = append(kvs, gguf.StringKV("general.base_model.0.name", base.Name))
		}
		if base.HubID != "" {
			kvs = append(kvs, gguf.StringKV("general.base_model.0.repo_url", "https://huggingface.co/"+base.HubID))
		}
	}
	return append(kvs, gguf.Uint32KV("general.quantization_version", 2), gguf.StringKV(keySidecar, string(text))), nil
}

// title names an adapter for people: repository and commit.
func (a *Adapter) title() string {
	name := a.Provenance.Repository
	if name == "" {
		name = "adapter"
	}
	if c := a.Provenance.Commit; c != "" {
		name += fmt.Sprintf("@%.12s", c)
	}
	return name
}

// ReadGGUF reads a GGUF LoRA adapter. Pairs that are equal in all layers
// become shared. The dimensions of the base model are needed, unless the file
// was written by [WriteGGUF]; then dims may be nil.
func ReadGGUF(path string, dims *Dims) (*Adapter, error) {
	f, err := gguf.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	a, err := fromGGUFFile(f, dims)
	if err != nil {
		return nil, fmt.Errorf("adapter %s: %w", path, err)
	}
	return a, nil
}

func fromGGUFFile(f *gguf.File, dims *Dims) (*Adapter, error) {
	for _, want := range [][2]string{{keyType, "adapter"}, {keyLoRA, "lora"}} {
		if got, _ := f.String(want[0]); got != want[1] {
			return nil, fmt.Errorf("%s is %q, want %q: no LoRA adapter", want[0], got, want[1])
		}
	}
	if slices.Contains(f.Keys(), keyALoRA) {
		return nil, fmt.Errorf("%s: activated LoRA is not supported", keyALoRA)
	}
	provenance, known, err := ggufProvenance(f)
	if err != nil {
		return nil, err
	}
	d, err := chooseDims(known, dims, provenance.Base)
	if err != nil {
		return nil, err
	}
	if arch, _ := f.String(keyArch); arch != d.Arch {
		return nil, fmt.Errorf("%w: it is for architecture %q, not for %q", ErrBaseModel, arch, d.Arch)
	}
	factors, rank, err := ggufFactors(f, d)
	if err != nil {
		return nil, err
	}
	alpha, _ := f.Float(keyAlpha)
	if alpha == 0 {
		alpha = float64(rank) // what llama.cpp makes of it: scale 1
	}
	b, err := newBuilder(d, rank, alpha)
	if err != nil {
		return nil, err
	}
	for _, fa := range factors {
		if err := b.addGGUF(f, fa); err != nil {
			return nil, err
		}
	}
	return b.finishUnshared(provenance)
}

// ggufProvenance reads the sidecar's text, if the file has it.
func ggufProvenance(f *gguf.File) (Provenance, *Dims, error) {
	text, ok := f.String(keySidecar)
	if !ok {
		url, _ := f.String("general.base_model.0.repo_url")
		name, _ := f.String("general.base_model.0.name")
		hub, _ := strings.CutPrefix(url, "https://huggingface.co/")
		return Provenance{Base: Base{Name: name, HubID: hub}}, nil, nil
	}
	return sidecarProvenance(keySidecar, []byte(text))
}

// ggufFactor is a tensor of an adapter file with its place.
type ggufFactor struct {
	gguf.TensorInfo
	site
	isA bool
}

// ggufFactors returns the factors of a file and their common rank.
func ggufFactors(f *gguf.File, d Dims) (factors []ggufFactor, rank int, err error) {
	layers := sites(d, ggufName)
	for _, t := range f.Tensors() {
		if strings.HasSuffix(t.Name, "_norm.weight") {
			continue // llama.cpp ignores these too
		}
		at, isA, err := findFactor(layers, t.Name, "", ggufA, ggufB)
		if err != nil {
			return nil, 0, err
		}
		if len(t.Dims) != 2 || t.Dims[0] == 0 || t.Dims[1] == 0 {
			return nil, 0, fmt.Errorf("tensor %q: dimensions %v, want two", t.Name, t.Dims)
		}
		r, size, want := t.Dims[1], t.Dims[0], d.Modules[at.module].In
		if !isA {
			r, size, want = t.Dims[0], t.Dims[1], d.Modules[at.module].Out
		}
		if size != uint64(want) {
			return nil, 0, fmt.Errorf("%w: tensor %q has %d features, the base model's layer %d", ErrBaseModel, t.Name, size, want)
		}
		if r > math.MaxInt32 || rank != 0 && r != uint64(rank) {
			return nil, 0, fmt.Errorf("tensor %q: rank %d after rank %d: only one rank for all layers is supported", t.Name, r, rank)
		}
		rank = int(r)
		factors = append(factors, ggufFactor{t, at, isA})
	}
	if rank == 0 {
		return nil, 0, errors.New("no tensors")
	}
	return factors, rank, nil
}

func (b *builder) addGGUF(f *gguf.File, t ggufFactor) error {
	if !t.Type.CanDequantize() {
		return fmt.Errorf("tensor %q: type %s cannot be decoded", t.Name, t.Type)
	}
	values := make([]float32, t.NumElements())
	if err := gguf.DequantizeRow(values, t.Type, f.Data(t.TensorInfo)); err != nil {
		return fmt.Errorf("tensor %q: %w", t.Name, err)
	}
	if !t.isA {
		values = fromGGUF(values, b.a.Dims.Modules[t.module].Out, permutedHeads(b.a.Dims, t.module))
	}
	return b.add(t.Name, t.layer, t.module, t.isA, values)
}
