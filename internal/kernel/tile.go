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

// scratch is a pool of edge tiles: *[maxRows*maxCols]float32.
var scratch = sync.Pool{New: func() any { return new([maxRows * maxCols]float32) }}

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

// tile does C (m, n) = A (m, k) · B (k, n), or C += A·B if add, on the calling
// goroutine. The last panel of B must be filled up to 16 columns; nothing is
// written beyond column n of C.
func (o *ops) tile(c []float32, ldc int, a view, b panels, m, n, k int, add bool) {
	kc := kStep(k)
	if m <= o.mr { // every element of B is used once: read B in its own order
		for j := 0; j < n; j += o.np * panelWidth {
			cols := min(n-j, o.np*panelWidth)
			for p := 0; p < k; p += kc {
				bp := panels{b.data[j/panelWidth*b.ps+p*b.bs:], b.bs, b.ps}
				o.stripe(c[j:], ldc, view{a.data[p*a.cs:], a.rs, a.cs}, bp, m, cols, min(kc, k-p), add || p > 0)
			}
		}
		return
	}
	for p := 0; p < k; p += kc {
		for j := 0; j < n; j += o.np * panelWidth {
			cols := min(n-j, o.np*panelWidth)
			bp := panels{b.data[j/panelWidth*b.ps+p*b.bs:], b.bs, b.ps}
			o.stripe(c[j:], ldc, view{a.data[p*a.cs:], a.rs, a.cs}, bp, m, cols, min(kc, k-p), add || p > 0)
		}
	}
}

// stripe is tile for at most np panels and one block of k.
func (o *ops) stripe(c []float32, ldc int, a view, b panels, m, n, k int, add bool) {
	count := ceilDiv(n, panelWidth)
	groups := ceilDiv(m, o.mr)
	i := 0
	for g := range groups {
		rows := (m - i) / (groups - g) // as even as can be, the larger last
		ai := a.data[i*a.rs:]
		if n == count*panelWidth {
			o.micro(c[i*ldc:], ldc, ai, a.rs, a.cs, b.data, b.bs, b.ps, rows, count, k, add)
		} else {
			t := scratch.Get().(*[maxRows * maxCols]float32)
			o.micro(t[:], maxCols, ai, a.rs, a.cs, b.data, b.bs, b.ps, rows, count, k, false)
			for r := range rows {
				dst, src := c[(i+r)*ldc:][:n], t[r*maxCols:][:n]
				if !add {
					copy(dst, src)
					continue
				}
				for j, v := range src {
					dst[j] += v
				}
			}
			scratch.Put(t)
		}
		i += rows
	}
}

// product is tile on all threads.
func (o *ops) product(c []float32, ldc int, a view, b panels, m, n, k int, add bool) {
	if m == 0 || n == 0 {
		return
	}
	rows, cols := grid(m, n, k, o.mr, o.np*panelWidth)
	nr, nc := ceilDiv(m, rows), ceilDiv(n, cols)
	// Row blocks run fastest, so that the columns of B in use stay cached.
	Parallel(nr*nc, func(t int) {
		i, j := t%nr*rows, t/nr*cols
		at := view{a.data[i*a.rs:], a.rs, a.cs}
		bt := panels{b.data[j/panelWidth*b.ps:], b.bs, b.ps}
		o.tile(c[i*ldc+j:], ldc, at, bt, min(rows, m-i), min(cols, n-j), k, add)
	})
}

// serialWork is the number of multiplications below which a product is not
// worth a second thread: some 10 µs.
const serialWork = 1 << 19

// grid returns the size of the tiles into which a product is cut.
func grid(m, n, k, mr, nr int) (rows, cols int) {
	rows = split(m, ceilDiv(m, rowBlock), mr)
	if m*n*k < serialWork || Threads() == 1 {
		return rows, n
	}
	// Enough tiles that an uneven share costs little, but each wide enough
	// that the block of A is worth loading.
	want := ceilDiv(chunksPerThread*Threads(), ceilDiv(m, rows))
	return rows, split(n, min(want, ceilDiv(n, 2*nr)), nr)
}
