package compute

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/kernel"
	"github.com/code2lora/code2lora/internal/model"
)

// Pool is a backend that cuts a request into parts and has several backends
// answer them, each one part at a time. How a request is cut depends on the
// request and the size of the parts alone, and gradients are added in the order
// of the parts. So the answer is the same, bit for bit, with any number of
// backends and in whatever order they finish.
type Pool struct {
	backends []Backend
	tokens   int
}

// NewPool returns a pool of backends of one base. A part has at most the given
// number of tokens, or a single tree of sequences that continue each other.
func NewPool(tokens int, backends ...Backend) (*Pool, error) {
	if len(backends) == 0 || tokens < 1 {
		return nil, fmt.Errorf("a pool of %d backends, with parts of %d tokens: want at least 1 of both", len(backends), tokens)
	}
	first := backends[0].Info()
	for i, b := range backends[1:] {
		switch info := b.Info(); {
		case info.Base != first.Base:
			return nil, fmt.Errorf("backend %d of a pool has base %q, the first %q", i+1, info.Base, first.Base)
		case info != first:
			return nil, fmt.Errorf("backend %d of a pool is %+v, the first %+v: they would answer differently", i+1, info, first)
		}
	}
	return &Pool{backends, tokens}, nil
}

// Info is that of the backends.
func (p *Pool) Info() Info { return p.backends[0].Info() }

// Do answers a request part by part. The error is that of the first part that
// failed by itself.
func (p *Pool) Do(ctx context.Context, r *Request) (*Response, error) {
	parts, err := split(r, p.tokens)
	if err != nil {
		return nil, err
	}
	if len(parts) == 1 {
		return p.backends[0].Do(ctx, r)
	}
	answers, err := p.answers(ctx, parts)
	if err != nil {
		return nil, err
	}
	return join(r, parts, answers), nil
}

// answers has every part answered, the first parts first.
func (p *Pool) answers(ctx context.Context, parts []part) ([]*Response, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answers, errs := make([]*Response, len(parts)), make([]error, len(parts))
	next := make(chan int, len(parts))
	for i := range parts {
		next <- i
	}
	close(next)
	var wg sync.WaitGroup
	for _, b := range p.backends[:min(len(p.backends), len(parts))] {
		wg.Go(func() {
			for i := range next {
				q := &parts[i].request
				if errs[i] = ctx.Err(); errs[i] == nil {
					answers[i], errs[i] = b.Do(ctx, q)
				}
				if errs[i] == nil {
					errs[i] = answers[i].Fits(q)
				}
				if errs[i] != nil {
					cancel()
				}
			}
		})
	}
	wg.Wait()
	var cancelled error
	for i, err := range errs {
		if err != nil && !errors.Is(err, context.Canceled) {
			return nil, fmt.Errorf("part %d of %d: %w", i+1, len(parts), err)
		}
		if cancelled == nil {
			cancelled = err
		}
	}
	return answers, cancelled
}

// part is some of the sequences of a request.
type part struct {
	request   Request
	sequences []int // their numbers in the whole request
	adapters  []int // those of the adapters
}

// split cuts a request: trees of sequences stay whole, and follow each other in
// the order of their first sequences.
func split(r *Request, tokens int) ([]part, error) {
	trees := make([][]int, 0, len(r.Sequences))
	tree := make([]int, len(r.Sequences)) // of each sequence
	for i, s := range r.Sequences {
		if s.Prefix < 0 || s.Prefix > i || s.Adapter < -1 || s.Adapter >= len(r.Adapters) {
			return nil, fmt.Errorf("sequence %d: prefix %d and adapter %d, of %d adapters", i, s.Prefix, s.Adapter, len(r.Adapters))
		}
		if s.Prefix > 0 {
			tree[i] = tree[s.Prefix-1]
			trees[tree[i]] = append(trees[tree[i]], i)
			continue
		}
		tree[i] = len(trees)
		trees = append(trees, []int{i})
	}
	var parts []part
	var seqs []int
	size := 0
	for _, t := range trees {
		n := 0
		for _, i := range t {
			n += len(r.Sequences[i].Tokens)
		}
		if len(seqs) > 0 && size+n > tokens {
			parts = append(parts, partOf(r, seqs))
			seqs, size = nil, 0
		}
		seqs, size = append(seqs, t...), size+n
	}
	return append(parts, partOf(r, seqs)), nil
}

// partOf makes the request for some sequences, with the adapters that they use.
func partOf(r *Request, seqs []int) part {
	p := part{request: *r, sequences: seqs}
	p.request.Sequences, p.request.Adapters = nil, nil
	place, which := map[int]int{}, map[int]int{-1: -1}
	for i, j := range seqs {
		s := r.Sequences[j]
		place[j] = i
		if s.Prefix > 0 {
			s.Prefix = 1 + place[s.Prefix-1]
		}
		if _, ok := which[s.Adapter]; !ok {
			which[s.Adapter] = len(p.adapters)
			p.adapters = append(p.adapters, s.Adapter)
			p.request.Adapters = append(p.request.Adapters, r.Adapters[s.Adapter])
		}
		s.Adapter = which[s.Adapter]
		p.request.Sequences = append(p.request.Sequences, s)
	}
	return p
}

// join makes one answer of those to the parts, adding in their order.
func join(r *Request, parts []part, answers []*Response) *Response {
	n := len(r.Sequences)
	res := &Response{model.Result{NLL: make([][]float32, n), Argmax: make([][]int32, n)}}
	if r.Operation == Gradient {
		res.Grads = make([]*adapter.Adapter, len(r.Adapters))
		for i, a := range r.Adapters {
			res.Grads[i] = adapter.ZerosLike(a)
		}
	}
	for i, p := range parts {
		a := answers[i]
		res.Loss += a.Loss
		for j, k := range p.sequences {
			res.NLL[k], res.Argmax[k] = a.NLL[j], a.Argmax[j]
		}
		if r.Operation == Gradient {
			for j, k := range p.adapters {
				addGradient(res.Grads[k], a.Grads[j])
			}
		}
	}
	if r.Operation == Gradient {
		for _, l := range r.Options.Activations {
			res.Activations = joinActivation(res.Activations, l, r, parts, answers)
		}
	}
	return res
}

// addGradient adds y to x, which has the same pairs.
func addGradient(x, y *adapter.Adapter) {
	from := y.Pairs()
	kernel.Parallel(len(from), func(i int) {
		e := from[i]
		to := x.Layers[e.Layer][e.Module]
		kernel.Add(to.A, e.A)
		kernel.Add(to.B, e.B)
	})
}

// joinActivation puts the rows of all sequences' own tokens in order.
func joinActivation(all map[int][]float32, l int, r *Request, parts []part, answers []*Response) map[int][]float32 {
	rows := make([][]float32, len(r.Sequences))
	for i, p := range parts {
		tokens, at := 0, 0
		for _, s := range p.request.Sequences {
			tokens += len(s.Tokens)
		}
		dx := answers[i].Activations[l]
		D := len(dx) / max(1, tokens)
		for _, k := range p.sequences {
			n := len(r.Sequences[k].Tokens) * D
			rows[k] = dx[at:][:n]
			at += n
		}
	}
	var whole []float32
	for _, x := range rows {
		whole = append(whole, x...)
	}
	if all == nil {
		all = map[int][]float32{}
	}
	all[l] = whole
	return all
}
