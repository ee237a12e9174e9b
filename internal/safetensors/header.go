package safetensors

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"math/bits"
	"slices"
	"strconv"
	"unicode/utf8"
)

const (
	maxHeader   = 100_000_000 // bytes, as in the reference implementation
	metadataKey = "__metadata__"
)

// parseHeader reads the JSON object of a header. It goes through the tokens,
// because encoding/json accepts duplicate keys.
func parseHeader(raw []byte) (map[string]Info, map[string]string, error) {
	if len(raw) == 0 || raw[0] != '{' {
		return nil, nil, fmt.Errorf("header begins with %q, want {", raw[:min(1, len(raw))])
	}
	if !utf8.Valid(raw) {
		return nil, nil, errors.New("header is not UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	tensors := map[string]Info{}
	var metadata map[string]string
	err := decodeObject(dec, func(key string) (err error) {
		if key == metadataKey {
			metadata, err = decodeStrings(dec)
			return err
		}
		tensors[key], err = decodeInfo(dec)
		return err
	})
	if err != nil {
		return nil, nil, fmt.Errorf("header: %w", err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, nil, fmt.Errorf("header: something follows the object at byte %d", dec.InputOffset())
	}
	return tensors, metadata, nil
}

// decodeObject calls member for each key of the object that comes next;
// member consumes the value.
func decodeObject(dec *json.Decoder, member func(key string) error) error {
	if err := expect(dec, json.Delim('{')); err != nil {
		return err
	}
	seen := map[string]bool{}
	for dec.More() {
		tok, err := dec.Token()
		if err != nil {
			return err
		}
		key := tok.(string) // the decoder refuses other keys
		if seen[key] {
			return fmt.Errorf("%q occurs twice", key)
		}
		seen[key] = true
		if err := member(key); err != nil {
			return fmt.Errorf("%q: %w", key, err)
		}
	}
	return expect(dec, json.Delim('}'))
}

func expect(dec *json.Decoder, want json.Delim) error {
	tok, err := dec.Token()
	if err == nil && tok != want {
		err = fmt.Errorf("%v where %v was expected", tok, want)
	}
	return err
}

func decodeString(dec *json.Decoder) (string, error) {
	tok, err := dec.Token()
	if err != nil {
		return "", err
	}
	s, ok := tok.(string)
	if !ok {
		return "", fmt.Errorf("%v is no string", tok)
	}
	return s, nil
}

// decodeStrings reads an object whose values are strings.
func decodeStrings(dec *json.Decoder) (map[string]string, error) {
	m := map[string]string{}
	return m, decodeObject(dec, func(key string) (err error) {
		m[key], err = decodeString(dec)
		return err
	})
}

// decodeSizes reads an array of integers from 0 to 2^63−1.
func decodeSizes(dec *json.Decoder) ([]int64, error) {
	if err := expect(dec, json.Delim('[')); err != nil {
		return nil, err
	}
	sizes := []int64{}
	for dec.More() {
		tok, err := dec.Token()
		if err != nil {
			return nil, err
		}
		number, _ := tok.(json.Number)
		n, err := strconv.ParseInt(string(number), 10, 64)
		if err != nil || n < 0 {
			return nil, fmt.Errorf("%v is no size", tok)
		}
		sizes = append(sizes, n)
	}
	return sizes, expect(dec, json.Delim(']'))
}

// decodeInfo reads and checks the description of a tensor.
func decodeInfo(dec *json.Decoder) (Info, error) {
	var info Info
	var shape, offsets []int64
	err := decodeObject(dec, func(key string) (err error) {
		switch key {
		case "dtype":
			var s string
			s, err = decodeString(dec)
			info.DType = DType(s)
		case "shape":
			shape, err = decodeSizes(dec)
		case "data_offsets":
			offsets, err = decodeSizes(dec)
		default:
			err = errors.New("unknown member: want dtype, shape and data_offsets")
		}
		return err
	})
	switch {
	case err != nil:
		return info, err
	case shape == nil:
		return info, errors.New("no shape")
	case len(offsets) != 2:
		return info, fmt.Errorf("data_offsets %v: want two", offsets)
	}
	info.Shape = make([]int, len(shape))
	for i, d := range shape {
		if d > math.MaxInt {
			return info, fmt.Errorf("shape %v overflows", shape)
		}
		info.Shape[i] = int(d)
	}
	info.Begin, info.End = offsets[0], offsets[1]
	size, err := sizeOf(info.DType, info.Shape)
	if err == nil && info.End-info.Begin != size {
		err = fmt.Errorf("data_offsets %v: %s of shape %v has %d bytes", offsets, info.DType, info.Shape, size)
	}
	return info, err
}

// sizeOf returns the bytes of a tensor.
func sizeOf(t DType, shape []int) (int64, error) {
	_, width, ok := t.rank()
	if !ok {
		return 0, fmt.Errorf("unknown dtype %q", t)
	}
	total := uint64(width) // in bits
	for _, d := range shape {
		if d < 0 {
			return 0, fmt.Errorf("shape %v has a negative size", shape)
		}
		hi, lo := bits.Mul64(total, uint64(max(d, 1)))
		if hi != 0 || lo > math.MaxInt {
			return 0, fmt.Errorf("shape %v overflows", shape)
		}
		total = lo
	}
	if slices.Contains(shape, 0) {
		return 0, nil
	}
	if total%8 != 0 {
		return 0, fmt.Errorf("%s of shape %v does not fill whole bytes", t, shape)
	}
	return int64(total / 8), nil
}

// checkCover reports a hole or an overlap of the tensors in size bytes.
func checkCover(tensors map[string]Info, size int64) error {
	names := slices.SortedFunc(maps.Keys(tensors), func(a, b string) int {
		s, t := tensors[a], tensors[b]
		return cmp.Or(cmp.Compare(s.Begin, t.Begin), cmp.Compare(s.End, t.End), cmp.Compare(a, b))
	})
	var at int64
	for _, name := range names {
		switch info := tensors[name]; {
		case info.Begin > at:
			return fmt.Errorf("tensor %q begins at byte %d of the data, but %d follows the one before: a hole", name, info.Begin, at)
		case info.Begin < at:
			return fmt.Errorf("tensor %q begins at byte %d of the data and overlaps the one before, which ends at %d", name, info.Begin, at)
		case info.End > size:
			return fmt.Errorf("tensor %q ends at byte %d of %d bytes of data (is the file truncated?)", name, info.End, size)
		default:
			at = info.End
		}
	}
	if at != size {
		return fmt.Errorf("tensors end at byte %d of %d bytes of data", at, size)
	}
	return nil
}
