package kernel

import (
	"runtime"
	"sync"
	"unsafe"
)

// A product with quantised weights. x is quantised too, each 32 neighbours of
// a row to int8 with a scale of their own:
//
//	d = max|x|/127,  q = x/d rounded to nearest, ties to even.
//
// With weights scale·code + offset, the part of a sum over one block is then
//
//	scale·d·Σ code·q + offset·d·Σ q
//
// whose first sum is exact in integers. Blocks follow each other in order,
// each with one rounding for the product with scale and two fused additions;
// after some 2048 columns the sum so far is added to y.

// record is the layout of x for a group of R rows: for each block of 32
// columns, 8·R words of 4 int8 (word g·R+r: columns 4g .. 4g+3 of row r), then
// R numbers each of d, d·Σq over the first 16 columns, over the last 16, and
// over all 32.
const recordWords = 8 + 4 // for each row and block

// quantOps is one implementation of products with quantised weights.
type quantOps struct {
	name string
	// micro does C (R, 16) = x · Wᵀ, or adds it to C, for a group of R rows of
	// x in records, and a panel of W: its codes, and for each block the 16
	// scales and 16 offsets that scales has written.
	micro func(c []float32, ldc int, codes []byte, scales []float32, x []float32, rows, blocks int, t *blockTrait, add bool)
	mr    int // the most rows that micro does at a time
	// scales expands a section of scales: for each scale block of columns 16
	// scales and 16 offsets.
	scales func(dst []float32, src []byte, t *blockTrait, in int)
	// quantise turns a row of x into codes, and for each block d, and d·Σq over
	// its two halves and all of it.
	quantise func(q []int8, d []float32, x []float32)
}

// blockColumns is the number of columns that share a scale.
func (t *blockTrait) blockColumns() int {
	if t.kind == superOne {
		return 16
	}
	return 32
}

// rowGroups are the groups of rows that a micro-kernel does at a time, as even
// as can be: the first more have a row more than the others.
type rowGroups struct{ count, rows, more int }

func (q *quantOps) groups(T int) rowGroups {
	n := ceilDiv(T, q.mr)
	return rowGroups{n, T / n, T % n}
}

// start returns the first row of group g.
func (r rowGroups) start(g int) int { return g*r.rows + min(g, r.more) }

// quantiseRows returns the records of x (T, in), group after group, in a buffer
// of packBuffers.
func (o *ops) quantiseRows(x []float32, T, in int) *[]float32 {
	groups := o.quant.groups(T)
	buf := packBuffer(T * in / quantBlock * recordWords)
	quantise := func(g int) {
		lo, hi := groups.start(g), groups.start(g+1)
		o.quant.quantiseGroup((*buf)[lo*in/quantBlock*recordWords:hi*in/quantBlock*recordWords], x[lo*in:hi*in], in)
	}
	if T*in >= roundChunk {
		Parallel(groups.count, quantise)
	} else {
		for g := range groups.count {
			quantise(g)
		}
	}
	return buf
}

