package adapter

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/code2lora/code2lora/internal/safetensors"
	"github.com/code2lora/code2lora/internal/store"
)

// Options of the writers.
type Options struct {
	// DType is the type in which factors are stored: F32 (also if empty),
	// F16 or BF16. Values beyond the range of the type are an error.
	DType safetensors.DType
}

func (o Options) dtype() (safetensors.DType, error) {
	switch o.DType {
	case "":
		return safetensors.F32, nil
	case safetensors.F32, safetensors.F16, safetensors.BF16:
		return o.DType, nil
	}
	return "", fmt.Errorf("factors cannot be stored as %q: want F32, F16 or BF16", o.DType)
}

// nativeWeights is the file of factors in a native adapter folder.
const nativeWeights = "adapter.safetensors"

// WriteNative writes an adapter folder in the project's own format:
//
//	adapter.safetensors  layers.3.q_proj.lora_A (r, in), .lora_B (out, r);
//	                     shared.q_proj.lora_A for a pair that all layers use
//	code2lora.json       dimensions, rank, alpha, provenance
//
// Unlike the formats of others, it stores a shared pair once, and can be read
// without the base model. An existing adapter folder is replaced as a whole;
// a folder with other files is refused.
func WriteNative(dir string, a *Adapter, opt Options) error {
	dtype, err := opt.dtype()
	if err != nil {
		return err
	}
	if err := a.check(); err != nil {
		return err
	}
	var tensors []safetensors.Tensor
	add := func(place string, m Module, p *Pair) {
		s := a.Dims.Modules[m]
		tensors = append(tensors,
			safetensors.Float32Tensor(place+factorA, dtype, []int{a.Rank, s.In}, p.A),
			safetensors.Float32Tensor(place+factorB, dtype, []int{s.Out, a.Rank}, p.B))
	}
	for m := range NumModules {
		if p := a.sharedPair(m); p != nil {
			add("shared."+m.String(), m, p)
			continue
		}
		for l := range a.Layers {
			if p := a.Layers[l][m]; p != nil {
				add(fmt.Sprintf("layers.%d.%s", l, m), m, p)
			}
		}
	}
	return writeFolder(dir, func(tmp string) error {
		if err := writeSidecar(tmp, a); err != nil {
			return err
		}
		return safetensors.Write(filepath.Join(tmp, nativeWeights), tensors, map[string]string{"format": sidecarFormat})
	})
}

// check is [Adapter.Validate] with what a file needs besides.
func (a *Adapter) check() error {
	if err := a.Dims.check(); err != nil {
		return err
	}
	if err := checkScale(a.Rank, a.Alpha); err != nil {
		return err
	}
	return a.Validate()
}

// sharedPair returns the pair that all layers use for m, or nil.
func (a *Adapter) sharedPair(m Module) *Pair {
	for l := range a.Layers {
		if a.Layers[l][m] != a.Layers[0][m] {
			return nil
		}
	}
	return a.Layers[0][m]
}

func writeSidecar(dir string, a *Adapter) error {
	raw, err := encodeSidecar(a)
	if err != nil {
		return err
	}
	return writeBytes(filepath.Join(dir, sidecarName), raw)
}

func writeBytes(path string, raw []byte) error {
	return store.WriteFile(path, func(w io.Writer) error {
		_, err := w.Write(raw)
		return err
	})
}

// ReadNative reads a folder that [WriteNative] wrote.
func ReadNative(dir string) (*Adapter, error) {
	raw, err := readSmall(filepath.Join(dir, sidecarName))
	if err != nil {
		return nil, err
	}
	s, err := decodeSidecar(raw)
	if err != nil {
		return nil, fmt.Errorf("adapter %s: %s: %w", dir, sidecarName, err)
	}
	f, err := safetensors.Open(filepath.Join(dir, nativeWeights))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	a, err := readNative(s, f)
	if err != nil {
		return nil, fmt.Errorf("adapter %s: %w", dir, err)
	}
	return a, nil
}

func readNative(s *sidecar, f *safetensors.File) (*Adapter, error) {
	d, err := s.dims()
	if err != nil {
		return nil, err
	}
	b, err := newBuilder(d, s.Rank, s.Alpha)
	if err != nil {
		return nil, err
	}
	for _, name := range f.Names() {
		place, isA, ok := cutFactor(name, factorA, factorB)
		where, last, _ := cutLast(place)
		m, err := ParseModule(last)
		if !ok || err != nil {
			return nil, fmt.Errorf("unknown tensor %q", name)
		}
		layer := allLayers
		if where != "shared" {
			number, found := strings.CutPrefix(where, "layers.")
			if layer, ok = parseLayer(number); !found || !ok || layer >= d.NumHiddenLayers {
				return nil, fmt.Errorf("unknown tensor %q in an adapter of %d layers", name, d.NumHiddenLayers)
			}
		}
		if err := b.addTensor(f, name, layer, m, isA); err != nil {
			return nil, err
		}
	}
	return b.finish(s.Provenance)
}

// cutLast cuts s at its last dot.
func cutLast(s string) (before, after string, ok bool) {
	i := strings.LastIndexByte(s, '.')
	if i < 0 {
		return "", s, false
	}
	return s[:i], s[i+1:], true
}
