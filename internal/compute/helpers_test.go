package compute

import (
	"context"
	"math/rand/v2"
	"testing"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/model"
)

const vocab = 29

func tinyModel(t testing.TB) *model.Model {
	t.Helper()
	m, err := model.NewRandom(model.Config{
		ModelType: "llama", HiddenSize: 12, IntermediateSize: 10, NumHiddenLayers: 4, NumAttentionHeads: 2,
		NumKeyValueHeads: 1, HeadDim: 6, VocabSize: vocab, MaxPositionEmbeddings: 128, RMSNormEps: 1e-5,
		RopeTheta: 1000, TieWordEmbeddings: true,
	}, 7)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func local(t testing.TB) *Local { return &Local{Model: tinyModel(t), Base: "abcd"} }

// randomAdapter touches the layers from lowest on.
func randomAdapter(m *model.Model, seed uint64, lowest int, shared bool) *adapter.Adapter {
	rng := rand.New(rand.NewPCG(seed, 1))
	a := adapter.New(m.Config.Dims(), []adapter.Module{adapter.QProj, adapter.VProj, adapter.DownProj}, 2, 4, shared)
	for _, e := range a.Pairs() {
		for _, f := range [2][]float32{e.A, e.B} {
			for i := range f {
				f[i] = float32(rng.NormFloat64() * 0.3)
			}
		}
	}
	clear(a.Layers[:lowest])
	return a
}

// randomSequence has labels at some positions, the last among them.
func randomSequence(rng *rand.Rand, n, adapter int) model.Sequence {
	s := model.Sequence{Tokens: make([]int32, n), Adapter: adapter}
	for i := range s.Tokens {
		s.Tokens[i] = int32(rng.IntN(vocab))
		if i == n-1 || rng.IntN(3) == 0 {
			s.Labels = append(s.Labels, model.Label{Pos: i, Target: int32(rng.IntN(vocab)), Weight: float32(rng.Float64())})
		}
	}
	return s
}

// randomBatch has sequences of the bare base and of three adapters, the last of
// which shares its pairs between layers, and sequences that continue others.
func randomBatch(m *model.Model, seed uint64, lowest int) model.Batch {
	rng := rand.New(rand.NewPCG(seed, 2))
	b := model.Batch{Adapters: []*adapter.Adapter{randomAdapter(m, 1, lowest, false), randomAdapter(m, 2, lowest, false), randomAdapter(m, 3, lowest, true)}}
	for i := range 14 {
		b.Sequences = append(b.Sequences, randomSequence(rng, 3+rng.IntN(20), i%4-1))
	}
	for _, parent := range []int{2, 2, 14, 5} {
		s := randomSequence(rng, 1+rng.IntN(9), b.Sequences[parent].Adapter)
		s.Prefix, s.PrefixLen = parent+1, rng.IntN(len(b.Sequences[parent].Tokens)+1)
		b.Sequences = append(b.Sequences, s)
	}
	return b
}

func do(t testing.TB, b Backend, r *Request) *Response {
	t.Helper()
	res, err := b.Do(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	if err := res.Fits(r); err != nil {
		t.Fatal(err)
	}
	return res
}
