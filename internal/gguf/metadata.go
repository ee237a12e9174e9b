package gguf

import (
	"encoding/binary"
	"fmt"
	"math"
)

// ValueType is the type of a metadata value.
type ValueType uint32

// The value types, with their numbers in the file.
const (
	Uint8 ValueType = iota
	Int8
	Uint16
	Int16
	Uint32
	Int32
	Float32
	Bool
	String
	Array
	Uint64
	Int64
	Float64
	numValueTypes
)

// valueSizes holds the bytes of a value; 0 where it varies.
var valueSizes = [numValueTypes]uint64{1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8}

var valueNames = [numValueTypes]string{"u8", "i8", "u16", "i16", "u32", "i32", "f32", "bool", "string", "array", "u64", "i64", "f64"}

// String returns a short name, such as "u32".
func (t ValueType) String() string {
	if t < numValueTypes {
		return valueNames[t]
	}
	return fmt.Sprintf("ValueType(%d)", uint32(t))
}

// KV is a metadata pair. Raw is the value as it stands in the file, so that a
// pair of one file can be written to another without being understood.
type KV struct {
	Key  string
	Type ValueType
	Raw  []byte
}

// StringKV returns a pair with a string value.
func StringKV(key, v string) KV {
	return KV{key, String, append(binary.LittleEndian.AppendUint64(nil, uint64(len(v))), v...)}
}

// Uint32KV returns a pair with a u32 value.
func Uint32KV(key string, v uint32) KV {
	return KV{key, Uint32, binary.LittleEndian.AppendUint32(nil, v)}
}

// Float32KV returns a pair with an f32 value.
func Float32KV(key string, v float32) KV {
	return KV{key, Float32, binary.LittleEndian.AppendUint32(nil, math.Float32bits(v))}
}

// BoolKV returns a pair with a bool value.
func BoolKV(key string, v bool) KV {
	b := byte(0)
	if v {
		b = 1
	}
	return KV{key, Bool, []byte{b}}
}

// StringsKV returns a pair with an array of strings.
func StringsKV(key string, vs []string) KV {
	raw := appendArray(String, len(vs))
	for _, v := range vs {
		raw = append(binary.LittleEndian.AppendUint64(raw, uint64(len(v))), v...)
	}
	return KV{key, Array, raw}
}

// Int32sKV returns a pair with an array of i32.
func Int32sKV(key string, vs []int32) KV {
	raw := appendArray(Int32, len(vs))
	for _, v := range vs {
		raw = binary.LittleEndian.AppendUint32(raw, uint32(v))
	}
	return KV{key, Array, raw}
}

// Float32sKV returns a pair with an array of f32.
func Float32sKV(key string, vs []float32) KV {
	raw := appendArray(Float32, len(vs))
	for _, v := range vs {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
	}
	return KV{key, Array, raw}
}

func appendArray(typ ValueType, n int) []byte {
	return binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint32(nil, uint32(typ)), uint64(n))
}

// readPairs reads n metadata pairs.
func (f *File) readPairs(r *reader, n int) error {
	f.kvs = make([]KV, 0, n)
	f.byKey = make(map[string]int, n)
	for i := range n {
		key := r.string(fmt.Sprintf("key of metadata pair %d", i), maxKeyLen)
		if r.err == nil && key == "" {
			return fmt.Errorf("metadata pair %d has an empty key", i)
		}
		kv, err := readPair(r, key)
		if err != nil {
			return fmt.Errorf("metadata pair %d %q: %w", i, key, err)
		}
		if _, dup := f.byKey[key]; dup {
			return fmt.Errorf("metadata key %q occurs twice", key)
		}
		f.byKey[key] = i
		f.kvs = append(f.kvs, kv)
	}
	if _, ok := f.byKey[alignmentKey]; ok {
		a, ok := f.Uint(alignmentKey)
		if !ok || !validAlignment(a) {
			return fmt.Errorf("metadata key %q is %d: want a power of two below 2^31", alignmentKey, a)
		}
		f.Alignment = a
	}
	return nil
}

func validAlignment(a uint64) bool { return a != 0 && a&(a-1) == 0 && a < 1<<31 }

// readPair reads the type and value of a pair.
func readPair(r *reader, key string) (KV, error) {
	typ := ValueType(r.u32("value type"))
	start := r.pos
	skipValue(r, typ)
	if r.err != nil {
		return KV{}, r.err
	}
	return KV{Key: key, Type: typ, Raw: r.data[start:r.pos:r.pos]}, nil
}

// skipValue moves past a value. Arrays of arrays are legal in the format, but
// no reader of ours or of llama.cpp takes them.
func skipValue(r *reader, typ ValueType) {
	switch {
	case r.err != nil:
	case typ >= numValueTypes:
		r.err = fmt.Errorf("unknown value type %d", uint32(typ))
	case typ == String:
		n := r.u64("string length")
		r.bytes("string", n)
	case typ == Array:
		skipArray(r)
	default:
		r.bytes("value", valueSizes[typ])
	}
}

