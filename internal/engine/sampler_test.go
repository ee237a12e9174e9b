package engine

import (
	"math"
	"slices"
	"testing"
)

// TestDistribution compares the frequencies of many draws with the
// probabilities. A count of n draws with probability p lies within five of its
// standard deviations, sqrt(n p (1−p)), all but once in a million times.
func TestDistribution(t *testing.T) {
	logits := []float32{1, -2, 3, 0.5, 2.5, -30}
	const n = 20000
	for name, tt := range map[string]struct {
		o    Options
		only []int // tokens that may be drawn, nil: all
	}{
		"1":               {Options{Temperature: 1}, nil},
		"cold":            {Options{Temperature: 0.5}, nil},
		"hot":             {Options{Temperature: 4}, nil},
		"top-k":           {Options{Temperature: 1, TopK: 3}, []int{2, 4, 0}},
		"top-k of all":    {Options{Temperature: 1, TopK: 100}, nil},
		"top-p":           {Options{Temperature: 1, TopP: 0.9}, []int{2, 4, 0}}, // 0.53, 0.85, 0.92
		"top-p 1":         {Options{Temperature: 1, TopP: 1}, nil},
		"top-k and top-p": {Options{Temperature: 1, TopK: 3, TopP: 0.6}, []int{2, 4}},
	} {
		t.Run(name, func(t *testing.T) {
			p, sum := make([]float64, len(logits)), 0.0
			for i, v := range logits {
				if tt.only == nil || slices.Contains(tt.only, i) {
					p[i] = math.Exp(float64(v) / tt.o.Temperature)
					sum += p[i]
				}
			}
			counts := make([]int, len(logits))
			tt.o.Seed = 17
			s := newSampler(tt.o)
			for range n {
				counts[s.next(logits)]++
			}
			for i, c := range counts {
				q := p[i] / sum
				if want := n * q; math.Abs(float64(c)-want) > 5*math.Sqrt(n*q*(1-q))+1e-3 {
					t.Errorf("token %d: drawn %d times, want about %.0f", i, c, want)
				}
			}
		})
	}
}

func TestSameAsGreedy(t *testing.T) {
	e := load(t, "tiny-llama")
	want := complete(t, e, Prompt{Prefix: code}, nil, Options{MaxTokens: 12})
	for name, o := range map[string]Options{
		"top-k 1":     {Temperature: 1.5, TopK: 1},
		"tiny top-p":  {Temperature: 1.5, TopP: 1e-9},
		"very cold":   {Temperature: 1e-300},
		"the coldest": {Temperature: math.SmallestNonzeroFloat64},
	} {
		o.MaxTokens, o.Seed = 12, 4
		got := complete(t, e, Prompt{Prefix: code}, nil, o)
		if !slices.Equal(got.Tokens, want.Tokens) || !slices.Equal(got.LogProbs, want.LogProbs) {
			t.Errorf("%s: got %v, want %v", name, got.Tokens, want.Tokens)
		}
	}
	// On ties the lowest id counts as the most likely.
	tie := []float32{0, 2, 1, 2}
	for _, o := range []Options{{}, {Temperature: 1, TopK: 1}, {Temperature: 1, TopP: 1e-9}} {
		if got := newSampler(o).next(tie); got != 1 {
			t.Errorf("%+v: got token %d of %v, want 1", o, got, tie)
		}
	}
}

func TestSeed(t *testing.T) {
	e := load(t, "tiny-llama")
	o := Options{MaxTokens: 16, Temperature: 2, TopK: 100, TopP: 0.99}
	seen := map[string]bool{}
	for seed := range uint64(4) {
		o.Seed = seed
		a, b := complete(t, e, Prompt{Prefix: code}, nil, o), complete(t, e, Prompt{Prefix: code}, nil, o)
		if !slices.Equal(a.Tokens, b.Tokens) {
			t.Errorf("seed %d: %v and then %v", seed, a.Tokens, b.Tokens)
		}
		seen[a.Text] = true
	}
	if len(seen) < 2 {
		t.Error("four seeds, one answer")
	}
}

// TestSamplerLeavesLogits checks that logits can be used after sampling.
func TestSamplerLeavesLogits(t *testing.T) {
	logits := []float32{1, 3, 2}
	newSampler(Options{Temperature: 1, TopK: 2, TopP: 0.5}).next(logits)
	if !slices.Equal(logits, []float32{1, 3, 2}) {
		t.Errorf("the sampler changed the logits to %v", logits)
	}
}
