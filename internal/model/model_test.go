package model_test

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/kernel"
	"github.com/code2lora/code2lora/internal/model"
	"github.com/code2lora/code2lora/internal/testutil"
)

// tiny is a model with odd sizes, grouped queries and more than one layer.
func tiny(t *testing.T, arch string) *model.Model {
	t.Helper()
	m, err := model.NewRandom(model.Config{
		ModelType: arch, HiddenSize: 12, IntermediateSize: 10, NumHiddenLayers: 3, NumAttentionHeads: 4,
		NumKeyValueHeads: 2, HeadDim: 6, VocabSize: 23, MaxPositionEmbeddings: 128, RMSNormEps: 1e-5,
		RopeTheta: 1000, TieWordEmbeddings: arch != "qwen2",
	}, 7)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func randomAdapter(m *model.Model, seed uint64, shared bool) *adapter.Adapter {
	rng := rand.New(rand.NewPCG(seed, 1))
	var all []adapter.Module
	for mod := range adapter.NumModules {
		all = append(all, mod)
	}
	a := adapter.New(m.Config.Dims(), all, 3, 4.5, shared)
	for _, e := range a.Pairs() {
		for _, f := range [2][]float32{e.A, e.B} {
			for i := range f {
				f[i] = float32(rng.NormFloat64() * 0.3)
			}
		}
	}
	return a
}

func randomTokens(seed uint64, n, vocab int) []int32 {
	rng := rand.New(rand.NewPCG(seed, 2))
	ids := make([]int32, n)
	for i := range ids {
		ids[i] = int32(rng.IntN(vocab))
	}
	return ids
}

// testBatch has three sequences, two adapters and uneven labels.
func testBatch(m *model.Model) model.Batch {
	return model.Batch{
		Adapters: []*adapter.Adapter{randomAdapter(m, 1, false), randomAdapter(m, 2, true)},
		Sequences: []model.Sequence{
			{Tokens: randomTokens(3, 5, 23), Adapter: 0, Labels: []model.Label{{Pos: 1, Target: 4, Weight: 1}, {Pos: 4, Target: 0, Weight: 0.5}}},
			{Tokens: randomTokens(4, 9, 23), Adapter: 1, Labels: []model.Label{{Pos: 8, Target: 22, Weight: 2}, {Pos: 3, Target: 5}}},
			{Tokens: randomTokens(5, 4, 23), Adapter: -1, Labels: []model.Label{{Pos: 2, Target: 9, Weight: 1}}},
			{Tokens: randomTokens(6, 3, 23), Adapter: 0, Labels: []model.Label{{Pos: 2, Target: 1, Weight: 1}}},
		},
	}
}

func TestGradient(t *testing.T) {
	for _, arch := range []string{"llama", "qwen2", "qwen3"} {
		t.Run(arch, func(t *testing.T) {
			m := tiny(t, arch)
			b := testBatch(m)
			loss := func() float64 {
				r, err := m.Score(context.Background(), b)
				if err != nil {
					t.Fatal(err)
				}
				return r.Loss
			}
			r, err := m.Gradient(context.Background(), b, model.GradientOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if got, want := r.Loss, loss(); math.Abs(got-want) > 1e-5*want {
				t.Errorf("loss of Gradient %g, of Score %g", got, want)
			}
			for i, a := range b.Adapters {
				grads := r.Grads[i].Pairs()
				for j, e := range a.Pairs() {
					if e.Layer == 1 { // layers 0 and 2 suffice
						continue
					}
					testutil.CheckGradient(t, e.Module.String()+" A", grads[j].A, e.A, loss)
					testutil.CheckGradient(t, e.Module.String()+" B", grads[j].B, e.B, loss)
				}
			}
		})
	}
}

// TestSameAdapterTwice lists one adapter twice, for neighbouring sequences: each
// place gets the gradient of its own sequence.
func TestSameAdapterTwice(t *testing.T) {
	m := tiny(t, "llama")
	b := testBatch(m)
	twice := model.Batch{Adapters: []*adapter.Adapter{b.Adapters[0], b.Adapters[0]}, Sequences: b.Sequences[:2]}
	all, err := m.Gradient(context.Background(), twice, model.GradientOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range twice.Sequences {
		s.Adapter = 0
		one, err := m.Gradient(context.Background(), model.Batch{Adapters: twice.Adapters[:1], Sequences: []model.Sequence{s}}, model.GradientOptions{})
		if err != nil {
			t.Fatal(err)
		}
		want := one.Grads[0].Pairs()
		for j, e := range all.Grads[i].Pairs() {
			if d := testutil.RelativeError(e.A, want[j].A); d > 1e-5 {
				t.Errorf("place %d, layer %d %s: gradient of A is off by %g", i, e.Layer, e.Module, d)
			}
		}
	}
}

// TestDetach checks that detaching the LoRA input changes lower layers only.
func TestDetach(t *testing.T) {
	m := tiny(t, "llama")
	b := testBatch(m)
	full, err := m.Gradient(context.Background(), b, model.GradientOptions{})
	if err != nil {
		t.Fatal(err)
	}
	cut, err := m.Gradient(context.Background(), b, model.GradientOptions{Detach: true})
	if err != nil {
		t.Fatal(err)
	}
	last, first := m.NumHiddenLayers-1, 0
	if e := testutil.RelativeError(cut.Grads[0].Layers[last][adapter.DownProj].A, full.Grads[0].Layers[last][adapter.DownProj].A); e > 1e-6 {
		t.Errorf("the last projection's gradient changed by %g", e)
	}
	if e := testutil.RelativeError(cut.Grads[0].Layers[first][adapter.QProj].A, full.Grads[0].Layers[first][adapter.QProj].A); e < 1e-3 {
		t.Errorf("the first projection's gradient changed by only %g", e)
	}
}

// TestBatchEqualsSingles runs sequences together and one by one.
func TestBatchEqualsSingles(t *testing.T) {
	m := tiny(t, "qwen2")
	b := testBatch(m)
	all, err := m.Score(context.Background(), b)
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range b.Sequences {
		one, err := m.Score(context.Background(), model.Batch{Sequences: []model.Sequence{s}, Adapters: b.Adapters})
		if err != nil {
			t.Fatal(err)
		}
		if e := testutil.RelativeError(all.NLL[i], one.NLL[0]); e > 1e-5 {
			t.Errorf("sequence %d: scores differ by %g between a batch and alone", i, e)
		}
	}
}

// TestThreads demands the same bits from one and from several threads.
func TestThreads(t *testing.T) {
	m := tiny(t, "llama")
	b := testBatch(m)
	kernel.SetThreads(1)
	defer kernel.SetThreads(kernel.Threads())
	one, err := m.Gradient(context.Background(), b, model.GradientOptions{})
	if err != nil {
		t.Fatal(err)
	}
	kernel.SetThreads(4)
	four, err := m.Gradient(context.Background(), b, model.GradientOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range one.Grads {
		want := one.Grads[i].Pairs()
		for j, e := range four.Grads[i].Pairs() {
			for k := range e.A {
				if e.A[k] != want[j].A[k] {
					t.Fatalf("adapter %d layer %d %s: A[%d] is %g with 4 threads, %g with 1", i, e.Layer, e.Module, k, e.A[k], want[j].A[k])
				}
			}
		}
	}
}

// TestZeroAdapter: with B = 0 the base must come out bit for bit.
func TestZeroAdapter(t *testing.T) {
	m := tiny(t, "llama")
	a := randomAdapter(m, 1, false)
	for _, e := range a.Pairs() {
		clear(e.B)
	}
	b := testBatch(m)
	b.Adapters = []*adapter.Adapter{a, a}
	with, err := m.Score(context.Background(), b)
	if err != nil {
		t.Fatal(err)
	}
	for i := range b.Sequences {
		b.Sequences[i].Adapter = -1
	}
	without, err := m.Score(context.Background(), b)
	if err != nil {
		t.Fatal(err)
	}
	for i := range with.NLL {
		for j := range with.NLL[i] {
			if with.NLL[i][j] != without.NLL[i][j] {
				t.Errorf("sequence %d label %d: %g with a zero adapter, %g without", i, j, with.NLL[i][j], without.NLL[i][j])
			}
		}
	}
}

// TestCache decodes two sequences with different adapters side by side, in
// pieces, and compares each step with a pass over the whole sequence.
func TestCache(t *testing.T) {
	m := tiny(t, "qwen3")
	ctx := context.Background()
	as := []*adapter.Adapter{randomAdapter(m, 1, false), nil}
	seqs := [][]int32{randomTokens(8, 11, 23), randomTokens(9, 7, 23)}
	var caches []*model.Cache
	for _, a := range as {
		c, err := m.NewCache(a)
		if err != nil {
			t.Fatal(err)
		}
		caches = append(caches, c)
	}
	cuts := [][]int{{4, 5, 11}, {1, 6, 7}}
	from := []int{0, 0}
	for step := range 3 {
		exts := make([]model.Extension, 2)
		for i := range exts {
			exts[i] = model.Extension{Cache: caches[i], Tokens: seqs[i][from[i]:cuts[i][step]]}
		}
		logits, err := m.Extend(ctx, exts)
		if err != nil {
			t.Fatal(err)
		}
		for i := range exts {
			n := cuts[i][step]
			from[i] = n
			b := model.Batch{Sequences: []model.Sequence{{Tokens: seqs[i][:n], Adapter: -1}}}
			if as[i] != nil {
				b.Adapters, b.Sequences[0].Adapter = as[:1], 0
			}
			for v := range 23 {
				b.Sequences[0].Labels = append(b.Sequences[0].Labels, model.Label{Pos: n - 1, Target: int32(v)})
			}
			r, err := m.Score(ctx, b)
			if err != nil {
				t.Fatal(err)
			}
			lse := kernel.LogSumExp(logits[i])
			for v, nll := range r.NLL[0] {
				if got := lse - logits[i][v]; math.Abs(float64(got-nll)) > 1e-4 {
					t.Fatalf("sequence %d after %d tokens, token %d: nll %g from the cache, %g without", i, n, v, got, nll)
				}
			}
		}
	}
}

// TestHidden compares hidden states of a batch and of single sequences.
func TestHidden(t *testing.T) {
	m := tiny(t, "llama")
	seqs := [][]int32{randomTokens(8, 4, 23), randomTokens(9, 6, 23)}
	both, err := m.Hidden(context.Background(), seqs, 2)
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range seqs {
		one, err := m.Hidden(context.Background(), [][]int32{s}, 2)
		if err != nil {
			t.Fatal(err)
		}
		if e := testutil.RelativeError(both[i], one[0]); e > 1e-5 {
			t.Errorf("sequence %d: hidden states differ by %g", i, e)
		}
	}
}

func TestBadBatch(t *testing.T) {
	m := tiny(t, "llama")
	other := tiny(t, "qwen2")
	ok := []int32{1, 2, 3}
	for name, b := range map[string]model.Batch{
		"empty":              {},
		"no tokens":          {Sequences: []model.Sequence{{Adapter: -1}}},
		"token out of range": {Sequences: []model.Sequence{{Tokens: []int32{1, 23}, Adapter: -1}}},
		"negative token":     {Sequences: []model.Sequence{{Tokens: []int32{-1}, Adapter: -1}}},
		"label out of range": {Sequences: []model.Sequence{{Tokens: ok, Adapter: -1, Labels: []model.Label{{Pos: 3}}}}},
		"no such adapter":    {Sequences: []model.Sequence{{Tokens: ok, Adapter: 0}}},
		"too long":           {Sequences: []model.Sequence{{Tokens: make([]int32, 129), Adapter: -1}}},
		"nil adapter":        {Sequences: []model.Sequence{{Tokens: ok, Adapter: 0}}, Adapters: []*adapter.Adapter{nil}},
		"no target":          {Sequences: []model.Sequence{{Tokens: ok, Adapter: -1, Labels: []model.Label{{Pos: 1, Target: 23}}}}},
		"foreign adapter":    {Sequences: []model.Sequence{{Tokens: ok, Adapter: 0}}, Adapters: []*adapter.Adapter{randomAdapter(other, 1, false)}},
	} {
		if _, err := m.Gradient(context.Background(), b, model.GradientOptions{}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	good := model.Batch{Sequences: []model.Sequence{{Tokens: ok, Adapter: -1}}}
	for _, l := range []int{-1, 3} {
		if _, err := m.Gradient(context.Background(), good, model.GradientOptions{Activations: []int{l}}); err == nil {
			t.Errorf("gradient of the input of layer %d: no error", l)
		}
	}
}
