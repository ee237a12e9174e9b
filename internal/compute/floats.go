package compute

import (
	"encoding/binary"
	"math"
	"unsafe"
)

// littleEndian says that floats lie in memory as in messages, so that they can
// be copied, or used where they are.
var littleEndian = binary.NativeEndian.Uint16([]byte{1, 0}) == 1

// appendFloats appends the bytes of values, little-endian.
func appendFloats(b []byte, v []float32) []byte {
	if littleEndian {
		return append(b, unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(v))), 4*len(v))...)
	}
	for _, x := range v {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
	}
	return b
}

// floatsOf returns the values in little-endian bytes: the bytes themselves
// where that is possible.
func floatsOf(b []byte) []float32 {
	data := unsafe.Pointer(unsafe.SliceData(b))
	if n := len(b) / 4; littleEndian && uintptr(data)%4 == 0 {
		return unsafe.Slice((*float32)(data), n)[:n:n]
	}
	return copyFloats(b)
}

// copyFloats returns a copy of the values in little-endian bytes.
func copyFloats(b []byte) []float32 {
	v := make([]float32, len(b)/4)
	for i := range v {
		v[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return v
}
