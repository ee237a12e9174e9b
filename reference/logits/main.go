// Command logits writes the logits of a base model with an adapter, as
// code2lora computes them, in the form that peft_check.py and
// llamacpp_check.py compare with:
//
//	go run ./reference/logits BASE.gguf ADAPTER > LOGITS.json
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/model"
)

// prompts are completed by the check; any text will do.
var prompts = []string{
	"def test_decode():\n    assert decode(encode(payload)) == ",
	"class Config:\n    def __init__(self, path: str) -> None:\n        self.",
	"with pytest.raises(",
}

// stride thins the logits out: every 97th is compared.
const stride = 97

type prompt struct {
	Tokens     []int32   `json:"tokens"`
	IDs        []int     `json:"ids"`
	Logits     []float32 `json:"logits"`
	BaseLogits []float32 `json:"base_logits"`
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: logits BASE.gguf ADAPTER")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "logits:", err)
		os.Exit(1)
	}
}

func run(base, path string) error {
	m, t, err := model.Load(base)
	if err != nil {
		return err
	}
	defer m.Close()
	dims := m.Config.Dims()
	a, err := adapter.Read(path, &dims)
	if err != nil {
		return err
	}
	var out []prompt
	for _, text := range prompts {
		p := prompt{Tokens: t.Encode(text)}
		with, err := last(m, a, p.Tokens)
		if err != nil {
			return err
		}
		without, err := last(m, nil, p.Tokens)
		if err != nil {
			return err
		}
		for id := 0; id < m.VocabSize; id += stride {
			p.IDs = append(p.IDs, id)
			p.Logits, p.BaseLogits = append(p.Logits, with[id]), append(p.BaseLogits, without[id])
		}
		out = append(out, p)
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]any{"base": base, "prompts": out})
}

// last returns the logits after the last token.
func last(m *model.Model, a *adapter.Adapter, tokens []int32) ([]float32, error) {
	c, err := m.NewCache(a)
	if err != nil {
		return nil, err
	}
	rows, err := m.Extend(context.Background(), []model.Extension{{Cache: c, Tokens: tokens}})
	if err != nil {
		return nil, err
	}
	return rows[0], nil
}
