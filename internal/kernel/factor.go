package kernel

import (
	"fmt"
	"runtime"
	"unsafe"
)

// FactorFormat is how a [Factor] keeps its numbers.
type FactorFormat int

const (
	FactorFloat32  FactorFormat = iota
	FactorBFloat16              // rounded to bfloat16: half the size
	FactorInt8                  // 8-bit codes, 16 neighbours of a row with a scale of their own: 9 bits a number
)

// Factor is a small matrix W (out, in), packed once, for products that run
// where they are called: one of the two factors of an adapter in one layer.
// Several of them, over rows of several requests, are worth one [Parallel].
//
// In all formats x and the sums are float32, and a row's result does not depend
// on the number of rows. A product of few rows waits for the memory of W, so
// the smaller formats make it faster.
type Factor struct {
	out, in int
	format  FactorFormat
	data    []float32 // panels of 16 rows of W, transposed; of pairs, or codes
	memory  *slab     // that data is part of
}

// slab is memory for the factors of one adapter.
type slab struct{ data []float32 }

// FactorSpec says what a [Factor] is made of: scale·W, W (out, in).
type FactorSpec struct {
	W       []float32
	Out, In int
	Scale   float32
}

// NewFactors packs matrices in a format, one after the other in the order in
// which they will be read.
func NewFactors(specs []FactorSpec, format FactorFormat) []*Factor {
	out, at := make([]*Factor, len(specs)), make([]int, len(specs)+1)
	for i, s := range specs {
		if len(s.W) != s.Out*s.In || s.Out < 1 || s.In < 1 {
			panic(fmt.Sprintf("kernel: a Factor of %d values as a matrix (%d, %d)", len(s.W), s.Out, s.In))
		}
		out[i] = &Factor{out: s.Out, in: s.In, format: format}
		at[i+1] = at[i] + out[i].Panels()*out[i].panelSize()
	}
	m := newSlab(at[len(specs)])
	Parallel(len(specs), func(i int) {
		out[i].data, out[i].memory = m.data[at[i]:at[i+1]:at[i+1]], m
		out[i].pack(specs[i].W, specs[i].Scale)
	})
	return out
}

// newSlab returns n zeros; many of them in large pages.
func newSlab(n int) *slab {
	const large = 1 << 20
	if n < large {
		return &slab{aligned(n)}
	}
	data, free := reserve(4 * n)
	s := &slab{unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(data))), n)}
	runtime.AddCleanup(s, func(free func()) { free() }, free)
	return s
}

func (f *Factor) pack(w []float32, scale float32) {
	panel := packBuffer(panelWidth * f.in)
	defer packBuffers.Put(panel)
	for q := range f.Panels() {
		n := min(panelWidth, f.out-q*panelWidth)
		active.packTransposed(*panel, w[q*panelWidth*f.in:], f.in, n, f.in, scale)
		dst := f.data[q*f.panelSize():][:f.panelSize()]
		switch f.format {
		case FactorInt8:
			packCodesPanel(floatBytes(dst), *panel, f.in)
		case FactorBFloat16:
			packPairsPanel(dst, *panel, f.in)
		default:
			copy(dst, *panel)
		}
	}
}

// packPairsPanel writes a panel of W, transposed (in, 16), as pairs of
// neighbours in a row.
func packPairsPanel(dst, panel []float32, in int) {
	for p := range in / 2 {
		for j := range panelWidth {
			dst[p*panelWidth+j] = pair(panel[2*p*panelWidth+j], panel[(2*p+1)*panelWidth+j])
		}
	}
	if in%2 == 1 {
		for j, v := range panel[(in-1)*panelWidth:][:panelWidth] {
			dst[in/2*panelWidth+j] = pair(v, 0)
		}
	}
}

// panelSize returns the size of a panel in words of 4 bytes.
func (f *Factor) panelSize() int {
	switch f.format {
	case FactorInt8:
		return codesSize(f.in) / 4
	case FactorBFloat16:
		return ceilDiv(f.in, 2) * panelWidth
	}
	return f.in * panelWidth
}

// Panels returns the number of panels, 16 columns of y each but for the last.
func (f *Factor) Panels() int { return ceilDiv(f.out, panelWidth) }

// Bytes returns the size of the packing.
func (f *Factor) Bytes() int { return 4 * len(f.data) }

// In returns the number of columns of W.
func (f *Factor) In() int { return f.in }

