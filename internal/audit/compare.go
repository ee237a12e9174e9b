package audit

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/stats"
)

// compare scores every repository's tasks under each adapter.
func (r *Report) compare(ctx context.Context, l Losser, repos []Repository, own []*adapter.Adapter, average *adapter.Adapter, near []int, o stats.Options) error {
	r.Strangers = min(strangers, len(repos)-1)
	drawn := strangersOf(len(repos), r.Strangers, o.Seed)
	values := make([]tallies, 5)
	for i, repo := range repos {
		others := make([]*adapter.Adapter, len(drawn[i]))
		for k, other := range drawn[i] {
			others[k] = own[other]
		}
		for c, choice := range [][]*adapter.Adapter{{nil}, {own[i]}, {average}, others, {own[near[i]]}} {
			all := make([]*Losses, len(choice))
			for k, a := range choice {
				var err error
				if all[k], err = l.Losses(ctx, repo.Name, a); err != nil {
					return fmt.Errorf("repository %s: %w", repo.Name, err)
				}
			}
			if err := values[c].add(repo.Name, all); err != nil {
				return err
			}
		}
	}
	r.Tasks = len(values[0].exact)
	if r.Tasks == 0 {
		return fmt.Errorf("%d repositories have no tasks", len(repos))
	}
	for _, v := range values {
		if len(v.exact) != r.Tasks {
			return fmt.Errorf("%d tasks under one adapter and %d under another", r.Tasks, len(v.exact))
		}
	}
	nll := func(t *tallies) []stats.Value { return t.nll }
	exact := func(t *tallies) []stats.Value { return t.exact }
	r.CrossEntropy, r.ExactMatch = comparison(values, nll, o), comparison(values, exact, o)
	return nil
}

// tallies are the values of all tasks under one choice of adapters.
type tallies struct{ nll, exact []stats.Value }

// add averages each task of a repository over adapters.
func (t *tallies) add(repository string, all []*Losses) error {
	n := len(all[0].NLL)
	for _, l := range all {
		if len(l.NLL) != n {
			return fmt.Errorf("repository %s: %d tasks under one adapter and %d under another", repository, n, len(l.NLL))
		}
	}
	for i := range n {
		hit, nll := stats.Value{Cluster: repository}, stats.Value{Cluster: repository}
		for _, l := range all {
			if l.Exact[i] {
				hit.X += 1 / float64(len(all))
			}
			nll.X += l.NLL[i] / float64(l.Tokens[i]) / float64(len(all))
		}
		t.exact, t.nll = append(t.exact, hit), append(t.nll, nll)
	}
	return nil
}

// strangers is how many there are of each repository, if there are so many
// others.
const strangers = 3

// strangersOf draws for each of n repositories some others, different ones. As
// each shift of a random circle serves all, every repository is a stranger as
// often as any other.
func strangersOf(n, some int, seed uint32) [][]int {
	rng := rand.New(rand.NewPCG(uint64(seed), 0x57a6e5))
	circle, shifts := rng.Perm(n), rng.Perm(n - 1)[:some]
	out := make([][]int, n)
	for at, i := range circle {
		for _, s := range shifts {
			out[i] = append(out[i], circle[(at+1+s)%n])
		}
	}
	return out
}

func comparison(v []tallies, of func(*tallies) []stats.Value, o stats.Options) Comparison {
	base, own, average, stranger, near := of(&v[0]), of(&v[1]), of(&v[2]), of(&v[3]), of(&v[4])
	return Comparison{
		Base: stats.Mean(base, o), Own: stats.Mean(own, o), Average: stats.Mean(average, o),
		Stranger: stats.Mean(stranger, o), Nearest: stats.Mean(near, o),
		OwnAverage: difference(own, average, o), OwnStranger: difference(own, stranger, o),
		OwnNearest: difference(own, near, o),
	}
}

func difference(a, b []stats.Value, o stats.Options) stats.Interval {
	pairs := make([]stats.Pair, len(a))
	for i := range a {
		pairs[i] = stats.Pair{Cluster: a[i].Cluster, A: a[i].X, B: b[i].X}
	}
	return stats.Difference(pairs, o)
}

// inactive is the distance from the average below which adapters count as
// equal to it.
const inactive = 0.01

// decide gives the verdict. The losses decide: what adapters look like is only
// a reason to call an influence weak rather than absent.
func (r *Report) decide() {
	average := r.CrossEntropy.OwnAverage.High < 0
	stranger := r.CrossEntropy.OwnStranger.High < 0
	carries := r.Spread.Distance.Mean > inactive && r.Identified.Low > r.Chance
	switch {
	case r.Spread.Distance.Mean <= inactive && !average:
		r.Verdict, r.Because = Not, fmt.Sprintf("adapters differ from the average by %.2g of its norm: the input is ignored", r.Spread.Distance.Mean)
	case average && stranger:
		r.Verdict, r.Because = Conditioned, "a repository's own adapter beats the average one and a stranger's"
	case average || stranger:
		r.Verdict, r.Because = Weakly, "a repository's own adapter beats only one of the average and a stranger's"
	case carries:
		r.Verdict, r.Because = Weakly, "adapters can be told apart by repository, but own is not shown to be better than average or stranger"
	case r.Chance == 0: // no halves to match
		r.Verdict, r.Because = Not, "own adapters are no better than average or strangers'"
	default:
		r.Verdict, r.Because = Not, "own adapters are no better than average or strangers', and don't tell repositories apart"
	}
}

// String returns the verdict line.
func (r *Report) String() string {
	return fmt.Sprintf("verdict: %s: %s", r.Verdict, r.Because)
}
