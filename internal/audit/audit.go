// Package audit tells whether a generator of adapters uses the repository that
// it is given.
//
// The released checkpoints of arXiv 2606.06492 do not: their adapters for
// different repositories are nearly equal, and a repository's own is no better
// than a stranger's or the average. So an adapter counts as working only if own
// beats average and own beats stranger, on unseen repositories, with a
// confidence interval.
//
// [Run] looks at the question from five sides: how much adapters differ
// (cosines, effective rank), whether they can be told apart (the adapters of
// two halves of a repository belong together), how they follow their input
// (interpolated representations), how they follow the history, and whether any
// of this helps: the losses of tasks under own, average, strange and nearest
// adapters. The last one decides.
package audit

import (
	"context"
	"errors"
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/embedding"
	"github.com/code2lora/code2lora/internal/hypernet"
	"github.com/code2lora/code2lora/internal/stats"
)

// Verdict is the last line of an audit.
type Verdict string

// The verdicts.
const (
	Conditioned Verdict = "conditioned" // own beats average and stranger
	Weakly      Verdict = "weakly"      // adapters carry the repository, or one of the two comparisons is won, no more
	Not         Verdict = "not"         // the input is ignored, or its influence is worth nothing
)

// Generator makes adapters: a checkpoint, or anything else that is a function of
// a representation.
type Generator interface {
	Generate(*embedding.Representation) (*adapter.Adapter, error)
	AverageAdapter() (*adapter.Adapter, error)
}

// Repository is one unseen repository of an audit.
type Repository struct {
	Name  string
	Whole *embedding.Representation
	// Halves are representations of two disjoint halves of its files; nil where
	// there are too few.
	Halves [2]*embedding.Representation
	// Earlier are representations at earlier commits, oldest first; may be empty.
	Earlier []*embedding.Representation
}

// Losses are those of the tasks of one repository under one adapter.
type Losses struct {
	NLL    []float64 // of each target, nats
	Tokens []int     // of each target
	Exact  []bool    // whether the answer is right
}

// Losser scores the tasks of a repository under an adapter, always the same
// tasks in the same order.
type Losser interface {
	Losses(ctx context.Context, repository string, a *adapter.Adapter) (*Losses, error)
}

// Report is the outcome of an audit.
type Report struct {
	Repositories int              `json:"repositories"`
	Tasks        int              `json:"tasks"`
	Spread       *hypernet.Spread `json:"spread"` // between repositories
	// Modules has the mean cosine of ΔW between repositories by module type.
	Modules map[string]float64 `json:"module_cosine"`
	// EffectiveRank is the exponential of the entropy of the spectrum of the
	// adapters' deviations from their mean: 1 if all lie on a line, n−1 at most.
	EffectiveRank float64 `json:"effective_rank"`
	// Commits is the mean cosine of ΔW between neighbouring commits, Pairs that
	// between any two commits of one repository, and Drift that between the first
	// and the last; 0 where no histories were given.
	Commits float64 `json:"commit_cosine,omitempty"`
	Pairs   float64 `json:"commit_pairs_cosine,omitempty"`
	Drift   float64 `json:"history_cosine,omitempty"`
	// Identified is the share of half repositories whose nearest adapter, among
	// those of all other halves, is that of the other half; Chance is what
	// guessing gives.
	Identified stats.Interval `json:"identified"`
	Chance     float64        `json:"chance"`
	// Response is how far the adapter has moved from one repository's to
	// another's, 0 to 1, when the representation has moved by Steps.
	Steps    []float64 `json:"interpolation_steps"`
	Response []float64 `json:"interpolation_response"`

	// Strangers is how many other repositories, drawn by the seed, a task's value
	// under a stranger's adapter is the average of.
	Strangers int `json:"strangers"`

	CrossEntropy Comparison `json:"cross_entropy"` // nats per target token, averaged over tasks; negative differences speak for own
	ExactMatch   Comparison `json:"exact_match"`   // positive differences speak for own
	Verdict      Verdict    `json:"verdict"`
	Because      string     `json:"because"`
}

