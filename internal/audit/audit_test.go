package audit

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/embedding"
	"github.com/code2lora/code2lora/internal/model"
	"github.com/code2lora/code2lora/internal/stats"
)

// world is a tiny model and repositories whose tasks have an answer of their
// own: in repository i, token 8+i follows token 1.
type world struct {
	model *model.Model
	repos []Repository
	tasks map[string][]model.Sequence
}

func newWorld(t *testing.T, n int) *world {
	t.Helper()
	m, err := model.NewRandom(model.Config{
		ModelType: "llama", HiddenSize: 16, IntermediateSize: 24, NumHiddenLayers: 2, NumAttentionHeads: 2,
		NumKeyValueHeads: 1, HeadDim: 8, VocabSize: 40, MaxPositionEmbeddings: 32, RMSNormEps: 1e-5, RopeTheta: 1000,
	}, 3)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{model: m, tasks: map[string][]model.Sequence{}}
	rng := rand.New(rand.NewPCG(1, 1))
	for i := range n {
		name := fmt.Sprintf("owner/repo%02d", i)
		vector := func() *embedding.Representation {
			v := make([]float32, n)
			for k := range v {
				v[k] = float32(0.05 * rng.NormFloat64())
			}
			v[i]++
			return &embedding.Representation{Encoder: "test", Input: fmt.Sprint(rng.Uint64()),
				Tensors: map[string]embedding.Tensor{embedding.Repository: {Shape: []int{n}, Data: v}}}
		}
		w.repos = append(w.repos, Repository{Name: name, Whole: vector(),
			Halves: [2]*embedding.Representation{vector(), vector()}, Earlier: []*embedding.Representation{vector(), vector()}})
		for range 8 {
			s := model.Sequence{}
			for range 5 {
				s.Tokens = append(s.Tokens, int32(2+rng.IntN(6)))
			}
			s.Tokens = append(s.Tokens, 1)
			s.Labels = []model.Label{{Pos: 5, Target: int32(8 + i), Weight: 1}}
			w.tasks[name] = append(w.tasks[name], s)
		}
	}
	return w
}

// Losses implements [Losser] on the second half of a repository's tasks.
func (w *world) Losses(ctx context.Context, repository string, a *adapter.Adapter) (*Losses, error) {
	res, err := w.model.Score(ctx, w.batch(w.tasks[repository][4:], a))
	if err != nil {
		return nil, err
	}
	l := &Losses{}
	for i, nll := range res.NLL {
		l.NLL = append(l.NLL, float64(nll[0]))
		l.Tokens = append(l.Tokens, 1)
		l.Exact = append(l.Exact, res.Argmax[i][0] == w.tasks[repository][4+i].Labels[0].Target)
	}
	return l, nil
}

func (w *world) batch(tasks []model.Sequence, a *adapter.Adapter) model.Batch {
	b := model.Batch{}
	for _, s := range tasks {
		s.Adapter = -1
		if a != nil {
			b.Adapters, s.Adapter = []*adapter.Adapter{a}, 0
		}
		b.Sequences = append(b.Sequences, s)
	}
	return b
}

