package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/model"
)

const (
	prefillTokens = 512
	promptTokens  = 64
	decodeTokens  = 128
	parallel      = 8  // requests decoded at once
	adapterTokens = 32 // that each of them gets
	loraRank      = 16
)

// request is a prompt with an adapter.
type request struct {
	prompt  []int32
	adapter *model.Packed // nil: the bare base
}

// requests returns n random prompts; request i uses adapter i modulo their
// number, or the bare base if there are none.
func requests(m *model.Model, n int, adapters []*model.Packed) []request {
	rng := rand.New(rand.NewPCG(5, 6))
	rs := make([]request, n)
	for i := range rs {
		rs[i].prompt = randomTokens(rng, m, promptTokens)
		if len(adapters) > 0 {
			rs[i].adapter = adapters[i%len(adapters)]
		}
	}
	return rs
}

func randomTokens(rng *rand.Rand, m *model.Model, n int) []int32 {
	ids := make([]int32, n)
	for i := range ids {
		ids[i] = int32(rng.IntN(m.VocabSize))
	}
	return ids
}

// randomAdapter returns an adapter of all projections of all layers.
func randomAdapter(rng *rand.Rand, m *model.Model) *adapter.Adapter {
	var all []adapter.Module
	for mod := range adapter.NumModules {
		all = append(all, mod)
	}
	a := adapter.New(m.Config.Dims(), all, loraRank, 2*loraRank, false)
	for _, e := range a.Pairs() {
		for _, f := range [2][]float32{e.A, e.B} {
			for i := range f {
				f[i] = float32(0.01 * rng.NormFloat64())
			}
		}
	}
	return a
}

// greedy reads prompts, and then decodes tokens of each in common passes. The
// decoding is what counts.
func greedy(m *model.Model, rs []request, tokens int) run {
	return func(ctx context.Context) (time.Duration, error) {
		exts := make([]model.Extension, len(rs))
		for i, r := range rs {
			exts[i] = model.Extension{Cache: m.NewCacheOf(r.adapter), Tokens: r.prompt}
		}
		logits, err := m.Extend(ctx, exts)
		if err != nil {
			return 0, err
		}
		began := time.Now()
		for range tokens {
			for i := range exts {
				exts[i].Tokens = []int32{argmax(logits[i])}
			}
			if logits, err = m.Extend(ctx, exts); err != nil {
				return 0, err
			}
		}
		return time.Since(began), nil
	}
}

func argmax(x []float32) int32 {
	best := 0
	for i, v := range x {
		if v > x[best] {
			best = i
		}
	}
	return int32(best)
}

// prefill measures a prompt of 512 tokens, with the logits after it.
func (r *runner) prefill(ctx context.Context, s *subject) error {
	if err := s.room(prefillTokens); err != nil {
		return err
	}
	prompt := randomTokens(rand.New(rand.NewPCG(7, 8)), s.Model, prefillTokens)
	seconds, err := turns(ctx, r.Rounds, timed(func(ctx context.Context) error {
		_, err := s.Extend(ctx, []model.Extension{{Cache: s.NewCacheOf(nil), Tokens: prompt}})
		return err
	}))
	if err != nil {
		return err
	}
	r.add(s.figure(Prefill, fmt.Sprintf("%d tokens", prefillTokens), prefillTokens, seconds[0]),
		s.cost(s.precision, pass{rows: prefillTokens, context: prefillTokens / 2, logits: 1}))
	return nil
}

// figure is one in tokens/s.
func (s *subject) figure(work, variant string, tokens float64, seconds []float64) Figure {
	return Figure{Work: work, Variant: variant, Model: s.name, Precision: s.precision.String(), Unit: "tokens/s",
		Sample: sample(rates(tokens, seconds))}
}

// decode measures 128 tokens after a prompt of 64.
func (r *runner) decode(ctx context.Context, s *subject) error {
	if err := s.room(promptTokens + decodeTokens); err != nil {
		return err
	}
	seconds, err := turns(ctx, r.Rounds, greedy(s.Model, requests(s.Model, 1, nil), decodeTokens))
	if err != nil {
		return err
	}
	r.add(s.figure(Decode, fmt.Sprintf("%d tokens after %d", decodeTokens, promptTokens), decodeTokens, seconds[0]),
		s.cost(s.precision, pass{rows: 1, context: promptTokens + decodeTokens/2, logits: 1, decoding: true}))
	return nil
}

// adapters measures eight requests in common passes: with an adapter each, with
// one adapter, and without.
func (r *runner) adapters(ctx context.Context, s *subject) error {
	if err := s.room(promptTokens + adapterTokens); err != nil {
		return err
	}
	rng := rand.New(rand.NewPCG(9, 10))
	var all []*model.Packed
	for range parallel {
		a, err := s.Pack(randomAdapter(rng, s.Model))
		if err != nil {
			return err
		}
		all = append(all, a)
	}
	variants := []struct {
		name string
		use  []*model.Packed
	}{
		{"8 requests, 8 adapters", all}, {"8 requests, 1 adapter", all[:1]}, {"8 requests, no adapter", nil},
	}
	var runs []run
	for _, v := range variants {
		runs = append(runs, greedy(s.Model, requests(s.Model, parallel, v.use), adapterTokens))
	}
	seconds, err := turns(ctx, r.Rounds, runs...)
	if err != nil {
		return err
	}
	for i, v := range variants {
		w := pass{rows: parallel, context: promptTokens + adapterTokens/2, logits: parallel, decoding: true}
		for _, a := range v.use {
			w.rank, w.adapters = loraRank, w.adapters+float64(a.Bytes())
		}
		r.add(s.figure(Adapters, v.name, parallel*adapterTokens, seconds[i]), s.cost(s.precision, w))
	}
	r.add(s.ratio(Adapters, "8 adapters to 1", seconds[1], seconds[0]), nil)
	return nil
}

// ratio is the ratio of two times, round by round.
func (s *subject) ratio(work, variant string, a, b []float64) Figure {
	ratios := make([]float64, len(a))
	for i := range a {
		ratios[i] = a[i] / b[i]
	}
	return Figure{Work: work, Variant: variant, Model: s.name, Precision: s.precision.String(), Unit: "ratio", Sample: sample(ratios)}
}
