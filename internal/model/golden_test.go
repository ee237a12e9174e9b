package model_test

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"testing"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/catalog"
	"github.com/code2lora/code2lora/internal/kernel"
	"github.com/code2lora/code2lora/internal/model"
	"github.com/code2lora/code2lora/internal/safetensors"
	"github.com/code2lora/code2lora/internal/testutil"
)

// The golden files are written by reference/model_golden.py, whose README has
// their layout. Tolerances: logits within 2e-3, gradients within 1e-3 of their
// norm, of PyTorch's float32 on the same dequantised weights.
const (
	logitTolerance    = 2e-3
	gradientTolerance = 1e-3
)

func TestGoldenTiny(t *testing.T) {
	for _, name := range []string{"tiny-llama", "tiny-qwen2"} {
		t.Run(name, func(t *testing.T) { testGolden(t, "testdata/"+name+".gguf", name) })
	}
}

// testGolden holds a model against its golden file.
func testGolden(t *testing.T, weights, name string) {
	m, _, err := model.Load(weights)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	f, err := safetensors.Open("testdata/" + name + ".safetensors")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	n, err := strconv.Atoi(f.Metadata()["prompts"])
	if err != nil || n < 5 {
		t.Fatalf("golden file has %q prompts, want at least 5", f.Metadata()["prompts"])
	}
	for p := range n {
		t.Run(fmt.Sprintf("prompt %d", p), func(t *testing.T) {
			g := golden{t, f, m}
			g.logits(p)
			g.nll(p)
			g.hidden(p)
		})
	}
	t.Run("base", func(t *testing.T) { golden{t, f, m}.batch("base", nil) })
	t.Run("lora", func(t *testing.T) { golden{t, f, m}.batch("lora", formulaLoRA(m, false)) })
	t.Run("shared", func(t *testing.T) { golden{t, f, m}.batch("shared", formulaLoRA(m, true)) })
}

type golden struct {
	*testing.T
	f *safetensors.File
	m *model.Model
}

func (g golden) floats(format string, args ...any) []float32 {
	g.Helper()
	v, err := g.f.Float32s(fmt.Sprintf(format, args...))
	if err != nil {
		g.Fatal(err)
	}
	return v
}

func (g golden) ints(format string, args ...any) []int32 {
	g.Helper()
	v, err := g.f.Int32s(fmt.Sprintf(format, args...))
	if err != nil {
		g.Fatal(err)
	}
	return v
}

func (g golden) logits(p int) {
	c, err := g.m.NewCache(nil)
	if err != nil {
		g.Fatal(err)
	}
	tokens := g.ints("prompt.%d.tokens", p)
	rows, err := g.m.Extend(context.Background(), []model.Extension{{Cache: c, Tokens: tokens}})
	if err != nil {
		g.Fatal(err)
	}
	got := rows[0]
	for i, want := range g.floats("prompt.%d.logits", p) {
		g.close(fmt.Sprintf("logit %d", 16*i), got[16*i], want, logitTolerance)
	}
	top := g.floats("prompt.%d.top_logits", p)
	for i, id := range g.ints("prompt.%d.top_ids", p) {
		g.close(fmt.Sprintf("logit %d", id), got[id], top[i], logitTolerance)
	}
	g.close("logsumexp", kernel.LogSumExp(got), g.floats("prompt.%d.logsumexp", p)[0], logitTolerance)
}

func (g golden) close(what string, got, want float32, tolerance float64) {
	g.Helper()
	if d := math.Abs(float64(got) - float64(want)); !(d <= tolerance) {
		g.Errorf("%s: got %g, want %g", what, got, want)
	}
}

func (g golden) nll(p int) {
	tokens := g.ints("prompt.%d.tokens", p)
	s := model.Sequence{Tokens: tokens, Adapter: -1}
	for i, next := range tokens[1:] {
		s.Labels = append(s.Labels, model.Label{Pos: i, Target: next, Weight: 1})
	}
	r, err := g.m.Score(context.Background(), model.Batch{Sequences: []model.Sequence{s}})
	if err != nil {
		g.Fatal(err)
	}
	for i, want := range g.floats("prompt.%d.nll", p) {
		g.close(fmt.Sprintf("nll %d", i), r.NLL[0][i], want, logitTolerance)
	}
}

