package hypernet

import (
	"math"
	"strings"
	"testing"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/embedding"
	"github.com/code2lora/code2lora/internal/safetensors"
)

// TestDirectGolden compares outputs and gradients with PyTorch's, written by
// reference/hypernet_golden.py: three contexts, the second all zero, and
// log-scales on both sides of the clamp.
func TestDirectGolden(t *testing.T) {
	const input, hidden, rank, contexts = 12, 8, 3, 3
	golden := readGolden(t, "testdata/direct_head.safetensors")
	params := TensorMap{}
	for name, tensor := range golden {
		if strings.HasPrefix(name, "trunk.") || strings.HasPrefix(name, "heads_") || strings.HasPrefix(name, "log_scale_") {
			params[name] = tensor
		}
	}
	dims := adapter.Dims{NumHiddenLayers: 4}
	for m := range adapter.NumModules {
		a, b := golden["out.A."+m.String()].Shape, golden["out.B."+m.String()].Shape
		dims.Modules[m] = adapter.Shape{In: a[2], Out: b[1]}
	}
	h := mustNew(t, DirectKind, map[string]any{"hidden": hidden, "rank": rank}, dims, input)
	if err := ReadTensors(h, params); err != nil {
		t.Fatal(err)
	}
	for i := range contexts {
		part := func(name string) []float32 { // the values of context i
			data := golden[name].Data
			n := len(data) / contexts
			return data[i*n:][:n]
		}
		a, tape, err := h.GenerateContext(part("ctx"))
		if err != nil {
			t.Fatal(err)
		}
		if !a.Shared() {
			t.Error("the layers do not share their factors")
		}
		grad := adapter.ZerosLike(a)
		for m, p := range a.Layers[0] {
			name := adapter.Module(m).String()
			compare(t, "A of "+name, p.A, part("out.A."+name))
			compare(t, "B of "+name, p.B, part("out.B."+name))
			copy(grad.Layers[0][m].A, part("dout.A."+name))
			copy(grad.Layers[0][m].B, part("dout.B."+name))
		}
		tape.Backward(grad)
		compare(t, "gradient of the context", tape.ContextGrad(), part("grad.ctx"))
	}
	for _, p := range h.Params() {
		compare(t, "gradient of "+p.Name, p.Grad, golden["grad."+p.Name].Data)
	}
}

// compare allows for float32 sums of some hundred terms taken in another order:
// 1e-6 of the largest value plus 2e-5 of the value itself.
func compare(t *testing.T, what string, got, want []float32) {
	t.Helper()
	if len(got) != len(want) || len(want) == 0 {
		t.Errorf("%s: %d values, want %d", what, len(got), len(want))
		return
	}
	var largest float64
	for _, v := range want {
		largest = max(largest, math.Abs(float64(v)))
	}
	for i := range want {
		g, w := float64(got[i]), float64(want[i])
		if !(math.Abs(g-w) <= 1e-6*largest+2e-5*math.Abs(w)) {
			t.Errorf("%s: value %d is %g, want %g", what, i, g, w)
			return
		}
	}
}

func readGolden(t *testing.T, path string) TensorMap {
	t.Helper()
	f, err := safetensors.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	ts := TensorMap{}
	for _, name := range f.Names() {
		shape, _ := f.Shape(name)
		data, err := f.Float32s(name)
		if err != nil {
			t.Fatal(err)
		}
		ts[name] = embedding.Tensor{Shape: shape, Data: data}
	}
	return ts
}
