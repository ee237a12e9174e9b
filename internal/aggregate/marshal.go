package aggregate

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
)

// sumsMagic begins the binary form of a Sums. All numbers are little-endian:
//
//	"c2lsums1"
//	Dim, Cross, elements (1 maxima, 2 second moments), count   uint32 each
//	Σx       (Dim) of 16 bytes: two's complement, in 2^-64
//	maxima   (Dim) float32, then (Dim) uint32 with their counts
//	Σxxᵀ     lower triangle by rows, as Σx
//	Σxyᵀ     (Dim, Cross), as Σx
const sumsMagic = "c2lsums1"

const sumsHeader = len(sumsMagic) + 16

const (
	hasMax = 1 << iota
	hasSecond
)

// binarySize is the number of bytes of the sums with these options.
func (o Options) binarySize() int {
	n := sumsHeader + 16*(o.Dim+o.secondCells()+o.Dim*o.Cross)
	if o.Max {
		n += 8 * o.Dim
	}
	return n
}

// MarshalBinary implements [encoding.BinaryMarshaler]. Equal sums have equal
// bytes. Sums that aren't settled have no binary form.
func (s *Sums) MarshalBinary() ([]byte, error) {
	if !s.Settled() {
		return nil, ErrUnsettled
	}
	elements := uint32(0)
	if s.opt.Max {
		elements |= hasMax
	}
	if s.opt.Second {
		elements |= hasSecond
	}
	b := append(make([]byte, 0, s.opt.binarySize()), sumsMagic...)
	for _, n := range []uint32{uint32(s.opt.Dim), uint32(s.opt.Cross), elements, uint32(s.count)} {
		b = binary.LittleEndian.AppendUint32(b, n)
	}
	for _, f := range s.sum {
		b = f.append(b)
	}
	for _, m := range s.max {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(m))
	}
	for _, n := range s.with {
		b = binary.LittleEndian.AppendUint32(b, uint32(n))
	}
	for _, f := range s.second {
		b = f.append(b)
	}
	for _, f := range s.cross {
		b = f.append(b)
	}
	return b, nil
}

// UnmarshalBinary implements [encoding.BinaryUnmarshaler]. It refuses what no
// vectors can have given, with [ErrCorrupt].
func (s *Sums) UnmarshalBinary(data []byte) error {
	if len(data) < sumsHeader || !bytes.HasPrefix(data, []byte(sumsMagic)) {
		return fmt.Errorf("%w: it doesn't begin with %q and a header", ErrCorrupt, sumsMagic)
	}
	var head [4]uint32
	for i := range head {
		head[i] = binary.LittleEndian.Uint32(data[len(sumsMagic)+4*i:])
	}
	o := Options{Dim: int(head[0]), Cross: int(head[1]), Max: head[2]&hasMax != 0, Second: head[2]&hasSecond != 0}
	if err := o.Validate(); err != nil {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	if head[2] > hasMax|hasSecond || head[3] > MaxCount || len(data) != o.binarySize() {
		return fmt.Errorf("%w: %d bytes of %+v, elements %d, with %d vectors; want %d bytes", ErrCorrupt, len(data), o, head[2], head[3], o.binarySize())
	}
	r := newSums(o)
	r.count = int64(head[3])
	data = data[sumsHeader:]
	fill := func(f []fixed) {
		for i := range f {
			f[i], data = readFixed(data), data[16:]
		}
	}
	fill(r.sum)
	for i := range r.max {
		r.max[i], data = math.Float32frombits(binary.LittleEndian.Uint32(data)), data[4:]
	}
	for i := range r.with {
		r.with[i], data = int64(binary.LittleEndian.Uint32(data)), data[4:]
	}
	fill(r.second)
	fill(r.cross)
	if err := r.plausible(); err != nil {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	*s = *r
	return nil
}
