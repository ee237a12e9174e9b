package adapter

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/code2lora/code2lora/internal/gguf"
	"github.com/code2lora/code2lora/internal/safetensors"
)

// formats are all ways to write an adapter.
var formats = map[string]func(path string, a *Adapter, opt Options) error{
	"native": WriteNative, "peft": WritePEFT, "gguf": WriteGGUF,
}

func qwen(d Dims) Dims {
	d.Arch = "qwen2"
	return d
}

func TestRoundTrip(t *testing.T) {
	adapters := map[string]*Adapter{
		"all":        random(testDims, allModules, 3, 6, false),
		"shared":     random(testDims, allModules, 4, 1, true),
		"two":        random(testDims, []Module{KProj, DownProj}, 1, 32, false),
		"qwen2":      random(qwen(testDims), allModules, 3, 6, false),
		"part alpha": random(testDims, []Module{QProj}, 4, 4, false),
	}
	for name, a := range adapters {
		for format, write := range formats {
			for typ, tolerance := range map[safetensors.DType]float64{"": 0, safetensors.F16: 0x1p-11, safetensors.BF16: 0x1p-8} {
				t.Run(fmt.Sprintf("%s/%s/%s", name, format, typ), func(t *testing.T) {
					path := filepath.Join(t.TempDir(), "new", "adapter")
					if format == "gguf" {
						path = filepath.Join(t.TempDir(), "adapter.gguf")
					}
					if err := write(path, a, Options{typ}); err != nil {
						t.Fatal(err)
					}
					for _, dims := range []*Dims{nil, &a.Dims} {
						got, err := Read(path, dims)
						if err != nil {
							t.Fatal(err)
						}
						diff(t, got, a, tolerance)
						if !reflect.DeepEqual(got.Provenance, a.Provenance) {
							t.Errorf("provenance: got %+v, want %+v", got.Provenance, a.Provenance)
						}
						if got.Shared() != a.Shared() {
							t.Errorf("shared: got %v, want %v", got.Shared(), a.Shared())
						}
						if typ == "" && Digest(got) != Digest(a) {
							t.Error("the digest changed")
						}
					}
					other := a.Dims
					other.NumHiddenLayers = 4
					if _, err := Read(path, &other); !errors.Is(err, ErrBaseModel) {
						t.Errorf("for another base: got error %v, want ErrBaseModel", err)
					}
				})
			}
		}
	}
}

// TestGolden compares with what PEFT and the converter of llama.cpp wrote, see
// reference/adapter_golden.py.
func TestGolden(t *testing.T) {
	for _, arch := range []string{"llama", "qwen2"} {
		t.Run(arch, func(t *testing.T) {
			golden := "testdata/peft_tiny_" + arch
			d := readDims(t, "../model/testdata/tiny-"+arch+".gguf")
			want := formula(d, 4, 8)
			const ulp = 0x1p-22 // the sine of numpy may round otherwise
			fromPEFT, err := Read(golden, &d)
			if err != nil {
				t.Fatal(err)
			}
			diff(t, fromPEFT, want, ulp)
			fromGGUF, err := Read(golden+"/adapter.gguf", &d)
			if err != nil {
				t.Fatal(err)
			}
			diff(t, fromGGUF, fromPEFT, 0)
			if _, err := Read(golden, nil); err == nil || !strings.Contains(err.Error(), "say which") {
				t.Errorf("without dimensions: got error %v", err)
			}

			dir := t.TempDir()
			if err := WritePEFT(filepath.Join(dir, "peft"), fromPEFT, Options{}); err != nil {
				t.Fatal(err)
			}
			got, _ := os.ReadFile(filepath.Join(dir, "peft", peftWeights))
			if want, _ := os.ReadFile(filepath.Join(golden, peftWeights)); !bytes.Equal(got, want) {
				t.Errorf("%s differs from PEFT's", peftWeights)
			}
			if err := WriteGGUF(filepath.Join(dir, "a.gguf"), fromPEFT, Options{}); err != nil {
				t.Fatal(err)
			}
			sameTensors(t, filepath.Join(dir, "a.gguf"), golden+"/adapter.gguf")
		})
	}
}

// sameTensors compares the tensors of two GGUF files, whatever their order.
func sameTensors(t *testing.T, got, want string) {
	t.Helper()
	f, err := gguf.Open(got)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	g, err := gguf.Open(want)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	if len(f.Tensors()) != len(g.Tensors()) {
		t.Errorf("got %d tensors, want %d", len(f.Tensors()), len(g.Tensors()))
	}
	for _, info := range g.Tensors() {
		have, _ := f.Tensor(info.Name)
		if !slices.Equal(have.Dims, info.Dims) || !bytes.Equal(f.Data(have), g.Data(info)) {
			t.Errorf("tensor %q differs", info.Name)
		}
	}
}

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

