package model_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/kernel"
	"github.com/code2lora/code2lora/internal/model"
	"github.com/code2lora/code2lora/internal/testutil"
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

// randomTree has sequences that share prefixes, said (Prefix) or not, under two
// adapters and none, and the same sequences written out.
func randomTree(m *model.Model, seed uint64, n, most int) (tree, plain model.Batch) {
	rng := rand.New(rand.NewPCG(seed, 11))
	tree.Adapters = []*adapter.Adapter{randomAdapter(m, seed+1, false), randomAdapter(m, seed+2, true)}
	plain.Adapters = tree.Adapters
	for i := range n {
		s := model.Sequence{Adapter: rng.IntN(3) - 1, Tokens: randomTokens(rng.Uint64(), 1+rng.IntN(most), 23)}
		for range rng.IntN(4) {
			s.Labels = append(s.Labels, model.Label{Pos: rng.IntN(len(s.Tokens)), Target: int32(rng.IntN(23)), Weight: rng.Float32()})
		}
		whole := s
		if i > 0 && rng.IntN(4) > 0 {
			j := rng.IntN(i)
			from := tree.Sequences[j]
			path := plain.Sequences[j].Tokens
			before := len(path) - len(from.Tokens)
			s.Adapter, s.Prefix = from.Adapter, j+1
			shared := before + len(from.Tokens)
			if rng.IntN(2) > 0 {
				s.PrefixLen = 1 + rng.IntN(len(from.Tokens))
				shared = before + s.PrefixLen
			}
			whole = s
			whole.Prefix, whole.PrefixLen = 0, 0
			whole.Tokens = slices.Concat(path[:shared], s.Tokens)
			whole.Labels = slices.Clone(s.Labels)
			for k := range whole.Labels {
				whole.Labels[k].Pos += shared
			}
			if rng.IntN(2) > 0 {
				s = whole // Score and Gradient must find it
			}
		}
		tree.Sequences, plain.Sequences = append(tree.Sequences, s), append(plain.Sequences, whole)
	}
	return tree, plain
}

// singles is the gradient of a batch computed one sequence at a time.
func singles(t *testing.T, m *model.Model, b model.Batch) *model.Result {
	t.Helper()
	sum := &model.Result{}
	for _, a := range b.Adapters {
		sum.Grads = append(sum.Grads, adapter.ZerosLike(a))
	}
	for _, s := range b.Sequences {
		r, err := m.Gradient(context.Background(), model.Batch{Sequences: []model.Sequence{s}, Adapters: b.Adapters, From: b.From}, model.GradientOptions{})
		if err != nil {
			t.Fatal(err)
		}
		sum.Loss += r.Loss
		sum.NLL, sum.Argmax = append(sum.NLL, r.NLL[0]), append(sum.Argmax, r.Argmax[0])
		for i, g := range r.Grads {
			to := sum.Grads[i].Pairs()
			for j, e := range g.Pairs() {
				kernel.Add(to[j].A, e.A)
				kernel.Add(to[j].B, e.B)
			}
		}
	}
	return sum
}

// compare holds a result against another: scores bit for bit, or within a
// tolerance, and gradients within a tolerance.
func compare(t *testing.T, got, want *model.Result, scores, grads float64) {
	t.Helper()
	if d := math.Abs(got.Loss - want.Loss); d > 1e-5*math.Abs(want.Loss) {
		t.Errorf("loss: got %g, want %g", got.Loss, want.Loss)
	}
	for i := range want.NLL {
		if len(got.NLL[i]) != len(want.NLL[i]) {
			t.Fatalf("sequence %d: %d scores, want %d", i, len(got.NLL[i]), len(want.NLL[i]))
		}
		for j, v := range want.NLL[i] {
			if math.Abs(float64(got.NLL[i][j]-v)) > scores || got.Argmax[i][j] != want.Argmax[i][j] {
				t.Errorf("sequence %d label %d: nll %g and argmax %d, want %g and %d", i, j,
					got.NLL[i][j], got.Argmax[i][j], v, want.Argmax[i][j])
			}
		}
	}
	for i := range want.Grads {
		w := want.Grads[i].Pairs()
		for j, e := range got.Grads[i].Pairs() {
			for name, f := range map[string][2][]float32{"A": {e.A, w[j].A}, "B": {e.B, w[j].B}} {
				if d := testutil.RelativeError(f[0], f[1]); d > grads {
					t.Errorf("adapter %d layer %d %s: gradient of %s is off by %g", i, e.Layer, e.Module, name, d)
				}
			}
		}
	}
}

// TestSharing compares batches of sequences that share prefixes with the same
// sequences one by one.
func TestSharing(t *testing.T) {
	for _, arch := range []string{"llama", "qwen2", "qwen3"} {
		m := tiny(t, arch)
		for seed := range uint64(8) {
			t.Run(fmt.Sprint(arch, seed), func(t *testing.T) {
				tree, plain := randomTree(m, seed, 9, []int{4, 14}[seed%2])
				want := singles(t, m, plain)
				for name, b := range map[string]model.Batch{"tree": tree, "plain": plain} {
					got, err := m.Gradient(context.Background(), b, model.GradientOptions{})
					if err != nil {
						t.Fatalf("%s: %v", name, err)
					}
					compare(t, got, want, 1e-5, 2e-5)
					scored, err := m.Score(context.Background(), b)
					if err != nil {
						t.Fatalf("%s: %v", name, err)
					}
					scored.Grads = got.Grads
					compare(t, scored, got, 0, 0)
				}
			})
		}
	}
}

