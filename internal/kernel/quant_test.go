package kernel

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"
)

// storedRow returns a row of n weights in format f with random codes and
// scales of ordinary size.
func storedRow(r *rand.Rand, f BlockFormat, n int) []byte {
	t := &blockTraits[f]
	row := make([]byte, t.rowSize(n))
	for i := range row {
		row[i] = byte(r.Uint32())
	}
	half := func(b []byte) { // between 2^-6 and 2^-4, of either sign
		binary.LittleEndian.PutUint16(b, uint16(r.Uint32())&0x87ff|0x2400)
	}
	for b := 0; b < len(row); b += t.size {
		switch {
		case f == Q6_K:
			half(row[b+208:])
		case t.kind == halfScale:
			half(row[b:])
		default:
			half(row[b:])
			half(row[b+2:])
		}
	}
	return row
}

// weights returns the numbers that a stored row stands for.
func weights(f BlockFormat, stored []byte, n int) []float64 {
	t := &blockTraits[f]
	r := newRowCodes(t, n)
	r.decode(f, stored)
	out := make([]float64, n)
	for i := range out {
		b := i / t.block
		scale := float64(halfFloat(r.scale[b]))
		offset := scale * float64(t.zero)
		switch t.kind {
		case halfPair:
			offset = float64(halfFloat(r.offset[b]))
		case superPair:
			scale *= float64(r.small[i/32])
			offset = float64(halfFloat(r.offset[b])) * float64(r.smaller[i/32])
		case superOne:
			scale *= float64(int8(r.small[i/16]))
			offset = scale * float64(t.zero)
		}
		out[i] = scale*float64(r.codes[i]) + offset
	}
	return out
}

// quantised returns a matrix of random weights in format f and the weights.
func quantised(r *rand.Rand, f BlockFormat, out, in int) (*Frozen, [][]float64) {
	stored, w := make([][]byte, out), make([][]float64, out)
	for i := range stored {
		stored[i] = storedRow(r, f, in)
		w[i] = weights(f, stored[i], in)
	}
	return NewFrozenFrom(out, in, Source{
		Row: func(dst []float32, i int) {
			for k, v := range w[i] {
				dst[k] = float32(v)
			}
		},
		Stored: func(i int) []byte { return stored[i] },
		Format: f,
	}), w
}

// roundedCodes returns what the quantisation makes of x, as numbers.
func roundedCodes(x []float32) []float64 {
	q, d := make([]int8, len(x)), make([]float32, len(x)/8)
	quantiseGeneric(q, d, x)
	out := make([]float64, len(x))
	for i := range out {
		out[i] = float64(q[i]) * float64(d[i/quantBlock*4])
	}
	return out
}

func eachFormat(f func(format BlockFormat)) {
	for i := range blockTraits[1:] {
		f(BlockFormat(i + 1))
	}
}

// quantBound bounds the rounding of a product of k terms: each block rounds
// Σ code·q · scale and adds two numbers as large as the codes without their
// offset, so that the absolute values of codes up to 255 times scale count.
func quantBound(scale, x float64, k int) float64 { return 256 * scale * x * float64(k) * 0x1p-23 }

func TestQuantisedProduct(t *testing.T) {
	shapes := [][3]int{{1, 16, 256}, {1, 33, 512}, {2, 5, 256}, {3, 48, 256}, {5, 64, 768}, {13, 40, 256}, {29, 16, 512}, {70, 161, 256}, {3, 17, 4352}, {0, 3, 256}, {4, 0, 256}, {4, 3, 0}}
	each(t, func(t *testing.T, _ *ops) {
		precision.Store(int32(Int8))
		r := rand.New(rand.NewPCG(5, 6))
		eachFormat(func(format BlockFormat) {
			for _, s := range shapes {
				T, out, in := s[0], s[1], s[2]
				if format < Q4_K && format != 0 && in > 0 {
					in -= 32 // a multiple of 32 only
				}
				f, w := quantised(r, format, out, in)
				x := random(r, T*in)
				y := random(r, T*out)
				start := slices.Clone(y)
				f.ForwardAdd(y, x, T)
				plain := make([]float32, T*out)
				f.Forward(plain, x, T)
				for i := range T {
					q := roundedCodes(x[i*in:][:in])
					for j := range out {
						var want, size float64
						for k, v := range q {
							want += v * w[j][k]
							size += math.Abs(v)
						}
						what := fmt.Sprintf("%v %v row %d column %d", format, s, i, j)
						bound := quantBound(0x1p-4*64, size, 8) + 1e-5
						if got := float64(plain[i*out+j]); !(math.Abs(got-want) <= bound) {
							t.Fatalf("%s is %g, want %g ± %g", what, got, want, bound)
						}
						if got := float64(y[i*out+j] - start[i*out+j]); !(math.Abs(got-want) <= bound) {
							t.Fatalf("%s: ForwardAdd adds %g, want %g ± %g", what, got, want, bound)
						}
					}
				}
			}
		})
	})
}