func TestGGUFMetadata(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.gguf")
	a := random(testDims, allModules, 3, 6, false)
	a.Layers[1][VProj] = nil
	if err := WriteGGUF(path, a, Options{}); err != nil {
		t.Fatal(err)
	}
	f, err := gguf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for key, want := range map[string]string{
		"general.type": "adapter", "general.architecture": "llama", "adapter.type": "lora",
		"general.name": "example/repo@8c4f1b2a8c4f", "general.base_model.0.name": "tiny",
	} {
		if got, _ := f.String(key); got != want {
			t.Errorf("%s: got %q, want %q", key, got, want)
		}
	}
	if alpha, ok := f.Float("adapter.lora.alpha"); !ok || alpha != 6 {
		t.Errorf("alpha: got %g, %v", alpha, ok)
	}
	if got, want := len(f.Tensors()), 2*(3*7-1); got != want {
		t.Errorf("got %d tensors, want %d: none for the missing pair", got, want)
	}
	info, _ := f.Tensor("blk.2.attn_k.weight.lora_b")
	if !slices.Equal(info.Dims, []uint64{3, 12}) {
		t.Errorf("dimensions of lora_b: got %v", info.Dims)
	}
	// k has two heads of six rows; row 1 of a head's first half comes third.
	rows := make([]float32, 36)
	if err := gguf.DequantizeRow(rows, info.Type, f.Data(info)); err != nil {
		t.Fatal(err)
	}
	if got, want := rows[3*2:3*3], a.Layers[2][KProj].B[3*1:3*2]; !slices.Equal(got, want) {
		t.Errorf("row 2 in the file: got %v, want row 1: %v", got, want)
	}
	if got, want := rows[3*(6+5):], a.Layers[2][KProj].B[3*(6+5):]; !slices.Equal(got, want) {
		t.Errorf("last row: got %v, want %v", got, want)
	}
}

func TestReadGGUFErrors(t *testing.T) {
	good := func(arch string) []gguf.KV {
		return []gguf.KV{gguf.StringKV("general.architecture", arch), gguf.StringKV("general.type", "adapter"),
			gguf.StringKV("adapter.type", "lora"), gguf.Float32KV("adapter.lora.alpha", 4)}
	}
	floats := func(name string, dims ...uint64) gguf.TensorSource {
		return gguf.Float32Source(name, dims, gguf.F32, make([]float32, dims[0]*dims[1]))
	}
	const q = "blk.0.attn_q.weight"
	pair := []gguf.TensorSource{floats(q+ggufA, 12, 2), floats(q+ggufB, 2, 24)}
	tests := []struct {
		name    string
		kvs     []gguf.KV
		tensors []gguf.TensorSource
		want    string
	}{
		{"good", good("llama"), append(pair, floats("blk.0.attn_norm.weight", 12, 1)), ""},
		{"a model", good("llama")[:1], pair, "no LoRA adapter"},
		{"other adapter", good("llama")[:2], pair, "adapter.type"},
		{"alora", append(good("llama"), gguf.Int32sKV(keyALoRA, []int32{1})), pair, "activated"},
		{"architecture", good("qwen2"), pair, "another base model"},
		{"sidecar", append(good("llama"), gguf.StringKV(keySidecar, "{}")), pair, "format"},
		{"none", good("llama"), nil, "no tensors"},
		{"half", good("llama"), pair[:1], "only one"},
		{"unknown", good("llama"), append(pair, floats("rope_freqs.weight", 2, 1)), "unknown tensor"},
		{"layer", good("llama"), append(pair, floats("blk.3.attn_q.weight.lora_a", 12, 2)), "unknown tensor"},
		{"features", good("llama"), []gguf.TensorSource{floats(q+ggufA, 13, 2), pair[1]}, "another base model"},
		{"ranks", good("llama"), []gguf.TensorSource{pair[0], floats(q+ggufB, 3, 24)}, "rank 3 after rank 2"},
		{"rank", good("llama"), []gguf.TensorSource{floats(q+ggufA, 12, 1<<15), floats(q+ggufB, 1<<15, 24)}, "rank"},
		{"no rank", good("llama"), []gguf.TensorSource{floats(q+ggufA, 12, 0), floats(q+ggufB, 0, 24)}, "dimensions"},
		{"vector", good("llama"), []gguf.TensorSource{gguf.BytesSource(q+ggufA, []uint64{12}, gguf.F32, make([]byte, 48))}, "dimensions"},
		{"type", good("llama"), []gguf.TensorSource{gguf.BytesSource(q+ggufA, []uint64{12, 2}, 24, make([]byte, 24)), pair[1]}, "cannot be decoded"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "a.gguf")
			if err := gguf.Write(path, tt.kvs, tt.tensors); err != nil {
				t.Fatal(err)
			}
			_, err := Read(path, &testDims)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got error %v, want %q in it", err, tt.want)
			}
		})
	}
	path := filepath.Join(t.TempDir(), "a.gguf")
	if err := gguf.Write(path, good("llama")[:3], pair); err != nil {
		t.Fatal(err)
	}
	if a, err := Read(path, &testDims); err != nil || a.Scale() != 1 {
		t.Errorf("without alpha: got %v, want scale 1", err)
	}
}

