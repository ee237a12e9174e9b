package safetensors

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// TestReference reads a file of the reference writer (safetensors 0.8.0,
// every type that numpy has) and writes it again, to the same bytes.
func TestReference(t *testing.T) {
	const path = "testdata/reference.safetensors"
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got, want := f.Metadata(), map[string]string{"format": "pt"}; !reflect.DeepEqual(got, want) {
		t.Errorf("metadata: got %v, want %v", got, want)
	}
	for name, want := range map[string][]float32{
		"f": {8, 9, 10}, "d": {11, 12, 13}, "h": {5, 6, 7}, "scalar": {2.5}, "empty": {}, "quo\"te\n<é>": {1, 2, 3, 4},
	} {
		if got, err := f.Float32s(name); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: got %v, %v, want %v", name, got, err, want)
		}
	}
	if got, err := f.Int32s("i4"); err != nil || !slices.Equal(got, []int32{6, 7, 8}) {
		t.Errorf("i4: got %v, %v", got, err)
	}
	if _, err := f.Float32s("i4"); err == nil {
		t.Error("integers were converted to float32")
	}
	if _, err := f.Int32s("f"); err == nil {
		t.Error("floats were read as integers")
	}
	if _, err := f.Float32s("none"); err == nil {
		t.Error("a tensor that is not there was read")
	}

	var tensors []Tensor
	for _, name := range f.Names() {
		info, _ := f.Info(name)
		raw, err := f.Bytes(name)
		if err != nil {
			t.Fatal(err)
		}
		tensors = append(tensors, BytesTensor(name, info.DType, info.Shape, raw))
	}
	var got bytes.Buffer
	if err := Encode(&got, tensors, f.Metadata()); err != nil {
		t.Fatal(err)
	}
	if want, _ := os.ReadFile(path); !bytes.Equal(got.Bytes(), want) {
		t.Errorf("written again: got\n%q, want\n%q", got.Bytes(), want)
	}
}

func TestConversion(t *testing.T) {
	values := []float32{0, 1, -2.5, 1.0009765625, 1e-7, -65504, 3.14159274}
	rounded := map[DType][]float32{
		F64:  values,
		F32:  values,
		F16:  {0, 1, -2.5, 1.0009765625, 0x1p-23, -65504, 3.140625},
		BF16: {0, 1, -2.5, 1, 0x1.aep-24, -65536, 3.140625},
	}
	for typ, want := range rounded {
		t.Run(string(typ), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "x.safetensors")
			if err := Write(path, []Tensor{Float32Tensor("x", typ, []int{len(values)}, values)}, nil); err != nil {
				t.Fatal(err)
			}
			f, err := Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if got, err := f.Float32s("x"); err != nil || !slices.Equal(got, want) {
				t.Errorf("got %v, %v, want %v", got, err, want)
			}
		})
	}
}

// TestHalves checks every half against exact arithmetic, and the rounding at
// and around the middle between neighbours.
func TestHalves(t *testing.T) {
	fromF16 := func(h uint16) float32 {
		var v [1]float32
		decode(v[:], F16, []byte{byte(h), byte(h >> 8)})
		return v[0]
	}
	to := func(v float32) uint16 {
		var raw [2]byte
		if err := encode(raw[:], F16, []float32{v}); err != nil {
			t.Fatal(err)
		}
		return binary.LittleEndian.Uint16(raw[:])
	}
	for h := range uint16(0x7bff) {
		exp, mant := int(h>>10), float64(h&0x3ff)
		want := float32(math.Ldexp(1024+mant, exp-25))
		if exp == 0 {
			want = float32(math.Ldexp(mant, -24))
		}
		if got := fromF16(h); got != want {
			t.Fatalf("fromF16(%#x) = %g, want %g", h, got, want)
		}
		next := fromF16(h + 1)
		middle := want + (next-want)/2 // exact
		for _, c := range []struct {
			v    float32
			want uint16
		}{{want, h}, {-want, h | 0x8000}, {middle, h + h&1}, {math.Nextafter32(middle, 0), h}, {math.Nextafter32(middle, 1e9), h + 1}} {
			if got := to(c.v); got != c.want && c.v != 0 {
				t.Fatalf("toF16(%g) = %#x, want %#x", c.v, got, c.want)
			}
		}
	}
	for _, v := range []float32{fromF16(0x7c01), fromF16(to(float32(math.NaN())))} {
		if v == v {
			t.Errorf("a NaN became %g", v)
		}
	}
}

// TestLarge crosses the chunks in which values are converted.
func TestLarge(t *testing.T) {
	values := make([]float32, 3*chunk/2+1)
	for i := range values {
		values[i] = float32(i)
	}
	var buf bytes.Buffer
	if err := Encode(&buf, []Tensor{Float32Tensor("x", F64, []int{len(values)}, values)}, nil); err != nil {
		t.Fatal(err)
	}
	f, err := Read(bytes.NewReader(buf.Bytes()), int64(buf.Len()))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := f.Float32s("x"); err != nil || !slices.Equal(got, values) {
		t.Errorf("values changed (%v)", err)
	}
}

