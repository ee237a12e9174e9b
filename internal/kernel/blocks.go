package kernel

import (
	"encoding/binary"
	"fmt"
)

// BlockFormat is a storage format of quantised weights: blocks of ggml, whose
// layouts ggml-common.h defines. In all of them a weight is scale·code +
// offset, with a code of few bits, and a scale and offset that neighbours
// share.
type BlockFormat int

// The formats that products run on. The zero value means none of them.
const (
	Q4_0 BlockFormat = 1 + iota
	Q4_1
	Q5_0
	Q5_1
	Q8_0
	Q4_K
	Q5_K
	Q6_K
	IQ4_NL
)

// scaleKind is how a format stores scales and offsets.
type scaleKind int

const (
	halfScale scaleKind = iota // a half-precision scale for 32 weights; offset = scale·zero
	halfPair                   // a half-precision scale and offset for 32 weights
	superPair                  // 8 bytes each of scales and minimums for 256 weights, times two half-precision numbers
	superOne                   // 16 signed bytes of scales for 256 weights, times a half-precision number; offset = scale·zero
)

// blockTrait describes a format, as stored (block, size) and as packed.
type blockTrait struct {
	name        string
	block, size int // weights and bytes of a stored block
	bits        int // of a packed code: 4, 5, 6 or 8
	kind        scaleKind
	zero        float32 // offset/scale, when that is constant
}

var blockTraits = [...]blockTrait{
	Q4_0:   {"Q4_0", 32, 18, 4, halfScale, -8},
	Q4_1:   {"Q4_1", 32, 20, 4, halfPair, 0},
	Q5_0:   {"Q5_0", 32, 22, 5, halfScale, -16},
	Q5_1:   {"Q5_1", 32, 24, 5, halfPair, 0},
	Q8_0:   {"Q8_0", 32, 34, 8, halfScale, -128},
	Q4_K:   {"Q4_K", 256, 144, 4, superPair, 0},
	Q5_K:   {"Q5_K", 256, 176, 5, superPair, 0},
	Q6_K:   {"Q6_K", 256, 210, 6, superOne, -32},
	IQ4_NL: {"IQ4_NL", 32, 18, 8, halfScale, -128},
}

// ParseBlockFormat returns the format with ggml's name for it, such as "Q4_K".
func ParseBlockFormat(name string) (f BlockFormat, ok bool) {
	for i, t := range blockTraits {
		if i > 0 && t.name == name {
			return BlockFormat(i), true
		}
	}
	return 0, false
}

// String returns ggml's name for the format.
func (f BlockFormat) String() string {
	if f <= 0 || int(f) >= len(blockTraits) {
		return fmt.Sprintf("BlockFormat(%d)", int(f))
	}
	return blockTraits[f].name
}

// rowSize returns the number of bytes in which the format stores n weights.
func (t *blockTrait) rowSize(n int) int { return n / t.block * t.size }

// rowCodes is one row of a matrix taken apart: a code for every weight, and
// the scales in the form of the format's kind.
type rowCodes struct {
	codes          []uint8
	scale, offset  []uint16 // half precision, for each 32 weights or each 256
	small, smaller []uint8  // superPair: scale and minimum for each 32 weights; superOne: scale for each 16
}

func newRowCodes(t *blockTrait, in int) *rowCodes {
	return &rowCodes{
		codes: make([]uint8, in), scale: make([]uint16, in/t.block), offset: make([]uint16, in/t.block),
		small: make([]uint8, in/16), smaller: make([]uint8, in/32),
	}
}

// decode takes a stored row apart.
func (r *rowCodes) decode(f BlockFormat, src []byte) {
	t := &blockTraits[f]
	for b := range r.scale {
		s, q := src[b*t.size:][:t.size], r.codes[b*t.block:][:t.block]
		switch f {
		case Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, IQ4_NL:
			r.scale[b] = binary.LittleEndian.Uint16(s)
			r.decode32(f, b, s[2:], q)
		case Q4_K, Q5_K:
			r.scale[b] = binary.LittleEndian.Uint16(s)
			r.offset[b] = binary.LittleEndian.Uint16(s[2:]) ^ 0x8000 // the minimum is subtracted
			for j := range 8 {
				r.small[8*b+j], r.smaller[8*b+j] = pairOfScales(s[4:16], j)
			}
			if f == Q4_K {
				decodeQ4K(q, s[16:], nil)
			} else {
				decodeQ4K(q, s[48:], s[16:48])
			}
		case Q6_K:
			r.scale[b] = binary.LittleEndian.Uint16(s[208:])
			copy(r.small[16*b:][:16], s[192:208])
			decodeQ6K(q, s)
		}
	}
}

