package kernel

import (
	"encoding/binary"
	"fmt"
)

// quantBlock is the number of neighbours in a sum that are multiplied as
// integers before the sum goes on in float32.
const quantBlock = 32

// quantPanels is a matrix W (out, in) of quantised weights in panels of 16
// rows, the last one filled up with zeros. A panel is a section of codes and a
// section of scales.
//
// Codes: for each 32 columns, 16·32 codes in groups g = 0..7 of 4 columns, of
// which byte 4·j+c is the code of row j, column 4·g+c. They are split into
// planes:
//
//   - 8 bits: the groups, 64 bytes each;
//   - 4 bits: byte i of group g in the lower half of byte i of part g, and of
//     group g+4 in the upper half, 4 parts of 64 bytes;
//   - 5 bits: the same for the low four bits, then 8 words of 64 bits, of which
//     bit i of word g is the fifth bit of byte i of group g;
//   - 6 bits: the same for the low four bits, then 2 parts of 64 bytes, of
//     which byte i of part h holds the high bits of byte i of the groups
//     4·h .. 4·h+3, from the lowest bits on.
//
// Scales, each for the 16 rows: halfScale and halfPair have for each 32 columns
// the scales, then the offsets; superPair has for each 256 columns scales and
// offsets in half precision, then 8 times scales and 8 times minimums in
// bytes; superOne has scales in half precision, then 16 times scales in bytes.
type quantPanels struct {
	format BlockFormat
	in     int
	size   int // bytes of a panel
	scales int // where the scales begin in it
	data   []byte
}

func (t *blockTrait) codeBytes() int { return panelWidth * quantBlock * t.bits / 8 }

// panelSize returns where the scales of a panel begin, and its size.
func (t *blockTrait) panelSize(in int) (scales, size int) {
	scales = in / quantBlock * t.codeBytes()
	switch t.kind {
	case halfScale:
		size = in / 32 * 32
	case halfPair:
		size = in / 32 * 64
	case superPair:
		size = in / 256 * (64 + 256)
	case superOne:
		size = in / 256 * (32 + 256)
	}
	return scales, ceilDiv(scales+size, 64) * 64
}

// packQuant packs the rows of a matrix (out, in), each as stored in format f.
func packQuant(f BlockFormat, out, in int, row func(i int) []byte) *quantPanels {
	t := &blockTraits[f]
	p := &quantPanels{format: f, in: in}
	p.scales, p.size = t.panelSize(in)
	p.data = alignedBytes(ceilDiv(out, panelWidth) * p.size)
	Parallel(ceilDiv(out, panelWidth), func(q int) {
		panel, r := p.data[q*p.size:][:p.size], newRowCodes(t, in)
		for j := range min(panelWidth, out-q*panelWidth) {
			stored := row(q*panelWidth + j)
			if len(stored) != t.rowSize(in) {
				panic(fmt.Sprintf("kernel: a row of %d weights in format %v has %d bytes, want %d", in, f, len(stored), t.rowSize(in)))
			}
			r.decode(f, stored)
			packCodes(panel[:p.scales], r.codes, j, t.bits)
			t.packScales(panel[p.scales:], r, j)
		}
	})
	return p
}

// packCodes puts the codes of row j of a panel into their places, which hold
// zeros.
func packCodes(dst []byte, codes []uint8, j, bits int) {
	size := panelWidth * quantBlock * bits / 8
	for b := 0; b < len(codes); b += quantBlock {
		block := dst[b/quantBlock*size:][:size]
		for k, q := range codes[b:][:quantBlock] {
			g, i := k/4, 4*j+k%4
			if bits == 8 {
				block[64*g+i] = q
				continue
			}
			block[64*(g%4)+i] |= q & 15 << (g / 4 * 4)
			switch bits {
			case 5:
				block[256+8*g+i/8] |= q >> 4 << (i % 8)
			case 6:
				block[256+64*(g/4)+i] |= q >> 4 << (g % 4 * 2)
			}
		}
	}
}

func (t *blockTrait) packScales(dst []byte, r *rowCodes, j int) {
	for b, s := range r.scale {
		switch t.kind {
		case halfScale:
			binary.LittleEndian.PutUint16(dst[32*b+2*j:], s)
		case halfPair:
			binary.LittleEndian.PutUint16(dst[64*b+2*j:], s)
			binary.LittleEndian.PutUint16(dst[64*b+32+2*j:], r.offset[b])
		case superPair:
			d := dst[320*b:][:320]
			binary.LittleEndian.PutUint16(d[2*j:], s)
			binary.LittleEndian.PutUint16(d[32+2*j:], r.offset[b])
			for i := range 8 {
				d[64+16*i+j], d[192+16*i+j] = r.small[8*b+i], r.smaller[8*b+i]
			}
		case superOne:
			d := dst[288*b:][:288]
			binary.LittleEndian.PutUint16(d[2*j:], s)
			for i := range 16 {
				d[32+16*i+j] = r.small[16*b+i]
			}
		}
	}
}

// alignedBytes returns n zeros that start at a cache line.
func alignedBytes(n int) []byte {
	f := aligned(ceilDiv(n, 4))
	if len(f) == 0 {
		return nil
	}
	return floatBytes(f)[:n:n]
}