// TestQuantisedRows shows that a row's result doesn't depend on the others.
func TestQuantisedRows(t *testing.T) {
	each(t, func(t *testing.T, o *ops) {
		precision.Store(int32(Int8))
		r := rand.New(rand.NewPCG(7, 8))
		eachFormat(func(format BlockFormat) {
			const out, in = 80, 512
			f, _ := quantised(r, format, out, in)
			for _, T := range []int{2, 3, 7, 12, 13, 26} {
				x, all, one := random(r, T*in), make([]float32, T*out), make([]float32, out)
				f.Forward(all, x, T)
				for i := range T {
					f.Forward(one, x[i*in:][:in], 1)
					if !slices.Equal(one, all[i*out:][:out]) {
						t.Fatalf("%v: row %d of %d differs from the same row alone", format, i, T)
					}
				}
			}
		})
	})
}

// TestQuantMicro runs every micro-kernel on operands of exactly the needed
// size at every place, against the portable one.
func TestQuantMicro(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	each(t, func(t *testing.T, o *ops) {
		for _, format := range []BlockFormat{Q4_1, Q5_0, Q6_K, Q8_0} {
			for rows := 1; rows <= o.quant.mr; rows++ {
				for i, p := range places() {
					testQuantMicro(t, r, o.quant, format, p, rows, i%2 == 0)
				}
			}
		}
	})
}

func testQuantMicro(t *testing.T, r *rand.Rand, q *quantOps, format BlockFormat, p place, rows int, add bool) {
	t.Helper()
	in := blockTraits[format].block * 2
	f, w := quantised(r, format, panelWidth, in)
	panel, trait := f.packQuant(), &blockTraits[format]
	blocks := in / quantBlock
	_, codesAt := trait.part(0, in)
	codes, okCodes := p.make(t, (panel.size-codesAt)/4)
	copy(floatBytes(codes), panel.data[codesAt:panel.size])
	section, okSection := p.make(t, in/quantBlock*trait.scaleBytes()/8/4)
	copy(floatBytes(section), panel.data)
	scales, okScales := p.make(t, in/trait.blockColumns()*2*panelWidth)
	q.scales(scales, floatBytes(section), trait, in)
	records, okRecords := p.make(t, rows*blocks*recordWords)
	x := random(r, rows*in)
	q.quantiseGroup(records, x, in)
	ldc := panelWidth + 3
	c, okC := p.make(t, (rows-1)*ldc+panelWidth)
	fill(r, c)
	before := slices.Clone(c)
	q.micro(c, ldc, floatBytes(codes), scales, records, rows, blocks, trait, add)

	what := fmt.Sprintf("%s %v, %d rows, add=%v at %s", q.name, format, rows, add, p.name)
	for i, ok := range []func() bool{okCodes, okSection, okScales, okRecords, okC} {
		if !ok() {
			t.Fatalf("%s: wrote outside operand %d", what, i)
		}
	}
	for i := range rows {
		q := roundedCodes(x[i*in:][:in])
		for j := range panelWidth {
			var want, size float64
			for k, v := range q {
				want += v * w[j][k]
				size += math.Abs(v)
			}
			if add {
				want += float64(before[i*ldc+j])
			}
			if got := float64(c[i*ldc+j]); !(math.Abs(got-want) <= quantBound(0x1p-4*64, size, 8)+1e-5) {
				t.Fatalf("%s: element (%d, %d) is %g, want %g", what, i, j, got, want)
			}
		}
		if i < rows-1 && !slices.Equal(c[i*ldc+panelWidth:(i+1)*ldc], before[i*ldc+panelWidth:(i+1)*ldc]) {
			t.Fatalf("%s: wrote between rows %d and %d", what, i, i+1)
		}
	}
}

