package gguf

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/code2lora/code2lora/internal/half"
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
		half.EncodeF16(dst, src)
	case BF16:
		half.EncodeBF16(dst, src)
	case Q8_0:
		quantQ8_0(dst, src)
	}
	return nil
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
		binary.LittleEndian.PutUint16(b[:], half.ToF16(d))
		for i, v := range x {
			b[2+i] = byte(int8(math.Round(float64(v * inverse))))
		}
	}
}
