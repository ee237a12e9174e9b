package hypernet

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"os"
	"testing"

	"github.com/code2lora/code2lora/internal/embedding"
)

func readGolden(t *testing.T, path string) TensorMap {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	n := binary.LittleEndian.Uint64(raw)
	var header map[string]struct {
		Shape   []int `json:"shape"`
		Offsets []int `json:"data_offsets"`
	}
	if err := json.Unmarshal(raw[8:8+n], &header); err != nil {
		t.Fatal(err)
	}
	ts := TensorMap{}
	for name, h := range header {
		if name == "__metadata__" {
			continue
		}
		data := raw[8+int(n)+h.Offsets[0] : 8+int(n)+h.Offsets[1]]
		x := make([]float32, len(data)/4)
		for i := range x {
			x[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
		}
		ts[name] = embedding.Tensor{Shape: h.Shape, Data: x}
	}
	return ts
}
