package kernel

import (
	"fmt"
	"sync"
	"sync/atomic"
)

// Frozen is a weight matrix W (out, in) that doesn't change, with packings for
// products in both directions. Each packing is made from the source of the
// weights when it is first needed, or by [Frozen.Prepare]: a precision that is
// not used takes no memory.
//
// For float32 W lies in panels of 16 rows, transposed: element (16·q+j, i) of W
// is element (q·in + i)·16 + j of the packing, and the last panel is filled up
// with zeros. A product then reads the packing from start to end, one cache
// line for each step of its sum. [Frozen.Backward] reads a packing of the same
// kind of Wᵀ. The precision [BFloat16] has its own packings, half as large, and
// [Int8] one of the weights' codes, about as large as they are stored, and one
// of codes of 8 bits for Backward.
//
// A Frozen may be used from several goroutines at once.
type Frozen struct {
	out, in int
	source  Source

	fwd, bwd           packing[[]float32] // Wᵀ (in, out), W (out, in)
	fwdPairs, bwdPairs packing[[]float32]
	quant, quantBack   packing[*quantPanels]
}

// Source gives the weights of a [Frozen], whenever it packs them. Its functions
// are called from several goroutines at once.
type Source struct {
	// Row fills dst with row i.
	Row func(dst []float32, i int)
	// Stored returns row i as it is stored in Format, which is zero, and
	// Stored nil, if the weights are not quantised.
	Stored func(i int) []byte
	Format BlockFormat
	// Done, if not nil, is called when a packing has read all rows: what they
	// were read from may leave memory until the next.
	Done func()
}

// packing is made when it is first needed.
type packing[T any] struct {
	once sync.Once
	data T
	made atomic.Bool // for those who only ask
}

func (p *packing[T]) get(pack func() T) T {
	p.once.Do(func() {
		p.data = pack()
		p.made.Store(true)
	})
	return p.data
}

// NewFrozen packs w (out, in), which is not kept.
func NewFrozen(w []float32, out, in int) *Frozen {
	if len(w) != out*in {
		panic(fmt.Sprintf("kernel: NewFrozen of %d weights as a matrix (%d, %d)", len(w), out, in))
	}
	f := NewFrozenFrom(out, in, Source{Row: func(dst []float32, i int) { copy(dst, w[i*in:]) }})
	packed := f.fwd.get(f.packForward)
	f.source.Row = func(dst []float32, i int) {
		src := packed[i/panelWidth*in*panelWidth+i%panelWidth:]
		for k := range dst {
			dst[k] = src[k*panelWidth]
		}
	}
	return f
}

// NewFrozenFrom returns a matrix (out, in) whose weights s gives. It reads none
// of them yet.
func NewFrozenFrom(out, in int, s Source) *Frozen {
	if out < 0 || in < 0 {
		panic(fmt.Sprintf("kernel: frozen matrix (%d, %d)", out, in))
	}
	if s.Format != 0 && in%blockTraits[s.Format].block != 0 {
		panic(fmt.Sprintf("kernel: rows of %d weights in format %v", in, s.Format))
	}
	return &Frozen{out: out, in: in, source: s}
}

// Prepare makes the packing that Forward needs in the current precision, so
// that the first product doesn't wait for it.
func (f *Frozen) Prepare() {
	switch {
	case f.in == 0 || f.out == 0:
	case f.quantised():
		f.quant.get(f.packQuant)
	case CurrentPrecision() == BFloat16:
		f.fwdPairs.get(f.packForwardPairs)
	default:
		f.fwd.get(f.packForward)
	}
}

// quantised reports whether Forward runs on codes.
func (f *Frozen) quantised() bool { return f.source.Format != 0 && CurrentPrecision() == Int8 }

// done ends a packing.
func (f *Frozen) done() {
	if f.source.Done != nil {
		f.source.Done()
	}
}

func (f *Frozen) packQuant() *quantPanels {
	defer f.done()
	return packQuant(f.source.Format, f.out, f.in, f.source.Stored)
}

// packForward makes the packing of Wᵀ (in, out).
func (f *Frozen) packForward() []float32 {
	defer f.done()
	data := aligned(ceilDiv(f.out, panelWidth) * f.in * panelWidth)
	Parallel(ceilDiv(f.out, panelWidth), func(q int) {
		buf, n := f.rows(q)
		active.packTransposed(data[q*f.in*panelWidth:], *buf, f.in, n, f.in, 1)
		packBuffers.Put(buf)
	})
	return data
}

// rows reads the n rows of panel q into a buffer.
func (f *Frozen) rows(q int) (buf *[]float32, n int) {
	n = min(panelWidth, f.out-q*panelWidth)
	buf = packBuffer(panelWidth * f.in)
	for j := range n {
		f.source.Row((*buf)[j*f.in:(j+1)*f.in:(j+1)*f.in], q*panelWidth+j)
	}
	return buf, n
}

