package model

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/code2lora/code2lora/internal/gguf"
)

// TestLoadRefuses changes one thing in a good file.
func TestLoadRefuses(t *testing.T) {
	set := func(kv gguf.KV) func(f *contents) { return func(f *contents) { f.kvs[kv.Key] = kv } }
	drop := func(key string) func(f *contents) { return func(f *contents) { delete(f.kvs, key) } }
	tensor := func(name string, typ gguf.Type, size int, dims ...uint64) func(f *contents) {
		return func(f *contents) { f.tensors[name] = gguf.BytesSource(name, dims, typ, make([]byte, size)) }
	}
	const q2k, i32 = gguf.Type(10), gguf.Type(26)
	for _, tt := range []struct {
		name  string
		spoil func(f *contents)
		want  string
	}{
		{"no architecture", drop("general.architecture"), `"general.architecture" is missing`},
		{"architecture", set(gguf.StringKV("general.architecture", "mamba")), `"mamba" is not supported`},
		{"no size", drop("llama.embedding_length"), `"llama.embedding_length" is missing`},
		{"no layers", set(gguf.Uint32KV("llama.block_count", 0)), "num_hidden_layers 0"},
		{"a billion layers", set(gguf.Uint32KV("llama.block_count", 1e9)), `"llama.block_count" is 1000000000`},
		{"more layers", set(gguf.Uint32KV("llama.block_count", 1000)), `"blk.3.attn_norm.weight" is missing`},
		{"context", set(gguf.Uint32KV("llama.context_length", 1<<30)), `"llama.context_length"`},
		{"context, as large as can be", set(gguf.KV{Key: "llama.context_length", Type: gguf.Uint64, Raw: []byte{7: 0x80}}), `"llama.context_length" is 9223372036854775808`},
		{"no heads", set(gguf.Uint32KV("llama.attention.head_count", 0)), "num_attention_heads 0"},
		{"uneven heads", set(gguf.Uint32KV("llama.attention.head_count_kv", 3)), "no multiple"},
		{"odd heads", set(gguf.Uint32KV("llama.attention.key_length", 15)), "head_dim 15 is odd"},
		{"huge heads", set(gguf.Uint32KV("llama.attention.key_length", 1<<20)), "head_dim 1048576"},
		{"other heads", func(f *contents) {
			for _, key := range []string{"llama.attention.key_length", "llama.attention.value_length", "llama.rope.dimension_count"} {
				f.kvs[key] = gguf.Uint32KV(key, 512)
			}
		}, `"blk.0.attn_q.weight" has dimensions`},
		{"value heads", set(gguf.Uint32KV("llama.attention.value_length", 32)), "value heads of size 32"},
		{"partial rotation", set(gguf.Uint32KV("llama.rope.dimension_count", 8)), "8 of 16"},
		{"scaling", set(gguf.StringKV("llama.rope.scaling.type", "yarn")), `"yarn"`},
		{"epsilon", set(gguf.Float32KV("llama.attention.layer_norm_rms_epsilon", -1)), "rms_norm_eps -1"},
		{"theta", set(gguf.Float32KV("llama.rope.freq_base", 0)), "rope_theta 0"},
		{"tokenizer", set(gguf.StringKV("tokenizer.ggml.model", "llama")), "byte-level BPE"},
		{"fewer rows", tensor("token_embd.weight", gguf.F16, 2*64*4, 64, 4), "the embedding matrix 4 rows"},
		{"embedding", func(f *contents) { delete(f.tensors, "token_embd.weight") }, `"token_embd.weight" is missing`},
		{"last tensor", func(f *contents) { delete(f.tensors, "blk.2.ffn_down.weight") }, `"blk.2.ffn_down.weight" is missing`},
		{"no norm", func(f *contents) { delete(f.tensors, "output_norm.weight") }, `"output_norm.weight" is missing`},
		{"transposed", tensor("blk.1.ffn_up.weight", gguf.F16, 2*96*64, 96, 64), "[96 64], want [64 96]"},
		{"vector for a matrix", tensor("blk.1.ffn_up.weight", gguf.F16, 2*96*64, 96*64), "[6144], want [64 96]"},
		{"norm", tensor("blk.1.attn_norm.weight", gguf.F32, 4*8, 8), "[8], want [64]"},
		{"rope factors", tensor("rope_freqs.weight", gguf.F32, 4*4, 4), "[4], want [8]"},
		{"integers", tensor("blk.1.ffn_up.weight", i32, 4*96*64, 64, 96), `"blk.1.ffn_up.weight" is stored as I32`},
		{"integer norm", tensor("blk.1.attn_norm.weight", i32, 4*64, 64), "I32 cannot be decoded"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := readAll(t, "testdata/tiny-llama.gguf")
			tt.spoil(f)
			path := filepath.Join(t.TempDir(), "model.gguf")
			f.write(t, path)
			if _, _, err := Load(path); err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("got error %v, want one that contains %q and the path", err, tt.want)
			}
		})
	}
	// A type that we can list but not decode, where its blocks fit.
	w := &ggufWeights{f: parse(t, func(f *contents) {
		f.tensors["w"] = gguf.BytesSource("w", []uint64{256, 2}, q2k, make([]byte, 2*84))
	})}
	if _, err := w.matrix("w", 2, 256); err == nil || !strings.Contains(err.Error(), "Q2_K") {
		t.Errorf("got error %v, want one that names Q2_K", err)
	}
}