// fit trains an adapter on the first half of a repository's tasks.
func (w *world) fit(t *testing.T, repository string) *adapter.Adapter {
	t.Helper()
	a := w.random(7, 0.1)
	for range 60 {
		res, err := w.model.Gradient(context.Background(), w.batch(w.tasks[repository][:4], a), model.GradientOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for k, e := range a.Pairs() {
			g := res.Grads[0].Pairs()[k]
			for i := range e.A {
				e.A[i] -= 0.1 * g.A[i]
			}
			for i := range e.B {
				e.B[i] -= 0.1 * g.B[i]
			}
		}
	}
	return a
}

func (w *world) random(seed uint64, scale float64) *adapter.Adapter {
	rng := rand.New(rand.NewPCG(seed, 1))
	a := adapter.New(w.model.Config.Dims(), []adapter.Module{adapter.OProj, adapter.DownProj}, 2, 4, false)
	for _, e := range a.Pairs() {
		for _, f := range [2][]float32{e.A, e.B} {
			for i := range f {
				f[i] = float32(rng.NormFloat64() * scale)
			}
		}
	}
	return a
}

// mix adds up the factors of adapters, weighted. All share their A factors in
// no way that matters here: B·A of a mix lies between those of its parts.
func mix(as []*adapter.Adapter, weights []float32) *adapter.Adapter {
	out := adapter.ZerosLike(as[0])
	for k, e := range out.Pairs() {
		for n, a := range as {
			for i, x := range a.Pairs()[k].A {
				e.A[i] += weights[n] * x
			}
			for i, x := range a.Pairs()[k].B {
				e.B[i] += weights[n] * x
			}
		}
	}
	return out
}

// generator makes adapters by a function.
type generator struct {
	average *adapter.Adapter
	f       func([]float32) *adapter.Adapter
}

func (g generator) Generate(r *embedding.Representation) (*adapter.Adapter, error) {
	return g.f(r.Tensors[embedding.Repository].Data), nil
}

func (g generator) AverageAdapter() (*adapter.Adapter, error) { return g.average, nil }

func TestVerdict(t *testing.T) {
	w := newWorld(t, 8)
	var fitted []*adapter.Adapter
	for _, r := range w.repos {
		fitted = append(fitted, w.fit(t, r.Name))
	}
	equal := make([]float32, len(fitted))
	for i := range equal {
		equal[i] = 1 / float32(len(equal))
	}
	average := mix(fitted, equal)
	noise := make([]*adapter.Adapter, len(fitted))
	for i := range noise {
		noise[i] = w.random(uint64(50+i), 0.02)
	}
	tests := map[string]struct {
		generator
		want Verdict
	}{
		"ignores its input": {generator{average, func([]float32) *adapter.Adapter { return mix(fitted, equal) }}, Not},
		"given the answer":  {generator{average, func(v []float32) *adapter.Adapter { return mix(fitted, v) }}, Conditioned},
		"follows its input to no end": {generator{average, func(v []float32) *adapter.Adapter {
			return mix(append([]*adapter.Adapter{average}, noise...), append([]float32{1}, v...))
		}}, Weakly},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r, err := Run(context.Background(), tt, w.repos, w, stats.Options{Resamples: 500})
			if err != nil {
				t.Fatal(err)
			}
			if r.Verdict != tt.want {
				t.Errorf("got %v (own − average %v, own − stranger %v, distance %v, identified %v of chance %.3f), want %s",
					r, r.CrossEntropy.OwnAverage, r.CrossEntropy.OwnStranger, r.Spread.Distance, r.Identified, r.Chance, tt.want)
			}
			if r.Strangers != 3 {
				t.Errorf("%d strangers, want 3", r.Strangers)
			}
			if r.Repositories != 8 || r.Tasks != 32 {
				t.Errorf("%d repositories and %d tasks, want 8 and 32", r.Repositories, r.Tasks)
			}
			switch tt.want {
			case Not:
				if r.EffectiveRank != 0 || r.Identified.Mean != 0 || r.Response[4] != 0 {
					t.Errorf("effective rank %g, identified %g, response %v; want nothing of a constant", r.EffectiveRank, r.Identified.Mean, r.Response)
				}
			case Conditioned:
				if r.EffectiveRank < 4 || r.Identified.Mean < 0.9 {
					t.Errorf("effective rank %g of 7 at most, identified %g; want more", r.EffectiveRank, r.Identified.Mean)
				}
				if r.Response[0] != 0 || r.Response[4] < 0.999 || r.Response[2] < 0.2 || r.Response[2] > 0.8 {
					t.Errorf("response %v, want from 0 to 1", r.Response)
				}
				if r.Commits < 0.5 || r.Commits > 1 || r.Drift < 0.5 || r.Pairs < 0.5 || r.Pairs > 1 {
					t.Errorf("cosines over commits %g, %g and %g, want near 1", r.Commits, r.Pairs, r.Drift)
				}
			}
		})
	}
}

func TestTooFew(t *testing.T) {
	w := newWorld(t, 2)
	g := generator{average: w.random(1, 1), f: func([]float32) *adapter.Adapter { return w.random(1, 1) }}
	if _, err := Run(context.Background(), g, w.repos, w, stats.Options{}); err == nil || !strings.Contains(err.Error(), "at least 3") {
		t.Errorf("got %v, want an error that tells how many are needed", err)
	}
}

// TestStrangers checks that strangers are several others, that depend on the seed
// and not on the order of names, and that a task is scored by their mean.
func TestStrangers(t *testing.T) {
	const n = 9
	times, follows, seeds := make([]int, n), 0, map[string]bool{}
	for seed := range uint32(4) {
		all := strangersOf(n, 3, seed)
		seeds[fmt.Sprint(all)] = true
		for i, some := range all {
			seen := map[int]bool{i: true}
			for _, s := range some {
				if seen[s] {
					t.Errorf("seed %d: strangers %v of %d, want three others", seed, some, i)
				}
				seen[s] = true
				times[s]++
				if s == (i+1)%n {
					follows++
				}
			}
		}
	}
	if len(seeds) != 4 || follows > 4*n*3/4 {
		t.Errorf("%d different draws of 4, of which %d are the next by name of %d", len(seeds), follows, 4*n*3)
	}
	for i, k := range times {
		if k != 12 {
			t.Errorf("%d is a stranger %d times, want 12", i, k)
		}
	}
	var v tallies
	err := v.add("o/a", []*Losses{{NLL: []float64{1, 4}, Tokens: []int{1, 2}, Exact: []bool{true, false}}, {NLL: []float64{3, 8}, Tokens: []int{1, 2}, Exact: []bool{false, false}}})
	if err != nil || v.nll[0].X != 2 || v.nll[1].X != 3 || v.exact[0].X != 0.5 || v.exact[1].X != 0 {
		t.Errorf("got %+v, %v; want the means of each task", v, err)
	}
	if err := v.add("o/a", []*Losses{{NLL: []float64{1}, Tokens: []int{1}, Exact: []bool{true}}, {}}); err == nil {
		t.Error("adapters with different tasks were averaged")
	}
}
