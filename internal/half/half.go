// Package half converts between float32 and the two formats of 16 bits in
// which weights are stored:
//
//	F16   IEEE 754 binary16: sign, 5 bits of exponent, 10 of fraction; up to 65504
//	BF16  bfloat16: the upper half of a float32; its range, 7 bits of fraction
//
// Going down rounds to the nearest number, of two to the even one; what is
// beyond the range becomes infinite, and a NaN stays a NaN, made quiet. Going up
// is exact. Subnormal numbers are kept both ways.
//
// The slices of bytes hold little-endian numbers, as files do. They must have
// room for two bytes for each float32; a shorter one is a bug of the caller, and
// panics.
package half

import (
	"encoding/binary"
	"math"
)

// FromF16 returns the value of h, an F16. The common case, a normal number, only
// moves bits; the exponent's bias changes from 15 to 127.
func FromF16(h uint16) float32 {
	sign := uint32(h&0x8000) << 16
	bits := uint32(h&0x7fff) << 13
	switch {
	case bits >= 0x1f<<23: // infinity or NaN
		bits |= 0xff << 23
	case bits >= 1<<23:
		bits += (127 - 15) << 23
	default: // zero or subnormal: m·2⁻²⁴ = (1 + m·2⁻¹⁰)·2⁻¹⁴ − 2⁻¹⁴
		bits = math.Float32bits(math.Float32frombits(bits|113<<23) - 0x1p-14)
	}
	return math.Float32frombits(sign | bits)
}

// ToF16 returns the F16 nearest to v.
func ToF16(v float32) uint16 {
	bits := math.Float32bits(v)
	sign := uint16(bits >> 16 & 0x8000)
	bits &= 0x7fffffff
	switch {
	case bits > 0xff<<23: // NaN: keep the upper bits of the payload, quietly
		return sign | 0x7e00 | uint16(bits>>13&0x3ff)
	case bits >= (127+16)<<23: // 65536 and above
		return sign | 0x7c00
	case bits < (127-14)<<23:
		// Below 2⁻¹⁴ the last place is worth 2⁻²⁴, as is that of a float32
		// near 0.5: adding 0.5 makes the hardware round there.
		return sign | uint16(math.Float32bits(math.Float32frombits(bits)+0.5)-math.Float32bits(0.5))
	}
	odd := bits >> 13 & 1
	return sign | uint16((bits-(127-15)<<23+0xfff+odd)>>13) // may carry up to infinity
}

// FromBF16 returns the value of b, a BF16.
func FromBF16(b uint16) float32 { return math.Float32frombits(uint32(b) << 16) }

// ToBF16 returns the BF16 nearest to v.
func ToBF16(v float32) uint16 {
	bits := math.Float32bits(v)
	if bits&0x7fffffff > 0xff<<23 {
		return uint16(bits>>16) | 0x40 // a NaN stays one, and quiet
	}
	return uint16((bits + 0x7fff + bits>>16&1) >> 16)
}

// DecodeF16 sets dst to the values of the F16 numbers in src. It is a loop of
// [FromF16], with its common case written out: normal numbers are nearly all
// there are, and the call costs more than the work.
func DecodeF16(dst []float32, src []byte) {
	src = src[: 2*len(dst) : len(src)] // panics also if src has the capacity
	for i := range dst {
		h := binary.LittleEndian.Uint16(src[2*i : 2*i+2])
		if bits := uint32(h&0x7fff) << 13; bits-1<<23 < 0x1e<<23 {
			dst[i] = math.Float32frombits(uint32(h&0x8000)<<16 | (bits + (127-15)<<23))
			continue
		}
		dst[i] = FromF16(h)
	}
}

// EncodeF16 sets dst to the F16 numbers nearest to src.
func EncodeF16(dst []byte, src []float32) {
	dst = dst[: 2*len(src) : len(dst)]
	for i, v := range src {
		binary.LittleEndian.PutUint16(dst[2*i:2*i+2], ToF16(v))
	}
}

// DecodeBF16 sets dst to the values of the BF16 numbers in src.
func DecodeBF16(dst []float32, src []byte) {
	src = src[: 2*len(dst) : len(src)]
	for i := range dst {
		dst[i] = FromBF16(binary.LittleEndian.Uint16(src[2*i : 2*i+2]))
	}
}

// EncodeBF16 sets dst to the BF16 numbers nearest to src.
func EncodeBF16(dst []byte, src []float32) {
	dst = dst[: 2*len(src) : len(dst)]
	for i, v := range src {
		binary.LittleEndian.PutUint16(dst[2*i:2*i+2], ToBF16(v))
	}
}
