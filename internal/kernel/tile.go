package kernel

import (
	"sync"
	"unsafe"
)

// Block sizes of the products. A panel of B that is kBlock long is 20 KiB and
// stays in the L1 cache while the rows of A pass by it; a block of A of
// rowBlock rows is 480 KiB and stays in the L2 cache while the panels pass.
const (
	kBlock   = 320
	rowBlock = 384
)

// maxRows and maxCols bound the tile of every micro-kernel.
const (
	maxRows = 12
	maxCols = 2 * panelWidth
)

// edges is a pool of tiles for the last columns of C, where a micro-kernel
// would write too far: *[maxRows*maxCols]float32.
var edges = sync.Pool{New: func() any { return new([maxRows * maxCols]float32) }}

// aligned returns n zeros that start at a cache line.
func aligned(n int) []float32 {
	const line = 16 // floats
	buf := make([]float32, n+line-1)
	off := 0
	for uintptr(unsafe.Pointer(unsafe.SliceData(buf[off:])))%64 != 0 {
		off++
	}
	return buf[off : off+n : off+n]
}

// split cuts n into count pieces of a multiple of unit (but for the last), as
// evenly as it can, and returns the size of a piece; pieces may be fewer than
// count.
func split(n, count, unit int) int {
	size := (n + count - 1) / count
	return (size + unit - 1) / unit * unit
}

func ceilDiv(a, b int) int { return (a + b - 1) / b }

// kStep returns the length of the blocks into which a sum over k terms is cut.
// It depends on k only, which keeps results independent of everything else.
func kStep(k int) int { return max(1, ceilDiv(k, ceilDiv(max(k, 1), kBlock))) }

// view is an operand A of a product: element (i, p) is data[i*rs+p*cs].
type view struct {
	data   []float32
	rs, cs int
}

// panels is an operand B of a product, in panels of 16 columns: element
// (p, 16·q+j) is data[q*ps+p*bs+j].
type panels struct {
	data   []float32
	bs, ps int
}

// tileShape is what a micro-kernel computes in one call: groups·rows rows of
// panels·16 columns.
type tileShape struct {
	groups, rows, panels int
}

// streamBytes is the size of A up to which B is read in its own order, panel
// by panel: A then stays in the L2 cache as a whole.
const streamBytes = 512 << 10

// tile does C (m, n) = A (m, k) · B (k, n), or C += A·B if add, on the calling
// goroutine. The last panel of B must be filled up to 16 columns; nothing is
// written beyond column n of C.
func (o *ops) tile(c []float32, ldc int, a view, b panels, m, n, k int, add bool) {
	step := kStep(k)
	width := o.np(m) * panelWidth
	part := func(j, p int) {
		ap := view{a.data[p*a.cs:], a.rs, a.cs}
		bp := panels{b.data[j/panelWidth*b.ps+p*b.bs:], b.bs, b.ps}
		o.stripe(c[j:], ldc, ap, bp, m, min(width, n-j), min(step, k-p), add || p > 0)
	}
	if m*k*4 <= streamBytes {
		for j := 0; j < n; j += width {
			for p := 0; p < k; p += step {
				part(j, p)
			}
		}
		return
	}
	for p := 0; p < k; p += step {
		for j := 0; j < n; j += width {
			part(j, p)
		}
	}
}

// stripe is tile for as many columns as micro can do and one block of k. It
// cuts the rows into groups that are as even as can be.
func (o *ops) stripe(c []float32, ldc int, a view, b panels, m, n, k int, add bool) {
	count := ceilDiv(m, o.mr)
	rows, more := m/count, m%count
	t := tileShape{count - more, rows, ceilDiv(n, panelWidth)}
	run := o.whole
	if n < t.panels*panelWidth {
		run = o.edge
	}
	run(c, ldc, a, b, t, n, k, add)
	if more > 0 {
		done := t.groups * t.rows
		t.groups, t.rows = more, rows+1
		run(c[done*ldc:], ldc, view{a.data[done*a.rs:], a.rs, a.cs}, b, t, n, k, add)
	}
}

// whole is stripe for groups of the same size and panels within C.
func (o *ops) whole(c []float32, ldc int, a view, b panels, t tileShape, _, k int, add bool) {
	o.micro(c, ldc, a, b, t, k, add)
}

// edge is stripe for groups of the same size and a last panel that only in
// part, up to column n, belongs to C.
func (o *ops) edge(c []float32, ldc int, a view, b panels, t tileShape, n, k int, add bool) {
	buf := edges.Get().(*[maxRows * maxCols]float32)
	defer edges.Put(buf)
	one := tileShape{1, t.rows, t.panels}
	for g := range t.groups {
		i := g * t.rows
		o.micro(buf[:], maxCols, view{a.data[i*a.rs:], a.rs, a.cs}, b, one, k, false)
		for r := range t.rows {
			dst, src := c[(i+r)*ldc:][:n], buf[r*maxCols:][:n]
			if !add {
				copy(dst, src)
				continue
			}
			for j, v := range src {
				dst[j] += v
			}
		}
	}
}

// product is tile on all threads.
func (o *ops) product(c []float32, ldc int, a view, b panels, m, n, k int, add bool) {
	o.productThen(c, ldc, a, b, m, n, k, add, nil)
}

// productThen is product, and calls then, if it is not nil, for each tile (i, j)
// of C that is done, as long as it is cached.
func (o *ops) productThen(c []float32, ldc int, a view, b panels, m, n, k int, add bool, then func(i, j, rows, cols int)) {
	if m == 0 || n == 0 {
		return
	}
	rows, cols := o.grid(m, n, k)
	nr := ceilDiv(m, rows)
	// Row blocks run fastest, so that the columns of B in use stay cached.
	Parallel(nr*ceilDiv(n, cols), func(t int) {
		i, j := t%nr*rows, t/nr*cols
		at := view{a.data[i*a.rs:], a.rs, a.cs}
		bt := panels{b.data[j/panelWidth*b.ps:], b.bs, b.ps}
		o.tile(c[i*ldc+j:], ldc, at, bt, min(rows, m-i), min(cols, n-j), k, add)
		if then != nil {
			then(i, j, min(rows, m-i), min(cols, n-j))
		}
	})
}

// serialWork is the number of multiplications below which a product is not
// worth a second thread: some 10 µs. A product of less than streamRows rows
// counts as one of streamRows, as it waits for B.
const (
	serialWork = 1 << 19
	streamRows = 8
)

// grid returns the size of the tiles into which a product is cut: columns
// first, and rows if that gives the threads uneven shares. No result depends
// on it.
func (o *ops) grid(m, n, k int) (rows, cols int) {
	rows = split(m, ceilDiv(m, rowBlock), o.mr)
	threads := Threads()
	if max(m, streamRows)*n*k < serialWork || threads == 1 || !pool.idle() {
		return rows, n
	}
	// Enough tiles that an uneven share costs little, but each wide enough
	// that its block of A is worth loading.
	want := chunksPerThread * threads
	least := o.np(m) * panelWidth
	cols = least
	if m > o.mr {
		cols = 2 * least
	}
	nr := ceilDiv(m, rows)
	cols = split(n, min(ceilDiv(want, nr), ceilDiv(n, cols)), least)
	nc := ceilDiv(n, cols)
	if tiles := nr * nc; tiles < want && tiles%threads != 0 {
		rows = split(m, max(nr, min(ceilDiv(want, nc), ceilDiv(m, 4*o.mr))), o.mr)
	}
	return rows, cols
}