// Forward does y (T, out) = x (T, in) · Wᵀ, or adds the product if add, on the
// calling goroutine, for panels from..to−1 of W. Rows of y are ldy apart, rows
// of x ldx.
func (f *Factor) Forward(y []float32, ldy int, x []float32, ldx, T, from, to int, add bool) {
	checkMatrix("y of a Factor", false, T, f.out, y, ldy)
	checkMatrix("x of a Factor", false, T, f.in, x, ldx)
	if from < 0 || to > f.Panels() || from > to {
		panic(fmt.Sprintf("kernel: panels %d to %d of a Factor that has %d", from, to, f.Panels()))
	}
	if T == 0 || from == to {
		return
	}
	defer runtime.KeepAlive(f.memory) // b does not hold it
	b := f.data[from*f.panelSize():]
	at, n := from*panelWidth, min(f.out, to*panelWidth)-from*panelWidth
	switch f.format {
	case FactorInt8:
		forwardRows(y[at:], ldy, x, ldx, T, n, active.codesRows, add, func(c []float32, ldc int, a []float32, rows, from, panels int, add bool) {
			active.codes(c, ldc, a, ldx, floatBytes(b[from*f.panelSize():]), rows, f.in, panels, add)
		})
	case FactorBFloat16:
		f.forwardPairs(y[at:], ldy, x, ldx, T, n, b, add)
	default:
		active.tile(y[at:], ldy, view{x, ldx, 1}, panels{b, panelWidth, f.panelSize()}, T, n, f.in, add)
	}
}

// forwardPairs is Forward in bfloat16, for n columns and the panels from b on.
func (f *Factor) forwardPairs(y []float32, ldy int, x []float32, ldx, T, n int, b []float32, add bool) {
	pairs := ceilDiv(f.in, 2)
	if f.in%2 == 1 { // the last pair needs a second number
		buf := packBuffer(T * (f.in + 1))
		defer packBuffers.Put(buf)
		for t := range T {
			copy((*buf)[t*(f.in+1):], x[t*ldx:][:f.in])
			(*buf)[t*(f.in+1)+f.in] = 0
		}
		x, ldx = *buf, f.in+1
	}
	forwardRows(y, ldy, x, ldx, T, n, active.halfRows, add, func(c []float32, ldc int, a []float32, rows, from, panels int, add bool) {
		active.half(c, ldc, a, ldx, b[from*f.panelSize():], rows, pairs, panels, add)
	})
}

// forwardRows does C (T, n) with calls of micro for up to most rows, in groups
// that are as even as can be, and whole panels from one on. The last panel, of which only some columns belong to C,
// goes through a buffer.
func forwardRows(c []float32, ldc int, a []float32, lda, T, n, most int, add bool,
	micro func(c []float32, ldc int, a []float32, rows, from, panels int, add bool)) {
	whole, rest := n/panelWidth, n%panelWidth
	for t, rows := 0, 0; t < T; t += rows {
		rows = ceilDiv(T-t, ceilDiv(T-t, most))
		if whole > 0 {
			micro(c[t*ldc:], ldc, a[t*lda:], rows, 0, whole, add)
		}
		if rest == 0 {
			continue
		}
		buf := edges.Get().(*[maxRows * maxCols]float32)
		micro(buf[:], panelWidth, a[t*lda:], rows, whole, 1, false)
		for r := range rows {
			dst, src := c[(t+r)*ldc+whole*panelWidth:][:rest], buf[r*panelWidth:][:rest]
			for j, v := range src {
				if add {
					dst[j] += v
				} else {
					dst[j] = v
				}
			}
		}
		edges.Put(buf)
	}
}

// MulPanels does C (m, n) = A (m, k) · B, or C += A·B if add, on the calling
// goroutine: a Gemm without packing. B lies in panels of 16 columns: column
// 16·q+j of its row p is b[q·panelStride + p·rowStride + j]; the last panel must
// be filled up. A row of C does not depend on m, nor on terms at the end whose
// factor in A is zero, as long as k is at most 320.
func MulPanels(c []float32, ldc int, a []float32, lda int, b []float32, rowStride, panelStride, m, n, k int, add bool) {
	checkMatrix("C", false, m, n, c, ldc)
	checkMatrix("A", false, m, k, a, lda)
	if m == 0 || n == 0 || k == 0 {
		return
	}
	if need := (ceilDiv(n, panelWidth)-1)*panelStride + (k-1)*rowStride + panelWidth; len(b) < need {
		panic(fmt.Sprintf("kernel: MulPanels (%d, %d, %d) of B with %d elements, want %d", m, n, k, len(b), need))
	}
	active.tile(c, ldc, view{a, lda, 1}, panels{b, rowStride, panelStride}, m, n, k, add)
}