// quantProduct does y (T, out) = x (T, in) · Wᵀ, or adds it to y, for the
// records of x.
func (o *ops) quantProduct(y, records []float32, p *quantPanels, T, out, in int, add bool) {
	q := o.quant
	r := q.groups(T)
	groups, start := r.count, r.start
	blocks := in / quantBlock
	panelCount := ceilDiv(out, panelWidth)
	perRow := max(1, quantRowBytes/in)
	blockGroups := max(1, min(groups, perRow/max(1, r.rows)))
	panelStep := q.panelStep(panelCount, T, in)
	rowBlocks := ceilDiv(groups, blockGroups)
	step := quantStep(in)
	t := p.trait()
	Parallel(rowBlocks*ceilDiv(panelCount, panelStep), func(i int) {
		lo := i % rowBlocks * blockGroups
		hi := min(groups, lo+blockGroups)
		first := i / rowBlocks * panelStep
		scales := packBuffer(step / t.blockColumns() * 2 * panelWidth)
		defer packBuffers.Put(scales)
		for n := first; n < min(panelCount, first+panelStep); n++ {
			panel := p.data[n*p.size:][:p.size]
			width := min(panelWidth, out-n*panelWidth)
			for k := 0; k < in; k += step {
				columns := min(step, in-k)
				scalesAt, codesAt := t.part(k, columns)
				q.scales(*scales, panel[scalesAt:], t, columns)
				codes := panel[codesAt:]
				for g := lo; g < hi; g++ {
					rows := start(g+1) - start(g)
					c := y[start(g)*out+n*panelWidth:]
					x := records[(start(g)*blocks+k/quantBlock*rows)*recordWords:]
					if width == panelWidth {
						q.micro(c, out, codes, *scales, x, rows, columns/quantBlock, t, add || k > 0)
					} else {
						q.edge(c, out, codes, *scales, x, rows, columns/quantBlock, t, width, add || k > 0)
					}
				}
			}
		}
	})
	runtime.KeepAlive(p) // whose memory is freed with it
}

// quantStep returns the length of the parts into which a sum over in columns is
// cut, a multiple of 256: some 2048, for which the scales, codes and rows of x
// stay in the L1 cache. It depends on in only.
func quantStep(in int) int { return ceilDiv(ceilDiv(in, ceilDiv(in, 2048)), 256) * 256 }

// quantRowBytes is the size of the quantised rows of x that should stay in the
// L2 cache.
const quantRowBytes = 384 << 10

// panelStep is how many panels a thread takes at a time.
func (q *quantOps) panelStep(panels, T, in int) int {
	threads := Threads()
	if threads == 1 || max(T, streamRows)*panels*panelWidth*in < serialWork {
		return panels
	}
	return max(1, ceilDiv(panels, chunksPerThread*threads))
}

func (p *quantPanels) trait() *blockTrait { return &blockTraits[p.format] }

// edge is micro for a panel of which only n columns belong to C.
func (q *quantOps) edge(c []float32, ldc int, codes []byte, scales, x []float32, rows, blocks int, t *blockTrait, n int, add bool) {
	buf := edges.Get().(*[maxRows * maxCols]float32)
	defer edges.Put(buf)
	q.micro(buf[:], panelWidth, codes, scales, x, rows, blocks, t, false)
	for r := range rows {
		dst, src := c[r*ldc:][:n], buf[r*panelWidth:][:n]
		for j, v := range src {
			if add {
				dst[j] += v
			} else {
				dst[j] = v
			}
		}
	}
}

// rowBuffer holds one quantised row on its way to a record.
type rowBuffer struct {
	q []int8
	d []float32
}

var rowBuffers = sync.Pool{New: func() any { return new(rowBuffer) }}

// quantiseGroup writes rows of x as records.
func (q *quantOps) quantiseGroup(dst, x []float32, in int) {
	b := rowBuffers.Get().(*rowBuffer)
	defer rowBuffers.Put(b)
	blocks, rows := in/quantBlock, len(x)/in
	if cap(b.q) < in {
		b.q, b.d = make([]int8, in), make([]float32, 4*blocks)
	}
	b.q, b.d = b.q[:in], b.d[:4*blocks]
	codes := unsafe.Slice((*uint32)(unsafe.Pointer(unsafe.SliceData(dst))), len(dst))
	for r := range rows {
		q.quantise(b.q, b.d, x[r*in:][:in])
		words := unsafe.Slice((*uint32)(unsafe.Pointer(unsafe.SliceData(b.q))), in/4)
		for k := range blocks {
			at := k*recordWords*rows + r
			for g, v := range words[8*k:][:8] {
				codes[at+g*rows] = v
			}
			for g, v := range b.d[4*k:][:4] {
				dst[at+(8+g)*rows] = v
			}
		}
	}
}

// floatBytes is the memory of f.
func floatBytes(f []float32) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(f))), 4*len(f))
}
