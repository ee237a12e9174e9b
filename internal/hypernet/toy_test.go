package hypernet

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/embedding"
)

// toyWorld has repositories whose right update of every layer depends on three
// hidden numbers, which also move their vectors, a little, beside a large part
// that all vectors share.
type toyWorld struct {
	dims    adapter.Dims
	reps    []*embedding.Representation
	targets [][][]float32 // by repository and site: ΔW (out,in)
}

var toyModules = []adapter.Module{adapter.QProj, adapter.DownProj}

func newToyWorld(n int) *toyWorld {
	const dim, hidden = 40, 3
	rng := rand.New(rand.NewPCG(7, 8))
	w := &toyWorld{dims: testDims()}
	common, directions := randn(rng, dim), randn(rng, hidden*dim)
	type rank1 struct{ b, a []float32 }
	var parts [][]rank1 // by site: the mean, then one for each hidden number
	for range w.dims.NumHiddenLayers {
		for _, m := range toyModules {
			s := w.dims.Modules[m]
			p := make([]rank1, hidden+1)
			for i := range p {
				p[i] = rank1{randn(rng, s.Out), randn(rng, s.In)}
			}
			parts = append(parts, p)
		}
	}
	for range n {
		u := randn(rng, hidden)
		v := randn(rng, dim)
		for d := range v {
			v[d] = 0.02*v[d] + 3*common[d]
			for i := range u {
				v[d] += 0.2 * u[i] * directions[i*dim+d]
			}
		}
		w.reps = append(w.reps, representation(v))
		var deltas [][]float32
		for _, p := range parts {
			delta := make([]float32, len(p[0].b)*len(p[0].a))
			for i, q := range p {
				weight := float32(1)
				if i > 0 {
					weight = u[i-1]
				}
				for o, b := range q.b {
					for j, a := range q.a {
						delta[o*len(q.a)+j] += weight * b * a
					}
				}
			}
			deltas = append(deltas, delta)
		}
		w.targets = append(w.targets, deltas)
	}
	return w
}

// loss is ½ Σ ‖Scale·BA − ΔW‖² over the layers of one repository; if grad is
// not nil, the gradient is written to it.
func (w *toyWorld) loss(repo int, a, grad *adapter.Adapter) float64 {
	var sum float64
	for i, target := range w.targets[repo] {
		l, m := i/len(toyModules), toyModules[i%len(toyModules)]
		s, p := w.dims.Modules[m], a.Layers[l][m]
		diff := make([]float32, len(target))
		gemm(false, false, s.Out, s.In, a.Rank, p.B, p.A, 0, diff)
		for j := range diff {
			diff[j] = diff[j]*a.Scale() - target[j]
			sum += float64(diff[j]) * float64(diff[j]) / 2
		}
		if grad != nil { // dB = Scale·D Aᵀ, dA = Scale·Bᵀ D
			g := grad.Layers[l][m]
			for j := range diff {
				diff[j] *= a.Scale()
			}
			gemm(false, true, s.Out, a.Rank, s.In, diff, p.A, 0, g.B)
			gemm(true, false, a.Rank, s.In, s.Out, p.B, diff, 0, g.A)
		}
	}
	return sum
}

// constant is the mean loss, over repositories, of the mean update of the first
// train of them: no constant adapter, of any rank, does better on those.
func (w *toyWorld) constant(train int, repos []int) float64 {
	var sum float64
	for site := range w.targets[0] {
		mean := make([]float64, len(w.targets[0][site]))
		for r := range train {
			for j, v := range w.targets[r][site] {
				mean[j] += float64(v) / float64(train)
			}
		}
		for _, r := range repos {
			for j, v := range w.targets[r][site] {
				sum += (float64(v) - mean[j]) * (float64(v) - mean[j]) / 2 / float64(len(repos))
			}
		}
	}
	return sum
}

// adam is the optimiser of these tests.
type adam struct {
	m, v map[*Param][]float64
	t    float64
}