// iq4nl holds the values of the 16 codes of IQ4_NL, plus 128.
var iq4nl = [16]uint8{1, 24, 45, 63, 79, 93, 106, 118, 129, 141, 153, 166, 181, 197, 217, 241}

// decode32 decodes what follows the scale in a block of 32 weights.
func (r *rowCodes) decode32(f BlockFormat, b int, s []byte, q []uint8) {
	if blockTraits[f].kind == halfPair {
		r.offset[b] = binary.LittleEndian.Uint16(s)
		s = s[2:]
	}
	var high uint32
	if f == Q5_0 || f == Q5_1 {
		high = binary.LittleEndian.Uint32(s)
		s = s[4:]
	}
	if f == Q8_0 {
		for i := range q {
			q[i] = s[i] ^ 0x80
		}
		return
	}
	if f == IQ4_NL {
		for i, v := range s[:16] {
			q[i], q[i+16] = iq4nl[v&15], iq4nl[v>>4]
		}
		return
	}
	const low = 0x0f0f0f0f0f0f0f0f
	for i := 0; i < 16; i += 8 {
		v := binary.LittleEndian.Uint64(s[i:])
		binary.LittleEndian.PutUint64(q[i:], v&low|spread(high>>i)<<4)
		binary.LittleEndian.PutUint64(q[i+16:], v>>4&low|spread(high>>(i+16))<<4)
	}
}

// spread puts each of the low 8 bits of b into the lowest bit of a byte.
func spread(b uint32) uint64 {
	v := uint64(b&0xff) * 0x0101010101010101 & 0x8040201008040201
	return (v + 0x00406070787c7e7f) >> 7 & 0x0101010101010101
}

// pairOfScales unpacks the 6-bit scale and minimum of sub-block j of Q4_K and
// Q5_K.
func pairOfScales(s []byte, j int) (scale, minimum uint8) {
	if j < 4 {
		return s[j] & 63, s[j+4] & 63
	}
	return s[j+4]&15 | s[j-4]>>6<<4, s[j+4]>>4 | s[j]>>6<<4
}

// decodeQ4K decodes 256 codes, 64 from each 32 bytes of s; bit j of high[l] is
// the fifth bit of code l of sub-block j.
func decodeQ4K(q []uint8, s, high []byte) {
	const low, one = 0x0f0f0f0f0f0f0f0f, 0x0101010101010101
	for j := range 4 {
		for l := 0; l < 32; l += 8 {
			v := binary.LittleEndian.Uint64(s[32*j+l:])
			lo, hi := v&low, v>>4&low
			if high != nil {
				h := binary.LittleEndian.Uint64(high[l:]) >> (2 * j)
				lo |= h & one << 4
				hi |= h >> 1 & one << 4
			}
			binary.LittleEndian.PutUint64(q[64*j+l:], lo)
			binary.LittleEndian.PutUint64(q[64*j+32+l:], hi)
		}
	}
}

// decodeQ6K decodes 256 codes: the low four bits are in s[:128], the high two
// in s[128:192].
func decodeQ6K(q []uint8, s []byte) {
	const low, two = 0x0f0f0f0f0f0f0f0f, 0x0303030303030303
	for k := range 2 {
		for l := 0; l < 32; l += 8 {
			h := binary.LittleEndian.Uint64(s[128+32*k+l:])
			v0, v1 := binary.LittleEndian.Uint64(s[64*k+l:]), binary.LittleEndian.Uint64(s[64*k+32+l:])
			for i, v := range [4]uint64{v0 & low, v1 & low, v0 >> 4 & low, v1 >> 4 & low} {
				binary.LittleEndian.PutUint64(q[128*k+32*i+l:], v|h>>(2*i)&two<<4)
			}
		}
	}
}