func TestWriteRefusals(t *testing.T) {
	tests := []struct {
		name   string
		change func(a *Adapter) Options
		in     string // formats that refuse
		want   string
	}{
		{"F16 overflow", func(a *Adapter) Options { a.Layers[0][QProj].B[0] = -70000; return Options{safetensors.F16} }, "native peft gguf", "F16"},
		{"infinity", func(a *Adapter) Options { a.Layers[0][QProj].B[0] = float32(math.Inf(1)); return Options{} }, "native peft gguf", "finite"},
		{"type", func(a *Adapter) Options { return Options{safetensors.I32} }, "native peft gguf", "I32"},
		{"rank", func(a *Adapter) Options { a.Rank = 0; return Options{} }, "native peft gguf", "rank 0"},
		{"alpha", func(a *Adapter) Options { a.Alpha = math.NaN(); return Options{} }, "native peft gguf", "alpha NaN"},
		{"alpha 0", func(a *Adapter) Options { a.Alpha = 0; return Options{} }, "gguf", "alpha 0"},
		{"heads", func(a *Adapter) Options { a.Dims.NumAttentionHeads = 5; return Options{} }, "native peft gguf", "heads"},
		{"empty", func(a *Adapter) Options { *a = *New(testDims, nil, 2, 2, false); return Options{} }, "peft gguf", "no pairs"},
	}
	for _, tt := range tests {
		for format, write := range formats {
			a := random(testDims, allModules, 2, 2, false)
			path := filepath.Join(t.TempDir(), "a")
			err := write(path, a, tt.change(a))
			if refuses := slices.Contains(strings.Fields(tt.in), format); refuses {
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("%s as %s: got error %v, want %q in it", tt.name, format, err, tt.want)
				}
				if entries, _ := os.ReadDir(filepath.Dir(path)); len(entries) > 0 {
					t.Errorf("%s as %s: left behind %v", tt.name, format, entries)
				}
			} else if err != nil {
				t.Errorf("%s as %s: %v", tt.name, format, err)
			}
		}
	}
}

func TestNativeStoresSharedOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a")
	a := random(testDims, []Module{QProj, VProj}, 2, 2, true)
	own := *a.Layers[2][VProj]
	a.Layers[2][VProj] = &own // v_proj is not shared any more
	if err := WriteNative(dir, a, Options{}); err != nil {
		t.Fatal(err)
	}
	f, err := safetensors.Open(filepath.Join(dir, nativeWeights))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	want := []string{
		"layers.0.v_proj.lora_A", "layers.0.v_proj.lora_B", "layers.1.v_proj.lora_A", "layers.1.v_proj.lora_B",
		"layers.2.v_proj.lora_A", "layers.2.v_proj.lora_B", "shared.q_proj.lora_A", "shared.q_proj.lora_B",
	}
	if got := f.Names(); !slices.Equal(got, want) {
		t.Errorf("tensors: got %q, want %q", got, want)
	}
}

