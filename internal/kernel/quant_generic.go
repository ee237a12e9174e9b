package kernel

import (
	"encoding/binary"
	"math"
)

var quantGeneric = quantOps{name: "generic", micro: microQuantGeneric, mr: 4, scales: scalesGeneric, quantise: quantiseGeneric}

func microQuantGeneric(c []float32, ldc int, codes []byte, scales, x []float32, rows, blocks int, t *blockTrait, add bool) {
	var acc [4][panelWidth]float32
	var w [quantBlock * panelWidth]uint8
	columns := t.blockColumns()
	bytes := floatBytes(x)
	for b := range blocks {
		unpackCodes(&w, codes[b*t.codeBytes():][:t.codeBytes()], t.bits)
		rec := x[b*recordWords*rows:]
		for r := range rows {
			d := float64(rec[8*rows+r])
			for part := range quantBlock / columns {
				sum := float64(rec[(9+part)*rows+r])
				if columns == quantBlock {
					sum = float64(rec[11*rows+r])
				}
				s := scales[(b*quantBlock/columns+part)*2*panelWidth:][:2*panelWidth]
				for j := range panelWidth {
					var n int32
					for k := part * columns; k < (part+1)*columns; k++ {
						q := int8(bytes[4*(b*recordWords*rows+k/4*rows+r)+k%4])
						n += int32(w[k/4*64+4*j+k%4]) * int32(q)
					}
					v := float32(n) * s[j]
					a := float32(float64(v)*d + float64(acc[r][j]))
					acc[r][j] = float32(float64(s[panelWidth+j])*sum + float64(a))
				}
			}
		}
	}
	for r := range rows {
		dst := c[r*ldc:][:panelWidth]
		for j, v := range acc[r] {
			if add {
				v += dst[j]
			}
			dst[j] = v
		}
	}
}

// unpackCodes undoes packCodes for 32 columns: dst has 8 groups of 64 codes.
func unpackCodes(dst *[quantBlock * panelWidth]uint8, src []byte, bits int) {
	if bits == 8 {
		copy(dst[:], src)
		return
	}
	for g := range 8 {
		for i := range 64 {
			q := src[64*(g%4)+i] >> (g / 4 * 4) & 15
			switch bits {
			case 5:
				q |= src[256+8*g+i/8] >> (i % 8) & 1 << 4
			case 6:
				q |= src[256+64*(g/4)+i] >> (g % 4 * 2) & 3 << 4
			}
			dst[64*g+i] = q
		}
	}
}

func scalesGeneric(dst []float32, src []byte, t *blockTrait, in int) {
	half := func(b []byte, j int) float32 { return halfFloat(binary.LittleEndian.Uint16(b[2*j:])) }
	// put writes scale and offset of row j for scale block b.
	put := func(b, j int, scale, offset float32) {
		dst[b*2*panelWidth+j], dst[(b*2+1)*panelWidth+j] = scale, offset
	}
	for j := range panelWidth {
		switch t.kind {
		case halfScale:
			for b := range in / 32 {
				s := half(src[32*b:], j)
				put(b, j, s, s*t.zero)
			}
		case halfPair:
			for b := range in / 32 {
				put(b, j, half(src[64*b:], j), half(src[64*b+32:], j))
			}
		case superPair:
			for b := range in / 32 {
				s := src[b/8*320:]
				put(b, j, float32(s[64+b%8*16+j])*half(s, j), float32(s[192+b%8*16+j])*half(s[32:], j))
			}
		case superOne:
			for b := range in / 16 {
				s := src[b/16*288:]
				v := float32(int8(s[32+b%16*16+j])) * half(s, j)
				put(b, j, v, v*t.zero)
			}
		}
	}
}

// halfFloat converts a half-precision number (IEEE 754 binary16).
func halfFloat(h uint16) float32 {
	sign, exp, frac := uint32(h>>15)<<31, uint32(h>>10&31), uint32(h&0x3ff)
	switch exp {
	case 0:
		v := float32(frac) * 0x1p-24
		return math.Float32frombits(math.Float32bits(v) | sign)
	case 31:
		return math.Float32frombits(sign | 0x7f800000 | frac<<13)
	}
	return math.Float32frombits(sign | (exp+112)<<23 | frac<<13)
}

// leastPeak is the peak of a block below which its codes are zero: 127/peak
// must not overflow.
const leastPeak = 1e-30

func quantiseGeneric(q []int8, d, x []float32) {
	for b := range len(x) / quantBlock {
		v, codes := x[b*quantBlock:][:quantBlock], q[b*quantBlock:][:quantBlock]
		var bits uint32 // of the largest |v|: bits are in the order of the numbers, with NaN above all
		for _, f := range v {
			bits = max(bits, math.Float32bits(f)&0x7fffffff)
		}
		peak := math.Float32frombits(bits)
		scale, inverse := peak/127, float32(0)
		if peak >= leastPeak {
			inverse = 127 / peak
		}
		var sums [2]int32
		for i, f := range v {
			n := math.RoundToEven(float64(f * inverse))
			if !(n >= -128) { // infinite or no number, as scale then is
				n = -128
			}
			codes[i] = int8(n)
			sums[i/16] += int32(n)
		}
		r := d[4*b:][:4]
		r[0], r[1], r[2] = scale, scale*float32(sums[0]), scale*float32(sums[1])
		r[3] = scale * float32(sums[0]+sums[1])
	}
}
