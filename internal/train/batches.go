package train

import (
	"math/rand/v2"

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
// the target is left, is learned too.
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

// labels returns a label for each token of each target and for the token that
// follows it.
func (w *Window) labels() []model.Label {
	var ls []model.Label
	for _, s := range w.Tasks {
		for i := s.From; i <= s.To && i < len(w.Tokens); i++ {
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
type plan struct {
	repos   []*Repository
	seed    uint64
	tokens  int
	perStep int
	epoch   int
	first   int // number of the epoch's first step
	steps   [][]share
}

func newPlan(repos []*Repository, seed uint64, tokens, perStep int) *plan {
	p := &plan{repos: repos, seed: seed, tokens: tokens, perStep: perStep}
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
		for _, w := range rng.Perm(len(repo.Windows)) {
			n := len(repo.Windows[w].Tokens)
			if rows+n > p.tokens && len(s.windows) > 0 {
				shares = append(shares, s)
				s, rows = share{repo: r}, 0
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
