package kernel

import (
	"encoding/binary"
	"math"
)

// In the precision Int8 dx = dy·W runs on int8 as well. Its sums go down the
// columns of W, whose neighbours share no scale, so Wᵀ is quantised again: each
// 32 neighbours of a column to int8 with a scale of their own, in the packing
// of the format Q8_0.

// quantisedBackward reports whether Backward runs on codes.
func (f *Frozen) quantisedBackward() bool { return f.quantised() && f.out%quantBlock == 0 }

// packQuantBackward makes the packing of Wᵀ (in, out). It reads 32 rows of W at
// a time, a block of every column.
func (f *Frozen) packQuantBackward() *quantPanels {
	defer f.done()
	p := newQuantPanels(Q8_0, f.in, f.out)
	t, step := p.trait(), quantStep(f.out)
	Parallel(f.out/quantBlock, func(b int) {
		rows := packBuffer(quantBlock * f.in)
		defer packBuffers.Put(rows)
		for j := range quantBlock {
			f.source.Row((*rows)[j*f.in:][:f.in:f.in], b*quantBlock+j)
		}
		begin := b * quantBlock / step * step // of the part of a panel
		scales, codes := t.part(begin, min(step, f.out-begin))
		at := b - begin/quantBlock
		scales, codes = scales+at*t.scaleBytes()/8, codes+at*t.codeBytes()
		var column [quantBlock]float32
		var q [quantBlock]uint8
		for i := range f.in {
			for j := range column {
				column[j] = (*rows)[j*f.in+i]
			}
			panel := p.data[i/panelWidth*p.size:][:p.size]
			binary.LittleEndian.PutUint16(panel[scales+2*(i%panelWidth):], quantiseBlock(&q, &column))
			packCodes(panel[codes:], q[:], i%panelWidth, t.bits)
		}
	})
	return p
}

// quantiseBlock turns 32 weights into codes of Q8_0 as they are packed, 128
// above what they stand for, and returns the scale in half precision.
func quantiseBlock(q *[quantBlock]uint8, w *[quantBlock]float32) uint16 {
	var most float32
	for _, v := range w {
		most = max(most, v, -v)
	}
	scale := positiveHalf(most / 127)
	inverse := float32(0)
	if d := halfFloat(scale); d > 0 {
		inverse = 1 / d
	}
	for j, v := range w {
		v = min(max(v*inverse, -127), 127)
		q[j] = uint8(int8(math.RoundToEven(float64(v)))) ^ 0x80
	}
	return scale
}

// positiveHalf rounds a number that is not negative to half precision, to
// nearest, ties to even; what is too large becomes the largest finite number.
func positiveHalf(v float32) uint16 {
	if v < 0x1p-14 { // subnormal: a multiple of 2⁻²⁴
		return uint16(math.RoundToEven(float64(v) * 0x1p24))
	}
	b := math.Float32bits(min(v, 65504))
	return uint16((b - (127-15)<<23 + 0xfff + b>>13&1) >> 13)
}