func (g golden) hidden(p int) {
	tokens := g.ints("prompt.%d.tokens", p)
	at := g.ints("prompt.%d.hidden_positions", p)
	D, L := g.m.HiddenSize, g.m.NumHiddenLayers
	for _, layer := range []int{0, L / 2, L} {
		h, err := g.m.Hidden(context.Background(), [][]int32{tokens}, layer)
		if err != nil {
			g.Fatal(err)
		}
		var got []float32
		for _, pos := range at {
			got = append(got, h[0][int(pos)*D:][:D]...)
		}
		if e := testutil.RelativeError(got, g.floats("prompt.%d.hidden.%d", p, layer)); e > 1e-4 {
			g.Errorf("hidden states after %d layers are off by %g", layer, e)
		}
	}
}

// formulaLoRA has the factors that reference/lora.py computes by formula.
func formulaLoRA(m *model.Model, shared bool) *adapter.Adapter {
	const r, scale = 4, 2
	var all []adapter.Module
	for mod := range adapter.NumModules {
		all = append(all, mod)
	}
	a := adapter.New(m.Config.Dims(), all, r, r*scale, shared)
	for _, e := range a.Pairs() {
		l, mod := float64(e.Layer), float64(e.Module)
		in, out := len(e.A)/r, len(e.B)/r
		for i := range r {
			for j := range in {
				e.A[i*in+j] = float32(0.02 * math.Sin(0.37*float64(i)+0.11*float64(j)+mod+1.7*l))
			}
		}
		for o := range out {
			for k := range r {
				e.B[o*r+k] = float32(0.02 * math.Sin(0.23*float64(o)+0.53*float64(k)+0.7*mod+2.1*l+0.5))
			}
		}
	}
	return a
}

// batch compares scores, and with an adapter its gradient.
func (g golden) batch(kind string, a *adapter.Adapter) {
	var b model.Batch
	which := -1
	if a != nil {
		b.Adapters, which = []*adapter.Adapter{a}, 0
	}
	for s := range 2 {
		seq := model.Sequence{Tokens: g.ints("batch.%d.tokens", s), Adapter: which}
		target := g.ints("batch.%d.label_target", s)
		for i, pos := range g.ints("batch.%d.label_pos", s) {
			seq.Labels = append(seq.Labels, model.Label{Pos: int(pos), Target: target[i], Weight: 1})
		}
		b.Sequences = append(b.Sequences, seq)
	}
	half := g.m.NumHiddenLayers / 2
	r, err := g.m.Gradient(context.Background(), b, model.GradientOptions{Activations: []int{half}})
	if err != nil {
		g.Fatal(err)
	}
	g.close("loss", float32(r.Loss), g.floats("%s.loss", kind)[0], 12*logitTolerance)
	for s := range 2 {
		best := g.ints("%s.argmax.%d", kind, s)
		for i, want := range g.floats("%s.nll.%d", kind, s) {
			g.close(fmt.Sprintf("nll %d of sequence %d", i, s), r.NLL[s][i], want, logitTolerance)
			if r.Argmax[s][i] != best[i] {
				g.Errorf("argmax %d of sequence %d: got %d, want %d", i, s, r.Argmax[s][i], best[i])
			}
		}
	}
	if a == nil {
		return
	}
	grad := r.Grads[0]
	if kind == "shared" {
		for mod := range adapter.NumModules {
			g.gradient(grad.Layers[0][mod], "shared.dA.%s", "shared.dB.%s", mod)
		}
		return
	}
	for _, l := range []int{0, half, g.m.NumHiddenLayers - 1} {
		for mod := range adapter.NumModules {
			g.gradient(grad.Layers[l][mod], fmt.Sprintf("lora.dA.%d.%%s", l), fmt.Sprintf("lora.dB.%d.%%s", l), mod)
		}
	}
	want := g.floats("lora.dhidden.%d.0", half)
	if e := testutil.RelativeError(r.Activations[half][:len(want)], want); e > gradientTolerance {
		g.Errorf("gradient of the hidden state entering layer %d is off by %g", half, e)
	}
}

func (g golden) gradient(p *adapter.Pair, nameA, nameB string, mod adapter.Module) {
	g.Helper()
	if e := testutil.RelativeError(p.A, g.floats(nameA, mod)); e > gradientTolerance {
		g.Errorf(nameA+" is off by %g", mod, e)
	}
	if e := testutil.RelativeError(p.B, g.floats(nameB, mod)); e > gradientTolerance {
		g.Errorf(nameB+" is off by %g", mod, e)
	}
}

// TestGolden runs the real models, which are pulled at first use.
func TestGolden(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: real weights; the tiny models cover the same code")
	}
	for _, name := range []string{"smollm2-135m", "qwen2.5-coder-0.5b"} {
		t.Run(name, func(t *testing.T) {
			path, err := catalog.Ensure(context.Background(), name, catalog.Options{Notice: func(s string) { t.Log(s) }})
			if err != nil {
				t.Fatal(err)
			}
			testGolden(t, path, name)
		})
	}
}
