package adapter

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/code2lora/code2lora/internal/safetensors"
)

func TestPEFTConfig(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a")
	a := random(testDims, []Module{UpProj, QProj}, 16, 32, true)
	a.Layers[1][UpProj] = nil
	if err := WritePEFT(dir, a, Options{}); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(filepath.Join(dir, peftConfig))
	if err != nil {
		t.Fatal(err)
	}
	want := `{
  "base_model_name_or_path": "example/Tiny",
  "bias": "none",
  "fan_in_fan_out": false,
  "inference_mode": true,
  "init_lora_weights": true,
  "lora_alpha": 32,
  "lora_dropout": 0.0,
  "modules_to_save": null,
  "peft_type": "LORA",
  "r": 16,
  "target_modules": [
    "q_proj",
    "up_proj"
  ],
  "task_type": "CAUSAL_LM",
  "use_dora": false,
  "use_rslora": false
}
`
	if got := string(raw); got != want {
		t.Errorf("%s: got\n%s, want\n%s", peftConfig, got, want)
	}
	f, err := safetensors.Open(filepath.Join(dir, peftWeights))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got, want := len(f.Names()), 3*2*2; got != want {
		t.Errorf("got %d tensors, want %d: every layer", got, want)
	}
	values, err := f.Float32s("base_model.model.model.layers.1.mlp.up_proj.lora_B.weight")
	if err != nil || slices.ContainsFunc(values, func(v float32) bool { return v != 0 }) {
		t.Errorf("the missing pair: got %v, %v, want zeros", values, err)
	}
}

func TestPEFTFractionalAlpha(t *testing.T) {
	for _, alpha := range []float64{0.5, 3.7, 0, -2} {
		dir := filepath.Join(t.TempDir(), "a")
		a := random(testDims, allModules, 2, alpha, true)
		if err := WritePEFT(dir, a, Options{}); err != nil {
			t.Fatal(err)
		}
		got, err := Read(dir, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got.Alpha != 2 {
			t.Errorf("alpha %g: written as %g, want 2", alpha, got.Alpha)
		}
		for i, v := range a.Layers[0][QProj].B {
			have, want := got.Layers[0][QProj].B[i], float32(float64(v)*alpha/2)
			if have != want {
				t.Fatalf("alpha %g: B[%d] is %g, want %g", alpha, i, have, want)
			}
		}
	}
}

// editPEFT writes a PEFT folder and lets edit change its configuration.
func editPEFT(t *testing.T, edit func(config map[string]any)) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "a")
	if err := WritePEFT(dir, random(testDims, allModules, 4, 8, false), Options{}); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, peftConfig)
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	config := map[string]any{}
	if err := json.Unmarshal(raw, &config); err != nil {
		t.Fatal(err)
	}
	edit(config)
	raw, _ = json.Marshal(config)
	if err := os.WriteFile(path, raw, 0o666); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestReadPEFTConfig(t *testing.T) {
	tests := []struct {
		key   string
		value any
		want  string // of the error; empty: accepted
	}{
		{"lora_alpha", 8.0, ""},
		{"rank_pattern", map[string]any{}, ""},
		{"rank_pattern", map[string]any{"q_proj": 8}, "rank_pattern"},
		{"alpha_pattern", map[string]any{"q_proj": 8}, "alpha_pattern"},
		{"use_dora", true, "use_dora"},
		{"lora_bias", true, "lora_bias"},
		{"layer_replication", [][2]int{{0, 2}}, "layer_replication"},
		{"modules_to_save", []string{"lm_head"}, "modules_to_save"},
		{"modules_to_save", []string{}, ""},
		{"bias", "all", "bias"},
		{"fan_in_fan_out", true, "fan_in_fan_out"},
		{"peft_type", "LOHA", "peft_type"},
		{"r", nil, "missing"},
		{"r", 0, "rank 0"},
		{"r", 3, "shape"},
		{"r", 1 << 40, "rank"},
		{"lora_alpha", nil, "missing"},
		{"lora_alpha", "8", "lora_alpha"},
		{"some_new_key", 7, ""},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%s=%v", tt.key, tt.value), func(t *testing.T) {
			_, err := Read(editPEFT(t, func(c map[string]any) { c[tt.key] = tt.value }), nil)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got error %v, want %q in it", err, tt.want)
			}
		})
	}
	a, err := Read(editPEFT(t, func(c map[string]any) { c["use_rslora"] = true }), nil)
	if err != nil || a.Scale() != 4 { // 8/√4
		t.Errorf("rank-stabilised: got scale %v, %v, want 4", a.Scale(), err)
	}
}

