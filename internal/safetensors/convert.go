package safetensors

import (
	"encoding/binary"
	"fmt"
	"math"
)

// floatSize returns the bytes of a value that is converted to and from
// float32, or 0 for other types.
func floatSize(t DType) int {
	switch t {
	case F16, BF16:
		return 2
	case F32:
		return 4
	case F64:
		return 8
	}
	return 0
}

// decode converts raw to as many values as dst has.
func decode(dst []float32, t DType, raw []byte) {
	le := binary.LittleEndian
	switch t {
	case F64:
		for i := range dst {
			dst[i] = float32(math.Float64frombits(le.Uint64(raw[8*i:])))
		}
	case F32:
		for i := range dst {
			dst[i] = math.Float32frombits(le.Uint32(raw[4*i:]))
		}
	case F16:
		for i := range dst {
			dst[i] = fromF16(le.Uint16(raw[2*i:]))
		}
	case BF16:
		for i := range dst {
			dst[i] = math.Float32frombits(uint32(le.Uint16(raw[2*i:])) << 16)
		}
	}
}

// encode converts values to raw, rounding to the nearest even. A finite value
// that would become infinite is an error.
func encode(raw []byte, t DType, values []float32) error {
	le := binary.LittleEndian
	for i, v := range values {
		bits := math.Float32bits(v)
		finite := bits&(0xff<<23) != 0xff<<23
		switch t {
		case F64:
			le.PutUint64(raw[8*i:], math.Float64bits(float64(v)))
		case F32:
			le.PutUint32(raw[4*i:], bits)
		case F16:
			h := toF16(bits)
			if finite && h&0x7c00 == 0x7c00 {
				return fmt.Errorf("value %d is %g, beyond the range of F16: use BF16 or F32", i, v)
			}
			le.PutUint16(raw[2*i:], h)
		case BF16:
			h := toBF16(bits)
			if finite && h&0x7f80 == 0x7f80 {
				return fmt.Errorf("value %d is %g, beyond the range of BF16: use F32", i, v)
			}
			le.PutUint16(raw[2*i:], h)
		}
	}
	return nil
}

// fromF16 decodes an IEEE half: the exponent's bias changes from 15 to 127.
func fromF16(h uint16) float32 {
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

// toF16 rounds the float32 of the given bits to a half.
func toF16(bits uint32) uint16 {
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

// toBF16 rounds the float32 of the given bits to a bfloat16.
func toBF16(bits uint32) uint16 {
	if bits&0x7fffffff > 0xff<<23 {
		return uint16(bits>>16) | 0x40 // a NaN stays one, and quiet
	}
	return uint16((bits + 0x7fff + bits>>16&1) >> 16)
}
