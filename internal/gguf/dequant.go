package gguf

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/code2lora/code2lora/internal/half"
)

// CanDequantize reports whether [DequantizeRow] decodes the type.
func (t Type) CanDequantize() bool {
	switch t {
	case F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, IQ4_NL, Q4_K, Q5_K, Q6_K:
		return true
	}
	return false
}

// DequantizeRow decodes src, any whole number of blocks, into dst, which must
// have exactly as many values. The formulas are those of ggml's
// dequantize_row_* functions; the results have the same bits on every
// platform.
//
// Products are converted to float32 before they are added: without that, the
// compiler may fuse the two roundings on some architectures.
func DequantizeRow(dst []float32, typ Type, src []byte) error {
	tr, ok := traits[typ]
	if !ok || !typ.CanDequantize() {
		return fmt.Errorf("tensors of type %s cannot be decoded", typ)
	}
	if len(dst)%tr.block != 0 || len(src) != len(dst)/tr.block*tr.size {
		return fmt.Errorf("%s: %d bytes cannot be decoded to %d values", typ, len(src), len(dst))
	}
	switch typ {
	case F32:
		for i := range dst {
			dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(src[4*i:]))
		}
	case F16:
		half.DecodeF16(dst, src)
	case BF16:
		half.DecodeBF16(dst, src)
	case Q4_0:
		dequantQ4_0(dst, src)
	case Q4_1:
		dequantQ4_1(dst, src)
	case Q5_0:
		dequantQ5_0(dst, src)
	case Q5_1:
		dequantQ5_1(dst, src)
	case Q8_0:
		dequantQ8_0(dst, src)
	case IQ4_NL:
		dequantIQ4NL(dst, src)
	case Q4_K:
		dequantQ4K(dst, src)
	case Q5_K:
		dequantQ5K(dst, src)
	case Q6_K:
		dequantQ6K(dst, src)
	}
	return nil
}

// f16 reads the F16 whose bytes are b0 and b1.
func f16(b0, b1 byte) float32 { return half.FromF16(uint16(b0) | uint16(b1)<<8) }

// d, qs[16]: y[i] = d·(lo(qs[i]) − 8), y[i+16] = d·(hi(qs[i]) − 8).
func dequantQ4_0(dst []float32, src []byte) {
	for ; len(dst) >= 32 && len(src) >= 18; dst, src = dst[32:], src[18:] {
		y, b := (*[32]float32)(dst), (*[18]byte)(src)
		d := f16(b[0], b[1])
		for i := range 16 {
			q := b[2+i]
			y[i] = d * float32(int32(q&15)-8)
			y[i+16] = d * float32(int32(q>>4)-8)
		}
	}
}

// d, m, qs[16]: y = d·q + m, in the order of Q4_0.
func dequantQ4_1(dst []float32, src []byte) {
	for ; len(dst) >= 32 && len(src) >= 20; dst, src = dst[32:], src[20:] {
		y, b := (*[32]float32)(dst), (*[20]byte)(src)
		d, m := f16(b[0], b[1]), f16(b[2], b[3])
		for i := range 16 {
			q := b[4+i]
			y[i] = float32(d*float32(q&15)) + m
			y[i+16] = float32(d*float32(q>>4)) + m
		}
	}
}

// d, qh u32, qs[16]: bit i of qh is the fifth bit of value i; y = d·(q − 16).
func dequantQ5_0(dst []float32, src []byte) {
	for ; len(dst) >= 32 && len(src) >= 22; dst, src = dst[32:], src[22:] {
		y, b := (*[32]float32)(dst), (*[22]byte)(src)
		d := f16(b[0], b[1])
		qh := binary.LittleEndian.Uint32(b[2:6])
		for i := range 16 {
			q := uint32(b[6+i])
			lo := q&15 | qh<<4&16
			hi := q>>4 | qh>>12&16
			y[i] = d * float32(int32(lo)-16)
			y[i+16] = d * float32(int32(hi)-16)
			qh >>= 1
		}
	}
}

// d, m, qh u32, qs[16]: y = d·q + m, with q as in Q5_0.
func dequantQ5_1(dst []float32, src []byte) {
	for ; len(dst) >= 32 && len(src) >= 24; dst, src = dst[32:], src[24:] {
		y, b := (*[32]float32)(dst), (*[24]byte)(src)
		d, m := f16(b[0], b[1]), f16(b[2], b[3])
		qh := binary.LittleEndian.Uint32(b[4:8])
		for i := range 16 {
			q := uint32(b[8+i])
			lo := q&15 | qh<<4&16
			hi := q>>4 | qh>>12&16
			y[i] = float32(d*float32(int32(lo))) + m
			y[i+16] = float32(d*float32(int32(hi))) + m
			qh >>= 1
		}
	}
}

