// Package gguf reads and writes GGUF files, the container of llama.cpp, in
// versions 2 and 3, and decodes their quantised tensors.
//
// A file is, little-endian throughout:
//
//	"GGUF", u32 version, u64 number of tensors, u64 number of pairs
//	metadata pairs: key, u32 value type, value
//	tensor infos: name, u32 number of dims, u64 dims, u32 type, u64 offset
//	padding to general.alignment (32 when the key is absent)
//	tensor data, each tensor at a multiple of the alignment
//
// Dimensions are in "ne" order: the fastest varying first, so that a matrix of
// out×in, stored row-major, has Dims [in, out].
//
// [Open] maps the file, and reads metadata values only when they are asked
// for. It trusts nothing: counts, lengths, offsets and types are checked
// before anything is allocated or sliced, and the memory used is a small
// multiple of the length of the file's header.
//
// Sources: gguf.cpp, ggml-quants.c and gguf-py/gguf of ggml-org/llama.cpp.
package gguf

import (
	"encoding/binary"
	"fmt"
	"io/fs"
	"math"
	"os"
)

const (
	magic            = "GGUF"
	version          = 3 // the version that is written
	defaultAlignment = 32
	alignmentKey     = "general.alignment"
	maxDims          = 4       // GGML_MAX_DIMS
	maxNameLen       = 63      // GGML_MAX_NAME without its terminator
	maxKeyLen        = 1 << 16 // of the format's specification
	minPairSize      = 8 + 4 + 1
	minTensorSize    = 8 + 4 + 4 + 8
)

// TensorInfo describes one tensor of a file.
type TensorInfo struct {
	Name   string
	Dims   []uint64 // ne order: fastest varying first
	Type   Type
	Offset uint64 // in bytes, from the start of the data section
	Size   uint64 // in bytes
}

// NumElements returns the product of the dimensions.
func (t TensorInfo) NumElements() uint64 {
	n := uint64(1)
	for _, d := range t.Dims {
		n *= d // cannot overflow: sizeOf has checked it
	}
	return n
}

// File is an open GGUF file. It can be used by several goroutines; nothing
// that its methods return, except [File.Data] and the values of [File.KVs],
// refers to the mapping.
type File struct {
	Version   uint32
	Alignment uint64

	kvs     []KV
	byKey   map[string]int
	tensors []TensorInfo
	byName  map[string]int
	data    []byte // the data section
	unmap   func() error
}

// Open maps the file at path. The file must not be truncated or overwritten
// in place while it is open (replacing it by a rename is fine).
func Open(path string) (*File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "open", Path: path, Err: fmt.Errorf("not a regular file (%v)", st.Mode().Type())}
	}
	if st.Size() > math.MaxInt {
		return nil, fmt.Errorf("gguf %s: %d bytes do not fit into the address space", path, st.Size())
	}
	if st.Size() < int64(len(magic)) {
		return nil, fmt.Errorf("gguf %s: file of %d bytes is too short", path, st.Size())
	}
	raw, unmap, err := mapFile(f, int(st.Size()))
	if err != nil {
		return nil, fmt.Errorf("gguf %s: %w", path, err)
	}
	g, err := Parse(raw)
	if err != nil {
		unmap()
		return nil, fmt.Errorf("gguf %s: %w", path, err)
	}
	g.unmap = unmap
	return g, nil
}

// Parse reads a file that is in memory. The File refers to data.
func Parse(data []byte) (*File, error) {
	r := reader{data: data}
	if string(r.bytes("magic", 4)) != magic {
		return nil, fmt.Errorf("no GGUF file: it begins with %q, want %q", data[:min(4, len(data))], magic)
	}
	g := &File{Version: r.u32("version"), Alignment: defaultAlignment}
	if r.err != nil {
		return nil, r.err
	}
	switch g.Version {
	case 2, 3:
	case 2 << 24, 3 << 24:
		return nil, fmt.Errorf("version field is %#x: big-endian files are not supported", g.Version)
	default:
		return nil, fmt.Errorf("version %d is not supported: want 2 or 3", g.Version)
	}
	numTensors := r.u64("tensor count")
	numPairs := r.u64("metadata count")
	if r.err != nil {
		return nil, r.err
	}
	if left := uint64(r.left()); numPairs > left/minPairSize {
		return nil, fmt.Errorf("metadata count %d is impossible in a file of %d bytes", numPairs, len(data))
	}
	if err := g.readPairs(&r, int(numPairs)); err != nil {
		return nil, err
	}
	if left := uint64(r.left()); numTensors > left/minTensorSize {
		return nil, fmt.Errorf("tensor count %d is impossible with %d bytes left", numTensors, left)
	}
	if err := g.readTensors(&r, int(numTensors)); err != nil {
		return nil, err
	}
	start := alignUp(uint64(r.pos), g.Alignment)
	if start < uint64(len(data)) {
		g.data = data[start:]
	}
	return g, g.checkLayout()
}

// Close releases the mapping. Slices that [File.Data] returned must not be
// used afterwards. Closing twice is fine.
func (f *File) Close() error {
	unmap := f.unmap
	f.unmap, f.data = nil, nil
	for i := range f.kvs {
		f.kvs[i].Raw = nil
	}
	if unmap == nil {
		return nil
	}
	return unmap()
}

// Tensors returns all tensors in the order of the file. The caller must not
// modify the slice.
func (f *File) Tensors() []TensorInfo { return f.tensors }

// Tensor returns the tensor with the given name.
func (f *File) Tensor(name string) (TensorInfo, bool) {
	i, ok := f.byName[name]
	if !ok {
		return TensorInfo{}, false
	}
	return f.tensors[i], true
}

// Data returns the bytes of a tensor of this file: a part of the mapping,
// read-only, valid until [File.Close]. It is nil for an info that does not lie
// within the file.
func (f *File) Data(t TensorInfo) []byte {
	n := uint64(len(f.data))
	if t.Offset > n || t.Size > n-t.Offset {
		return nil
	}
	return f.data[t.Offset : t.Offset+t.Size : t.Offset+t.Size]
}

// Release tells the system that the bytes of a tensor won't be needed for a
// while, so that they no longer count as memory of this process. They can still
// be read.
func (f *File) Release(t TensorInfo) {
	if data := f.Data(t); len(data) > 0 {
		release(data)
	}
}

// alignUp rounds n up to a multiple of a, a power of two.
func alignUp(n, a uint64) uint64 { return (n + a - 1) &^ (a - 1) }

// reader takes values from the front of data and remembers the first error.
type reader struct {
	data []byte
	pos  int
	err  error
}

func (r *reader) left() int { return len(r.data) - r.pos }

// bytes returns the next n bytes, or nil after an error.
func (r *reader) bytes(field string, n uint64) []byte {
	if r.err != nil {
		return nil
	}
	if n > uint64(r.left()) {
		r.err = fmt.Errorf("%s: %d bytes wanted at offset %d, the file has %d left", field, n, r.pos, r.left())
		return nil
	}
	b := r.data[r.pos : r.pos+int(n) : r.pos+int(n)]
	r.pos += int(n)
	return b
}

func (r *reader) u32(field string) uint32 {
	if b := r.bytes(field, 4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (r *reader) u64(field string) uint64 {
	if b := r.bytes(field, 8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

// string returns the next string of at most limit bytes.
func (r *reader) string(field string, limit uint64) string {
	n := r.u64(field)
	if r.err == nil && n > limit {
		r.err = fmt.Errorf("%s: length %d is above the limit of %d bytes", field, n, limit)
	}
	return string(r.bytes(field, n))
}
