package kernel

import (
	"encoding/binary"
	"fmt"
	"runtime"
)

// quantBlock is the number of neighbours in a sum that are multiplied as
// integers before the sum goes on in float32.
const quantBlock = 32

// quantPanels is a matrix W (out, in) of quantised weights in panels of 16
// rows, the last one filled up with zeros. A panel is cut at every quantStep
// columns; of each part come the scales, then the codes, so that a product reads
// memory in order.
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
	size   int // bytes of a panel
	data   []byte
}

func (t *blockTrait) codeBytes() int { return panelWidth * quantBlock * t.bits / 8 }

// scaleBytes returns the size of the scales of 256 columns of a panel.
func (t *blockTrait) scaleBytes() int {
	return [...]int{halfScale: 8 * 32, halfPair: 8 * 64, superPair: 64 + 256, superOne: 32 + 256}[t.kind]
}

// part returns where the scales and the codes of columns k .. k+n-1 of a panel
// begin, k and n being those of a part. Parts have their size but for the last.
func (t *blockTrait) part(k, n int) (scales, codes int) {
	size := func(n int) int { return ceilDiv(n/quantBlock*t.scaleBytes()/8, 64) * 64 }
	scales = k / quantBlock * t.codeBytes()
	if k > 0 {
		step := size(k) // parts before this one are multiples of 256 columns, whose scales need no filling
		scales += step
	}
	return scales, scales + size(n)
}

// panelSize returns the size of a panel.
func (t *blockTrait) panelSize(in int) int {
	step := quantStep(in)
	last := (in - 1) / step * step
	_, codes := t.part(last, in-last)
	return codes + (in-last)/quantBlock*t.codeBytes()
}

// newQuantPanels returns panels for a matrix (out, in), of zeros.
func newQuantPanels(f BlockFormat, out, in int) *quantPanels {
	p := &quantPanels{format: f, size: blockTraits[f].panelSize(in)}
	if n := ceilDiv(out, panelWidth) * p.size; n > 0 {
		data, free := reserve(n)
		p.data = data
		runtime.AddCleanup(p, func(free func()) { free() }, free)
	}
	return p
}

// packQuant packs the rows of a matrix (out, in), each as stored in format f.
func packQuant(f BlockFormat, out, in int, row func(i int) []byte) *quantPanels {
	t := &blockTraits[f]
	p := newQuantPanels(f, out, in)
	step := quantStep(in)
	Parallel(ceilDiv(out, panelWidth), func(q int) {
		panel, r := p.data[q*p.size:][:p.size], newRowCodes(t, in)
		for j := range min(panelWidth, out-q*panelWidth) {
			stored := row(q*panelWidth + j)
			if len(stored) != t.rowSize(in) {
				panic(fmt.Sprintf("kernel: a row of %d weights in format %v has %d bytes, want %d", in, f, len(stored), t.rowSize(in)))
			}
			r.decode(f, stored)
			for k := 0; k < in; k += step {
				n := min(step, in-k)
				scales, codes := t.part(k, n)
				packCodes(panel[codes:], r.codes[k:k+n], j, t.bits)
				t.packScales(panel[scales:], r, j, k, n)
			}
		}
	})
	return p
}

// packCodes puts the codes of row j of a panel into their places, which hold
// zeros. It works on the four codes of a group at a time.
func packCodes(dst []byte, codes []uint8, j, bits int) {
	size := panelWidth * quantBlock * bits / 8
	for b := 0; b < len(codes); b += quantBlock {
		block := dst[b/quantBlock*size:][:size]
		var w [8]uint32
		for g := range w {
			w[g] = binary.LittleEndian.Uint32(codes[b+4*g:])
		}
		if bits == 8 {
			for g, v := range w {
				binary.LittleEndian.PutUint32(block[64*g+4*j:], v)
			}
			continue
		}
		for g := range 4 {
			binary.LittleEndian.PutUint32(block[64*g+4*j:], w[g]&0x0f0f0f0f|w[g+4]&0x0f0f0f0f<<4)
		}
		switch bits {
		case 5:
			for g, v := range w {
				// The product gathers bits 0, 8, 16 and 24 in bits 24 to 27.
				high := v >> 4 & 0x01010101 * 0x01020408 >> 24 & 15
				block[256+8*g+j/2] |= uint8(high) << (j % 2 * 4)
			}
		case 6:
			for h := range 2 {
				var v uint32
				for p := range 4 {
					v |= w[4*h+p] >> 4 & 0x03030303 << (2 * p)
				}
				binary.LittleEndian.PutUint32(block[256+64*h+4*j:], v)
			}
		}
	}
}

// packScales puts the scales of columns k .. k+n-1 of row j into their places.
func (t *blockTrait) packScales(dst []byte, r *rowCodes, j, k, n int) {
	scale, offset := r.scale[k/t.block:(k+n)/t.block], r.offset[k/t.block:]
	small, smaller := r.small[k/16:], r.smaller[k/32:]
	if t.kind == superPair {
		small = r.small[k/32:]
	}
	for b, s := range scale {
		switch t.kind {
		case halfScale:
			binary.LittleEndian.PutUint16(dst[32*b+2*j:], s)
		case halfPair:
			binary.LittleEndian.PutUint16(dst[64*b+2*j:], s)
			binary.LittleEndian.PutUint16(dst[64*b+32+2*j:], offset[b])
		case superPair:
			d := dst[320*b:][:320]
			binary.LittleEndian.PutUint16(d[2*j:], s)
			binary.LittleEndian.PutUint16(d[32+2*j:], offset[b])
			for i := range 8 {
				d[64+16*i+j], d[192+16*i+j] = small[8*b+i], smaller[8*b+i]
			}
		case superOne:
			d := dst[288*b:][:288]
			binary.LittleEndian.PutUint16(d[2*j:], s)
			for i := range 16 {
				d[32+16*i+j] = small[16*b+i]
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
