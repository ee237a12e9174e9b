package gguf

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
)

// sample writes a small file with every kind of value.
func sample(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sample.gguf")
	kvs := []KV{
		StringKV("general.architecture", "llama"),
		Uint32KV("llama.block_count", 7),
		Float32KV("llama.rope.freq_base", 1e6),
		BoolKV("yes", true),
		BoolKV("no", false),
		StringsKV("tokens", []string{"a", "", "ß"}),
		Int32sKV("types", []int32{1, -2}),
		Float32sKV("scores", []float32{0.5, -1}),
		{"u64", Uint64, binary.LittleEndian.AppendUint64(nil, math.MaxUint64)},
		{"i8", Int8, []byte{0xff}},
		{"f64", Float64, binary.LittleEndian.AppendUint64(nil, math.Float64bits(0.1))},
		StringsKV("none", nil),
	}
	tensors := []TensorSource{
		Float32Source("norm", []uint64{3}, F32, []float32{1, 2, 3}),
		Float32Source("w", []uint64{32, 2}, Q8_0, make([]float32, 64)),
		BytesSource("empty", []uint64{32, 0}, Q4_0, nil),
		Float32Source("half", []uint64{2, 2}, F16, []float32{1, -2, 3, -4}),
	}
	if err := Write(path, kvs, tensors); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestMetadata(t *testing.T) {
	f, err := Open(sample(t))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	type result struct{ value, ok any }
	get := func(value any, ok bool) result { return result{value, ok} }
	pack := func(f any, key string) result {
		out := reflect.ValueOf(f).Call([]reflect.Value{reflect.ValueOf(key)})
		return get(out[0].Interface(), out[1].Bool())
	}
	tests := []struct {
		getter any
		key    string
		want   result
	}{
		{f.String, "general.architecture", get("llama", true)},
		{f.String, "llama.block_count", get("", false)},
		{f.String, "missing", get("", false)},
		{f.Uint, "llama.block_count", get(uint64(7), true)},
		{f.Uint, "u64", get(uint64(math.MaxUint64), true)},
		{f.Uint, "i8", get(uint64(0), false)}, // -1
		{f.Uint, "f64", get(uint64(0), false)},
		{f.Float, "llama.rope.freq_base", get(1e6, true)},
		{f.Float, "f64", get(0.1, true)},
		{f.Float, "llama.block_count", get(0.0, false)},
		{f.Bool, "yes", get(true, true)},
		{f.Bool, "no", get(false, true)},
		{f.Bool, "i8", get(false, false)},
		{f.Strings, "tokens", get([]string{"a", "", "ß"}, true)},
		{f.Strings, "none", get([]string{}, true)},
		{f.Strings, "types", get([]string(nil), false)},
		{f.Ints, "types", get([]int64{1, -2}, true)},
		{f.Ints, "scores", get([]int64(nil), false)},
		{f.Floats, "scores", get([]float32{0.5, -1}, true)},
		{f.Floats, "f64", get([]float32(nil), false)},
	}
	for _, tt := range tests {
		if got := pack(tt.getter, tt.key); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.key, got, tt.want)
		}
	}
	if got := f.Keys(); len(got) != 12 || got[0] != "general.architecture" {
		t.Errorf("keys: got %q", got)
	}
}

func TestTensors(t *testing.T) {
	f, err := Open(sample(t))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	want := []TensorInfo{
		{"norm", []uint64{3}, F32, 0, 12},
		{"w", []uint64{32, 2}, Q8_0, 32, 68},
		{"empty", []uint64{32, 0}, Q4_0, 128, 0},
		{"half", []uint64{2, 2}, F16, 128, 8},
	}
	if got := f.Tensors(); !reflect.DeepEqual(got, want) {
		t.Errorf("tensors: got %v, want %v", got, want)
	}
	info, ok := f.Tensor("half")
	values := make([]float32, info.NumElements())
	if err := DequantizeRow(values, info.Type, f.Data(info)); !ok || err != nil {
		t.Fatalf("reading half: %v, %v", ok, err)
	}
	if want := []float32{1, -2, 3, -4}; !reflect.DeepEqual(values, want) {
		t.Errorf("half: got %v, want %v", values, want)
	}
	if _, ok := f.Tensor("none"); ok {
		t.Error("a tensor that is not there was found")
	}
	if got := f.Data(TensorInfo{Offset: 1 << 40, Size: 1}); got != nil {
		t.Errorf("data beyond the file: got %d bytes", len(got))
	}
}