func TestDeterministic(t *testing.T) {
	metadata := map[string]string{"b": "2", "a": "1", "c": "3"}
	tensors := []Tensor{
		Float32Tensor("b", F32, []int{1}, []float32{1}),
		Float32Tensor("a", F16, []int{1}, []float32{2}),
		Float32Tensor("c", F32, []int{1}, []float32{3}),
	}
	var want bytes.Buffer
	if err := Encode(&want, tensors, metadata); err != nil {
		t.Fatal(err)
	}
	if header := want.String()[8:]; !strings.HasPrefix(header, `{"__metadata__":{"a":"1","b":"2","c":"3"},"b":`) {
		t.Errorf("header: %s", header)
	}
	for range 5 {
		slices.Reverse(tensors)
		var got bytes.Buffer
		if err := Encode(&got, tensors, metadata); err != nil || !bytes.Equal(got.Bytes(), want.Bytes()) {
			t.Fatalf("in another order: %q, %v, want %q", got.Bytes(), err, want.Bytes())
		}
	}
}

func TestWriteErrors(t *testing.T) {
	broken := errors.New("broken")
	tests := []struct {
		name    string
		tensors []Tensor
		want    string
	}{
		{"duplicate", []Tensor{BytesTensor("a", F32, []int{0}, nil), BytesTensor("a", F32, []int{0}, nil)}, "twice"},
		{"reserved", []Tensor{BytesTensor("__metadata__", F32, []int{0}, nil)}, "reserved"},
		{"no UTF-8", []Tensor{BytesTensor("\xff", F32, []int{0}, nil)}, "UTF-8"},
		{"type", []Tensor{BytesTensor("a", "F33", []int{0}, nil)}, "unknown dtype"},
		{"negative", []Tensor{BytesTensor("a", F32, []int{-1}, nil)}, "negative"},
		{"overflow", []Tensor{BytesTensor("a", F32, []int{math.MaxInt, 2}, nil)}, "overflow"},
		{"short", []Tensor{BytesTensor("a", F32, []int{2}, make([]byte, 7))}, "7 bytes, want 8"},
		{"long", []Tensor{Float32Tensor("a", F16, []int{2}, make([]float32, 3))}, "6 bytes, want 4"},
		{"F16 range", []Tensor{Float32Tensor("a", F16, []int{1}, []float32{65520})}, "beyond the range of F16"},
		{"BF16 range", []Tensor{Float32Tensor("a", BF16, []int{1}, []float32{math.MaxFloat32})}, "beyond the range of BF16"},
		{"I32 values", []Tensor{Float32Tensor("a", I32, []int{1}, []float32{1})}, "stored as I32"},
		{"source", []Tensor{{"a", F32, []int{1}, func(io.Writer) error { return broken }}}, "broken"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "out")
			if err := os.WriteFile(path, []byte("old"), 0o666); err != nil {
				t.Fatal(err)
			}
			if err := Write(path, tt.tensors, nil); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got error %v, want %q in it", err, tt.want)
			}
			if old, _ := os.ReadFile(path); string(old) != "old" {
				t.Errorf("the old file became %q", old)
			}
			if entries, _ := os.ReadDir(dir); len(entries) != 1 {
				t.Errorf("left behind: %v", entries)
			}
		})
	}
}

// file returns a file with the given header and n bytes of data.
func file(header string, n int) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), make([]byte, n)...)
}

