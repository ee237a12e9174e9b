package adapter

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/code2lora/code2lora/internal/safetensors"
)

// Read reads an adapter in any format: a native folder, a PEFT folder, or a
// GGUF file. The first can be read without knowing the base model, and so can
// the others if they were written by this package; otherwise dims must be
// given. If it is given, an adapter of other dimensions is an error that wraps
// [ErrBaseModel].
func Read(path string, dims *Dims) (*Adapter, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !st.IsDir() {
		return ReadGGUF(path, dims)
	}
	if exists(filepath.Join(path, peftConfig)) {
		return ReadPEFT(path, dims)
	}
	if !exists(filepath.Join(path, sidecarName)) {
		return nil, fmt.Errorf("folder %s is no adapter: it has neither %s nor %s", path, sidecarName, peftConfig)
	}
	a, err := ReadNative(path)
	if err == nil && dims != nil {
		err = CheckBase(a, Base{}, *dims)
	}
	if err != nil {
		return nil, err
	}
	return a, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// allLayers is the layer of a shared pair.
const allLayers = -1

// builder puts an adapter together from tensors in any order.
type builder struct {
	a     *Adapter
	pairs map[site]*Pair
}

func newBuilder(d Dims, rank int, alpha float64) (*builder, error) {
	if err := d.check(); err != nil {
		return nil, err
	}
	if err := checkScale(rank, alpha); err != nil {
		return nil, err
	}
	return &builder{New(d, nil, rank, alpha, false), map[site]*Pair{}}, nil
}

// addTensor reads one factor of a safetensors file.
func (b *builder) addTensor(f *safetensors.File, name string, layer int, m Module, isA bool) error {
	shape, _ := f.Shape(name)
	s := b.a.Dims.Modules[m]
	want := []int{b.a.Rank, s.In}
	if !isA {
		want = []int{s.Out, b.a.Rank}
	}
	if !slices.Equal(shape, want) {
		err := fmt.Errorf("tensor %q: shape %v, want %v", name, shape, want)
		if len(shape) == 2 && slices.Contains(shape, b.a.Rank) {
			err = fmt.Errorf("%w: %w", ErrBaseModel, err) // the rank is right, the features are not
		}
		return err
	}
	values, err := f.Float32s(name)
	if err != nil {
		return err
	}
	return b.add(name, layer, m, isA, values)
}

// add takes one factor; name is for messages.
func (b *builder) add(name string, layer int, m Module, isA bool, values []float32) error {
	p := b.pairs[site{layer, m}]
	if p == nil {
		p = &Pair{}
		b.pairs[site{layer, m}] = p
	}
	factor := &p.B
	if isA {
		factor = &p.A
	}
	if *factor != nil {
		return fmt.Errorf("tensor %q: another tensor has the same place", name)
	}
	*factor = values
	return nil
}

// finish returns the adapter after its last tensor.
func (b *builder) finish(provenance Provenance) (*Adapter, error) {
	if len(b.pairs) == 0 {
		return nil, errors.New("no tensors")
	}
	for at, p := range b.pairs {
		if p.A == nil || p.B == nil {
			return nil, fmt.Errorf("layer %d %s: only one of two factors", at.layer, at.module)
		}
		if at.layer != allLayers {
			if b.pairs[site{allLayers, at.module}] != nil {
				return nil, fmt.Errorf("layer %d %s: both a shared pair and its own", at.layer, at.module)
			}
			b.a.Layers[at.layer][at.module] = p
			continue
		}
		for l := range b.a.Layers {
			b.a.Layers[l][at.module] = p
		}
	}
	b.a.Provenance = provenance
	if err := b.a.Validate(); err != nil {
		return nil, err
	}
	return b.a, nil
}

// finishUnshared is [builder.finish] for formats that don't know sharing: pairs
// that are equal in all layers become shared.
func (b *builder) finishUnshared(provenance Provenance) (*Adapter, error) {
	a, err := b.finish(provenance)
	if err != nil {
		return nil, err
	}
	a.share()
	return a, nil
}

// share makes the pairs of a module one, if they are equal in all layers.
func (a *Adapter) share() {
	for m := range NumModules {
		first := a.Layers[0][m]
		equal := first != nil
		for l := 1; l < len(a.Layers) && equal; l++ {
			p := a.Layers[l][m]
			equal = p != nil && slices.Equal(p.A, first.A) && slices.Equal(p.B, first.B)
		}
		for l := 1; l < len(a.Layers) && equal; l++ {
			a.Layers[l][m] = first
		}
	}
}

// chooseDims returns the dimensions of a file, from itself or the caller.
func chooseDims(known, wanted *Dims, base Base) (Dims, error) {
	switch {
	case known == nil && wanted == nil:
		return Dims{}, errors.New("the file does not describe its base model: say which one it is for")
	case known == nil:
		return *wanted, nil
	case wanted != nil && *known != *wanted:
		return Dims{}, CheckBase(&Adapter{Dims: *known, Provenance: Provenance{Base: base}}, Base{}, *wanted)
	}
	return *known, nil
}