// TestSharingGradient holds the gradient of a tree against differences.
func TestSharingGradient(t *testing.T) {
	for _, arch := range []string{"llama", "qwen2", "qwen3"} {
		t.Run(arch, func(t *testing.T) {
			m := tiny(t, arch)
			b, _ := randomTree(m, 42, 8, 5)
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
			for i, a := range b.Adapters {
				if !slices.ContainsFunc(b.Sequences, func(s model.Sequence) bool { return s.Adapter == i && len(s.Labels) > 0 && s.Prefix > 0 }) {
					t.Fatalf("adapter %d: no labels behind a prefix", i)
				}
				grads := r.Grads[i].Pairs()
				for j, e := range a.Pairs() {
					if e.Layer == 0 && e.Module <= adapter.VProj {
						testutil.CheckGradient(t, e.Module.String()+" A", grads[j].A, e.A, loss)
						testutil.CheckGradient(t, e.Module.String()+" B", grads[j].B, e.B, loss)
					}
				}
			}
		})
	}
}

// TestBatchBits: what else is in a batch must not change a score by a bit.
func TestBatchBits(t *testing.T) {
	m := tiny(t, "qwen3")
	tree, plain := randomTree(m, 21, 7, 30)
	got, err := m.Score(context.Background(), tree)
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range plain.Sequences {
		if len(s.Tokens) == 1 {
			continue // products of one row sum in an order of their own
		}
		want, err := m.Score(context.Background(), model.Batch{Sequences: []model.Sequence{s}, Adapters: plain.Adapters})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got.NLL[i], want.NLL[0]) {
			t.Errorf("sequence %d: scores %v in a batch with shared prefixes, %v alone", i, got.NLL[i], want.NLL[0])
		}
	}
}

// TestActivations: the gradients of hidden states come in the batch's order,
// without sharing what the batch doesn't, and with zeros after the last label.
func TestActivations(t *testing.T) {
	m := tiny(t, "llama")
	tokens := randomTokens(1, 9, 23)
	label := []model.Label{{Pos: 6, Target: 3, Weight: 1}}
	one := model.Batch{Sequences: []model.Sequence{{Tokens: tokens, Labels: label, Adapter: -1}}}
	two := model.Batch{Sequences: []model.Sequence{one.Sequences[0], one.Sequences[0]}}
	opt := model.GradientOptions{Activations: []int{1}}
	a, err := m.Gradient(context.Background(), one, opt)
	if err != nil {
		t.Fatal(err)
	}
	b, err := m.Gradient(context.Background(), two, opt)
	if err != nil {
		t.Fatal(err)
	}
	n := len(tokens) * m.HiddenSize
	da, db := a.Activations[1], b.Activations[1]
	if len(da) != n || len(db) != 2*n {
		t.Fatalf("gradients of %d and %d values, want %d and %d", len(da), len(db), n, 2*n)
	}
	for i, v := range da {
		if db[i] != v || db[n+i] != v {
			t.Fatalf("value %d: %g and %g in a batch of two, want %g", i, db[i], db[n+i], v)
		}
		if after := i >= 7*m.HiddenSize; after && v != 0 {
			t.Errorf("value %d: gradient %g after the last label, want 0", i, v)
		}
	}
}

// TestNoLabels: a batch without labels has a loss of zero and zero gradients.
func TestNoLabels(t *testing.T) {
	m := tiny(t, "llama")
	b := testBatch(m)
	for i := range b.Sequences {
		b.Sequences[i].Labels = nil
	}
	r, err := m.Gradient(context.Background(), b, model.GradientOptions{Activations: []int{2}})
	if err != nil {
		t.Fatal(err)
	}
	if r.Loss != 0 || len(r.NLL) != len(b.Sequences) || len(r.Activations[2]) != 21*m.HiddenSize {
		t.Errorf("loss %g, %d sequences, %d gradients of hidden states, want 0, %d and %d", r.Loss, len(r.NLL),
			len(r.Activations[2]), len(b.Sequences), 21*m.HiddenSize)
	}
}

// TestFrom begins at the hidden states of a layer: loss and gradients must have
// the same bits as in a pass through all layers.
func TestFrom(t *testing.T) {
	for _, arch := range []string{"llama", "qwen2", "qwen3"} {
		m := tiny(t, arch)
		for from := range m.NumHiddenLayers + 1 {
			_, b := randomTree(m, uint64(from)+31, 7, 12)
			b.Adapters[1] = randomAdapter(m, 9, false)
			for _, a := range b.Adapters {
				for l := range from {
					a.Layers[l] = [adapter.NumModules]*adapter.Pair{}
				}
			}
			want, err := m.Gradient(context.Background(), b, model.GradientOptions{})
			if err != nil {
				t.Fatal(err)
			}
			part := b
			part.From, part.Sequences = from, slices.Clone(b.Sequences)
			for i, s := range b.Sequences { // one by one: sharing must not matter
				h, err := m.Hidden(context.Background(), [][]int32{s.Tokens}, from)
				if err != nil {
					t.Fatal(err)
				}
				part.Sequences[i].Hidden = h[0]
			}
			got, err := m.Gradient(context.Background(), part, model.GradientOptions{})
			if err != nil {
				t.Fatal(err)
			}
			t.Run(fmt.Sprint(arch, from), func(t *testing.T) { compare(t, got, want, 0, 0) })
		}
	}
}
