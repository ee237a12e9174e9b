package safetensors

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/code2lora/code2lora/internal/half"
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
		half.DecodeF16(dst, raw)
	case BF16:
		half.DecodeBF16(dst, raw)
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
			h := half.ToF16(v)
			if finite && h&0x7c00 == 0x7c00 {
				return fmt.Errorf("value %d is %g, beyond the range of F16: use BF16 or F32", i, v)
			}
			le.PutUint16(raw[2*i:], h)
		case BF16:
			h := half.ToBF16(v)
			if finite && h&0x7f80 == 0x7f80 {
				return fmt.Errorf("value %d is %g, beyond the range of BF16: use F32", i, v)
			}
			le.PutUint16(raw[2*i:], h)
		}
	}
	return nil
}