// TestQuantise compares the quantisation of x with the portable one, bit for
// bit.
func TestQuantise(t *testing.T) {
	each(t, func(t *testing.T, o *ops) {
		r := rand.New(rand.NewPCG(11, 12))
		for _, p := range places() {
			for _, blocks := range []int{1, 2, 5} {
				n := blocks * quantBlock
				x, okX := p.make(t, n)
				fill(r, x)
				for i, v := range []float32{0, 1e-33, 1e-30, 3e38, float32(math.Inf(1)), float32(math.NaN())} {
					if p.name == "page end" && blocks > 1 {
						clear(x[:quantBlock])
						x[i] = v
					}
					codes, okQ := p.make(t, n/4)
					d, okD := p.make(t, 4*blocks)
					q := unsafe.Slice((*int8)(unsafe.Pointer(&codes[0])), n)
					o.quant.quantise(q, d, x)
					wantQ, wantD := make([]int8, n), make([]float32, 4*blocks)
					quantiseGeneric(wantQ, wantD, x)
					bad := v-v != 0 // codes of blocks that aren't finite don't matter: d isn't either
					for k := range wantD {
						if got, want := d[k], wantD[k]; got != want && !(got-got != 0 && want-want != 0) {
							t.Fatalf("%s, %d blocks, %g: number %d is %g, want %g", p.name, blocks, v, k, got, want)
						}
					}
					for k := range wantQ {
						if q[k] != wantQ[k] && !(bad && k < quantBlock) {
							t.Fatalf("%s, %d blocks, %g: code %d is %d, want %d", p.name, blocks, v, k, q[k], wantQ[k])
						}
					}
					if !okX() || !okQ() || !okD() {
						t.Fatalf("%s, %d blocks: wrote outside", p.name, blocks)
					}
				}
			}
		}
	})
}

// TestQuantisedError bounds what the precision costs: each element of x
// changes by at most half of a 127th of the largest in its block.
func TestQuantisedError(t *testing.T) {
	const T, out, in = 5, 32, 512
	r := rand.New(rand.NewPCG(13, 14))
	f, w := quantised(r, Q4_K, out, in)
	x := random(r, T*in)
	each(t, func(t *testing.T, _ *ops) {
		precision.Store(int32(Int8))
		y := make([]float32, T*out)
		f.Forward(y, x, T)
		for i := range T {
			for j := range out {
				var want, bound float64
				for b := 0; b < in; b += quantBlock {
					var peak float64
					for k := b; k < b+quantBlock; k++ {
						want += float64(x[i*in+k]) * w[j][k]
						peak = max(peak, math.Abs(float64(x[i*in+k])))
					}
					for k := b; k < b+quantBlock; k++ {
						bound += peak / 254 * 1.001 * math.Abs(w[j][k])
					}
				}
				if got := float64(y[i*out+j]); !(math.Abs(got-want) <= bound) {
					t.Fatalf("element (%d, %d) is %g, want %g ± %g", i, j, got, want, bound)
				}
			}
		}
	})
}

func TestHalfFloat(t *testing.T) {
	for h, want := range map[uint16]float64{0: 0, 1: 0x1p-24, 0x3ff: 0x3ffp-24, 0x400: 0x1p-14, 0x3c00: 1, 0xc000: -2, 0x7bff: 65504, 0xfc00: math.Inf(-1)} {
		if got := float64(halfFloat(h)); got != want {
			t.Errorf("%#04x is %g, want %g", h, got, want)
		}
	}
	if got := halfFloat(0x7e00); got == got {
		t.Errorf("0x7e00 is %g, want NaN", got)
	}
}

// TestQuantisedBackward shows that gradients don't need the codes where the
// number of rows of W is no multiple of a block.
func TestQuantisedBackward(t *testing.T) {
	each(t, func(t *testing.T, _ *ops) {
		precision.Store(int32(Int8))
		r := rand.New(rand.NewPCG(15, 16))
		const T, out, in = 9, 24, 256
		f, w := quantised(r, Q4_K, out, in)
		dy, dx := random(r, T*out), make([]float32, T*in)
		f.Backward(dx, dy, T, true)
		for i := range T {
			for k := range in {
				var want, size float64
				for j := range out {
					v := float64(dy[i*out+j]) * w[j][k]
					want, size = want+v, size+math.Abs(v)
				}
				if got := float64(dx[i*in+k]); !(math.Abs(got-want) <= size*0x1p-6) {
					t.Fatalf("element (%d, %d) is %g, want %g ± %g", i, k, got, want, size*0x1p-6)
				}
			}
		}
	})
}
