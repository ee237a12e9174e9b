package kernel

import (
	"fmt"
	"sync"
)

// Frozen is a weight matrix W (out, in) that doesn't change, packed for
// products in both directions.
//
// W lies in panels of 16 rows, transposed: element (16·q+j, i) of W is element
// (q·in + i)·16 + j of the packing, and the last panel is filled up with
// zeros. A product then reads the packing from start to end, one cache line
// for each step of its sum. [Frozen.Backward] needs the same of Wᵀ, a second
// copy, which is made when it is first called.
//
// In the precision [BFloat16] it has packings of their own for both directions,
// half as large, which are made when they are first needed too.
//
// A Frozen may be used from several goroutines at once.
type Frozen struct {
	out, in int
	fwd     []float32 // Wᵀ (in, out) in panels

	once sync.Once
	bwd  []float32 // W (out, in) in panels

	fwdPairs, bwdPairs pairPanels
}

// NewFrozen packs w (out, in), which is not kept.
func NewFrozen(w []float32, out, in int) *Frozen {
	if len(w) != out*in {
		panic(fmt.Sprintf("kernel: NewFrozen of %d weights as a matrix (%d, %d)", len(w), out, in))
	}
	return NewFrozenRows(out, in, func(dst []float32, i int) { copy(dst, w[i*in:]) })
}

// NewFrozenRows packs a matrix (out, in) that is fed row by row: row(dst, i)
// must fill dst with the in elements of row i. It is called for i = 0, 1, ...,
// out-1 in order, on the calling goroutine.
func NewFrozenRows(out, in int, row func(dst []float32, i int)) *Frozen {
	if out < 0 || in < 0 {
		panic(fmt.Sprintf("kernel: frozen matrix (%d, %d)", out, in))
	}
	f := &Frozen{out: out, in: in, fwd: aligned(ceilDiv(out, panelWidth) * in * panelWidth)}
	buf := make([]float32, panelWidth*in)
	for i := 0; i < out; i += panelWidth {
		n := min(panelWidth, out-i)
		for j := range n {
			row(buf[j*in:(j+1)*in:(j+1)*in], i+j)
		}
		active.packTransposed(f.fwd[i*in:], buf, in, n, in, 1)
	}
	return f
}

// Out returns the number of rows of W.
func (f *Frozen) Out() int { return f.out }

// In returns the number of columns of W.
func (f *Frozen) In() int { return f.in }

// Forward does y (T, out) = x (T, in) · Wᵀ.
func (f *Frozen) Forward(y, x []float32, T int) { f.forward(y, x, T, false) }

// ForwardAdd does y (T, out) += x (T, in) · Wᵀ.
func (f *Frozen) ForwardAdd(y, x []float32, T int) { f.forward(y, x, T, true) }

func (f *Frozen) forward(y, x []float32, T int, add bool) {
	if len(y) != T*f.out || len(x) != T*f.in {
		panic(fmt.Sprintf("kernel: Forward of a matrix (%d, %d): x has %d elements, y %d, for %d rows", f.out, f.in, len(x), len(y), T))
	}
	if f.in == 0 {
		if !add {
			clear(y)
		}
		return
	}
	if o := pairOps(T); o != nil {
		o.pairedProduct(y, x, f.fwdPairs.get(f.packForwardPairs), T, f.out, f.in, add)
		return
	}
	active.product(y, f.out, view{x, f.in, 1}, panels{f.fwd, panelWidth, f.in * panelWidth}, T, f.out, f.in, add)
}

// Backward does dx (T, in) += dy (T, out) · W.
func (f *Frozen) Backward(dx, dy []float32, T int) {
	if len(dx) != T*f.in || len(dy) != T*f.out {
		panic(fmt.Sprintf("kernel: Backward of a matrix (%d, %d): dy has %d elements, dx %d, for %d rows", f.out, f.in, len(dy), len(dx), T))
	}
	if f.out == 0 {
		return
	}
	if o := pairOps(T); o != nil {
		o.pairedProduct(dx, dy, f.bwdPairs.get(f.packBackwardPairs), T, f.in, f.out, true)
		return
	}
	f.once.Do(f.packBackward)
	active.product(dx, f.in, view{dy, f.out, 1}, panels{f.bwd, panelWidth, f.out * panelWidth}, T, f.in, f.out, true)
}

// packBackward makes the second packing from the first.
func (f *Frozen) packBackward() {
	f.bwd = aligned(ceilDiv(f.in, panelWidth) * f.out * panelWidth)
	Parallel(ceilDiv(f.in, panelWidth), func(q int) {
		dst := f.bwd[q*f.out*panelWidth:]
		n := min(panelWidth, f.in-q*panelWidth)
		for o := range f.out {
			src := f.fwd[(o/panelWidth*f.in+q*panelWidth)*panelWidth+o%panelWidth:]
			for j := range n {
				dst[o*panelWidth+j] = src[j*panelWidth]
			}
		}
	})
}

// Row copies row i of W (in elements) to dst.
func (f *Frozen) Row(dst []float32, i int) {
	if len(dst) != f.in || i < 0 || i >= f.out {
		panic(fmt.Sprintf("kernel: Row %d of a matrix (%d, %d) to %d elements", i, f.out, f.in, len(dst)))
	}
	if f.in == 0 {
		return
	}
	src := f.fwd[i/panelWidth*f.in*panelWidth+i%panelWidth:]
	for k := range dst {
		dst[k] = src[k*panelWidth]
	}
}
