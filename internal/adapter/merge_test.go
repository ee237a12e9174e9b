package adapter

import (
	"bytes"
	"errors"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/code2lora/code2lora/internal/gguf"
	"github.com/code2lora/code2lora/internal/safetensors"
)

// tinyBase returns the path and dimensions of a random base model.
func tinyBase(t *testing.T, arch string) (string, Dims) {
	path := "../model/testdata/tiny-" + arch + ".gguf"
	return path, readDims(t, path)
}

func openGGUF(t *testing.T, path string) *gguf.File {
	t.Helper()
	f, err := gguf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func floats(t *testing.T, f *gguf.File, name string) []float32 {
	t.Helper()
	info, ok := f.Tensor(name)
	v := make([]float32, info.NumElements())
	if err := gguf.DequantizeRow(v, info.Type, f.Data(info)); !ok || err != nil {
		t.Fatalf("tensor %q: %v, %v", name, ok, err)
	}
	return v
}

// expected returns W + Scale·B·A of a layer in the order of Hugging Face.
func expected(t *testing.T, f *gguf.File, a *Adapter, l int, m Module) []float64 {
	w := fromGGUF(floats(t, f, ggufName(l, m)), a.Dims.Modules[m].Out, permutedHeads(a.Dims, m))
	sum := delta(a, l, m)
	for i, v := range w {
		sum[i] += float64(v)
	}
	return sum
}

func TestMergeGGUF(t *testing.T) {
	// relative to the largest value of a tensor
	tolerances := map[gguf.Type]float64{gguf.F32: 1e-6, gguf.F16: 0x1p-11, gguf.BF16: 0x1p-8,
		gguf.Q8_0: 1.0/254 + 0x1p-11} // half a step, and the rounding of the scale
	for _, arch := range []string{"llama", "qwen2"} {
		for typ, tolerance := range tolerances {
			t.Run(arch+"/"+typ.String(), func(t *testing.T) {
				path, d := tinyBase(t, arch)
				a := random(d, allModules, 4, 2, false)
				a.Layers[1][VProj] = nil
				out := filepath.Join(t.TempDir(), "merged.gguf")
				if err := MergeGGUF(path, a, out, typ); err != nil {
					t.Fatal(err)
				}
				base, merged := openGGUF(t, path), openGGUF(t, out)
				if got, want := len(merged.Tensors()), len(base.Tensors()); got != want {
					t.Fatalf("got %d tensors, want %d", got, want)
				}
				checkUnmerged(t, base, merged, map[string]bool{ggufName(1, VProj): true})
				for l := range a.Layers {
					for m := range NumModules {
						got := fromGGUF(floats(t, merged, ggufName(l, m)), d.Modules[m].Out, permutedHeads(d, m))
						compare(t, ggufName(l, m), got, expected(t, base, a, l, m), tolerance)
					}
				}
			})
		}
	}
}

func compare(t *testing.T, name string, got []float32, want []float64, tolerance float64) {
	t.Helper()
	var peak float64
	for _, v := range want {
		peak = max(peak, math.Abs(v))
	}
	for i := range want {
		if math.Abs(float64(got[i])-want[i]) > tolerance*peak {
			t.Fatalf("%s[%d]: got %g, want %g ± %g", name, i, got[i], want[i], tolerance*peak)
		}
	}
}

// checkUnmerged expects everything that is no adapted weight to be unchanged.
func checkUnmerged(t *testing.T, base, merged *gguf.File, also map[string]bool) {
	t.Helper()
	for _, info := range base.Tensors() {
		adapted := !also[info.Name] && !strings.Contains(info.Name, "norm") &&
			strings.HasPrefix(info.Name, "blk.") && strings.HasSuffix(info.Name, ".weight")
		have, _ := merged.Tensor(info.Name)
		if !adapted && (have.Type != info.Type || !bytes.Equal(merged.Data(have), base.Data(info))) {
			t.Errorf("tensor %q changed", info.Name)
		}
	}
	for i, kv := range base.KVs() {
		got := merged.KVs()[i]
		switch kv.Key {
		case "general.name":
			if name, _ := merged.String(kv.Key); !strings.HasSuffix(name, " + example/repo@8c4f1b2a8c4f") {
				t.Errorf("general.name: got %q", name)
			}
		case "general.file_type":
		default:
			if got.Key != kv.Key || got.Type != kv.Type || !bytes.Equal(got.Raw, kv.Raw) {
				t.Errorf("metadata key %q changed", kv.Key)
			}
		}
	}
	if text, _ := merged.String(keySidecar); !strings.Contains(text, "example/repo") {
		t.Errorf("provenance: got %q", text)
	}
}

func TestMergeSafetensors(t *testing.T) {
	for _, arch := range []string{"llama", "qwen2"} {
		t.Run(arch, func(t *testing.T) {
			path, d := tinyBase(t, arch)
			a := random(d, []Module{QProj, KProj, UpProj}, 4, 2, true)
			out := filepath.Join(t.TempDir(), "model.safetensors")
			if err := MergeSafetensors(path, a, out, safetensors.F32); err != nil {
				t.Fatal(err)
			}
			base := openGGUF(t, path)
			f, err := safetensors.Open(out)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			for l := range a.Layers {
				for m := range NumModules {
					name := hfName(l, m) + ".weight"
					shape, _ := f.Shape(name)
					if len(shape) != 2 || shape[0] != d.Modules[m].Out || shape[1] != d.Modules[m].In {
						t.Fatalf("%s: shape %v, want %v", name, shape, d.Modules[m])
					}
					got, err := f.Float32s(name)
					if err != nil {
						t.Fatal(err)
					}
					compare(t, name, got, expected(t, base, a, l, m), 1e-6)
				}
			}
			for hf, name := range map[string]string{"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight",
				"model.layers.1.input_layernorm.weight": "blk.1.attn_norm.weight", "model.layers.1.post_attention_layernorm.weight": "blk.1.ffn_norm.weight"} {
				want := floats(t, base, name)
				if got, err := f.Float32s(hf); err != nil || len(got) != len(want) || got[1] != want[1] {
					t.Errorf("%s: got %d values, %v, want %d", hf, len(got), err, len(want))
				}
			}
		})
	}
}

// TestMergeBias checks that a llama's biases of q and k are put in order too.
func TestMergeBias(t *testing.T) {
	path := filepath.Join(t.TempDir(), "base.gguf")
	d := testDims
	d.NumHiddenLayers = 1
	var tensors []gguf.TensorSource
	for m, s := range d.Modules {
		tensors = append(tensors, gguf.Float32Source(ggufName(0, Module(m)), []uint64{uint64(s.In), uint64(s.Out)}, gguf.F32, make([]float32, s.In*s.Out)))
	}
	bias := []float32{0, 3, 1, 4, 2, 5, 10, 13, 11, 14, 12, 15}
	tensors = append(tensors, gguf.Float32Source("blk.0.attn_k.bias", []uint64{12}, gguf.F32, bias))
	if err := gguf.Write(path, []gguf.KV{gguf.StringKV(keyArch, "llama")}, tensors); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "out.safetensors")
	if err := MergeSafetensors(path, random(d, []Module{VProj}, 1, 1, false), out, ""); err != nil {
		t.Fatal(err)
	}
	f, err := safetensors.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	got, err := f.Float32s("model.layers.0.self_attn.k_proj.bias")
	if want := []float64{0, 1, 2, 3, 4, 5, 10, 11, 12, 13, 14, 15}; err != nil {
		t.Fatal(err)
	} else {
		compare(t, "bias", got, want, 0)
	}
	if shape, _ := f.Shape("model.layers.0.self_attn.k_proj.bias"); len(shape) != 1 || shape[0] != 12 {
		t.Errorf("shape of the bias: got %v", shape)
	}
}