func TestHostile(t *testing.T) {
	entry := func(name, dtype, shape string, begin, end uint64) string {
		return fmt.Sprintf(`%q:{"dtype":%q,"shape":%s,"data_offsets":[%d,%d]}`, name, dtype, shape, begin, end)
	}
	a := entry("a", "F32", "[2]", 0, 8)
	tests := []struct {
		name string
		raw  []byte
		want string
	}{
		{"short", []byte("1234567"), "too short"},
		{"header length", binary.LittleEndian.AppendUint64(nil, math.MaxUint64), "limit"},
		{"header limit", binary.LittleEndian.AppendUint64(nil, maxHeader+1), "limit"},
		{"header beyond the end", binary.LittleEndian.AppendUint64(nil, 1000), "beyond the end"},
		{"no header", file("", 0), "header"},
		{"no object", file(`[]`, 0), "header begins with"},
		{"leading space", file(` {}`, 0), "header begins with"},
		{"null", file(`null`, 0), "header begins with"},
		{"unfinished", file(`{"a":`, 0), "header"},
		{"something follows", file(`{} {}`, 0), "follows the object"},
		{"no UTF-8", file("{\"\xff\":{}}", 0), "UTF-8"},
		{"deep", file(strings.Repeat(`{"a":`, 100000), 0), "unknown member"},
		{"deep array", file(`{"a":{"shape":`+strings.Repeat(`[`, 100000), 0), "no size"},
		{"duplicate", file("{"+a+","+a+"}", 8), `"a" occurs twice`},
		{"escaped duplicate", file(`{`+a+`,"\u0061":{}}`, 8), `"a" occurs twice`},
		{"duplicate metadata", file(`{"__metadata__":{},"__metadata__":{}}`, 0), "occurs twice"},
		{"duplicate member", file(`{"a":{"dtype":"F32","dtype":"F32"}}`, 0), `"dtype" occurs twice`},
		{"metadata number", file(`{"__metadata__":{"a":1}}`, 0), "no string"},
		{"metadata array", file(`{"__metadata__":[]}`, 0), "expected"},
		{"unknown dtype", file("{"+entry("a", "F33", "[2]", 0, 8)+"}", 8), "unknown dtype"},
		{"unknown member", file(`{"a":{"offset":1}}`, 0), "unknown member"},
		{"no shape", file(`{"a":{"dtype":"F32","data_offsets":[0,4]}}`, 4), "no shape"},
		{"no offsets", file(`{"a":{"dtype":"F32","shape":[]}}`, 4), "want two"},
		{"three offsets", file(`{"a":{"dtype":"F32","shape":[],"data_offsets":[0,4,8]}}`, 4), "want two"},
		{"negative", file(`{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}`, 4), "no size"},
		{"fraction", file(`{"a":{"dtype":"F32","shape":[1.5],"data_offsets":[0,4]}}`, 4), "no size"},
		{"exponent", file(`{"a":{"dtype":"F32","shape":[1e0],"data_offsets":[0,4]}}`, 4), "no size"},
		{"string size", file(`{"a":{"dtype":"F32","shape":["1"],"data_offsets":[0,4]}}`, 4), "no size"},
		{"overflow", file("{"+entry("a", "F32", "[4294967296,4294967296]", 0, 0)+"}", 0), "overflow"},
		{"overflow beside 0", file("{"+entry("a", "F32", "[0,4611686018427387904,8]", 0, 0)+"}", 0), "overflow"},
		{"size beyond int64", file("{"+entry("a", "F32", "[18446744073709551615]", 0, 0)+"}", 0), "no size"},
		{"size mismatch", file("{"+entry("a", "F32", "[2]", 0, 4)+"}", 4), "8 bytes"},
		{"reversed", file("{"+entry("a", "F32", "[1]", 4, 0)+"}", 4), "4 bytes"},
		{"half a byte", file("{"+entry("a", "F4", "[1]", 0, 1)+"}", 1), "whole bytes"},
		{"outside", file("{"+a+"}", 7), "truncated"},
		{"hole at the start", file("{"+entry("a", "F32", "[1]", 4, 8)+"}", 8), "a hole"},
		{"hole", file("{"+a+","+entry("b", "F32", "[1]", 12, 16)+"}", 16), "a hole"},
		{"overlap", file("{"+a+","+entry("b", "F32", "[1]", 4, 8)+"}", 8), "overlaps"},
		{"same bytes", file("{"+a+","+entry("b", "F32", "[2]", 0, 8)+"}", 8), "overlaps"},
		{"rest", file("{"+a+"}", 9), "end at byte 8 of 9"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Read(bytes.NewReader(tt.raw), int64(len(tt.raw)))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got error %v, want %q in it", err, tt.want)
			}
		})
	}
	if _, err := Read(bytes.NewReader(file("{"+a+"}  ", 8)), int64(len(file("{"+a+"}  ", 8)))); err != nil {
		t.Errorf("padding: %v", err)
	}
}

func FuzzRead(f *testing.F) {
	reference, err := os.ReadFile("testdata/reference.safetensors")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(reference)
	f.Add(file(`{"a":{"dtype":"F16","shape":[2,0],"data_offsets":[0,0]}}`, 0))
	f.Fuzz(func(t *testing.T, raw []byte) {
		s, err := Read(bytes.NewReader(raw), int64(len(raw)))
		if err != nil {
			return
		}
		var tensors []Tensor
		for _, name := range s.Names() {
			info, _ := s.Info(name)
			data, err := s.Bytes(name)
			if err != nil || int64(len(data)) != info.End-info.Begin {
				t.Fatalf("tensor %q: %d bytes, %v", name, len(data), err)
			}
			if floatSize(info.DType) > 0 {
				if v, err := s.Float32s(name); err != nil || len(v) != info.NumElements() {
					t.Fatalf("tensor %q: %d values, %v", name, len(v), err)
				}
			}
			tensors = append(tensors, BytesTensor(name, info.DType, info.Shape, data))
		}
		var out bytes.Buffer
		if err := Encode(&out, tensors, s.Metadata()); err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		again, err := Read(bytes.NewReader(out.Bytes()), int64(out.Len()))
		if err != nil || !slices.Equal(again.Names(), s.Names()) {
			t.Fatalf("what was written cannot be read: %v", err)
		}
	})
}
