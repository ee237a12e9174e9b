package engine

import (
	"math"
	"math/rand/v2"
	"sort"
)

// sampler chooses tokens.
type sampler struct {
	opt Options
	rng *rand.Rand
}

func newSampler(opt Options) *sampler {
	return &sampler{opt, rand.New(rand.NewPCG(opt.Seed, 0x9e3779b97f4a7c15))}
}

// next chooses a token from logits, which it does not modify: the most likely
// one at temperature 0; else top-k, then top-p, then a draw at the given
// temperature.
func (s *sampler) next(logits []float32) int32 {
	if s.opt.Temperature == 0 {
		return argmax(logits)
	}
	type candidate struct {
		id int32
		p  float64
	}
	most := float64(logits[argmax(logits)])
	cands := make([]candidate, len(logits))
	for i, v := range logits {
		cands[i] = candidate{int32(i), math.Exp((float64(v) - most) / s.opt.Temperature)}
	}
	if s.opt.TopK > 0 || (s.opt.TopP > 0 && s.opt.TopP < 1) {
		sort.SliceStable(cands, func(i, j int) bool { return cands[i].p > cands[j].p })
		if s.opt.TopK > 0 {
			cands = cands[:min(s.opt.TopK, len(cands))]
		}
	}
	var sum float64
	for _, c := range cands {
		sum += c.p
	}
	if p := s.opt.TopP; p > 0 && p < 1 {
		var mass float64
		for i, c := range cands {
			if mass += c.p; mass >= p*sum {
				cands, sum = cands[:i+1], mass
				break
			}
		}
	}
	draw := s.rng.Float64() * sum
	for _, c := range cands {
		if draw -= c.p; draw < 0 {
			return c.id
		}
	}
	return cands[len(cands)-1].id
}

// argmax returns the index of the largest value, the first if several are.
func argmax(x []float32) int32 {
	best := 0
	for i, v := range x {
		if v > x[best] {
			best = i
		}
	}
	return int32(best)
}
