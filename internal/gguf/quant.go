package gguf

import (
	"encoding/binary"
	"fmt"
	"math"
)

// CanQuantize reports whether [QuantizeRow] encodes the type.
func (t Type) CanQuantize() bool { return t == F32 || t == F16 || t == BF16 || t == Q8_0 }

// QuantizeRow encodes src, any whole number of blocks, into dst, which must
// have exactly [Type.RowSize] bytes. F16 and BF16 round to the nearest even;
// values beyond the range of F16 become infinite.
func QuantizeRow(dst []byte, typ Type, src []float32) error {
	if !typ.CanQuantize() {
		return fmt.Errorf("tensors of type %s cannot be encoded: want F32, F16, BF16 or Q8_0", typ)
	}
	size, err := typ.RowSize(len(src))
	if err != nil {
		return err
	}
	if len(dst) != size {
		return fmt.Errorf("%s: %d values cannot be encoded to %d bytes, want %d", typ, len(src), len(dst), size)
	}
	switch typ {
	case F32:
		for i, v := range src {
			binary.LittleEndian.PutUint32(dst[4*i:], math.Float32bits(v))
		}
	case F16:
		for i, v := range src {
			binary.LittleEndian.PutUint16(dst[2*i:], toF16(v))
		}
	case BF16:
		for i, v := range src {
			binary.LittleEndian.PutUint16(dst[2*i:], toBF16(v))
		}
	case Q8_0:
		quantQ8_0(dst, src)
	}
	return nil
}

// toF16 rounds to the nearest IEEE half, ties to even.
func toF16(v float32) uint16 {
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

// toBF16 rounds to the nearest bfloat16, ties to even.
func toBF16(v float32) uint16 {
	bits := math.Float32bits(v)
	if bits&0x7fffffff > 0xff<<23 {
		return uint16(bits>>16) | 0x40 // a NaN stays one, and quiet
	}
	return uint16((bits + 0x7fff + bits>>16&1) >> 16)
}

// quantQ8_0 stores d = max|x|/127 and q = x/d, rounded away from zero at ties.
func quantQ8_0(dst []byte, src []float32) {
	for ; len(src) >= 32 && len(dst) >= 34; dst, src = dst[34:], src[32:] {
		x, b := (*[32]float32)(src), (*[34]byte)(dst)
		var peak float32
		for _, v := range x {
			peak = max(peak, v, -v)
		}
		d := peak / 127
		var inverse float32
		if d != 0 {
			inverse = 1 / d
		}
		binary.LittleEndian.PutUint16(b[:], toF16(d))
		for i, v := range x {
			b[2+i] = byte(int8(math.Round(float64(v * inverse))))
		}
	}
}