// packBackward makes the packing of W (out, in).
func (f *Frozen) packBackward() []float32 {
	defer f.done()
	data := aligned(ceilDiv(f.in, panelWidth) * f.out * panelWidth)
	Parallel(ceilDiv(f.out, panelWidth), func(q int) {
		buf, n := f.rows(q)
		for j := range n {
			row := (*buf)[j*f.in:][:f.in]
			for i := 0; i < f.in; i += panelWidth {
				copy(data[i*f.out+(q*panelWidth+j)*panelWidth:], row[i:min(f.in, i+panelWidth)])
			}
		}
		packBuffers.Put(buf)
	})
	return data
}

// Out returns the number of rows of W.
func (f *Frozen) Out() int { return f.out }

// In returns the number of columns of W.
func (f *Frozen) In() int { return f.in }

// Forward does y (T, out) = x (T, in) · Wᵀ.
func (f *Frozen) Forward(y, x []float32, T int) { ForwardAll(x, T, Output{W: f, Y: y}) }

// ForwardAdd does y (T, out) += x (T, in) · Wᵀ.
func (f *Frozen) ForwardAdd(y, x []float32, T int) { ForwardAll(x, T, Output{W: f, Y: y, Add: true}) }

// Output is what ForwardAll computes: y (T, out) = x (T, in) · Wᵀ or, if Add, y += x · Wᵀ.
type Output struct {
	W   *Frozen
	Y   []float32
	Add bool
	// Parts are what adapters add to rows of Y.
	Parts []LowRank
}

// ForwardAll does several products with the same x (T, in), one after the
// other. If the precision rounds x, it is rounded once.
func ForwardAll(x []float32, T int, outputs ...Output) {
	var r roundedRows
	defer r.free()
	for _, p := range outputs {
		f := p.W
		if len(p.Y) != T*f.out || len(x) != T*f.in {
			panic(fmt.Sprintf("kernel: Forward of a matrix (%d, %d): x has %d elements, y %d, for %d rows", f.out, f.in, len(x), len(p.Y), T))
		}
		switch {
		case f.in == 0:
			if !p.Add {
				clear(p.Y)
			}
		case T == 0 || f.out == 0:
		case len(p.Parts) > 0:
			f.forwardParts(p, x, T, &r)
		case f.quantised():
			active.quantProduct(p.Y, r.records(x, T, f.in), f.quant.get(f.packQuant), T, f.out, f.in, p.Add)
		case T >= minPairRows && CurrentPrecision() == BFloat16 && active.bf16 != nil:
			o := active.bf16
			o.pairedProduct(p.Y, r.pairs(o, x, T, f.in), f.fwdPairs.get(f.packForwardPairs), T, f.out, f.in, p.Add)
		default:
			active.product(p.Y, f.out, view{x, f.in, 1}, panels{f.fwd.get(f.packForward), panelWidth, f.in * panelWidth}, T, f.out, f.in, p.Add)
		}
	}
}

// roundedRows holds an operand as the products in a precision want it, once one
// has asked for it.
type roundedRows struct{ int8s, bf16s *[]float32 }

func (r *roundedRows) records(x []float32, T, in int) []float32 {
	if r.int8s == nil {
		r.int8s = active.quantiseRows(x, T, in)
	}
	return *r.int8s
}

func (r *roundedRows) pairs(o *ops, x []float32, T, in int) []float32 {
	if r.bf16s == nil {
		r.bf16s = o.pairRows(x, T, in)
	}
	return *r.bf16s
}

func (r *roundedRows) free() {
	for _, buf := range []*[]float32{r.int8s, r.bf16s} {
		if buf != nil {
			packBuffers.Put(buf)
		}
	}
}

// Backward does dx (T, in) = dy (T, out) · W or, if add, dx += dy · W.
func (f *Frozen) Backward(dx, dy []float32, T int, add bool) {
	if len(dx) != T*f.in || len(dy) != T*f.out {
		panic(fmt.Sprintf("kernel: Backward of a matrix (%d, %d): dy has %d elements, dx %d, for %d rows", f.out, f.in, len(dy), len(dx), T))
	}
	o := pairOps(T)
	switch {
	case f.out == 0:
		if !add {
			clear(dx)
		}
	case T == 0 || f.in == 0:
	case f.quantisedBackward():
		var r roundedRows
		defer r.free()
		active.quantProduct(dx, r.records(dy, T, f.out), f.quantBack.get(f.packQuantBackward), T, f.in, f.out, add)
	case o != nil:
		var r roundedRows
		defer r.free()
		o.pairedProduct(dx, r.pairs(o, dy, T, f.out), f.bwdPairs.get(f.packBackwardPairs), T, f.in, f.out, add)
	default:
		active.product(dx, f.in, view{dy, f.out, 1}, panels{f.bwd.get(f.packBackward), panelWidth, f.out * panelWidth}, T, f.in, f.out, add)
	}
}

// Row copies row i of W (in elements) to dst.
func (f *Frozen) Row(dst []float32, i int) {
	if len(dst) != f.in || i < 0 || i >= f.out {
		panic(fmt.Sprintf("kernel: Row %d of a matrix (%d, %d) to %d elements", i, f.out, f.in, len(dst)))
	}
	if f.in > 0 {
		f.source.Row(dst, i)
	}
}
