package tune

import (
	"math/rand/v2"

	"github.com/code2lora/code2lora/internal/compute"
	"github.com/code2lora/code2lora/internal/train"
)

// plan deals windows to steps. Every epoch, the windows of all repositories (or
// their files) are shuffled, and each step takes as many as it has room for. The
// plan of an epoch depends on the seed and its number alone, so a resumed fit
// needs no more than the number of its step.
type plan struct {
	units  [][]*train.Window // what stays together
	seed   uint64
	tokens int
	epoch  int
	first  int // number of the epoch's first step
	steps  [][]*train.Window
}

func newPlan(repos []*Repository, o *Options) *plan {
	p := &plan{seed: o.Seed, tokens: o.TokensPerStep}
	for _, r := range repos {
		for _, f := range r.Files {
			var unit []*train.Window
			for i := range f {
				if !o.SharePrefixes {
					p.units = append(p.units, []*train.Window{&f[i]})
					continue
				}
				unit = append(unit, &f[i])
			}
			if len(unit) > 0 {
				p.units = append(p.units, unit)
			}
		}
	}
	p.shuffle(0)
	return p
}

// shuffle makes the plan of an epoch.
func (p *plan) shuffle(epoch int) {
	p.epoch, p.steps = epoch, nil
	rng := rand.New(rand.NewPCG(p.seed, uint64(epoch)+1))
	var step []*train.Window
	rows := 0
	for _, i := range rng.Perm(len(p.units)) {
		for k, w := range p.units[i] {
			n := len(w.Tokens)
			if k > 0 && len(step) > 0 {
				n -= compute.CommonPrefix(p.units[i][k-1].Tokens, w.Tokens)
			}
			if rows+n > p.tokens && len(step) > 0 {
				p.steps = append(p.steps, step)
				step, rows, n = nil, 0, len(w.Tokens)
			}
			step, rows = append(step, w), rows+n
		}
	}
	if len(step) > 0 {
		p.steps = append(p.steps, step)
	}
}

// at returns the windows of a step, and the epoch it belongs to.
func (p *plan) at(step int) ([]*train.Window, int) {
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

// numSteps is the number of steps of a whole fit.
func (p *plan) numSteps(o *Options) int {
	if o.Steps > 0 {
		return o.Steps
	}
	for n, draws := 0, 0; ; n++ {
		windows, epoch := p.at(n)
		if o.Epochs > 0 && epoch >= o.Epochs || o.Draws > 0 && draws >= o.Draws {
			return n
		}
		draws += draw(windows)
	}
}

// draw counts the tasks of windows.
func draw(windows []*train.Window) (n int) {
	for _, w := range windows {
		n += len(w.Tasks)
	}
	return n
}

// passes divides the windows of a step so that each pass over the base has at
// most tokens tokens, or a single window. Those that begin alike stay together.
func passes(windows []*train.Window, tokens int) (all [][]*train.Window) {
	seqs := make([][]int32, len(windows))
	for i, w := range windows {
		seqs[i] = w.Tokens
	}
	for _, group := range compute.Group(seqs, tokens) {
		var pass []*train.Window
		for _, i := range group {
			pass = append(pass, windows[i])
		}
		all = append(all, pass)
	}
	return all
}
