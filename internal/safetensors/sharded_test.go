package safetensors

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// shards writes two shards and an index.
func shards(t *testing.T, index string) string {
	t.Helper()
	dir := t.TempDir()
	for name, tensors := range map[string][]Tensor{
		"one.safetensors": {Float32Tensor("a", F32, []int{2}, []float32{1, 2}), Float32Tensor("extra", F32, []int{1}, []float32{9})},
		"two.safetensors": {Float32Tensor("b", F16, []int{1, 1}, []float32{3})},
	} {
		if err := Write(filepath.Join(dir, name), tensors, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, indexName), []byte(index), 0o666); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestSharded(t *testing.T) {
	dir := shards(t, `{"metadata":{"total_size":10},"weight_map":{"b":"two.safetensors","a":"one.safetensors"}}`)
	s, err := OpenSharded(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if got, want := s.Names(), []string{"a", "b"}; !slices.Equal(got, want) {
		t.Errorf("names: got %q, want %q", got, want)
	}
	for name, want := range map[string][]float32{"a": {1, 2}, "b": {3}} {
		if got, err := s.Float32s(name); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: got %v, %v, want %v", name, got, err, want)
		}
	}
	if shape, ok := s.Shape("b"); !ok || !slices.Equal(shape, []int{1, 1}) {
		t.Errorf("shape of b: got %v, %v", shape, ok)
	}
	if raw, err := s.Bytes("b"); err != nil || len(raw) != 2 {
		t.Errorf("bytes of b: got %d, %v", len(raw), err)
	}
	if _, err := s.Float32s("extra"); err == nil {
		t.Error("a tensor outside of the index was read")
	}
}

func TestShardedErrors(t *testing.T) {
	tests := []struct{ name, index, want string }{
		{"no JSON", `{`, "EOF"},
		{"no map", `{"metadata":{}}`, "no weight_map"},
		{"not in the shard", `{"weight_map":{"b":"one.safetensors"}}`, `"b" is not in "one.safetensors"`},
		{"no shard", `{"weight_map":{"b":"three.safetensors"}}`, "three.safetensors"},
		{"parent", `{"weight_map":{"a":"../one.safetensors"}}`, "outside of the folder"},
		{"absolute", `{"weight_map":{"a":"/etc/passwd"}}`, "outside of the folder"},
		{"twice", `{"weight_map":{"a":"one.safetensors","a":"two.safetensors"}}`, "occurs twice"},
		{"number", `{"weight_map":{"a":1}}`, "no string"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := OpenSharded(shards(t, tt.index))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got error %v, want %q in it", err, tt.want)
			}
		})
	}
	if _, err := OpenSharded(t.TempDir()); err == nil {
		t.Error("an empty folder was opened")
	}
}

func TestShardedSingle(t *testing.T) {
	dir := t.TempDir()
	if err := Write(filepath.Join(dir, singleName), []Tensor{Float32Tensor("a", F32, nil, []float32{1})}, nil); err != nil {
		t.Fatal(err)
	}
	s, err := OpenSharded(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if got, err := s.Float32s("a"); err != nil || !slices.Equal(got, []float32{1}) {
		t.Errorf("a: got %v, %v", got, err)
	}
}
