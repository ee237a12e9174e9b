package model

import (
	"slices"

	"github.com/code2lora/code2lora/internal/kernel"
	"github.com/code2lora/code2lora/internal/nn"
)

// rows are those that a part of a pass computes.
type rows struct {
	T      int
	groups []group  // runs of rows with the same adapter
	pos    []int32  // (T) position of each row inside its sequence
	tree   *nn.Tree // attention from these rows
}

// lastRows are the rows that the last layer has to finish, those with labels:
// of the others only keys and values are needed. Its matrices have a row for
// each.
type lastRows struct {
	rows
	at []int32   // which row of the pass each is, ascending
	x  []float32 // (T,D) the residual stream, from the attention of the last layer on
	h  []float32 // (T,D) scratch
	dx []float32 // (T,D) gradient of x, in a backward pass
}

// minLastRows is the least number of rows that the last layer finishes, if
// there are as many: with fewer, products would have another precision than
// those of the other layers, see [kernel.BFloat16].
const minLastRows = 8

// finish says that the last layer has to finish the rows at only.
func (p *pass) finish(at []int32, backward bool) {
	at = slices.Clone(at)
	slices.Sort(at)
	at = slices.Compact(at)
	for r := int32(0); len(at) < min(minLastRows, p.T); r++ {
		if i, found := slices.BinarySearch(at, r); !found {
			at = slices.Insert(at, i, r)
		}
	}
	if len(at) == p.T {
		return
	}
	n := len(at) * p.m.HiddenSize
	q := &lastRows{rows: rows{T: len(at), tree: p.tree.Queries(at)}, at: at, x: p.mem.floats(n), h: p.mem.floats(n)}
	if backward {
		q.dx = p.mem.floats(n)
	}
	q.pos = q.tree.Positions()
	for _, g := range p.groups {
		lo, _ := slices.BinarySearch(at, int32(g.at))
		hi, _ := slices.BinarySearch(at, int32(g.at+g.n))
		if lo < hi {
			q.groups = append(q.groups, group{lo, hi - lo, g.adapter, g.grad})
		}
	}
	p.last = q
}

// output returns the rows for which the output of layer l is needed, and where
// it is added.
func (p *pass) output(l int) (*rows, []float32) {
	if p.last != nil && l == p.m.NumHiddenLayers-1 {
		return &p.last.rows, p.last.x
	}
	return &p.rows, p.x
}

// gather copies rows of x (..,D) to dst (T,D).
func (q *lastRows) gather(dst, x []float32) {
	D := len(dst) / q.T
	kernel.Parallel(q.T, func(i int) { copy(dst[i*D:][:D], x[int(q.at[i])*D:]) })
}

// put is the inverse of gather: the other rows of x stay as they are.
func (q *lastRows) put(x, src []float32) {
	D := len(src) / q.T
	kernel.Parallel(q.T, func(i int) { copy(x[int(q.at[i])*D:][:D], src[i*D:][:D]) })
}

// labelled returns the row of each label, in the order of the batch.
func (y *layout) labelled(b Batch) (at []int32) {
	for i, s := range b.Sequences {
		for _, l := range s.Labels {
			at = append(at, int32(y.row(i, l.Pos)))
		}
	}
	return at
}

// finished returns the labelled rows of the last layer's output, in the order
// of the batch, as indices into what is returned with them.
func (p *pass) finished(b Batch) (at []int32, x []float32) {
	at = p.layout.labelled(b)
	if p.last == nil {
		return at, p.x
	}
	for i, r := range at {
		j, _ := slices.BinarySearch(p.last.at, r)
		at[i] = int32(j)
	}
	return at, p.last.x
}