func (o *adam) step(ps []*Param, lr float64) {
	if o.m == nil {
		o.m, o.v = map[*Param][]float64{}, map[*Param][]float64{}
		for _, p := range ps {
			o.m[p], o.v[p] = make([]float64, len(p.Value)), make([]float64, len(p.Value))
		}
	}
	o.t++
	for _, p := range ps {
		m, v := o.m[p], o.v[p]
		for i, g := range p.Grad {
			m[i] = 0.9*m[i] + 0.1*float64(g)
			v[i] = 0.99*v[i] + 0.01*float64(g)*float64(g)
			mh, vh := m[i]/(1-math.Pow(0.9, o.t)), v[i]/(1-math.Pow(0.99, o.t))
			p.Value[i] -= float32(lr * mh / (math.Sqrt(vh) + 1e-8))
		}
		clear(p.Grad)
	}
}

func (w *toyWorld) meanLoss(t *testing.T, h Head, repos []int) float64 {
	t.Helper()
	var sum float64
	for _, r := range repos {
		a, _, err := h.Generate(w.reps[r])
		if err != nil {
			t.Fatal(err)
		}
		sum += w.loss(r, a, nil) / float64(len(repos))
	}
	return sum
}

// TestLearnsDependence trains heads where the right adapter depends on the
// repository. Conditioned heads must end well below the best adapter that is
// the same for all, also on repositories that they were not trained on; the
// unconditioned one cannot.
func TestLearnsDependence(t *testing.T) {
	const train, held, steps = 40, 20, 300
	w := newToyWorld(train + held)
	pca := map[string]any{"standardize": "pca", "components": 3, "clip": 4}
	for _, tt := range []struct {
		name  string
		opts  map[string]any
		below bool
	}{
		{"none", map[string]any{"conditioning": "none", "rank": 6}, false},
		{"core", map[string]any{"conditioning": "core", "rank": 6, "coefficients": 3}, true},
		{"core off on average", map[string]any{"conditioning": "core", "gate": "diagonal", "rank": 8, "mean_rank": 2, "coefficients": 3}, true},
		{"core with hidden layer", map[string]any{"conditioning": "core", "rank": 6, "coefficients": 3, "hidden": 16}, true},
		{"shared bases", map[string]any{"conditioning": "bases", "rank": 6, "coefficients": 3}, true},
		{"bases of each layer", map[string]any{"conditioning": "bases", "shared_bases": false, "rank": 6, "coefficients": 3}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.opts["alpha"], tt.opts["input"] = 6, pca
			tt.opts["modules"] = []string{"q_proj", "down_proj"}
			h := mustNew(t, FactoredKind, tt.opts, w.dims, 40)
			mustFit(t, h, w.reps[:train])
			h.Init(1)
			var opt adam
			for step := range steps {
				for r := range train {
					a, tape, err := h.Generate(w.reps[r])
					if err != nil {
						t.Fatal(err)
					}
					grad := adapter.ZerosLike(a)
					w.loss(r, a, grad)
					tape.Backward(grad)
				}
				opt.step(h.Params(), 0.03*(1-float64(step)/steps))
			}
			trained, unseen := seq(0, train), seq(train, train+held)
			for _, part := range [][]int{trained, unseen} {
				got, constant := w.meanLoss(t, h, part), w.constant(train, part)
				t.Logf("loss %.2f, best constant adapter %.2f", got, constant)
				if tt.below && got > 0.5*constant {
					t.Errorf("loss %.2f, want below half of the best constant adapter's %.2f", got, constant)
				}
				if tt.name == "none" && got < constant*0.999 && part[0] == 0 {
					t.Errorf("loss %.2f of a constant adapter, but the best one has %.2f", got, constant)
				}
			}
		})
	}
}

func seq(lo, hi int) []int {
	var s []int
	for i := lo; i < hi; i++ {
		s = append(s, i)
	}
	return s
}