// Comparison has the means under each adapter, and the differences paired by
// task, with intervals from a bootstrap over repositories.
type Comparison struct {
	Base        stats.Interval `json:"base"`
	Own         stats.Interval `json:"own"`
	Average     stats.Interval `json:"average"`
	Stranger    stats.Interval `json:"stranger"`
	Nearest     stats.Interval `json:"nearest"`
	OwnAverage  stats.Interval `json:"own_minus_average"`
	OwnStranger stats.Interval `json:"own_minus_stranger"`
	OwnNearest  stats.Interval `json:"own_minus_nearest"`
}

// Run audits a generator. It needs three repositories or more.
func Run(ctx context.Context, g Generator, repos []Repository, l Losser, o stats.Options) (*Report, error) {
	if len(repos) < 3 {
		return nil, fmt.Errorf("%d repositories: an audit needs at least 3", len(repos))
	}
	average, err := g.AverageAdapter()
	if err != nil {
		return nil, err
	}
	own := make([]*adapter.Adapter, len(repos))
	for i, r := range repos {
		if own[i], err = g.Generate(r.Whole); err != nil {
			return nil, fmt.Errorf("repository %s: %w", r.Name, err)
		}
	}
	rep := &Report{Repositories: len(repos), Modules: map[string]float64{}}
	gram, err := hypernet.Gram(own)
	if err != nil {
		return nil, err
	}
	if rep.Spread, err = hypernet.Conditioning(average, own); err != nil {
		return nil, err
	}
	for _, m := range own[0].Modules() {
		g, err := hypernet.Gram(own, m)
		if err != nil {
			return nil, err
		}
		rep.Modules[m.String()] = meanCosine(g)
	}
	if rep.EffectiveRank, err = effectiveRank(gram); err != nil {
		return nil, err
	}
	if err := rep.identify(g, repos, o); err != nil {
		return nil, err
	}
	if err := rep.interpolate(g, repos); err != nil {
		return nil, err
	}
	if err := rep.follow(g, repos, own); err != nil {
		return nil, err
	}
	if err := rep.compare(ctx, l, repos, own, average, nearest(gram), o); err != nil {
		return nil, err
	}
	rep.decide()
	return rep, nil
}

// meanCosine returns the mean over pairs.
func meanCosine(gram [][]float64) float64 {
	sum, n := 0.0, 0
	for i := range gram {
		for j := range i {
			sum += cosine(gram[i][j], gram[i][i], gram[j][j])
			n++
		}
	}
	return sum / float64(max(n, 1))
}

func cosine(ab, aa, bb float64) float64 {
	if aa <= 0 || bb <= 0 {
		return 0
	}
	return ab / math.Sqrt(aa*bb)
}

// effectiveRank is that of vectors with the given inner products, less their
// mean (Roy and Vetterli 2007, on the eigenvalues of the Gram matrix).
func effectiveRank(gram [][]float64) (float64, error) {
	n := len(gram)
	rows, all := make([]float64, n), 0.0
	for i := range gram {
		for j := range gram {
			rows[i] += gram[i][j] / float64(n)
			all += gram[i][j] / float64(n*n)
		}
	}
	centred := mat.NewSymDense(n, nil)
	trace := 0.0
	for i := range n {
		for j := range i + 1 {
			centred.SetSym(i, j, gram[i][j]-rows[i]-rows[j]+all)
		}
		trace += gram[i][i]
	}
	var e mat.EigenSym
	if !e.Factorize(centred, false) {
		return 0, errors.New("the spectrum of the adapters could not be computed")
	}
	values, sum := e.Values(nil), 0.0
	for i, v := range values {
		if v < 1e-9*trace { // rounding of float32 sums
			v = 0
		}
		values[i] = v
		sum += v
	}
	if sum == 0 {
		return 0, nil // all the same
	}
	entropy := 0.0
	for _, v := range values {
		if v > 0 {
			entropy -= v / sum * math.Log(v/sum)
		}
	}
	return math.Exp(entropy), nil
}

// nearest returns for each adapter the other one with the greatest cosine,
// after removing their mean.
func nearest(gram [][]float64) []int {
	n := len(gram)
	rows, all := make([]float64, n), 0.0
	for i := range gram {
		for j := range gram {
			rows[i] += gram[i][j] / float64(n)
			all += gram[i][j] / float64(n*n)
		}
	}
	c := func(i, j int) float64 { return gram[i][j] - rows[i] - rows[j] + all }
	best := make([]int, n)
	for i := range n {
		best[i] = -1
		for j := range n {
			if j != i && (best[i] < 0 || cosine(c(i, j), c(i, i), c(j, j)) > cosine(c(i, best[i]), c(i, i), c(best[i], best[i]))) {
				best[i] = j
			}
		}
	}
	return best
}

