package model

import (
	"context"
	"errors"
	"fmt"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/kernel"
	"github.com/code2lora/code2lora/internal/memory"
	"github.com/code2lora/code2lora/internal/nn"
)

// saves is what a forward pass leaves to the backward pass. The upper layers
// save everything. Of the layers below, down to low, only the inputs are saved,
// and the rest is computed again, into what the top layer has saved and by then
// no longer needs.
type saves struct {
	low      int         // lowest layer that the backward pass enters
	first    int         // lowest layer that saves everything
	full     []saved     // of layers first.. on
	inputs   [][]float32 // (T,D) of layers low..first−1
	restored int         // layers that were computed again
}

// runSaving is run up to the last layer, and saves what the backward pass down
// to layer low needs in no more than the given number of bytes, where 0 is what
// the machine has left. The batch has the given number of labels.
func (p *pass) runSaving(ctx context.Context, from, low, labels int, bytes int64) error {
	L := p.m.NumHiddenLayers
	n, err := p.layersSaved(L-low, labels, bytes)
	if err != nil {
		return err
	}
	p.low, p.first = low, L-n
	p.full = make([]saved, n)
	if p.T == 0 {
		return ctx.Err()
	}
	if n == 0 {
		return p.run(ctx, from, L)
	}
	for i := range p.full {
		p.full[i].buffers = p.newBuffers()
	}
	shared := &p.full[n-1].buffers
	for l := from; l < L; l++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		switch {
		case l >= p.first:
			s := &p.full[l-p.first]
			p.layer(l, &s.buffers, s)
			continue
		case l >= low:
			var x []float32
			p.mem.keep(&x, p.x, len(p.x))
			p.inputs = append(p.inputs, x)
		}
		p.layer(l, shared, nil)
	}
	return nil
}

// restore returns what layer l saved, which it computes again if need be. x is
// overwritten. Layers must come from the last down.
func (p *pass) restore(l int) *saved {
	if l >= p.first {
		return &p.full[l-p.first]
	}
	s := &p.full[len(p.full)-1]
	copy(p.x, p.inputs[l-p.low])
	// The output of the block is not needed, but what its adapters see is.
	down := p.layerUpToDown(l, &s.buffers, s)
	p.m.layers[l].linear[adapter.DownProj].FillMid(down, p.T, p.parts(&p.rows, l, adapter.DownProj, p.middle(s)(adapter.DownProj)))
	p.restored++
	return s
}

// layersSaved returns how many of n layers can save everything if the pass may
// take the given number of bytes, or 0 for what the machine has left.
func (p *pass) layersSaved(n, labels int, limit int64) (int, error) {
	what := fmt.Sprintf("a gradient over %d tokens", p.T)
	f := p.m.footprint(p.T, labels, p.rank, true)
	switch {
	case limit < 0:
		return 0, fmt.Errorf("memory for activations of %d bytes: want at least 0, which is what the machine has", limit)
	case limit == 0:
		return p.layersThatFit(n, labels, what, f)
	}
	least := 4 * f.total(max(1, n), 1)
	if least > limit {
		return 0, &memory.Shortage{What: what, Needed: least, Available: limit,
			Within: "the limit for activations", Remedy: "raise the limit, or make batches of fewer tokens"}
	}
	return int(min(int64(n), 1+(limit-least)/(4*(f.layer-f.input)))), nil
}

// layersThatFit returns how many of n layers can save everything in the memory
// that is available now.
func (p *pass) layersThatFit(n, labels int, what string, f footprint) (int, error) {
	packings := p.m.packingBytes(kernel.CurrentPrecision(), p.T, labels, true)
	bytes := func(full int) int64 { // beyond what the process has already
		return packings + max(0, p.m.arenaBytes(f.total(max(1, n), max(1, full)), p.T)-p.mem.held())
	}
	if bytes(n) == 0 {
		return n, nil
	}
	err := memory.Need(what, bytes(n), "make batches of fewer tokens, or close other programs")
	var short *memory.Shortage
	if !errors.As(err, &short) {
		return n, err
	}
	for full := n - 1; full > 0; full-- {
		if bytes(full) <= short.Available {
			return full, nil
		}
	}
	short.Needed = bytes(1)
	return 0, short
}

// footprint is how many values a pass takes from its arena.
type footprint struct {
	fixed int64 // whatever is saved
	layer int64 // for each layer that saves everything
	input int64 // for each layer that saves its input
}

// total returns the values of a pass in which n layers need something saved,
// and the given number of them save everything.
func (f footprint) total(n, full int) int64 {
	return f.fixed + int64(full)*f.layer + int64(n-full)*f.input
}

// footprint returns what a pass over T rows takes, with a backward pass after
// it or not. Without, it has one layer.
func (m *Model) footprint(T, labels, rank int, backward bool) footprint {
	t, D, F := int64(T), int64(m.HiddenSize), int64(m.IntermediateSize)
	wq, wkv := int64(m.NumAttentionHeads*m.HeadDim), int64(m.NumKeyValueHeads*m.HeadDim)
	heads := int64(m.NumAttentionHeads + m.NumKeyValueHeads)
	layer := 2*(wq+wkv+F) + 2 + int64(m.NumAttentionHeads) // see newBuffers
	layer += int64(adapter.NumModules) * int64(rank)       // see middle
	if m.arch.qkNorm {
		layer += heads
	}
	chunk := int64(min(labels, max(1, logitsAtOnce/m.VocabSize)))
	after := chunk * (4*D + 1 + int64(m.VocabSize))         // see labels
	row := D + max(D, F)                                    // x and h
	last := 2 * D * min(t, max(minLastRows, int64(labels))) // see finish
	if backward {
		last += last / 2
		layer += 2 * D // x and xMid
		row += D       // dx
		grads := 2*(wq+wkv+F) + D + F + int64(nn.BackwardScratch(m.NumKeyValueHeads, m.HeadDim))
		if m.arch.qkNorm {
			layer += wq + wkv             // raw values
			grads += max(wq, int64(rank)) // see normHeadsBackward
		} else {
			grads += int64(rank) // see linearBackward
		}
		after = max(after, t*grads)
	}
	return footprint{fixed: t*row + last + after, layer: t * layer, input: t * D}
}