// TestCopy writes what was read, and expects the same bytes.
func TestCopy(t *testing.T) {
	path := sample(t)
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var tensors []TensorSource
	for _, info := range f.Tensors() {
		tensors = append(tensors, BytesSource(info.Name, info.Dims, info.Type, f.Data(info)))
	}
	again := filepath.Join(t.TempDir(), "again.gguf")
	if err := Write(again, f.KVs(), tensors); err != nil {
		t.Fatal(err)
	}
	got, _ := os.ReadFile(again)
	if want, _ := os.ReadFile(path); !bytes.Equal(got, want) {
		t.Errorf("the copy has other bytes:\n%q, want\n%q", got, want)
	}
}

func TestClose(t *testing.T) {
	f, err := Open(sample(t))
	if err != nil {
		t.Fatal(err)
	}
	info, _ := f.Tensor("w")
	for range 2 {
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, ok := f.String("general.architecture"); ok || f.Data(info) != nil {
		t.Error("a closed file still gives values")
	}
}

func TestWriteErrors(t *testing.T) {
	f32 := func(name string, dims ...uint64) []TensorSource {
		n := uint64(1)
		for _, d := range dims {
			n *= d
		}
		return []TensorSource{BytesSource(name, dims, F32, make([]byte, 4*n))}
	}
	broken := errors.New("broken")
	tests := []struct {
		name    string
		kvs     []KV
		tensors []TensorSource
		want    string
	}{
		{"duplicate key", []KV{BoolKV("k", true), BoolKV("k", true)}, nil, `key "k" occurs twice`},
		{"bad value", []KV{{"k", String, []byte{1}}}, nil, `key "k"`},
		{"value too long", []KV{{"k", Bool, []byte{1, 2}}}, nil, `1 bytes after the value`},
		{"bad alignment", []KV{Uint32KV("general.alignment", 24)}, nil, "power of two"},
		{"duplicate tensor", nil, append(f32("a", 1), f32("a", 1)...), "distinct"},
		{"long name", nil, f32(strings.Repeat("x", 64), 1), "1 to 63 bytes"},
		{"no dims", nil, f32("a"), "0 dimensions"},
		{"odd row", nil, []TensorSource{BytesSource("a", []uint64{31}, Q4_0, nil)}, "multiple of 32"},
		{"short data", nil, []TensorSource{BytesSource("a", []uint64{32}, Q4_0, make([]byte, 17))}, "17 bytes, want 18"},
		{"failing source", nil, []TensorSource{{"a", []uint64{1}, F32, func(io.Writer) error { return broken }}}, "broken"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "out.gguf")
			if err := os.WriteFile(path, []byte("old"), 0o666); err != nil {
				t.Fatal(err)
			}
			err := Write(path, tt.kvs, tt.tensors)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got error %v, want %q", err, tt.want)
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

// image builds hostile files.
type image struct{ bytes.Buffer }

func (b *image) put(values ...any) *image {
	for _, v := range values {
		if s, ok := v.(string); ok {
			binary.Write(b, binary.LittleEndian, uint64(len(s)))
			b.WriteString(s)
			continue
		}
		binary.Write(b, binary.LittleEndian, v)
	}
	return b
}

// header begins a file.
func header(tensors, pairs uint64) *image {
	b := new(image)
	b.WriteString("GGUF")
	return b.put(uint32(3), tensors, pairs)
}

// withData pads a file and gives it n bytes of data.
func (b *image) withData(n int) *image {
	b.Write(make([]byte, (32-b.Len()%32)%32+n))
	return b
}

// f32 appends the info of a tensor of n values.
func (b *image) f32(name string, n, offset uint64) *image {
	return b.put(name, uint32(1), n, uint32(F32), offset)
}

const huge = uint64(1) << 63

func TestHostile(t *testing.T) {
	tests := []struct {
		name string
		file *image
		want string
	}{
		{"version", (&image{*bytes.NewBufferString("GGUF")}).put(uint32(1)), "version 1"},
		{"big-endian", (&image{*bytes.NewBufferString("GGUF")}).put(uint32(3 << 24)), "big-endian"},
		{"pairs", header(0, huge), "metadata count"},
		{"tensors", header(huge, 0), "tensor count"},
		{"many tensors", header(4e6, 0).withData(1000), "tensor count"},
		{"key length", header(0, 1).put(huge, uint64(0)), "key of metadata pair 0"},
		{"key length in range", header(0, 1).put(uint64(100), uint64(0)), "key of metadata pair 0"},
		{"empty key", header(0, 1).put("", Uint8, uint8(0)), "empty key"},
		{"string length", header(0, 1).put("k", String, huge), `"k": string`},
		{"value type", header(0, 1).put("k", uint32(13), uint64(0)), "unknown value type 13"},
		{"element type", header(0, 1).put("k", Array, uint32(99), uint64(1)), "unknown element type 99"},
		{"element count", header(0, 1).put("k", Array, Uint64, huge>>2), "element count"},
		{"elements", header(0, 1).put("k", Array, Uint64, uint64(7), uint64(0)), "element count|array"},
		{"strings", header(0, 1).put("k", Array, String, uint64(2), "a"), "element count|string length"},
		{"nested", header(0, 1).put("k", Array, Array, uint64(1), Uint8, uint64(1)), "array of arrays"},
		{"duplicate key", header(0, 2).put("k", Bool, true, "k", Bool, true), `key "k" occurs twice`},
		{"alignment 0", header(0, 1).put("general.alignment", Uint32, uint32(0)), "general.alignment"},
		{"alignment 3", header(0, 1).put("general.alignment", Uint32, uint32(3)), "general.alignment"},
		{"alignment text", header(0, 1).put("general.alignment", String, "32"), "general.alignment"},
		{"alignment huge", header(0, 1).put("general.alignment", Uint64, huge), "general.alignment"},
		{"tensor name", header(1, 0).f32(strings.Repeat("n", 64), 1, 0).withData(4), "name of tensor 0"},
		{"no name", header(1, 0).f32("", 1, 0).withData(4), "no name"},
		{"no dims", header(1, 0).put("a", uint32(0), uint32(F32), uint64(0)).withData(4), "0 dimensions"},
		{"dims", header(1, 0).put("a", uint32(5), [5]uint64{1, 1, 1, 1, 1}, uint32(F32), uint64(0)).withData(4), "5 dimensions"},
		{"dims count", header(1, 0).put("a", uint32(math.MaxUint32)).withData(40), "dimensions"},
		{"overflow", header(1, 0).put("a", uint32(2), [2]uint64{1 << 32, 1 << 32}, uint32(F32), uint64(0)).withData(4), "overflow"},
		{"overflow to 0", header(1, 0).put("a", uint32(2), [2]uint64{1 << 62, 4}, uint32(F32), uint64(0)).withData(4), "overflow"},
		{"overflow in bytes", header(1, 0).put("a", uint32(1), uint64(1)<<62, uint32(F32), uint64(0)).withData(4), "overflow"},
		{"type", header(1, 0).put("a", uint32(1), uint64(1), uint32(1000), uint64(0)).withData(4), "unknown tensor type 1000"},
		{"row", header(1, 0).put("a", uint32(1), uint64(33), uint32(Q4_0), uint64(0)).withData(100), "multiple of 32"},
		{"misaligned", header(1, 0).f32("a", 1, 4).withData(64), "alignment"},
		{"outside", header(1, 0).f32("a", 9, 32).withData(64), "data section has 64"},
		{"far outside", header(1, 0).f32("a", 1, math.MaxUint64-31).withData(64), "data section has 64"},
		{"no data", header(1, 0).f32("a", 1, 0), "data section has 0"},
		{"duplicate tensor", header(2, 0).f32("a", 1, 0).f32("a", 1, 32).withData(64), `"a" occurs twice`},
		{"overlap", header(2, 0).f32("a", 9, 0).f32("b", 1, 32).withData(64), "overlap"},
		{"same place", header(2, 0).f32("a", 1, 0).f32("b", 1, 0).withData(64), "overlap"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse(tt.file.Bytes())
			if err == nil {
				t.Fatal("no error")
			}
			for want := range strings.SplitSeq(tt.want, "|") {
				if strings.Contains(err.Error(), want) {
					return
				}
			}
			t.Errorf("got error %q, want %q in it", err, tt.want)
		})
	}
}

// TestTruncated cuts a good file at every length.
func TestTruncated(t *testing.T) {
	raw, err := os.ReadFile(sample(t))
	if err != nil {
		t.Fatal(err)
	}
	end := len(raw) - 24 // the padding after the last 8 bytes may be missing
	for n := range end {
		if _, err := Parse(raw[:n:n]); err == nil {
			t.Errorf("a file cut to %d of %d bytes was accepted", n, end)
		}
	}
	if _, err := Parse(raw[:end]); err != nil {
		t.Errorf("without its last padding: %v", err)
	}
}

func TestVersion2(t *testing.T) {
	raw, err := os.ReadFile(sample(t))
	if err != nil {
		t.Fatal(err)
	}
	raw[4] = 2
	f, err := Parse(raw)
	if err != nil || f.Version != 2 || len(f.Tensors()) != 4 {
		t.Errorf("version 2: got %+v, %v", f, err)
	}
}

func TestOpenErrors(t *testing.T) {
	dir := t.TempDir()
	if _, err := Open(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing file: got %v", err)
	}
	if _, err := Open(dir); err == nil {
		t.Error("a folder was opened")
	}
	for name, content := range map[string]string{"empty": "", "text": "not a model"} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: got error %v, want one with the path", name, err)
		}
	}
}

