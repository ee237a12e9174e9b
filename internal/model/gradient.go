package model

import (
	"context"
	"slices"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/kernel"
	"github.com/code2lora/code2lora/internal/nn"
)

// Score returns the negative log-likelihood and the most likely token at every
// label of the batch.
func (m *Model) Score(ctx context.Context, b Batch) (*Result, error) {
	res, _, err := m.evaluate(ctx, b, nil)
	return res, err
}

// Gradient is Score together with the gradient of the loss with respect to
// every adapter of the batch. It computes nothing below the lowest adapted
// layer backward, and no gradients of frozen weights.
func (m *Model) Gradient(ctx context.Context, b Batch, opt GradientOptions) (*Result, error) {
	res, _, err := m.evaluate(ctx, b, &opt)
	return res, err
}

// effort is what a pass took.
type effort struct {
	rows     int // computed
	restored int // layers that were computed again
	peak     int // values in the arena at a time
}

// evaluate is Gradient, or Score without options.
func (m *Model) evaluate(ctx context.Context, b Batch, opt *GradientOptions) (*Result, effort, error) {
	if err := ctx.Err(); err != nil {
		return nil, effort{}, err
	}
	if err := m.checkBatch(b, opt); err != nil {
		return nil, effort{}, err
	}
	res := &Result{NLL: make([][]float32, len(b.Sequences)), Argmax: make([][]int32, len(b.Sequences))}
	if opt != nil {
		res.Grads = make([]*adapter.Adapter, len(b.Adapters))
		for i, a := range b.Adapters {
			res.Grads[i] = adapter.ZerosLike(a)
		}
	}
	// Copies that share their rows have no gradients of their own.
	share := opt == nil || len(opt.Activations) == 0
	p := newTreePass(m, b, newLayout(b, share, false), res.Grads)
	defer p.free()
	if b.From < m.NumHiddenLayers && p.T > 0 {
		p.finish(p.layout.labelled(b), opt != nil)
	}
	var err error
	if opt == nil {
		err = p.score(ctx, b, res)
	} else {
		err = p.gradient(ctx, b, *opt, res)
	}
	if err != nil {
		return nil, effort{}, err
	}
	return res, effort{p.T, p.restored, p.mem.peak}, nil
}

func (p *pass) score(ctx context.Context, b Batch, res *Result) error {
	if err := p.run(ctx, b.From, p.m.NumHiddenLayers); err != nil {
		return err
	}
	p.labels(b, res, nil)
	return nil
}

func (p *pass) gradient(ctx context.Context, b Batch, opt GradientOptions, res *Result) error {
	low := max(b.From, p.lowest(opt))
	if err := p.runSaving(ctx, b.From, low, b.numLabels(), opt.Memory); err != nil {
		return err
	}
	dx := p.mem.zeros(p.T * p.m.HiddenSize)
	if p.last == nil {
		p.labels(b, res, dx)
	} else {
		clear(p.last.dx)
		p.labels(b, res, p.last.dx)
	}
	return p.backward(ctx, dx, opt, func(l int, dx []float32) {
		if slices.Contains(opt.Activations, l) {
			res.setActivation(l, p.layout.own(b, dx, p.m.HiddenSize))
		}
	})
}

// setActivation keeps the gradient of layer l's input.
func (r *Result) setActivation(l int, dx []float32) {
	if r.Activations == nil {
		r.Activations = map[int][]float32{}
	}
	r.Activations[l] = dx
}

// logitsAtOnce bounds the logits held at a time: 64 MiB.
const logitsAtOnce = 1 << 24

// labels scores the labelled rows and, when dx is not nil, adds the gradient
// of the loss with respect to the rows of the last block's output:
//
//	logits = rmsnorm(x) Wᵀ at labelled rows only
func (p *pass) labels(b Batch, res *Result, dx []float32) {
	m, D, V := p.m, p.m.HiddenSize, p.m.VocabSize
	defer p.mem.giveBack(p.mem.mark())
	type at struct{ seq, label, row int }
	var todo []at
	rows, out := p.finished(b)
	for i, s := range b.Sequences {
		res.NLL[i], res.Argmax[i] = make([]float32, len(s.Labels)), make([]int32, len(s.Labels))
		for j := range s.Labels {
			todo = append(todo, at{i, j, int(rows[len(todo)])})
		}
	}
	chunk := min(len(todo), max(1, logitsAtOnce/V))
	x, h, dh := p.mem.floats(chunk*D), p.mem.floats(chunk*D), p.mem.floats(chunk*D)
	dxl, rstd, logits := p.mem.floats(chunk*D), p.mem.floats(chunk), p.mem.floats(chunk*V)
	for len(todo) > 0 {
		n := min(chunk, len(todo))
		for i, t := range todo[:n] {
			copy(x[i*D:][:D], out[t.row*D:][:D])
		}
		nn.RMSNormForward(h, rstd, x, m.outputNorm, n, D, float32(m.RMSNormEps))
		m.output.Forward(logits[:n*V], h[:n*D], n)
		kernel.Parallel(n, func(i int) {
			t := todo[i]
			l := b.Sequences[t.seq].Labels[t.label]
			w := l.Weight
			row := logits[i*V:][:V]
			if dx == nil {
				w = 0
			}
			nll, best := nn.CrossEntropy(row, int(l.Target), w)
			if w == 0 && dx != nil {
				clear(row)
			}
			res.NLL[t.seq][t.label], res.Argmax[t.seq][t.label] = nll, int32(best)
		})
		if dx != nil {
			m.output.Backward(dh[:n*D], logits[:n*V], n, false)
			clear(dxl[:n*D])
			nn.RMSNormBackward(dxl, dh, x, m.outputNorm, rstd, n, D)
			for i, t := range todo[:n] {
				kernel.Add(dx[t.row*D:][:D], dxl[i*D:][:D])
			}
		}
		todo = todo[n:]
	}
	for i, s := range b.Sequences {
		for j, l := range s.Labels {
			res.Loss += float64(l.Weight) * float64(res.NLL[i][j])
		}
	}
}
