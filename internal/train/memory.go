package train

import (
	"fmt"

	"github.com/code2lora/code2lora/internal/kernel"
	"github.com/code2lora/code2lora/internal/memory"
)

// largest is the largest pass over the base in a run.
type largest struct{ tokens, labels, shares int }

// largestPass returns the most tokens, labels and shares that a pass of any
// step has. They may be of different passes.
func (r *Run) largestPass() (most largest) {
	o := r.Options
	p := newPlan(r.Train, o)
	for e := range o.Epochs {
		p.shuffle(e)
		for _, shares := range p.steps {
			parts := min(o.Accumulate, len(shares))
			for i := range parts {
				part := shares[i*len(shares)/parts : (i+1)*len(shares)/parts]
				tokens, labels := 0, 0
				for _, s := range part {
					for k, w := range s.windows {
						seq := r.Train[s.repo].Windows[w].sequence(0, o.leave())
						shared := p.shared(r.Train[s.repo], s.windows[:k], w)
						tokens, labels = tokens+max(0, len(seq.Tokens)-shared), labels+len(seq.Labels)
					}
				}
				most.tokens, most.labels, most.shares = max(most.tokens, tokens), max(most.labels, labels), max(most.shares, len(part))
			}
		}
	}
	return most
}

// needMemory returns an error if there is too little memory for the largest
// step of the run: activations and packings of the base, two moments for each
// parameter of the head, and adapters with their gradients.
func (j *Job) needMemory() error {
	a, _, err := j.Head.Generate(j.Train[0].Representation)
	if err != nil {
		return fmt.Errorf("repository %s: %w", j.Train[0].Name, err)
	}
	moments := 0
	for _, p := range j.Head.Params() {
		moments += 2 * 4 * len(p.Value)
	}
	most := j.largestPass()
	_, least := j.deps.Model.GradientBytes(kernel.CurrentPrecision(), most.tokens, most.labels, a.Rank)
	bytes := least + int64(moments) + int64(2*4*most.shares*a.NumParameters())
	remedy := "lower train.tokens_per_share or data.window_tokens"
	if j.Options.Accumulate < j.Options.SharesPerStep {
		remedy = fmt.Sprintf("raise train.accumulate to up to train.shares_per_step, %d, or %s", j.Options.SharesPerStep, remedy)
	}
	return memory.Need(fmt.Sprintf("a pass over %d tokens, the most of a training step,", most.tokens), bytes, remedy)
}
