package main

import (
	"crypto/sha256"
	"encoding/hex"
	"math/rand/v2"
	"os"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/encoder"
	"github.com/code2lora/code2lora/internal/evolve"
	"github.com/code2lora/code2lora/internal/hypernet"
	"github.com/code2lora/code2lora/internal/model"
	"github.com/code2lora/code2lora/internal/safetensors"
	"github.com/code2lora/code2lora/internal/testutil"
)

// makeRecurrent writes a checkpoint with a recurrence over all commits and random
// parameters.
func makeRecurrent(base, path string) error {
	data, err := os.ReadFile(base)
	if err != nil {
		return err
	}
	cfg, err := model.ReadConfig(base)
	if err != nil {
		return err
	}
	const hidden = 7
	D, rng := cfg.HiddenSize, rand.New(rand.NewPCG(3, 4))
	some := func(n, size int) (vs [][]float32) {
		for range n {
			vs = append(vs, testutil.Randn(rng, size))
		}
		return vs
	}
	s := evolve.DefaultSettings()
	s.Commits, s.Diff.Layer, s.Diff.Chunk, s.Diff.Min = evolve.CommitsAll, 1, 24, 4
	g, err := evolve.New(evolve.Options{Diff: 2 * D, Repository: 2 * D, Hidden: hidden})
	if err != nil {
		return err
	}
	g.Init(5)
	in := evolve.NewInputs(&s, g.Options())
	if err := in.Fit(some(5, 2*D), some(9, 2*D)); err != nil {
		return err
	}
	head, err := evolve.NewHead(hypernet.FactoredKind, map[string]any{"rank": 2, "alpha": 4, "coefficients": 3}, cfg.Dims(), hidden)
	if err != nil {
		return err
	}
	if err := evolve.FitHead(head, some(6, hidden)); err != nil {
		return err
	}
	head.Init(7)
	for _, p := range head.Params() {
		for i := range p.Value {
			p.Value[i] += float32(0.1 * rng.NormFloat64())
		}
	}
	sum := sha256.Sum256(data)
	enc := encoder.Options{Kind: encoder.KindHidden, Base: hex.EncodeToString(sum[:]), Layer: 1, Chunk: 32, Min: 8}
	return evolve.Save(path, &evolve.Checkpoint{Info: hypernet.Info{Name: "evo", Base: adapter.Base{Name: "tiny-llama", SHA256: enc.Base},
		Encoder: enc.ID(), Tool: "test"}, Head: head, GRU: g, Inputs: in, Settings: s}, safetensors.F32)
}