// d, int8 qs[32]: y = d·q.
func dequantQ8_0(dst []float32, src []byte) {
	for ; len(dst) >= 32 && len(src) >= 34; dst, src = dst[32:], src[34:] {
		y, b := (*[32]float32)(dst), (*[34]byte)(src)
		d := f16(b[0], b[1])
		for i := range 32 {
			y[i] = d * float32(int8(b[2+i]))
		}
	}
}

// iq4nl holds the values of the 16 codes of IQ4_NL.
var iq4nl = [16]float32{-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113}

// d, qs[16]: y = d·iq4nl[q], in the order of Q4_0.
func dequantIQ4NL(dst []float32, src []byte) {
	for ; len(dst) >= 32 && len(src) >= 18; dst, src = dst[32:], src[18:] {
		y, b := (*[32]float32)(dst), (*[18]byte)(src)
		d := f16(b[0], b[1])
		for i := range 16 {
			q := b[2+i]
			y[i] = d * iq4nl[q&15]
			y[i+16] = d * iq4nl[q>>4]
		}
	}
}

// kScale unpacks the 6-bit scale and minimum of sub-block j from the 12 bytes
// s of a Q4_K or Q5_K block.
func kScale(s *[12]byte, j int) (scale, minimum float32) {
	if j < 4 {
		return float32(s[j] & 63), float32(s[j+4] & 63)
	}
	return float32(s[j+4]&15 | s[j-4]>>6<<4), float32(s[j+4]>>4 | s[j]>>6<<4)
}

// d, dmin, scales[12], qs[128]: 32 bytes of qs hold two sub-blocks of 32, the
// first in the low halves; y = d·scale·q − dmin·minimum.
func dequantQ4K(dst []float32, src []byte) {
	for ; len(dst) >= 256 && len(src) >= 144; dst, src = dst[256:], src[144:] {
		b := (*[144]byte)(src)
		d, dmin := f16(b[0], b[1]), f16(b[2], b[3])
		s := (*[12]byte)(b[4:])
		for j := range 4 {
			y, qs := (*[64]float32)(dst[64*j:]), (*[32]byte)(b[16+32*j:])
			sc, mn := kScale(s, 2*j)
			d0, m0 := d*sc, dmin*mn
			sc, mn = kScale(s, 2*j+1)
			d1, m1 := d*sc, dmin*mn
			for l, q := range qs {
				y[l] = float32(d0*float32(q&15)) - m0
				y[l+32] = float32(d1*float32(q>>4)) - m1
			}
		}
	}
}

// d, dmin, scales[12], qh[32], qs[128]: as Q4_K; bit j of qh[l] is the fifth
// bit of value l of sub-block j.
func dequantQ5K(dst []float32, src []byte) {
	for ; len(dst) >= 256 && len(src) >= 176; dst, src = dst[256:], src[176:] {
		b := (*[176]byte)(src)
		d, dmin := f16(b[0], b[1]), f16(b[2], b[3])
		s, qh := (*[12]byte)(b[4:]), (*[32]byte)(b[16:])
		for j := range 4 {
			y, qs := (*[64]float32)(dst[64*j:]), (*[32]byte)(b[48+32*j:])
			sc, mn := kScale(s, 2*j)
			d0, m0 := d*sc, dmin*mn
			sc, mn = kScale(s, 2*j+1)
			d1, m1 := d*sc, dmin*mn
			shift := uint(2 * j)
			for l, q := range qs {
				h := qh[l] >> shift
				y[l] = float32(d0*float32(q&15|h<<4&16)) - m0
				y[l+32] = float32(d1*float32(q>>4|h<<3&16)) - m1
			}
		}
	}
}

// ql[128], qh[64], int8 scales[16], d: two halves of 128 values, each of four
// groups of 32, whose low four bits are in ql and high two bits in qh; 16
// values share a scale; y = d·scale·(q − 32).
func dequantQ6K(dst []float32, src []byte) {
	for ; len(dst) >= 256 && len(src) >= 210; dst, src = dst[256:], src[210:] {
		b := (*[210]byte)(src)
		d := f16(b[208], b[209])
		for k := range 2 {
			y := (*[128]float32)(dst[128*k:])
			ql, qh := (*[64]byte)(b[64*k:]), (*[32]byte)(b[128+32*k:])
			var sc [8]float32
			for i := range sc {
				sc[i] = d * float32(int8(b[192+8*k+i]))
			}
			for l, h := range qh {
				i, q0, q1 := l/16, ql[l], ql[l+32]
				y[l] = sc[i] * float32(int32(q0&15|h&3<<4)-32)
				y[l+32] = sc[i+2] * float32(int32(q1&15|h>>2&3<<4)-32)
				y[l+64] = sc[i+4] * float32(int32(q0>>4|h>>4&3<<4)-32)
				y[l+96] = sc[i+6] * float32(int32(q1>>4|h>>6<<4)-32)
			}
		}
	}
}