// contents of a GGUF file, to be changed.
type contents struct {
	kvs     map[string]gguf.KV
	tensors map[string]gguf.TensorSource
}

func readAll(t *testing.T, path string) *contents {
	t.Helper()
	f, err := gguf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	c := &contents{map[string]gguf.KV{}, map[string]gguf.TensorSource{}}
	for _, kv := range f.KVs() {
		c.kvs[kv.Key] = kv
	}
	for _, x := range f.Tensors() {
		c.tensors[x.Name] = gguf.BytesSource(x.Name, x.Dims, x.Type, f.Data(x))
	}
	return c
}

func (c *contents) write(t *testing.T, path string) {
	t.Helper()
	var kvs []gguf.KV
	var tensors []gguf.TensorSource
	for _, kv := range c.kvs {
		kvs = append(kvs, kv)
	}
	for _, x := range c.tensors {
		tensors = append(tensors, x)
	}
	if err := gguf.Write(path, kvs, tensors); err != nil {
		t.Fatal(err)
	}
}

// parse returns tiny-llama with a change.
func parse(t *testing.T, change func(*contents)) *gguf.File {
	t.Helper()
	c := readAll(t, "testdata/tiny-llama.gguf")
	change(c)
	path := filepath.Join(t.TempDir(), "model.gguf")
	c.write(t, path)
	f, err := gguf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// TestContextIsBounded loads a file that claims the longest context that is
// accepted: no table of that length is made, and longer sequences are refused.
func TestContextIsBounded(t *testing.T) {
	f := parse(t, func(c *contents) { c.kvs["llama.context_length"] = gguf.Uint32KV("llama.context_length", maxPositions) })
	var m *Model
	got := allocated(func() {
		var err error
		if m, _, err = fromGGUF(f); err != nil {
			t.Fatal(err)
		}
	})
	if m.MaxContext() != maxTabulated {
		t.Errorf("context of %d tokens, want %d", m.MaxContext(), maxTabulated)
	}
	if want := int64(maxPositions * m.HeadDim * 4); got > want/4 {
		t.Errorf("allocated %d bytes; a table of the whole context would take %d", got, want)
	}
	c, err := m.NewCache(nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = m.Extend(context.Background(), []Extension{{Cache: c, Tokens: make([]int32, maxTabulated+1)}})
	if err == nil || !strings.Contains(err.Error(), "sequence of 32769 tokens: the model's context is 32768") {
		t.Errorf("got error %v, want one with both lengths", err)
	}
}

func TestLoadMissing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "none.gguf")
	if _, _, err := Load(path); !os.IsNotExist(err) {
		t.Errorf("got error %v, want that the file does not exist", err)
	}
	if _, err := ReadConfig(path); !os.IsNotExist(err) {
		t.Errorf("ReadConfig: got error %v, want that the file does not exist", err)
	}
}

func TestReadConfig(t *testing.T) {
	got, err := ReadConfig("testdata/tiny-qwen2.gguf")
	if err != nil {
		t.Fatal(err)
	}
	want := Config{ModelType: "qwen2", HiddenSize: 96, IntermediateSize: 160, NumHiddenLayers: 3, NumAttentionHeads: 6,
		NumKeyValueHeads: 2, HeadDim: 16, VocabSize: got.VocabSize, MaxPositionEmbeddings: got.MaxPositionEmbeddings,
		RMSNormEps: got.RMSNormEps, RopeTheta: 1e6}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// FuzzLoad checks that no file makes loading panic, and that a model it gives
// can be run.
func FuzzLoad(f *testing.F) {
	raw, err := os.ReadFile("testdata/tiny-llama.gguf")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Fuzz(func(t *testing.T, raw []byte) {
		file, err := gguf.Parse(raw)
		if err != nil {
			return
		}
		m, _, err := fromGGUF(file)
		if err != nil {
			return
		}
		c, err := m.NewCache(nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.Extend(context.Background(), []Extension{{Cache: c, Tokens: []int32{0}}}); err != nil {
			t.Errorf("a model was loaded, but does not run: %v", err)
		}
	})
}
