package evolve

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/embedding"
	"github.com/code2lora/code2lora/internal/encoder"
	"github.com/code2lora/code2lora/internal/hypernet"
	"github.com/code2lora/code2lora/internal/model"
	"github.com/code2lora/code2lora/internal/safetensors"
	"github.com/code2lora/code2lora/internal/testutil"
	"github.com/code2lora/code2lora/internal/tokenizer"
)

func tinyBase(t testing.TB) (*model.Model, *tokenizer.Tokenizer) {
	t.Helper()
	m, tok, err := model.Load("../model/testdata/tiny-llama.gguf")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m, tok
}

// hiddenSize of the states of recurrentCheckpoint.
const hiddenSize = 7

// tinyHead are the options of a small head whose conditional part isn't zero.
func tinyHead() map[string]any {
	return map[string]any{"rank": 3, "mean_rank": 2, "alpha": 4, "coefficients": 3, "modules": []string{"v_proj", "down_proj"}}
}

// newCheckpoint makes a checkpoint for a base, fitted to random vectors.
func recurrentCheckpoint(t testing.TB, m *model.Model, change func(*Settings)) *Checkpoint {
	t.Helper()
	D := m.HiddenSize
	s := DefaultSettings()
	s.Diff.Layer, s.Diff.Chunk, s.Diff.Min = 1, 24, 4
	if change != nil {
		change(&s)
	}
	g, err := New(Options{Diff: s.inputSize(2*D, 2*D), Repository: 2 * D, Hidden: hiddenSize})
	if err != nil {
		t.Fatal(err)
	}
	g.Init(5)
	rng := rand.New(rand.NewPCG(3, 4))
	some := func(n, size int) (vs [][]float32) {
		for range n {
			vs = append(vs, testutil.Randn(rng, size))
		}
		return vs
	}
	in := NewInputs(&s, g.Options())
	if err := in.Fit(some(5, 2*D), some(9, g.Options().Diff)); err != nil {
		t.Fatal(err)
	}
	head, err := NewHead(hypernet.FactoredKind, tinyHead(), m.Config.Dims(), hiddenSize)
	if err != nil {
		t.Fatal(err)
	}
	if err := FitHead(head, some(6, hiddenSize)); err != nil {
		t.Fatal(err)
	}
	head.Init(7)
	for _, p := range head.Params() { // B begins at zero
		for i := range p.Value {
			p.Value[i] += float32(0.1 * rng.NormFloat64())
		}
	}
	e := encoder.DefaultOptions(encoder.KindHidden)
	e.Base, e.Layer, e.Chunk, e.Min = strings.Repeat("ab", 32), 1, 32, 4
	return &Checkpoint{Info: hypernet.Info{Name: "evo", Base: adapter.Base{Name: "tiny", SHA256: e.Base}, Encoder: e.ID()},
		Head: head, GRU: g, Inputs: in, Settings: s}
}

func TestCheckpointRoundTrip(t *testing.T) {
	m, _ := tinyBase(t)
	path := filepath.Join(t.TempDir(), "evo.safetensors")
	for _, input := range []string{InputDiff, InputRepository, InputBoth} {
		for _, standardize := range []string{hypernet.StandardizeScore, hypernet.StandardizeNone} {
			c := recurrentCheckpoint(t, m, func(s *Settings) {
				s.Input, s.Standardize, s.Truncation.AtLoss = input, standardize, true
			})
			if err := Save(path, c, safetensors.F32); err != nil {
				t.Fatal(err)
			}
			got, err := Load(path)
			if err != nil {
				t.Fatalf("%s, %s: %v", input, standardize, err)
			}
			if got.Info != c.Info || got.Settings != c.Settings {
				t.Errorf("%s, %s: got %+v %+v, want %+v %+v", input, standardize, got.Info, got.Settings, c.Info, c.Settings)
			}
			have, err1 := got.digest()
			want, err2 := c.digest()
			if err := errors.Join(err1, err2); err != nil || have != want {
				t.Errorf("%s, %s: digest %s, %v; want %s", input, standardize, have, err, want)
			}
			if _, err := hypernet.Load(path); !errors.Is(err, hypernet.ErrRecurrent) {
				t.Errorf("loading it as a head: got error %v, want %v", err, hypernet.ErrRecurrent)
			}
			if _, err := hypernet.ReadInfo(path); !errors.Is(err, hypernet.ErrRecurrent) {
				t.Errorf("reading it as a head: got error %v, want %v", err, hypernet.ErrRecurrent)
			}
		}
	}
}