// identify matches the halves of repositories by their adapters.
func (r *Report) identify(g Generator, repos []Repository, o stats.Options) error {
	var halves []*adapter.Adapter
	var names []string
	for _, repo := range repos {
		if repo.Halves[0] == nil || repo.Halves[1] == nil {
			continue
		}
		for _, h := range repo.Halves {
			a, err := g.Generate(h)
			if err != nil {
				return fmt.Errorf("half of repository %s: %w", repo.Name, err)
			}
			halves, names = append(halves, a), append(names, repo.Name)
		}
	}
	if len(halves) < 6 {
		return nil
	}
	gram, err := hypernet.Gram(halves)
	if err != nil {
		return err
	}
	flat := meanCosine(gram) > 1-1e-6 // the nearest of equal adapters would be decided by rounding
	var hits []stats.Value
	for i, j := range nearest(gram) {
		v := 0.0
		if j == i^1 && !flat {
			v = 1
		}
		hits = append(hits, stats.Value{Cluster: names[i], X: v})
	}
	r.Identified, r.Chance = stats.Mean(hits, o), 1/float64(len(halves)-1)
	return nil
}

// interpolate measures how adapters follow representations on the straight way
// from each repository to the next.
func (r *Report) interpolate(g Generator, repos []Repository) error {
	r.Steps = []float64{0, 0.25, 0.5, 0.75, 1}
	r.Response = make([]float64, len(r.Steps))
	n := 0
	for i := range repos {
		from, to := repos[i].Whole, repos[(i+1)%len(repos)].Whole
		as := make([]*adapter.Adapter, len(r.Steps))
		for k, t := range r.Steps {
			a, err := g.Generate(between(from, to, float32(t)))
			if err != nil {
				return err
			}
			as[k] = a
		}
		gram, err := hypernet.Gram(as)
		if err != nil {
			return err
		}
		last := len(as) - 1
		// The projection of the way so far onto the whole way.
		dot := func(a, b int) float64 { return gram[a][b] - gram[a][0] - gram[0][b] + gram[0][0] }
		if dot(last, last) <= 1e-9*gram[0][0] {
			continue // the two adapters are the same
		}
		for k := range as {
			r.Response[k] += dot(k, last) / dot(last, last)
		}
		n++
	}
	for k := range r.Response {
		r.Response[k] /= float64(max(n, 1))
	}
	return nil
}

// between returns the representation at part t of the way from a to b.
func between(a, b *embedding.Representation, t float32) *embedding.Representation {
	out := *a
	out.Tensors = map[string]embedding.Tensor{}
	for name, x := range a.Tensors {
		y, ok := b.Tensors[name]
		if !ok || len(y.Data) != len(x.Data) {
			out.Tensors[name] = x
			continue
		}
		data := make([]float32, len(x.Data))
		for i := range data {
			data[i] = x.Data[i] + t*(y.Data[i]-x.Data[i])
		}
		out.Tensors[name] = embedding.Tensor{Shape: x.Shape, Data: data}
	}
	return &out
}

// follow compares the adapters of a repository's commits.
func (r *Report) follow(g Generator, repos []Repository, own []*adapter.Adapter) error {
	steps, histories := 0, 0
	for i, repo := range repos {
		if len(repo.Earlier) == 0 {
			continue
		}
		var as []*adapter.Adapter
		for _, rep := range repo.Earlier {
			a, err := g.Generate(rep)
			if err != nil {
				return fmt.Errorf("earlier commit of %s: %w", repo.Name, err)
			}
			as = append(as, a)
		}
		gram, err := hypernet.Gram(append(as, own[i]))
		if err != nil {
			return err
		}
		last := len(gram) - 1
		for k := range last {
			r.Commits += cosine(gram[k][k+1], gram[k][k], gram[k+1][k+1])
			steps++
		}
		r.Drift += cosine(gram[0][last], gram[0][0], gram[last][last])
		r.Pairs += meanCosine(gram)
		histories++
	}
	r.Commits /= float64(max(steps, 1))
	r.Drift /= float64(max(histories, 1))
	r.Pairs /= float64(max(histories, 1))
	return nil
}
