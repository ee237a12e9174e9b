package safetensors

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/code2lora/code2lora/internal/store"
)

// Tensor is a tensor to be written.
type Tensor struct {
	Name  string
	DType DType
	Shape []int
	// Write writes exactly the bytes of the tensor. It is called once, when
	// the tensor's turn has come, so that a file need not fit into memory.
	Write func(io.Writer) error
}

// BytesTensor returns a tensor whose bytes are at hand.
func BytesTensor(name string, t DType, shape []int, data []byte) Tensor {
	return Tensor{name, t, shape, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	}}
}

// Float32Tensor returns a tensor that stores values as t: F64, F32, F16 or
// BF16. A finite value that does not fit into t makes the writing fail.
func Float32Tensor(name string, t DType, shape []int, values []float32) Tensor {
	return Tensor{name, t, shape, func(w io.Writer) error {
		size := floatSize(t)
		if size == 0 {
			return fmt.Errorf("float32 values cannot be stored as %s", t)
		}
		buf := make([]byte, 0, chunk)
		for part := range slices.Chunk(values, chunk/size) {
			buf = buf[:len(part)*size]
			if err := encode(buf, t, part); err != nil {
				return err
			}
			if _, err := w.Write(buf); err != nil {
				return err
			}
		}
		return nil
	}}
}

// Write makes a file of the tensors. It appears at path complete and synced,
// or not at all; an existing file is replaced. The bytes depend on nothing but
// the arguments, and not on the order of the tensors.
func Write(path string, tensors []Tensor, metadata map[string]string) error {
	return store.ReplaceFile(path, func(w io.Writer) error { return Encode(w, tensors, metadata) })
}

// Encode writes a file to w: as the reference does, types of large alignment
// first and then by name, so that every tensor is aligned.
func Encode(w io.Writer, tensors []Tensor, metadata map[string]string) error {
	tensors = slices.Clone(tensors)
	slices.SortStableFunc(tensors, func(a, b Tensor) int {
		ra, _, _ := a.DType.rank()
		rb, _, _ := b.DType.rank()
		return cmp.Or(cmp.Compare(rb, ra), cmp.Compare(a.Name, b.Name))
	})
	header, sizes, err := encodeHeader(tensors, metadata)
	if err != nil {
		return err
	}
	if _, err := w.Write(header); err != nil {
		return err
	}
	for i, t := range tensors {
		if err := store.WriteExactly(w, sizes[i], t.Write); err != nil {
			return fmt.Errorf("writing tensor %q: %w", t.Name, err)
		}
	}
	return nil
}

// encodeHeader returns length and header, padded with spaces to a multiple of
// 8 bytes, and the bytes of each tensor.
func encodeHeader(tensors []Tensor, metadata map[string]string) (header []byte, sizes []int64, err error) {
	j := jsonWriter{buf: bytes.NewBuffer(make([]byte, 8))}
	j.raw("{")
	if len(metadata) > 0 {
		j.string(metadataKey)
		j.raw(":{")
		for i, key := range slices.Sorted(maps.Keys(metadata)) {
			if i > 0 {
				j.raw(",")
			}
			j.string(key)
			j.raw(":")
			j.string(metadata[key])
		}
		j.raw("}")
	}
	seen := map[string]bool{metadataKey: true}
	var at int64
	for _, t := range tensors {
		if seen[t.Name] {
			return nil, nil, fmt.Errorf("tensor name %q occurs twice or is reserved", t.Name)
		}
		seen[t.Name] = true
		size, err := sizeOf(t.DType, t.Shape)
		if err == nil && at+size < at {
			err = errors.New("the file is too large")
		}
		if err != nil {
			return nil, nil, fmt.Errorf("tensor %q: %w", t.Name, err)
		}
		if j.buf.Len() > 9 {
			j.raw(",")
		}
		j.string(t.Name)
		j.raw(`:{"dtype":`)
		j.string(string(t.DType))
		j.raw(`,"shape":`)
		j.ints(t.Shape)
		j.raw(`,"data_offsets":` + fmt.Sprintf("[%d,%d]}", at, at+size))
		at += size
		sizes = append(sizes, size)
	}
	j.raw("}")
	for j.buf.Len()%8 != 0 {
		j.raw(" ")
	}
	header = j.buf.Bytes()
	if j.err == nil && len(header)-8 > maxHeader {
		j.err = fmt.Errorf("header of %d bytes is above the limit of %d", len(header)-8, maxHeader)
	}
	binary.LittleEndian.PutUint64(header, uint64(len(header)-8))
	return header, sizes, j.err
}

// jsonWriter writes compact JSON, as the reference's library does.
type jsonWriter struct {
	buf *bytes.Buffer
	err error
}

func (j *jsonWriter) raw(s string) { j.buf.WriteString(s) }

func (j *jsonWriter) string(s string) {
	if !utf8.ValidString(s) && j.err == nil {
		j.err = fmt.Errorf("%q is not UTF-8", s)
	}
	enc := json.NewEncoder(j.buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil && j.err == nil {
		j.err = err
	}
	j.buf.Truncate(j.buf.Len() - 1) // the encoder ends with a newline
}

func (j *jsonWriter) ints(values []int) {
	j.raw("[")
	for i, v := range values {
		if i > 0 {
			j.raw(",")
		}
		j.raw(strconv.Itoa(v))
	}
	j.raw("]")
}
