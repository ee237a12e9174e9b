package train

import (
	"math/rand/v2"
	"slices"

	"github.com/code2lora/code2lora/internal/compute"
	"github.com/code2lora/code2lora/internal/embedding"
	"github.com/code2lora/code2lora/internal/model"
)

// Repository is one repository ready for training or validation.
type Repository struct {
	Name           string
	Representation *embedding.Representation
	Windows        []Window
}

// Window is a stretch of a test file in which several assertion targets are
// labelled. The prefixes of the tasks of one file are nested, so one pass over
// the window serves all of them.
type Window struct {
	Tokens []int32
	Tasks  []Span
}

// Span is a target inside a window: tokens From..To−1. The token at To, where
// the target is left, is learned too, unless [Options.Stop] is [StopNone].
type Span struct{ From, To int }

// NumTasks counts the tasks of several repositories.
func NumTasks(repos []*Repository) int {
	n := 0
	for _, r := range repos {
		for _, w := range r.Windows {
			n += len(w.Tasks)
		}
	}
	return n
}

// labels returns a label for each token of each target and, with leave, for the
// token that follows it.
func (w *Window) labels(leave bool) []model.Label {
	var ls []model.Label
	for _, s := range w.Tasks {
		to := s.To
		if leave {
			to++
		}
		for i := s.From; i < to && i < len(w.Tokens); i++ {
			ls = append(ls, model.Label{Pos: i - 1, Target: w.Tokens[i], Weight: 1})
		}
	}
	return ls
}

// share is one repository's part of a step: some of its windows.
type share struct {
	repo    int
	windows []int
}

// plan deals the windows of all repositories to steps: every epoch, each
// repository's windows are shuffled and cut into shares of at most tokens
// tokens, the shares of all repositories are shuffled, and each step takes
// perStep of them. The plan of an epoch depends on the seed and its number
// alone, so a resumed run needs no more than the number of its step.
//
// With families, those windows of a repository that begin alike stay together
// when they are shuffled, and what they have in common counts once.
type plan struct {
	repos   []*Repository
	seed    uint64
	tokens  int
	perStep int
	// families of each repository's windows, or nil
	families [][][]int
	epoch    int
	first    int // number of the epoch's first step
	steps    [][]share
}

func newPlan(repos []*Repository, o Options) *plan {
	p := &plan{repos: repos, seed: o.Seed, tokens: o.TokensPerShare, perStep: o.SharesPerStep}
	if o.SharePrefixes {
		for _, r := range repos {
			p.families = append(p.families, families(r.Windows))
		}
	}
	p.shuffle(0)
	return p
}

// shuffle makes the plan of an epoch.
func (p *plan) shuffle(epoch int) {
	p.epoch = epoch
	rng := rand.New(rand.NewPCG(p.seed, uint64(epoch)+1))
	var shares []share
	for r, repo := range p.repos {
		s, rows := share{repo: r}, 0
		for _, w := range p.order(r, rng) {
			n := len(repo.Windows[w].Tokens) - p.shared(repo, s.windows, w)
			if rows+n > p.tokens && len(s.windows) > 0 {
				shares = append(shares, s)
				s, rows = share{repo: r}, 0
				n = len(repo.Windows[w].Tokens)
			}
			s.windows, rows = append(s.windows, w), rows+n
		}
		if len(s.windows) > 0 {
			shares = append(shares, s)
		}
	}
	rng.Shuffle(len(shares), func(i, j int) { shares[i], shares[j] = shares[j], shares[i] })
	p.steps = nil
	for i := 0; i < len(shares); i += p.perStep {
		p.steps = append(p.steps, shares[i:min(len(shares), i+p.perStep)])
	}
}

// order shuffles the windows of repository r.
func (p *plan) order(r int, rng *rand.Rand) []int {
	if p.families == nil {
		return rng.Perm(len(p.repos[r].Windows))
	}
	var order []int
	for _, i := range rng.Perm(len(p.families[r])) {
		family := p.families[r][i]
		for _, j := range rng.Perm(len(family)) {
			order = append(order, family[j])
		}
	}
	return order
}

// shared returns how many tokens of window w count for another window of a share.
func (p *plan) shared(r *Repository, share []int, w int) (most int) {
	if p.families == nil {
		return 0
	}
	for _, v := range share {
		if n := compute.CommonPrefix(r.Windows[v].Tokens, r.Windows[w].Tokens); n >= minFamily {
			most = max(most, n)
		}
	}
	return most
}

// minFamily is the least number of tokens that the windows of a family have in
// common: more than an import that all files of a repository begin with.
const minFamily = 16

// families groups windows that begin with the same tokens, as those of one file
// do, of which each has the file's imports at its head.
func families(windows []Window) (all [][]int) {
	order := make([]int, len(windows))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return slices.Compare(windows[i].Tokens, windows[j].Tokens) })
	for k, i := range order {
		if k == 0 || compute.CommonPrefix(windows[order[k-1]].Tokens, windows[i].Tokens) < minFamily {
			all = append(all, nil)
		}
		all[len(all)-1] = append(all[len(all)-1], i)
	}
	return all
}

// at returns the shares of a step, and the epoch it belongs to.
func (p *plan) at(step int) ([]share, int) {
	if step < p.first {
		p.first = 0
		p.shuffle(0)
	}
	for step >= p.first+len(p.steps) {
		p.first += len(p.steps)
		p.shuffle(p.epoch + 1)
	}
	return p.steps[step-p.first], p.epoch
}
