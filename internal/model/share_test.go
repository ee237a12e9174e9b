package model_test

import (
	"context"
	"strings"
	"testing"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/model"
)

func TestBadPrefix(t *testing.T) {
	m := tiny(t, "llama")
	D := m.HiddenSize
	upper := randomAdapter(m, 1, false)
	tokens := []int32{1, 2, 3}
	root := model.Sequence{Tokens: tokens, Adapter: -1}
	for want, b := range map[string]model.Batch{
		"earlier sequence":       {Sequences: []model.Sequence{{Tokens: tokens, Adapter: -1, Prefix: 1}}},
		"prefix -1":              {Sequences: []model.Sequence{root, {Tokens: tokens, Adapter: -1, Prefix: -1}}},
		"which has 3":            {Sequences: []model.Sequence{root, {Tokens: tokens, Adapter: -1, Prefix: 1, PrefixLen: 4}}},
		"no prefix":              {Sequences: []model.Sequence{root, {Tokens: tokens, Adapter: -1, PrefixLen: 1}}},
		"has adapter -1":         {Sequences: []model.Sequence{root, {Tokens: tokens, Prefix: 1}}, Adapters: []*adapter.Adapter{upper}},
		"of 129 tokens":          {Sequences: []model.Sequence{{Tokens: make([]int32, 100), Adapter: -1}, {Tokens: make([]int32, 29), Adapter: -1, Prefix: 1}}},
		"begins at layer 4":      {Sequences: []model.Sequence{root}, From: 4},
		"no hidden states":       {Sequences: []model.Sequence{root}, From: 1},
		"want 36, 12 for each":   {Sequences: []model.Sequence{{Tokens: tokens, Adapter: -1, Hidden: make([]float32, 2*D)}}, From: 1},
		"adapts layer 0":         {Sequences: []model.Sequence{{Tokens: tokens, Hidden: make([]float32, 3*D)}}, From: 1, Adapters: []*adapter.Adapter{upper}},
		"position 3 of 3 tokens": {Sequences: []model.Sequence{root, {Tokens: tokens, Adapter: -1, Prefix: 1, Labels: []model.Label{{Pos: 3}}}}},
	} {
		_, err := m.Score(context.Background(), b)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
	b := model.Batch{Sequences: []model.Sequence{{Tokens: tokens, Adapter: -1, Hidden: make([]float32, 3*D)}}, From: 1}
	if _, err := m.Gradient(context.Background(), b, model.GradientOptions{Activations: []int{0}}); err == nil {
		t.Error("gradient of the input of a layer below the first of the pass: no error")
	}
}
