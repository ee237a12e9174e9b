package gguf

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/code2lora/code2lora/internal/store"
)

// TensorSource is a tensor to be written.
type TensorSource struct {
	Name string
	Dims []uint64 // ne order: fastest varying first
	Type Type
	// Write writes exactly the bytes of the tensor, row by row. It is called
	// once, when the tensor's turn has come, so that a file need not fit into
	// memory.
	Write func(io.Writer) error
}

// BytesSource returns a source whose bytes are at hand.
func BytesSource(name string, dims []uint64, typ Type, data []byte) TensorSource {
	return TensorSource{name, dims, typ, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	}}
}

// Float32Source returns a source that encodes values as typ, one of the types
// of [QuantizeRow].
func Float32Source(name string, dims []uint64, typ Type, values []float32) TensorSource {
	return TensorSource{name, dims, typ, func(w io.Writer) error {
		size, err := typ.RowSize(len(values))
		if err != nil {
			return err
		}
		raw := make([]byte, size)
		if err := QuantizeRow(raw, typ, values); err != nil {
			return err
		}
		_, err = w.Write(raw)
		return err
	}}
}

// Write makes a version 3 file of the pairs and tensors, in their order. The
// file appears at path complete and synced, or not at all; an existing file is
// replaced. The alignment is that of general.alignment, or 32.
func Write(path string, kvs []KV, tensors []TensorSource) error {
	header, alignment, err := encodeHeader(kvs, tensors)
	if err != nil {
		return err
	}
	return store.ReplaceFile(path, func(w io.Writer) error { return writeAll(w, header, alignment, tensors) })
}

// encodeHeader returns everything before the padding of the data section.
func encodeHeader(kvs []KV, tensors []TensorSource) (header []byte, alignment uint64, err error) {
	le := binary.LittleEndian
	alignment = defaultAlignment
	header = le.AppendUint32([]byte(magic), version)
	header = le.AppendUint64(header, uint64(len(tensors)))
	header = le.AppendUint64(header, uint64(len(kvs)))
	appendString := func(s string) { header = append(le.AppendUint64(header, uint64(len(s))), s...) }
	seen := map[string]bool{}
	for _, kv := range kvs {
		if err := checkPair(kv); err != nil {
			return nil, 0, fmt.Errorf("metadata key %q: %w", kv.Key, err)
		}
		if seen[kv.Key] {
			return nil, 0, fmt.Errorf("metadata key %q occurs twice", kv.Key)
		}
		seen[kv.Key] = true
		if kv.Key == alignmentKey {
			if !isInt(kv.Type) || !validAlignment(uint64(decodeInt(kv.Type, kv.Raw))) {
				return nil, 0, fmt.Errorf("metadata key %q: want a power of two below 2^31", kv.Key)
			}
			alignment = uint64(decodeInt(kv.Type, kv.Raw))
		}
		appendString(kv.Key)
		header = le.AppendUint32(header, uint32(kv.Type))
		header = append(header, kv.Raw...)
	}
	clear(seen)
	var offset uint64
	for _, t := range tensors {
		if t.Name == "" || len(t.Name) > maxNameLen || seen[t.Name] {
			return nil, 0, fmt.Errorf("tensor name %q: want distinct names of 1 to %d bytes", t.Name, maxNameLen)
		}
		seen[t.Name] = true
		size, err := checkSource(t)
		if err != nil {
			return nil, 0, fmt.Errorf("tensor %q: %w", t.Name, err)
		}
		appendString(t.Name)
		header = le.AppendUint32(header, uint32(len(t.Dims)))
		for _, d := range t.Dims {
			header = le.AppendUint64(header, d)
		}
		header = le.AppendUint32(header, uint32(t.Type))
		header = le.AppendUint64(header, offset)
		offset = alignUp(offset+size, alignment)
	}
	return header, alignment, nil
}

// checkPair reports a pair that [Parse] would refuse.
func checkPair(kv KV) error {
	if kv.Key == "" || len(kv.Key) > maxKeyLen {
		return fmt.Errorf("key of %d bytes: want 1 to %d", len(kv.Key), maxKeyLen)
	}
	r := reader{data: kv.Raw}
	skipValue(&r, kv.Type)
	if r.err == nil && r.left() > 0 {
		return fmt.Errorf("%d bytes after the value", r.left())
	}
	return r.err
}

func checkSource(t TensorSource) (size uint64, err error) {
	if len(t.Dims) < 1 || len(t.Dims) > maxDims {
		return 0, fmt.Errorf("%d dimensions, want 1 to %d", len(t.Dims), maxDims)
	}
	return sizeOf(t.Type, t.Dims)
}

// writeAll writes header and data; padding follows the header and each tensor.
func writeAll(w io.Writer, header []byte, alignment uint64, tensors []TensorSource) error {
	if _, err := w.Write(header); err != nil {
		return err
	}
	if err := pad(w, uint64(len(header)), alignment); err != nil {
		return err
	}
	for _, t := range tensors {
		size, err := checkSource(t)
		if err != nil {
			return fmt.Errorf("tensor %q: %w", t.Name, err)
		}
		if err := store.WriteExactly(w, int64(size), t.Write); err != nil {
			return fmt.Errorf("writing tensor %q: %w", t.Name, err)
		}
		if err := pad(w, size, alignment); err != nil {
			return err
		}
	}
	return nil
}

// pad writes zeros after n aligned bytes, up to the next multiple of alignment.
func pad(w io.Writer, n, alignment uint64) error {
	_, err := w.Write(make([]byte, alignUp(n, alignment)-n))
	return err
}
