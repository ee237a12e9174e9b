package method

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/disclosure"
	"github.com/code2lora/code2lora/internal/embedding"
	"github.com/code2lora/code2lora/internal/encoder"
	"github.com/code2lora/code2lora/internal/engine"
	"github.com/code2lora/code2lora/internal/evolve"
	"github.com/code2lora/code2lora/internal/hypernet"
	"github.com/code2lora/code2lora/internal/testutil"
)

// tinyRecurrence is a checkpoint with a recurrence for a model, of random
// parameters.
func tinyRecurrence(t *testing.T, e *engine.Engine) *evolve.Recurrent {
	t.Helper()
	m, D := e.Model, e.Model.HiddenSize
	const H = 7
	rng := rand.New(rand.NewPCG(3, 4))
	some := func(n, size int) (vs [][]float32) {
		for range n {
			vs = append(vs, testutil.Randn(rng, size))
		}
		return vs
	}
	s := evolve.DefaultSettings()
	s.Diff.Layer, s.Diff.Chunk, s.Diff.Min = 1, 24, 4
	g, err := evolve.New(evolve.Options{Diff: 2 * D, Repository: 2 * D, Hidden: H})
	if err != nil {
		t.Fatal(err)
	}
	g.Init(5)
	in := evolve.NewInputs(&s, g.Options())
	head, err := evolve.NewHead(hypernet.FactoredKind, map[string]any{"rank": 3, "mean_rank": 2, "alpha": 4, "coefficients": 3, "modules": []string{"v_proj", "down_proj"}}, m.Config.Dims(), H)
	if err := errors.Join(err, in.Fit(some(5, 2*D), some(9, 2*D))); err != nil {
		t.Fatal(err)
	}
	if err := evolve.FitHead(head, some(6, H)); err != nil {
		t.Fatal(err)
	}
	head.Init(7)
	for _, p := range head.Params() {
		for i := range p.Value {
			p.Value[i] += float32(0.3 * rng.NormFloat64())
		}
	}
	enc := encoder.DefaultOptions(encoder.KindHidden)
	enc.Base, enc.Layer, enc.Chunk, enc.Min = strings.Repeat("ab", 32), 1, 32, 4
	f, err := evolve.NewRecurrent(&evolve.Checkpoint{Info: hypernet.Info{Name: "evo", Base: adapter.Base{Name: "tiny", SHA256: enc.Base}, Encoder: enc.ID()},
		Head: head, GRU: g, Inputs: in, Settings: s}, m, e.Tokenizer, nil)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestEvo runs a recurrence and its controls by their specs, whole and cut.
func TestEvo(t *testing.T) {
	r, tasks, _ := evolving(t, disclosure.Tree)
	r.Texts = false
	f := tinyRecurrence(t, r.Engine)
	b := &Builder{Recurrent: func(string) (evolve.Represented, error) { return f, nil },
		States: func(context.Context, *Following) (map[string]*embedding.Representation, error) {
			v := []float32{1, -1, 2, 0, 1, -2, 1}
			return map[string]*embedding.Representation{"other/one": {Input: "other", Tensors: map[string]embedding.Tensor{"state": {Shape: []int{7}, Data: v}}}}, nil
		}}
	build := func(text string) Method {
		t.Helper()
		s, err := ParseSpec(text)
		if err != nil {
			t.Fatal(err)
		}
		m, err := b.Build(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	seen := map[float64]string{}
	for _, which := range Whose() {
		m := build("evo:file=x,which=" + string(which))
		if which == Nearest {
			continue // there is one other: it is the stranger
		}
		p := predictions(t, r, m, tasks)[tasks[3].ID]
		if other, ok := seen[p.NLL]; ok {
			t.Errorf("%s and %s have the same NLL %g", which, other, p.NLL)
		}
		seen[p.NLL] = string(which)
	}
	all := predictions(t, r, build("evo:file=x"), tasks)
	for i := range tasks {
		left := predictions(t, r, build("evo:file=x"), tasks[i:i+1])
		if got, want := left[tasks[i].ID].NLL, all[tasks[i].ID].NLL; got != want {
			t.Errorf("task %d: NLL %g where the run was cut, %g in a whole one", i, got, want)
		}
	}
	for text, want := range map[string]string{"evo": "file is missing", "evo:file=x,steps=some": "kept, all", "additive:at=anchor": "no setting", "checkpoint:at=head": "commit, anchor"} {
		s, err := ParseSpec(text)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.Build(t.Context(), s); !errors.As(err, new(SettingError)) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want an error with %q", text, err, want)
		}
	}
}