func TestMergeErrors(t *testing.T) {
	path, d := tinyBase(t, "llama")
	other, fewer, wide := d, d, d
	other.Arch = "qwen2"
	fewer.NumHiddenLayers--
	wide.Modules[UpProj].In++
	large := random(d, []Module{QProj}, 1, 1, true)
	large.Layers[0][QProj].A[0], large.Layers[0][QProj].B[0] = 1000, 1000
	tests := []struct {
		name   string
		a      *Adapter
		typ    gguf.Type
		isBase bool
		want   string
	}{
		{"architecture", random(other, allModules, 1, 1, true), gguf.F16, true, "architecture"},
		{"layers", random(fewer, allModules, 1, 1, true), gguf.F16, true, "more than"},
		{"shape", random(wide, allModules, 1, 1, true), gguf.F16, true, "dimensions"},
		{"type", random(d, allModules, 1, 1, true), gguf.Q4_0, false, "Q4_0"},
		{"empty", New(d, nil, 1, 1, false), gguf.F16, false, "no pairs"},
		{"range", large, gguf.F16, false, "range of F16"},
	}
	for _, tt := range tests {
		err := MergeGGUF(path, tt.a, filepath.Join(t.TempDir(), "out.gguf"), tt.typ)
		if err == nil || !strings.Contains(err.Error(), tt.want) || errors.Is(err, ErrBaseModel) != tt.isBase {
			t.Errorf("%s: got error %v, want %q in it (other base: %v)", tt.name, err, tt.want, tt.isBase)
		}
	}
}