func TestReadPEFTTensors(t *testing.T) {
	const q = "model.layers.0.self_attn.q_proj"
	floats := func(name string, shape ...int) safetensors.Tensor {
		n := 1
		for _, s := range shape {
			n *= s
		}
		return safetensors.Float32Tensor(name, safetensors.F32, shape, make([]float32, n))
	}
	a, b := floats(q+peftA, 4, 12), floats(q+peftB, 24, 4)
	tests := []struct {
		name    string
		tensors []safetensors.Tensor
		want    string
	}{
		{"without prefix", []safetensors.Tensor{a, b}, ""},
		{"with prefix", []safetensors.Tensor{floats(peftPrefix+q+peftA, 4, 12), floats(peftPrefix+q+peftB, 24, 4)}, ""},
		{"both", []safetensors.Tensor{a, b, floats(peftPrefix+q+peftA, 4, 12)}, "same place"},
		{"only A", []safetensors.Tensor{a}, "only one of two"},
		{"none", nil, "no tensors"},
		{"head", []safetensors.Tensor{a, b, floats("lm_head.weight", 1)}, `unknown tensor "lm_head.weight"`},
		{"adapter name", []safetensors.Tensor{floats(q+".lora_A.default.weight", 4, 12)}, "unknown tensor"},
		{"layer", []safetensors.Tensor{floats("model.layers.3.mlp.up_proj"+peftA, 4, 12)}, "unknown tensor"},
		{"layer 00", []safetensors.Tensor{floats("model.layers.00.mlp.up_proj"+peftA, 4, 12)}, "unknown tensor"},
		{"block", []safetensors.Tensor{floats("model.layers.0.mlp.q_proj"+peftA, 4, 12)}, "unknown tensor"},
		{"shape", []safetensors.Tensor{floats(q+peftA, 4, 13), b}, "another base model"},
		{"transposed", []safetensors.Tensor{floats(q+peftA, 12, 4), b}, "shape [12 4]"},
		{"type", []safetensors.Tensor{safetensors.BytesTensor(q+peftA, safetensors.I32, []int{4, 12}, make([]byte, 4*48)), b}, "I32"},
		{"NaN", []safetensors.Tensor{a, safetensors.Float32Tensor(q+peftB, safetensors.F32, []int{24, 4}, slices.Repeat([]float32{float32(math.NaN())}, 96))}, "not finite"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := editPEFT(t, func(map[string]any) {})
			if err := safetensors.Write(filepath.Join(dir, peftWeights), tt.tensors, nil); err != nil {
				t.Fatal(err)
			}
			_, err := Read(dir, nil)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got error %v, want %q in it", err, tt.want)
			}
		})
	}
}

func TestAuthorsSidecar(t *testing.T) {
	dir := editPEFT(t, func(map[string]any) {})
	if err := os.Remove(filepath.Join(dir, sidecarName)); err != nil {
		t.Fatal(err)
	}
	text := `{"repo_id":"a/b","base_model":"x/Y","endpoint_sha":"abc","checkpoint_id":"c","rank":4,"c2l_version":"0.1"}`
	if err := os.WriteFile(filepath.Join(dir, authorsSidecar), []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	a, err := Read(dir, &testDims)
	if err != nil {
		t.Fatal(err)
	}
	want := Provenance{Base: Base{HubID: "x/Y"}, Repository: "a/b", Commit: "abc", Checkpoint: "c", Tool: "c2l 0.1"}
	if a.Provenance != want {
		t.Errorf("got %+v, want %+v", a.Provenance, want)
	}
}