// TestLoadRefuses spoils one thing of a file at a time.
func TestLoadRefuses(t *testing.T) {
	m, _ := tinyBase(t)
	path := filepath.Join(t.TempDir(), "evo.safetensors")
	const step = "input.step.std"
	tests := []struct {
		name  string
		spoil func(*hypernet.Checkpoint, *hypernet.Recurrence)
		want  string
	}{
		{"settings", func(_ *hypernet.Checkpoint, r *hypernet.Recurrence) { r.Description = []byte(`{"input":"nothing"}`) }, `input "nothing"`},
		{"settings of another type", func(_ *hypernet.Checkpoint, r *hypernet.Recurrence) { r.Description = []byte(`[1]`) }, "settings"},
		{"missing", func(_ *hypernet.Checkpoint, r *hypernet.Recurrence) { delete(r.Tensors, "gru.bias_ih_l0") }, `"gru.bias_ih_l0" is missing`},
		{"missing input", func(_ *hypernet.Checkpoint, r *hypernet.Recurrence) { delete(r.Tensors, step) }, `"` + step + `" is missing`},
		{"unknown", func(_ *hypernet.Checkpoint, r *hypernet.Recurrence) {
			r.Tensors["gru.more"] = embedding.Tensor{Shape: []int{1}, Data: []float32{1}}
		}, `unknown tensor "gru.more"`},
		{"unknown input", func(_ *hypernet.Checkpoint, r *hypernet.Recurrence) {
			r.Tensors["input.more"] = embedding.Tensor{Shape: []int{1}, Data: []float32{1}}
		}, `unknown tensor "input.more"`},
		{"shape", func(_ *hypernet.Checkpoint, r *hypernet.Recurrence) {
			r.Tensors["output_norm.bias"] = embedding.Tensor{Shape: []int{2}, Data: []float32{1, 2}}
		}, "shape [2]"},
		{"negative deviation", func(_ *hypernet.Checkpoint, r *hypernet.Recurrence) { r.Tensors[step].Data[3] = -1 }, "not negative"},
		{"another base", func(_ *hypernet.Checkpoint, r *hypernet.Recurrence) {
			t := r.Tensors["diff_proj.0.weight"]
			n := t.Shape[1] - 2
			r.Tensors["diff_proj.0.weight"] = embedding.Tensor{Shape: []int{t.Shape[0], n}, Data: t.Data[:t.Shape[0]*n]}
		}, "a step reads"},
		{"another context", func(c *hypernet.Checkpoint, _ *hypernet.Recurrence) {
			head, err1 := NewHead(hypernet.FactoredKind, tinyHead(), m.Config.Dims(), hiddenSize+1)
			err2 := FitHead(head, [][]float32{{1, 1, 1, 1, 1, 1, 1, 1}, {1, 2, 3, 4, 5, 6, 7, 8}})
			if err := errors.Join(err1, err2); err != nil {
				t.Fatal(err)
			}
			head.Init(1)
			c.Head = head
		}, "context"},
	}
	for _, tt := range tests {
		c := recurrentCheckpoint(t, m, nil)
		static, r := &hypernet.Checkpoint{Info: c.Info, Head: c.Head}, &hypernet.Recurrence{Tensors: c.tensors()}
		r.Description = []byte(`{"input":"diff","diff":{"layer":1,"chunk":24,"min":4,"end":-1,"max_windows":4,"select":"first","max_bytes":9},` +
			`"standardize":"zscore","truncation":{"steps":3},"commits":"all","context":"after"}`)
		tt.spoil(static, r)
		if err := hypernet.SaveRecurrent(path, static, r, safetensors.F32); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(path); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got error %v, want one that contains %q", tt.name, err, tt.want)
		}
	}
	c := recurrentCheckpoint(t, m, nil)
	c.GRU.Params()[2].Value[1] = float32(math.NaN())
	if err := Save(path, c, safetensors.F16); err == nil {
		t.Error("a checkpoint that is not finite was saved")
	}
	static := &hypernet.Checkpoint{Info: c.Info, Head: c.Head}
	if err := hypernet.Save(path, static, safetensors.F16); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path); !errors.Is(err, hypernet.ErrNotRecurrent) {
		t.Errorf("a checkpoint of snapshots: got error %v, want %v", err, hypernet.ErrNotRecurrent)
	}
}