// TestAllocation bounds the memory of a file that claims as much as it can.
func TestAllocation(t *testing.T) {
	const n = 20000
	b := header(0, n)
	for i := range n {
		b.put(string(rune('a'+i%26))+string(rune(0x100+i)), Bool, true)
	}
	raw := b.Bytes()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := Parse(raw)
	runtime.ReadMemStats(&after)
	if err != nil {
		t.Fatal(err)
	}
	if got, limit := after.TotalAlloc-before.TotalAlloc, uint64(20*len(raw)); got > limit {
		t.Errorf("parsing %d bytes allocated %d, want at most %d", len(raw), got, limit)
	}
}

func FuzzParse(f *testing.F) {
	raw, err := os.ReadFile(sample(f))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add(header(1, 1).put("k", Array, Uint16, uint64(2), uint32(0)).f32("a", 1, 0).withData(4).Bytes())
	f.Fuzz(func(t *testing.T, raw []byte) {
		g, err := Parse(raw)
		if err != nil {
			return
		}
		for _, key := range g.Keys() {
			g.String(key)
			g.Uint(key)
			g.Float(key)
			g.Bool(key)
			g.Strings(key)
			g.Ints(key)
			g.Floats(key)
		}
		var tensors []TensorSource
		for _, info := range g.Tensors() {
			data := g.Data(info)
			if uint64(len(data)) != info.Size {
				t.Fatalf("tensor %q: %d bytes, want %d", info.Name, len(data), info.Size)
			}
			tensors = append(tensors, BytesSource(info.Name, info.Dims, info.Type, data))
			if info.Type.CanDequantize() && info.Size > 0 {
				if err := DequantizeRow(make([]float32, info.NumElements()), info.Type, data); err != nil {
					t.Fatalf("tensor %q: %v", info.Name, err)
				}
			}
		}
		if g.Alignment > 1<<12 {
			return // would only write padding
		}
		header, alignment, err := encodeHeader(g.KVs(), tensors)
		if err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		var out bytes.Buffer
		if err := writeAll(&out, header, alignment, tensors); err != nil {
			t.Fatal(err)
		}
		if _, err := Parse(out.Bytes()); err != nil {
			t.Fatalf("what was written cannot be read: %v", err)
		}
	})
}
