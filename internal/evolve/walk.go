package evolve

import (
	"errors"
	"fmt"
	"slices"

	"github.com/code2lora/code2lora/internal/kernel"
)

// Truncation says how far gradients go back.
type Truncation struct {
	// Steps is K: a segment has at most so many steps, and gradients don't leave
	// it. The paper has 16.
	Steps int `json:"steps" yaml:"steps"`
	// AtLoss also ends a segment behind every step whose context has a loss, as
	// the authors' code does. Since nearly all commits of their data have one,
	// gradients go back about one step.
	AtLoss bool `json:"at_loss" yaml:"at_loss"`
}

// DefaultTruncation is that of the paper: true segments of 16 steps.
func DefaultTruncation() Truncation { return Truncation{Steps: 16} }

// maxSteps bounds what a walk keeps: some 60 kB a step at the released size.
const maxSteps = 1 << 14

// Validate reports a truncation that cannot work.
func (o Truncation) Validate() error {
	if o.Steps < 1 || o.Steps > maxSteps {
		return fmt.Errorf("truncation after %d steps: want 1 to %d", o.Steps, maxSteps)
	}
	return nil
}

// Walk is a pass over the commits of one repository in training, in segments:
//
//	for each commit {
//		ctx, err := w.Step(diff)
//		w.AddGrad(dctx) // if the commit has tasks; once for each batch of them
//		if w.Due() {
//			w.Backward()
//			// a step of the optimiser
//		}
//	}
//	w.Backward()
//
// A segment begins with the state that the one before it has reached, which is
// a constant to it; only in the first do gradients reach the parameters of h_0.
// Parameters must not change within a segment. A Walk is not for concurrent use.
type Walk struct {
	gru   *GRU
	opt   Truncation
	begin *startTape // nil after the first segment
	state []float32
	steps []*stepTape
	last  int // steps up to the last one with a loss
}

// Walk begins a pass with h_0, for the vector of the repository at its first
// commit.
func (g *GRU) Walk(repository []float32, o Truncation) (*Walk, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	begin, err := g.start(repository)
	if err != nil {
		return nil, err
	}
	return &Walk{gru: g, opt: o, begin: begin, state: begin.y}, nil
}

// Resume goes on with a pass from the state that an earlier one has reached. The
// state is a constant: gradients don't go behind it.
func (g *GRU) Resume(state []float32, o Truncation) (*Walk, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if err := g.check("state", state, g.opts.Hidden); err != nil {
		return nil, err
	}
	return &Walk{gru: g, opt: o, state: slices.Clone(state)}, nil
}

// Step goes over a commit and returns the context after it.
func (w *Walk) Step(diff []float32) ([]float32, error) {
	if w.Due() {
		return nil, errors.New("recurrence: the segment has ended: call Backward before the next step")
	}
	t, err := w.gru.step(w.state, diff)
	if err != nil {
		return nil, err
	}
	w.steps, w.state = append(w.steps, t), t.next
	return w.gru.context(t.next, &t.out), nil
}

// State returns a copy of the state after the last step.
func (w *Walk) State() []float32 { return slices.Clone(w.state) }

// AddGrad adds d(loss)/d(context) of the context that the last Step returned.
// It panics if dctx has another length, or if the segment has no step.
func (w *Walk) AddGrad(dctx []float32) { w.AddGradAt(len(w.steps)-1, dctx) }

// AddGradAt is [Walk.AddGrad] for the i-th step of the segment, from 0, so that
// the losses of a segment may be computed together.
func (w *Walk) AddGradAt(i int, dctx []float32) {
	if i < 0 || i >= len(w.steps) || len(dctx) != w.gru.opts.Hidden {
		panic(fmt.Sprintf("evolve: gradient of %d values for step %d of %d, want %d values after a step",
			len(dctx), i, len(w.steps), w.gru.opts.Hidden))
	}
	t := w.steps[i]
	if t.dctx == nil {
		t.dctx = make([]float32, len(dctx))
	}
	kernel.Add(t.dctx, dctx)
	w.last = max(w.last, i+1)
}

// Due reports whether the segment has ended.
func (w *Walk) Due() bool {
	n := len(w.steps)
	return n >= w.opt.Steps || w.opt.AtLoss && n > 0 && w.last == n
}

// Backward adds the gradients of the segment's losses to the parameters, and
// begins the next segment.
func (w *Walk) Backward() {
	g := w.gru
	if w.last > 0 {
		for _, p := range g.params {
			if p.Grad == nil {
				p.Grad = make([]float32, len(p.Value))
			}
		}
		dh := g.segmentBackward(w.steps[:w.last])
		if w.begin != nil {
			g.startBackward(w.begin, dh)
		}
	}
	if len(w.steps) > 0 {
		w.begin = nil
	}
	w.steps, w.last = nil, 0
}

// segmentBackward adds the gradients of steps and returns that of the state
// before them. Only the recurrence itself goes step by step; the products with
// the inputs and states are taken over all steps at once.
func (g *GRU) segmentBackward(steps []*stepTape) []float32 {
	T, h := len(steps), g.opts.Hidden
	din, drec := make([]float32, T*3*h), make([]float32, T*3*h)
	var x, states, d []float32
	for _, s := range steps {
		x, states, d = append(x, s.x...), append(states, s.h...), append(d, s.d...)
	}
	dh := make([]float32, h)
	for t := T - 1; t >= 0; t-- {
		s := steps[t]
		if s.dctx != nil {
			g.outNorm.normalizeBackward(dh, s.dctx, s.next, &s.out)
		}
		row := drec[t*3*h:][:3*h]
		s.gates(din[t*3*h:][:3*h], row, dh)
		kernel.Gemm(false, false, 1, h, 3*h, 1, row, 3*h, g.hidden.w.Value, h, 1, dh, h)
	}
	dx, du := make([]float32, T*h), make([]float32, T*h)
	g.hidden.backward(nil, drec, states, T)
	g.input.backward(dx, din, x, T)
	for t, s := range steps {
		g.diffNorm.normalizeBackward(du[t*h:][:h], dx[t*h:][:h], s.u, &s.stat)
	}
	g.diff.backward(nil, du, d, T)
	return dh
}