func TestReadNativeErrors(t *testing.T) {
	write := func(t *testing.T) string {
		dir := filepath.Join(t.TempDir(), "a")
		if err := WriteNative(dir, random(testDims, []Module{QProj}, 2, 2, true), Options{}); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	edits := []struct{ old, new, want string }{
		{`"format": "code2lora adapter"`, `"format": "x"`, "format"},
		{`"version": 1`, `"version": 2`, "version 2"},
		{`"num_hidden_layers": 3`, `"num_hidden_layers": 1000000000`, "layers"},
		{`"num_hidden_layers": 3`, `"num_hidden_layers": 0`, "layers"},
		{`"num_key_value_heads": 2`, `"num_key_value_heads": -1`, "heads"},
		{`"in_features": 24`, `"in_features": 9000000000000000000`, "o_proj"},
		{`"q_proj": {`, `"x_proj": {`, "unknown module"},
		{`"rank": 2`, `"rank": -2`, "rank"},
		{`"rank": 2`, `"rank": 3`, "shape"},
		{`"alpha": 2`, `"alpha": 1e999`, "number"},
		{`{`, `[`, "JSON|cannot unmarshal|invalid character"},
	}
	for _, e := range edits {
		t.Run(e.new, func(t *testing.T) {
			dir := write(t)
			path := filepath.Join(dir, sidecarName)
			raw, _ := os.ReadFile(path)
			edited := strings.Replace(string(raw), e.old, e.new, 1)
			if edited == string(raw) {
				t.Fatalf("%q is not in %s", e.old, raw)
			}
			os.WriteFile(path, []byte(edited), 0o666)
			_, err := Read(dir, nil)
			if err == nil || !slices.ContainsFunc(strings.Split(e.want, "|"), func(s string) bool { return strings.Contains(err.Error(), s) }) {
				t.Errorf("got error %v, want %q in it", err, e.want)
			}
		})
	}
	tensor := func(name string) safetensors.Tensor {
		return safetensors.Float32Tensor(name, safetensors.F32, []int{2, 12}, make([]float32, 24))
	}
	for _, name := range []string{"x", "shared.q_proj", "shared.x_proj.lora_A", "layers.3.q_proj.lora_A", "layers.-1.q_proj.lora_A", "layers.0.q_proj.lora_A"} {
		dir := write(t)
		if err := safetensors.Write(filepath.Join(dir, nativeWeights), []safetensors.Tensor{tensor(name)}, nil); err != nil {
			t.Fatal(err)
		}
		if _, err := Read(dir, nil); err == nil {
			t.Errorf("a file with only %q was read", name)
		}
	}
	if _, err := Read(filepath.Join(t.TempDir(), "none"), nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing: got %v", err)
	}
	if _, err := Read(t.TempDir(), nil); err == nil || !strings.Contains(err.Error(), "no adapter") {
		t.Errorf("empty folder: got %v", err)
	}
}

func TestWriteFolder(t *testing.T) {
	parent := t.TempDir()
	dir := filepath.Join(parent, "a")
	first, second := random(testDims, []Module{QProj}, 2, 2, true), random(testDims, []Module{VProj}, 2, 4, true)
	if err := WritePEFT(dir, first, Options{}); err != nil {
		t.Fatal(err)
	}
	stale := filepath.Join(parent, ".a.tmp-xyz")
	if err := os.Mkdir(stale, 0o777); err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-2 * staleAge)
	if err := os.Chtimes(stale, old, old); err != nil {
		t.Fatal(err)
	}
	if err := WriteNative(dir, second, Options{}); err != nil {
		t.Fatal(err)
	}
	got, err := Read(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	diff(t, got, second, 0)
	if entries, _ := os.ReadDir(parent); len(entries) != 1 {
		t.Errorf("beside the adapter: %v", entries)
	}

	// A failing writer leaves the old folder alone.
	broken := errors.New("disk full")
	if err := writeFolder(dir, func(string) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("got error %v, want %v", err, broken)
	}
	if _, err := Read(dir, nil); err != nil {
		t.Errorf("after a failed write: %v", err)
	}
	if entries, _ := os.ReadDir(parent); len(entries) != 1 {
		t.Errorf("after a failed write: %v", entries)
	}

	// Through a link, the folder is replaced and the link stays.
	link := filepath.Join(parent, "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Skipf("no symbolic links: %v", err)
	}
	if err := WriteNative(link, first, Options{}); err != nil {
		t.Fatal(err)
	}
	if got, err := Read(dir, nil); err != nil || got.Modules()[0] != QProj {
		t.Errorf("through the link: %v", err)
	}

	// A folder with anything else in it is never replaced.
	if err := os.WriteFile(filepath.Join(dir, "thesis.tex"), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := WriteNative(dir, first, Options{}); err == nil || !strings.Contains(err.Error(), "thesis.tex") {
		t.Errorf("a folder with other files: got error %v", err)
	}
	if err := WriteNative(filepath.Join(dir, "thesis.tex"), first, Options{}); err == nil {
		t.Error("a file was replaced by a folder")
	}
}
