// Package safetensors reads and writes safetensors files, the format in which
// adapters, checkpoints and Hugging Face weights are kept.
//
// A file is a little-endian u64, the length of the header; the header, a JSON
// object padded with spaces; and the data, little-endian and row-major. Each
// member of the header is a tensor,
//
//	"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}
//
// except "__metadata__", which maps strings to strings. The ranges of all
// tensors cover the data without a hole and without an overlap.
//
// [Open] checks all of that, and allocates no more than the file's header
// justifies; values are read when they are asked for. [Write] produces the same bytes for the
// same tensors, those of the reference writer.
//
// Source: the format's description and the Rust crate of
// huggingface/safetensors.
package safetensors

import (
	"encoding/binary"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
)

// DType is the type of a tensor's values, as it is written in the header.
type DType string

// The types whose values this package converts. Tensors of other types can be
// read and written as bytes.
const (
	F64  DType = "F64"
	F32  DType = "F32"
	F16  DType = "F16"
	BF16 DType = "BF16"
	I32  DType = "I32"
)

// dtypes has every known type in the reference writer's order, ascending, with
// the bits of a value.
var dtypes = []struct {
	name DType
	bits int
}{
	{"BOOL", 8}, {"F4", 4}, {"F6_E2M3", 6}, {"F6_E3M2", 6}, {"U8", 8}, {"I8", 8},
	{"F8_E5M2", 8}, {"F8_E4M3", 8}, {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8},
	{"I16", 16}, {"U16", 16}, {F16, 16}, {BF16, 16},
	{I32, 32}, {"U32", 32}, {F32, 32}, {"C64", 64}, {F64, 64}, {"I64", 64}, {"U64", 64},
}

// rank returns the place of t in the writer's order, and the bits of a value.
func (t DType) rank() (rank, bits int, ok bool) {
	for i, d := range dtypes {
		if d.name == t {
			return i, d.bits, true
		}
	}
	return 0, 0, false
}

// Info describes a tensor.
type Info struct {
	DType      DType
	Shape      []int // empty for a scalar
	Begin, End int64 // byte range within the data
}

// NumElements returns the product of the shape, 1 for a scalar.
func (i Info) NumElements() int {
	n := 1
	for _, d := range i.Shape {
		n *= d // cannot overflow: sizeOf has checked it
	}
	return n
}

// File is an open safetensors file. It can be used by several goroutines.
type File struct {
	r        io.ReaderAt
	start    int64 // offset of the data
	tensors  map[string]Info
	metadata map[string]string
	close    func() error
}

// Open opens the file at path and checks its header.
func Open(path string) (*File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: path, Err: fmt.Errorf("not a regular file (%v)", st.Mode().Type())}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	s, err := Read(f, st.Size())
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("safetensors %s: %w", path, err)
	}
	s.close = f.Close
	return s, nil
}

// Read reads the header of a file of size bytes. The File keeps r.
func Read(r io.ReaderAt, size int64) (*File, error) {
	var prefix [8]byte
	if size < int64(len(prefix)) {
		return nil, fmt.Errorf("file of %d bytes is too short", size)
	}
	if _, err := r.ReadAt(prefix[:], 0); err != nil {
		return nil, fmt.Errorf("reading the header length: %w", err)
	}
	n := binary.LittleEndian.Uint64(prefix[:])
	if n > maxHeader {
		return nil, fmt.Errorf("header length %d is above the limit of %d", n, maxHeader)
	}
	if n > uint64(size)-8 {
		return nil, fmt.Errorf("header length %d is beyond the end of a file of %d bytes", n, size)
	}
	raw := make([]byte, n)
	if _, err := r.ReadAt(raw, 8); err != nil {
		return nil, fmt.Errorf("reading the header: %w", err)
	}
	f := &File{r: r, start: 8 + int64(n)}
	var err error
	if f.tensors, f.metadata, err = parseHeader(raw); err != nil {
		return nil, err
	}
	return f, checkCover(f.tensors, size-f.start)
}

// Close closes the file. Values that were read stay valid.
func (f *File) Close() error {
	if f.close == nil {
		return nil
	}
	return f.close()
}

// Names returns the names of all tensors, sorted.
func (f *File) Names() []string { return slices.Sorted(maps.Keys(f.tensors)) }

// Metadata returns a copy of the file's metadata; never nil.
func (f *File) Metadata() map[string]string {
	m := make(map[string]string, len(f.metadata))
	maps.Copy(m, f.metadata)
	return m
}

// Info describes a tensor.
func (f *File) Info(name string) (Info, bool) {
	info, ok := f.tensors[name]
	return info, ok
}

// Shape returns the shape of a tensor.
func (f *File) Shape(name string) ([]int, bool) {
	info, ok := f.tensors[name]
	return info.Shape, ok
}

// Bytes returns the bytes of a tensor as they are in the file, in a slice that
// the caller may keep.
func (f *File) Bytes(name string) ([]byte, error) {
	info, ok := f.tensors[name]
	if !ok {
		return nil, fmt.Errorf("no tensor %q", name)
	}
	raw := make([]byte, info.End-info.Begin)
	if _, err := f.r.ReadAt(raw, f.start+info.Begin); err != nil && len(raw) > 0 {
		return nil, fmt.Errorf("tensor %q: %w", name, err)
	}
	return raw, nil
}

// chunk is the number of bytes that are read and converted at a time.
const chunk = 1 << 16

// Float32s returns the values of a tensor of type F64, F32, F16 or BF16,
// row-major, in a slice that the caller may keep. Values of F64 are rounded.
func (f *File) Float32s(name string) ([]float32, error) {
	info, ok := f.tensors[name]
	if !ok {
		return nil, fmt.Errorf("no tensor %q", name)
	}
	size := floatSize(info.DType)
	if size == 0 {
		return nil, fmt.Errorf("tensor %q: %s is not converted to float32", name, info.DType)
	}
	values := make([]float32, info.NumElements())
	buf := make([]byte, min(chunk, info.End-info.Begin))
	for at := 0; at < len(values); {
		part := values[at:min(len(values), at+chunk/size)]
		raw := buf[:len(part)*size]
		if _, err := f.r.ReadAt(raw, f.start+info.Begin+int64(at*size)); err != nil {
			return nil, fmt.Errorf("tensor %q: %w", name, err)
		}
		decode(part, info.DType, raw)
		at += len(part)
	}
	return values, nil
}

// Int32s returns the values of a tensor of type I32.
func (f *File) Int32s(name string) ([]int32, error) {
	if info, ok := f.tensors[name]; ok && info.DType != I32 {
		return nil, fmt.Errorf("tensor %q: type %s, want %s", name, info.DType, I32)
	}
	raw, err := f.Bytes(name)
	if err != nil {
		return nil, err
	}
	values := make([]int32, len(raw)/4)
	for i := range values {
		values[i] = int32(binary.LittleEndian.Uint32(raw[4*i:]))
	}
	return values, nil
}
