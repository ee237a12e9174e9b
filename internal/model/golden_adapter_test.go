package model_test

import (
	"context"
	"encoding/json"
	"math"
	"os"
	"testing"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/model"
)

// TestGoldenAdapterFiles gives the model adapters that PEFT and
// reference/adapter_golden.py wrote, as a PEFT folder and as a GGUF file, and
// compares logits with those of PEFT, which llama.cpp confirmed.
func TestGoldenAdapterFiles(t *testing.T) {
	for _, name := range []string{"llama", "qwen2"} {
		dir := "../adapter/testdata/peft_tiny_" + name
		m, _, err := model.Load("testdata/tiny-" + name + ".gguf")
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		data, err := os.ReadFile(dir + "/logits.json")
		if err != nil {
			t.Fatal(err)
		}
		var golden struct {
			Prompts []struct {
				Tokens []int32   `json:"tokens"`
				IDs    []int     `json:"ids"`
				Logits []float64 `json:"logits"`
			} `json:"prompts"`
		}
		if err := json.Unmarshal(data, &golden); err != nil {
			t.Fatal(err)
		}
		if len(golden.Prompts) == 0 {
			t.Fatalf("%s: no prompts", dir)
		}
		dims := m.Config.Dims()
		for _, path := range []string{dir, dir + "/adapter.gguf"} {
			a, err := adapter.Read(path, &dims)
			if err != nil {
				t.Fatal(err)
			}
			for i, p := range golden.Prompts {
				c, err := m.NewCache(a)
				if err != nil {
					t.Fatal(err)
				}
				rows, err := m.Extend(context.Background(), []model.Extension{{Cache: c, Tokens: p.Tokens}})
				if err != nil {
					t.Fatal(err)
				}
				for j, id := range p.IDs {
					if d := math.Abs(float64(rows[0][id]) - p.Logits[j]); !(d <= 1e-3) {
						t.Errorf("%s, prompt %d: logit %d is %g, want %g", path, i, id, rows[0][id], p.Logits[j])
					}
				}
			}
		}
	}
}
