package engine

import (
	"context"
	"math/rand/v2"
	"testing"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/model"
	"github.com/code2lora/code2lora/internal/tokenizer"
)

// load opens a tiny model of package model's tests: tiny-llama, without
// fill-in-the-middle tokens, or tiny-qwen2, with them.
func load(t *testing.T, name string) *Engine {
	t.Helper()
	m, tok, err := model.Load("../model/testdata/" + name + ".gguf")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return &Engine{Model: m, Tokenizer: tok}
}

// letters is a tokenizer of single characters, in which tests choose the
// special tokens: the printable ASCII characters but the space, in order, then
// a space, a newline and "<bos>". Ids are -1 unless changed.
func letters(t *testing.T, change func(s *tokenizer.Spec, bos int32)) *tokenizer.Tokenizer {
	t.Helper()
	s := tokenizer.Spec{Pre: "gpt-2", BOS: -1, EOS: -1, EOT: -1, EOM: -1,
		FIMPre: -1, FIMSuf: -1, FIMMid: -1, FIMPad: -1, FIMRep: -1, FIMSep: -1}
	for c := '!'; c <= '~'; c++ {
		s.Tokens = append(s.Tokens, string(c))
	}
	s.Tokens = append(s.Tokens, "Ġ", "Ċ", "<bos>")
	for range s.Tokens {
		s.Types = append(s.Types, tokenizer.Normal)
	}
	bos := int32(len(s.Tokens) - 1)
	s.Types[bos] = tokenizer.Control
	if change != nil {
		change(&s, bos)
	}
	tok, err := tokenizer.New(s)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// random is an engine with a random model for a tokenizer, and a short context.
func random(t *testing.T, tok *tokenizer.Tokenizer) *Engine {
	t.Helper()
	m, err := model.NewRandom(model.Config{
		ModelType: "llama", HiddenSize: 16, IntermediateSize: 24, NumHiddenLayers: 2, NumAttentionHeads: 2,
		NumKeyValueHeads: 1, HeadDim: 8, VocabSize: tok.VocabSize(), MaxPositionEmbeddings: 64, RMSNormEps: 1e-5,
		RopeTheta: 1000,
	}, 11)
	if err != nil {
		t.Fatal(err)
	}
	return &Engine{Model: m, Tokenizer: tok}
}

func randomAdapter(m *model.Model, scale float64) *adapter.Adapter {
	rng := rand.New(rand.NewPCG(5, 6))
	a := adapter.New(m.Config.Dims(), []adapter.Module{adapter.QProj, adapter.VProj, adapter.DownProj}, 2, 4, false)
	for _, e := range a.Pairs() {
		for _, f := range [2][]float32{e.A, e.B} {
			for i := range f {
				f[i] = float32(rng.NormFloat64() * scale)
			}
		}
	}
	return a
}

func complete(t *testing.T, e *Engine, p Prompt, a *adapter.Adapter, o Options) *Completion {
	t.Helper()
	c, err := e.Complete(context.Background(), p, a, o, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
