package hypernet

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/embedding"
)

// TensorSource is a set of named tensors, such as an open safetensors file.
type TensorSource interface {
	// Names lists the tensors.
	Names() []string
	// Shape returns the dimensions of a tensor, without reading it.
	Shape(name string) (shape []int, ok bool)
	// Float32s returns the values of a tensor, row-major, in a slice that the
	// caller may keep.
	Float32s(name string) ([]float32, error)
}

// TensorMap is a [TensorSource] in memory. Its values are not copied.
type TensorMap map[string]embedding.Tensor

// Names lists the tensors in alphabetical order.
func (m TensorMap) Names() []string { return slices.Sorted(maps.Keys(m)) }

// Shape returns the dimensions of a tensor.
func (m TensorMap) Shape(name string) ([]int, bool) {
	t, ok := m[name]
	return t.Shape, ok
}

// Float32s returns the values of a tensor.
func (m TensorMap) Float32s(name string) ([]float32, error) {
	t, ok := m[name]
	if !ok {
		return nil, fmt.Errorf("no tensor %q", name)
	}
	return t.Data, nil
}

// WriteTensors returns all parameters and buffers of h by name. Their values
// are those of h, not copies. The parameters of a [Direct] head have the names
// and shapes of the authors' checkpoints.
func WriteTensors(h Head) TensorMap {
	ts := TensorMap(h.Buffers())
	for _, p := range h.Params() {
		ts[p.Name] = embedding.Tensor{Shape: p.Shape, Data: p.Value}
	}
	return ts
}

// ReadTensors fills h from src, which must have every parameter of h in its
// shape, and no tensor that h does not know; all values must be finite. Names
// and shapes are compared before anything is allocated. On error h is not
// usable. Gradients stay nil until the first Backward.
func ReadTensors(h Head, src TensorSource) error {
	params, err := checkShapes(h.Params(), src)
	if err != nil {
		return err
	}
	buffers := map[string]embedding.Tensor{}
	for _, name := range src.Names() {
		if params[name] {
			continue
		}
		if !strings.HasPrefix(name, bufferPrefix) {
			return fmt.Errorf("unknown tensor %q", name)
		}
		data, err := src.Float32s(name)
		if err != nil {
			return fmt.Errorf("tensor %q: %w", name, err)
		}
		shape, _ := src.Shape(name)
		buffers[name] = embedding.Tensor{Shape: shape, Data: data}
	}
	if err := h.SetBuffers(buffers); err != nil {
		return err
	}
	return readValues(h.Params(), src)
}

// ReadParams fills params from src, under the same conditions as [ReadTensors],
// for a model that has no buffers.
func ReadParams(params []*Param, src TensorSource) error {
	known, err := checkShapes(params, src)
	if err != nil {
		return err
	}
	for _, name := range src.Names() {
		if !known[name] {
			return fmt.Errorf("unknown tensor %q", name)
		}
	}
	return readValues(params, src)
}

// checkShapes compares parameters with src, and returns the set of their names.
func checkShapes(params []*Param, src TensorSource) (map[string]bool, error) {
	names := map[string]bool{}
	for _, p := range params {
		names[p.Name] = true
		shape, ok := src.Shape(p.Name)
		if !ok {
			return nil, fmt.Errorf("tensor %q is missing", p.Name)
		}
		if !sameShape(shape, p.Shape) {
			return nil, fmt.Errorf("tensor %q: shape %v, want %v", p.Name, shape, p.Shape)
		}
	}
	return names, nil
}

// readValues reads parameters whose shapes are known to be right.
func readValues(params []*Param, src TensorSource) error {
	for _, p := range params {
		data, err := src.Float32s(p.Name)
		if err != nil {
			return fmt.Errorf("tensor %q: %w", p.Name, err)
		}
		if err := checkTensor(p.Name, embedding.Tensor{Shape: p.Shape, Data: data}, p.Shape); err != nil {
			return err
		}
		p.Value, p.Grad = data, nil
	}
	return nil
}

// bufferPrefix begins the name of every buffer.
const bufferPrefix = "input."

// checkTensor compares a tensor with the shape it should have.
func checkTensor(name string, t embedding.Tensor, shape []int) error {
	if !sameShape(t.Shape, shape) {
		return fmt.Errorf("tensor %q: shape %v, want %v", name, t.Shape, shape)
	}
	if len(t.Data) != numElements(shape) {
		return fmt.Errorf("tensor %q: %d values, but its shape is %v", name, len(t.Data), shape)
	}
	for i, v := range t.Data {
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			return fmt.Errorf("tensor %q: value %d is not finite", name, i)
		}
	}
	return nil
}

// unknownBuffers reports what is left of a set of buffers.
func unknownBuffers(b map[string]embedding.Tensor) error {
	if len(b) == 0 {
		return nil
	}
	return fmt.Errorf("unknown tensor %q", slices.Min(slices.Collect(maps.Keys(b))))
}

// checkGrad panics if a gradient was not made for the generated adapter.
func checkGrad(grad *adapter.Adapter, dims adapter.Dims, layer int, m adapter.Module, rank int) {
	if len(grad.Layers) != dims.NumHiddenLayers {
		panic(fmt.Sprintf("hypernet: gradient of %d layers, want %d", len(grad.Layers), dims.NumHiddenLayers))
	}
	p, s := grad.Layers[layer][m], dims.Modules[m]
	if p == nil || len(p.A) != rank*s.In || len(p.B) != s.Out*rank {
		panic(fmt.Sprintf("hypernet: gradient of layer %d %s is missing or not of rank %d for %dx%d", layer, m, rank, s.Out, s.In))
	}
}
