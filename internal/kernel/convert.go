package kernel

import "math"

// F16ToF32 does dst[i] = the value of the IEEE 754 half-precision number
// src[i].
func F16ToF32(dst []float32, src []uint16) {
	sameLen("F16ToF32", len(dst), len(src))
	for i, h := range src {
		dst[i] = f16ToF32(h)
	}
}

// F32ToF16 does dst[i] = the half-precision number nearest to src[i]; of two
// the even one. Beyond 65504 that is an infinity.
func F32ToF16(dst []uint16, src []float32) {
	sameLen("F32ToF16", len(dst), len(src))
	for i, v := range src {
		dst[i] = f32ToF16(v)
	}
}

// BF16ToF32 does dst[i] = the value of the bfloat16 number src[i].
func BF16ToF32(dst []float32, src []uint16) {
	sameLen("BF16ToF32", len(dst), len(src))
	for i, b := range src {
		dst[i] = math.Float32frombits(uint32(b) << 16)
	}
}

// F32ToBF16 does dst[i] = the bfloat16 number nearest to src[i]; of two the
// even one.
func F32ToBF16(dst []uint16, src []float32) {
	sameLen("F32ToBF16", len(dst), len(src))
	for i, v := range src {
		b := math.Float32bits(v)
		if v != v {
			dst[i] = uint16(b>>16) | 0x40 // quiet, lest rounding make it an infinity
			continue
		}
		dst[i] = uint16((b + 0x7fff + b>>16&1) >> 16)
	}
}

func f16ToF32(h uint16) float32 {
	sign := uint32(h&0x8000) << 16
	exp, frac := uint32(h>>10&0x1f), uint32(h&0x3ff)
	switch exp {
	case 0: // zero and subnormals: frac · 2^-24
		return math.Float32frombits(sign | math.Float32bits(float32(frac)*0x1p-24))
	case 0x1f:
		if frac != 0 {
			frac |= 0x200 // quiet
		}
		return math.Float32frombits(sign | 0x7f800000 | frac<<13)
	}
	return math.Float32frombits(sign | (exp+127-15)<<23 | frac<<13)
}

func f32ToF16(v float32) uint16 {
	b := math.Float32bits(v)
	sign := uint16(b >> 16 & 0x8000)
	b &= 0x7fffffff
	switch {
	case b > 0x7f800000:
		return sign | 0x7e00 | uint16(b>>13&0x3ff)
	case b >= 0x477ff000: // 65520, halfway from the largest number to 2^16
		return sign | 0x7c00
	case b < 0x38800000: // 2^-14: the result is subnormal
		// Adding 1/2 puts the units of 2^-24 into the last place of a float32,
		// and the addition rounds as wanted.
		return sign | uint16(math.Float32bits(math.Float32frombits(b)+0.5)-math.Float32bits(0.5))
	}
	b += 0xfff + b>>13&1
	return sign | uint16((b-(127-15)<<23)>>13)
}
