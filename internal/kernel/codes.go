package kernel

import (
	"encoding/binary"
	"math"
)

// Codes of factors. A panel, 16 rows of W, is cut into blocks of 16 columns,
// the last of which may have fewer. A block has the scales of the rows in
// bfloat16, then for each column the int8 codes of the rows:
//
//	w = scale·code,  −127 ≤ code ≤ 127
//
// A scale is the largest magnitude of a row in the block by 127, rounded up.
// Blocks are as short as the rank of most adapters, so that no row of B is
// filled up, and scales fit the numbers well.
const (
	codeColumns = 16
	codeScales  = 2 * panelWidth // bytes
)

// codesSize returns the size in bytes of a panel of codes with in columns, a
// multiple of 16.
func codesSize(in int) int { return ceilDiv(in, codeColumns)*codeScales + in*panelWidth }

// packCodesPanel writes a panel of W, transposed (in, 16), as codes.
func packCodesPanel(dst []byte, panel []float32, in int) {
	for k := 0; k < in; k += codeColumns {
		n := min(codeColumns, in-k)
		codes := dst[codeScales:][:n*panelWidth]
		for j := range panelWidth {
			var largest float32
			for p := range n {
				v := panel[(k+p)*panelWidth+j]
				largest = max(largest, -v, v) // NaN if there is one
			}
			scale := bf16Up(largest / 127)
			binary.LittleEndian.PutUint16(dst[2*j:], scale)
			for p := range n {
				codes[p*panelWidth+j] = byte(code(panel[(k+p)*panelWidth+j], bf16Value(scale)))
			}
		}
		dst = dst[codeScales+len(codes):]
	}
}

// code returns v/scale rounded to nearest, ties to even. Where that is no
// number, since v is zero with all others, or one of them is infinite or NaN, it
// is 0, whose product with the scale is as much of a number as the scale.
func code(v, scale float32) int8 {
	q := math.RoundToEven(float64(v) / float64(scale))
	if !(math.Abs(q) <= 127) {
		return 0
	}
	return int8(q)
}

// bf16Up returns the smallest bfloat16 number that is not below v ≥ 0; that of
// a NaN is one. Unlike bf16Bits it keeps subnormal numbers.
func bf16Up(v float32) uint16 {
	b := math.Float32bits(v)
	if v != v {
		return uint16(b>>16 | 0x40)
	}
	return uint16((b + 0xffff) >> 16)
}

func bf16Value(b uint16) float32 { return math.Float32frombits(uint32(b) << 16) }

// codesGeneric does C (rows, panels·16) = A (rows, steps) · B, or adds it to C,
// where B lies in panels of codes. The terms of a block have a sum of their own,
// which goes into the sum over blocks when it is multiplied with its scale.
func codesGeneric(c []float32, ldc int, a []float32, lda int, b []byte, rows, steps, panels int, add bool) {
	size := codesSize(steps)
	for q := range panels {
		for i := range rows {
			var acc [panelWidth]float32
			block := b[q*size:][:size]
			for k := 0; k < steps; k += codeColumns {
				n := min(codeColumns, steps-k)
				var sum [panelWidth]float32
				for p, x := range a[i*lda+k:][:n] {
					for j, v := range block[codeScales+p*panelWidth:][:panelWidth] {
						sum[j] += x * float32(int8(v))
					}
				}
				for j, s := range sum {
					acc[j] += bf16Value(binary.LittleEndian.Uint16(block[2*j:])) * s
				}
				block = block[codeScales+n*panelWidth:]
			}
			row := c[i*ldc+q*panelWidth:][:panelWidth]
			for j, s := range acc {
				if add {
					s += row[j]
				}
				row[j] = s
			}
		}
	}
}
