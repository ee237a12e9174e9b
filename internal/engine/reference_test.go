package engine

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/model"
)

// TestReference has references of several kinds: the answer, its beginning,
// another text. Likelihoods are those of a pass over the whole, and answers
// those without a reference, alone and together, in one piece and in several.
func TestReference(t *testing.T) {
	e := load(t, "tiny-llama")
	e.CacheBytes = -1
	old := passRows
	t.Cleanup(func() { passRows = old })
	rng := rand.New(rand.NewPCG(1, 2))
	for _, a := range []*adapter.Adapter{nil, randomAdapter(e.Model, 0.4)} {
		h, err := e.Handle(a)
		if err != nil {
			t.Fatal(err)
		}
		var requests []Request
		var want []*Completion
		for n := range 9 {
			ids := e.Tokenizer.Encode(code)[n:]
			plain := complete(t, e, Prompt{Tokens: ids}, a, Options{MaxTokens: 10})
			reference := slices.Clone(plain.Tokens)
			switch n % 3 {
			case 1:
				reference = reference[:4]
			case 2:
				for range 30 {
					reference = append(reference[:rng.IntN(len(reference))], int32(rng.IntN(e.Model.VocabSize)))
				}
			}
			requests = append(requests, Request{Prompt: Prompt{Tokens: ids}, Adapter: h, Options: Options{MaxTokens: 10}, Reference: reference})
			want = append(want, plain)
		}
		for _, rows := range []int{512, 5} {
			passRows = rows
			for i, res := range e.CompleteBatch(context.Background(), requests) {
				if res.Err != nil {
					t.Fatal(res.Err)
				}
				c, r := res.Completion, requests[i].Reference
				if !slices.Equal(c.Tokens, want[i].Tokens) || c.Text != want[i].Text {
					t.Errorf("%d rows, request %d: got %v, want %v as without a reference", rows, i, c.Tokens, want[i].Tokens)
				}
				s := model.Sequence{Tokens: slices.Concat(requests[i].Prompt.Tokens, r), Adapter: -1}
				for k, id := range r {
					s.Labels = append(s.Labels, model.Label{Pos: len(requests[i].Prompt.Tokens) - 1 + k, Target: id, Weight: 1})
				}
				b := model.Batch{Sequences: []model.Sequence{s}}
				if a != nil {
					b.Adapters, b.Sequences[0].Adapter = []*adapter.Adapter{a}, 0
				}
				score, err := e.Model.Score(context.Background(), b)
				if err != nil {
					t.Fatal(err)
				}
				if len(c.Reference) != len(r) {
					t.Fatalf("%d likelihoods of %d tokens", len(c.Reference), len(r))
				}
				for k, nll := range score.NLL[0] {
					if math.Abs(float64(c.Reference[k]+nll)) > 1e-3 {
						t.Errorf("%d rows, request %d, token %d: got %g, want %g", rows, i, k, c.Reference[k], -nll)
					}
				}
			}
		}
	}
	for name, reference := range map[string][]int32{"token": {int32(e.Model.VocabSize)}, "length": make([]int32, e.Model.MaxContext())} {
		res := e.CompleteBatch(context.Background(), []Request{{Prompt: Prompt{Prefix: code}, Options: Options{MaxTokens: 1}, Reference: reference}})
		if res[0].Err == nil {
			t.Errorf("a reference of the wrong %s was accepted", name)
		}
	}
}
