package kernel

import "math"

// genericBF16 defines the products of bfloat16 numbers. Being slower than
// those in float32, it is not offered by SetPrecision: tests compare with it.
var genericBF16 = ops{
	name:       "generic_bf16",
	micro:      microPairsGeneric,
	mr:         4,
	np:         func(int) int { return 1 },
	roundPairs: roundPairsGeneric,
	zipPairs:   zipPairsGeneric,
}

// bf16Bits returns v rounded to bfloat16, to nearest and ties to even;
// subnormal numbers become zeros of their sign.
func bf16Bits(v float32) uint32 {
	b := math.Float32bits(v)
	switch b >> 23 & 0xff {
	case 0:
		return b >> 16 & 0x8000
	case 0xff:
		if v != v {
			return b>>16 | 0x40 // quiet
		}
		return b >> 16
	}
	return (b + 0x7fff + b>>16&1) >> 16
}

// pair returns lo and hi, rounded to bfloat16, in the lower and the upper half
// of a word. Words of this kind are kept as float32, so that float32 numbers
// and pairs of bfloat16 numbers are packed and cut up by the same code; they
// are moved and never computed with.
func pair(lo, hi float32) float32 {
	return math.Float32frombits(bf16Bits(lo) | bf16Bits(hi)<<16)
}

// unpair returns the numbers in a pair.
func unpair(p float32) (lo, hi float32) {
	b := math.Float32bits(p)
	return math.Float32frombits(b << 16), math.Float32frombits(b &^ 0xffff)
}

// roundPairsGeneric writes src as ⌈len(src)/2⌉ pairs to dst; a missing last
// number is zero.
func roundPairsGeneric(dst, src []float32) {
	n := len(src) / 2
	for i := range n {
		dst[i] = pair(src[2*i], src[2*i+1])
	}
	if len(src)%2 != 0 {
		dst[n] = pair(src[2*n], 0)
	}
}

// zipPairsGeneric writes the pairs (src[2p·ld+i], src[(2p+1)·ld+i]) to
// dst[p·width+i].
func zipPairsGeneric(dst []float32, width int, src []float32, ld, n, pairs int) {
	for p := range pairs {
		x, y := src[2*p*ld:][:n], src[(2*p+1)*ld:][:n]
		for i, v := range x {
			dst[p*width+i] = pair(v, y[i])
		}
	}
}

// microPairsGeneric is the micro-kernel on pairs; see ops.
func microPairsGeneric(c []float32, ldc int, a view, b panels, t tileShape, k int, add bool) {
	for q := range t.panels {
		for i := range t.groups * t.rows {
			var acc [panelWidth]float32
			for p := range k {
				lo, hi := unpair(a.data[i*a.rs+p*a.cs])
				w := (*[panelWidth]float32)(b.data[q*b.ps+p*b.bs:])
				for j := range acc {
					wlo, whi := unpair(w[j])
					acc[j] = flush(acc[j] + hi*whi)
					acc[j] = flush(acc[j] + lo*wlo)
				}
			}
			out := (*[panelWidth]float32)(c[i*ldc+q*panelWidth:])
			if add {
				for j := range acc {
					out[j] += acc[j]
				}
			} else {
				*out = acc
			}
		}
	}
}

// flush returns v, or zero if v is subnormal.
func flush(v float32) float32 {
	if b := math.Float32bits(v); b>>23&0xff == 0 {
		return math.Float32frombits(b & (1 << 31))
	}
	return v
}
