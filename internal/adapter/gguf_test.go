package adapter

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/code2lora/code2lora/internal/gguf"
)

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