// TestLoadCut cuts a file at many places.
func TestLoadCut(t *testing.T) {
	m, _ := tinyBase(t)
	path := filepath.Join(t.TempDir(), "evo.safetensors")
	if err := Save(path, recurrentCheckpoint(t, m, nil), safetensors.F16); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for n := 0; n < len(whole); n += 1 + len(whole)/40 {
		if err := os.WriteFile(path, whole[:n], 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(path); err == nil {
			t.Errorf("%d of %d bytes were loaded", n, len(whole))
		}
	}
}

func TestNewHeadRefuses(t *testing.T) {
	m, _ := tinyBase(t)
	for _, tt := range []struct{ kind, option, want string }{
		{hypernet.FactoredKind, "inject", "inject"}, {hypernet.FactoredKind, "input", "input"}, {"nothing", "rank", "nothing"},
	} {
		if _, err := NewHead(tt.kind, map[string]any{tt.option: 1}, m.Config.Dims(), 3); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s head with %s: got error %v, want one that contains %q", tt.kind, tt.option, err, tt.want)
		}
	}
	if _, err := NewHead(hypernet.DirectKind, map[string]any{"hidden": 4}, m.Config.Dims(), 3); err != nil {
		t.Errorf("direct head: %v", err)
	}
}

// TestTransform checks that what is nothing stays nothing.
func TestTransform(t *testing.T) {
	s := DefaultSettings()
	in := NewInputs(&s, Options{Diff: 2, Repository: 2, Hidden: 1})
	vs := [][]float32{{1, 2}, {3, 6}, {0, 0}}
	if err := in.Fit(vs, vs); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ v, want []float32 }{{[]float32{3, 2}, []float32{1, -1}}, {[]float32{0, 0}, []float32{0, 0}}, {[]float32{50, 4}, []float32{5, 0}}} {
		got, err := Transform(&in.Step, tt.v)
		if err != nil || !slices.Equal(got, tt.want) {
			t.Errorf("%v: got %v, %v; want %v", tt.v, got, err, tt.want)
		}
	}
	if _, err := Transform(&in.Step, []float32{0}); err == nil {
		t.Error("a vector of another length was taken")
	}
}

// FuzzJoin looks for settings and tensors that are taken and then don't work.
// The file itself is fuzzed in package hypernet.
func FuzzJoin(f *testing.F) {
	m, _ := tinyBase(f)
	c := recurrentCheckpoint(f, m, nil)
	settings, err := json.Marshal(c.Settings)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(settings, "gru.weight_hh_l0", 5, 7)
	f.Add(bytes.Replace(settings, []byte("zscore"), []byte("none"), 1), "input.step.mean", 0, 1)
	f.Add(bytes.Replace(settings, []byte(`"diff",`), []byte(`"concat",`), 1), "diff_proj.0.weight", 7, 4*m.HiddenSize)
	f.Fuzz(func(t *testing.T, settings []byte, name string, rows, columns int) {
		r := &hypernet.Recurrence{Description: settings, Tensors: c.tensors()}
		if rows >= 0 && columns >= 0 && rows <= 64 && columns <= 256 {
			r.Tensors[name] = embedding.Tensor{Shape: []int{rows, columns}, Data: make([]float32, rows*columns)}
		}
		got, err := join(&hypernet.Checkpoint{Info: c.Info, Head: c.Head}, r)
		if err != nil {
			return
		}
		o := got.GRU.Options()
		x, err := Transform(&got.Inputs.Step, make([]float32, o.Diff))
		if err != nil {
			t.Fatal(err)
		}
		h, err := got.GRU.Start(make([]float32, o.Repository))
		if err == nil {
			h, err = got.GRU.Step(h, x)
		}
		if err == nil {
			_, _, err = got.Generate(h)
		}
		if err != nil {
			t.Errorf("a checkpoint was loaded, but makes no adapter: %v", err)
		}
	})
}