func skipArray(r *reader) {
	typ := ValueType(r.u32("element type"))
	n := r.u64("element count")
	switch {
	case r.err != nil:
	case typ == Array:
		r.err = fmt.Errorf("an array of arrays is not supported")
	case typ >= numValueTypes:
		r.err = fmt.Errorf("unknown element type %d", uint32(typ))
	case n > uint64(r.left()):
		r.err = fmt.Errorf("element count %d is impossible with %d bytes left", n, r.left())
	case typ == String:
		for i := uint64(0); i < n && r.err == nil; i++ {
			skipValue(r, String)
		}
	default:
		r.bytes("array", n*valueSizes[typ])
	}
}

// KVs returns all pairs in the order of the file, for writing them to another
// one. The raw values refer to the mapping and end with it.
func (f *File) KVs() []KV { return f.kvs }

// Keys returns all keys in the order of the file.
func (f *File) Keys() []string {
	keys := make([]string, len(f.kvs))
	for i, kv := range f.kvs {
		keys[i] = kv.Key
	}
	return keys
}

// get returns the raw value of a key. A value of a closed file is not found.
func (f *File) get(key string) (typ ValueType, raw []byte, ok bool) {
	i, ok := f.byKey[key]
	if !ok || f.kvs[i].Raw == nil {
		return 0, nil, false
	}
	return f.kvs[i].Type, f.kvs[i].Raw, true
}

// String returns the string at key; ok is false when it is missing or has
// another type.
func (f *File) String(key string) (v string, ok bool) {
	typ, raw, ok := f.get(key)
	if !ok || typ != String {
		return "", false
	}
	return string(raw[8:]), true
}

// Bool returns the boolean at key.
func (f *File) Bool(key string) (v, ok bool) {
	typ, raw, ok := f.get(key)
	if !ok || typ != Bool {
		return false, false
	}
	return raw[0] != 0, true
}

// Uint returns the integer at key, of any width; a negative one is not ok.
func (f *File) Uint(key string) (v uint64, ok bool) {
	typ, raw, ok := f.get(key)
	if !ok || !isInt(typ) {
		return 0, false
	}
	if typ == Uint64 {
		return binary.LittleEndian.Uint64(raw), true
	}
	i := decodeInt(typ, raw)
	return uint64(max(i, 0)), i >= 0
}

// Float returns the f32 or f64 at key.
func (f *File) Float(key string) (v float64, ok bool) {
	typ, raw, ok := f.get(key)
	if !ok || typ != Float32 && typ != Float64 {
		return 0, false
	}
	return decodeFloat(typ, raw), true
}

// array returns the element type, number and bytes of an array.
func (f *File) array(key string) (typ ValueType, n int, raw []byte, ok bool) {
	typ, raw, ok = f.get(key)
	if !ok || typ != Array {
		return 0, 0, nil, false
	}
	return ValueType(binary.LittleEndian.Uint32(raw)), int(binary.LittleEndian.Uint64(raw[4:])), raw[12:], true
}

// Strings returns the array of strings at key.
func (f *File) Strings(key string) (vs []string, ok bool) {
	typ, n, raw, ok := f.array(key)
	if !ok || typ != String {
		return nil, false
	}
	vs = make([]string, n)
	for i := range vs {
		length := binary.LittleEndian.Uint64(raw)
		vs[i] = string(raw[8 : 8+length])
		raw = raw[8+length:]
	}
	return vs, true
}

// Ints returns the array of integers, of any width, at key. An array of u64
// with a value above the range of int64 is not ok.
func (f *File) Ints(key string) (vs []int64, ok bool) {
	typ, n, raw, ok := f.array(key)
	if !ok || !isInt(typ) {
		return nil, false
	}
	size := int(valueSizes[typ])
	vs = make([]int64, n)
	for i := range vs {
		vs[i] = decodeInt(typ, raw[i*size:])
		if typ == Uint64 && vs[i] < 0 {
			return nil, false
		}
	}
	return vs, true
}

// Floats returns the array of f32 or f64 at key, the latter rounded to f32.
func (f *File) Floats(key string) (vs []float32, ok bool) {
	typ, n, raw, ok := f.array(key)
	if !ok || typ != Float32 && typ != Float64 {
		return nil, false
	}
	size := int(valueSizes[typ])
	vs = make([]float32, n)
	for i := range vs {
		vs[i] = float32(decodeFloat(typ, raw[i*size:]))
	}
	return vs, true
}

func isInt(t ValueType) bool {
	return t <= Int32 || t == Uint64 || t == Int64
}

func decodeInt(typ ValueType, raw []byte) int64 {
	le := binary.LittleEndian
	switch typ {
	case Uint8:
		return int64(raw[0])
	case Int8:
		return int64(int8(raw[0]))
	case Uint16:
		return int64(le.Uint16(raw))
	case Int16:
		return int64(int16(le.Uint16(raw)))
	case Uint32:
		return int64(le.Uint32(raw))
	case Int32:
		return int64(int32(le.Uint32(raw)))
	default:
		return int64(le.Uint64(raw))
	}
}

func decodeFloat(typ ValueType, raw []byte) float64 {
	if typ == Float32 {
		return float64(math.Float32frombits(binary.LittleEndian.Uint32(raw)))
	}
	return math.Float64frombits(binary.LittleEndian.Uint64(raw))
}
