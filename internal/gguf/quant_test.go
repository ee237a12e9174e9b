package gguf

import (
	"bytes"
	"encoding/binary"
	"math"
	"os"
	"strings"
	"testing"
)

// f16 bytes of 1, 2 and 0.5, for blocks written by hand.
const one, two, hlf = "\x00\x3c", "\x00\x40", "\x00\x38"

// TestDequantizeByHand derives single values from the formulas of ggml.
func TestDequantizeByHand(t *testing.T) {
	zeros := func(n int) string { return strings.Repeat("\x00", n) }
	tests := []struct {
		name string
		typ  Type
		src  string
		want map[int]float32 // index: value
	}{
		{"F32", F32, "\x00\x00\x80\x3f\x00\x00\x00\xc0", map[int]float32{0: 1, 1: -2}},
		{"F16", F16, one + "\x01\x00" + "\x00\xc0", map[int]float32{0: 1, 1: 0x1p-24, 2: -2}},
		{"BF16", BF16, "\x80\x3f\x00\xc0", map[int]float32{0: 1, 1: -2}},
		{"Q4_0", Q4_0, two + "\xf1" + zeros(15), map[int]float32{0: 2 * (1 - 8), 16: 2 * (15 - 8), 1: -16}},
		{"Q4_1", Q4_1, two + one + "\xf1" + zeros(15), map[int]float32{0: 2*1 + 1, 16: 2*15 + 1, 1: 1}},
		// qh has the bits 1 and 16: the values 1 and 16 get 16 more.
		{"Q5_0", Q5_0, two + "\x02\x00\x01\x00" + "\xf1" + zeros(15), map[int]float32{0: 2 * (1 - 16), 16: 2 * (31 - 16), 1: 0, 17: -32}},
		{"Q5_1", Q5_1, two + one + "\x02\x00\x01\x00" + "\xf1" + zeros(15), map[int]float32{0: 3, 16: 63, 1: 33, 17: 1}},
		{"Q8_0", Q8_0, hlf + "\x80\x7f" + zeros(30), map[int]float32{0: -64, 1: 63.5, 2: 0}},
		{"IQ4_NL", IQ4_NL, two + "\xf1" + zeros(15), map[int]float32{0: -208, 16: 226, 1: -254}},
		// Sub-block 0: scale 3, minimum 5. Sub-block 4: low halves 2 and 1 in
		// byte 8, high bits from bytes 0 and 4: scale 2|1<<4, minimum 1|2<<4.
		{"Q4_K", Q4_K, one + hlf + "\x43\x00\x00\x00\x85\x00\x00\x00\x12\x00\x00\x00" + "\x07" + zeros(127),
			map[int]float32{0: 3*7 - 2.5, 1: -2.5, 32: 0, 128: -0.5 * 33}},
		// The fifth bit of value 0 of sub-block 0 is bit 0 of qh[0], that of
		// sub-block 4 bit 4.
		{"Q5_K", Q5_K, one + hlf + "\x43\x00\x00\x00\x85\x00\x00\x00\x12\x00\x00\x00" + "\x11" + zeros(31) + "\x07" + zeros(127),
			map[int]float32{0: 3*(7+16) - 2.5, 1: -2.5, 128: 18*16 - 0.5*33, 129: -0.5 * 33}},
		// ql[0] gives the low bits of values 0 and 64, ql[32] of 32 and 96;
		// qh[0] = 0b11_10_01_00 the high bits of 0, 32, 64, 96.
		{"Q6_K", Q6_K, "\x21" + zeros(31) + "\x43" + zeros(95) + "\xe4" + zeros(63) +
			"\x01\x00\x02\x00\x03\x00\xff\x00" + zeros(8) + one,
			map[int]float32{0: 1 - 32, 32: 2 * (3 + 16 - 32), 64: 3 * (2 + 32 - 32), 96: -(4 + 48 - 32), 16: 0}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n := len(tt.src) / traits[tt.typ].size * tt.typ.BlockSize()
			got := make([]float32, n)
			if err := DequantizeRow(got, tt.typ, []byte(tt.src)); err != nil {
				t.Fatal(err)
			}
			for i, want := range tt.want {
				if got[i] != want {
					t.Errorf("value %d: got %g, want %g", i, got[i], want)
				}
			}
		})
	}
}

// TestGolden compares with the reference implementation, bit by bit. The file
// is made by reference/gguf_golden.py.
func TestGolden(t *testing.T) {
	raw, err := os.ReadFile("testdata/quants.bin")
	if err != nil {
		t.Fatal(err)
	}
	decoded := map[Type]bool{}
	for len(raw) > 0 {
		var head [4]uint32
		if _, err := binary.Decode(raw, binary.LittleEndian, &head); err != nil {
			t.Fatal(err)
		}
		typ, values := Type(head[1]), make([]float32, head[3])
		data := raw[16 : 16+head[2]]
		if _, err := binary.Decode(raw[16+head[2]:], binary.LittleEndian, values); err != nil {
			t.Fatal(err)
		}
		raw = raw[16+int(head[2])+4*len(values):]
		if head[0] == 1 {
			got := make([]byte, len(data))
			if err := QuantizeRow(got, typ, values); err != nil {
				t.Errorf("encoding %s: %v", typ, err)
			}
			if !bytes.Equal(got, data) {
				t.Errorf("encoding %s: got\n%x, want\n%x", typ, got, data)
			}
			continue
		}
		decoded[typ] = true
		got := make([]float32, len(values))
		if err := DequantizeRow(got, typ, data); err != nil {
			t.Errorf("decoding %s: %v", typ, err)
		}
		for i := range got {
			if math.Float32bits(got[i]) != math.Float32bits(values[i]) && (got[i] != 0 || values[i] != 0) {
				t.Errorf("decoding %s: value %d is %g, want %g", typ, i, got[i], values[i])
				break
			}
		}
	}
	if len(decoded) != 11 { // all but F32
		t.Errorf("golden file has %d types, want 11", len(decoded))
	}
}

// TestHalves checks the conversion of every half against exact arithmetic, and
// the way back at, between and beyond them.
func TestHalves(t *testing.T) {
	fromF16 := func(h uint16) float32 {
		var v [1]float32
		if err := DequantizeRow(v[:], F16, []byte{byte(h), byte(h >> 8)}); err != nil {
			t.Fatal(err)
		}
		return v[0]
	}
	to := func(typ Type, v float32) uint16 {
		var raw [2]byte
		if err := QuantizeRow(raw[:], typ, []float32{v}); err != nil {
			t.Fatal(err)
		}
		return binary.LittleEndian.Uint16(raw[:])
	}
	toF16 := func(v float32) uint16 { return to(F16, v) }
	toBF16 := func(v float32) uint16 { return to(BF16, v) }
	for h := range uint16(0x7c00) {
		exp, mant := int(h>>10), float64(h&0x3ff)
		want := float32(math.Ldexp(1024+mant, exp-25))
		if exp == 0 {
			want = float32(math.Ldexp(mant, -24))
		}
		if got := fromF16(h); got != want {
			t.Fatalf("fromF16(%#x) = %g, want %g", h, got, want)
		}
		if got := fromF16(h | 0x8000); got != -want || !math.Signbit(float64(got)) {
			t.Fatalf("fromF16(%#x) = %g, want %g", h|0x8000, got, -want)
		}
		if got := toF16(want); got != h {
			t.Fatalf("toF16(%g) = %#x, want %#x", want, got, h)
		}
		next := float32(math.Inf(1))
		middle := float32(65520)
		if h+1 < 0x7c00 {
			next = fromF16(h + 1)
			middle = want + (next-want)/2 // exact: float32 has 13 bits more
		}
		even := h + h&1
		if got := toF16(middle); got != even {
			t.Fatalf("toF16(%g) = %#x, want the even %#x", middle, got, even)
		}
		if got := toF16(math.Nextafter32(middle, 0)); got != h {
			t.Fatalf("toF16 just below %g = %#x, want %#x", middle, got, h)
		}
		if got := toF16(-math.Nextafter32(middle, next)); got != h+1|0x8000 {
			t.Fatalf("toF16 just beyond %g = %#x, want %#x", -middle, got, h+1|0x8000)
		}
	}
	nan := float32(math.NaN())
	if got := fromF16(toF16(nan)); got == got {
		t.Errorf("NaN becomes %g in F16", got)
	}
	if got := toBF16(math.Float32frombits(0x7f800001)); got&0x7fff <= 0x7f80 {
		t.Errorf("a signalling NaN becomes %#x in BF16", got)
	}
	if got, want := fromF16(0x7c00), float32(math.Inf(1)); got != want {
		t.Errorf("fromF16(0x7c00) = %g, want %g", got, want)
	}
	if got := toF16(math.MaxFloat32); got != 0x7c00 {
		t.Errorf("toF16(MaxFloat32) = %#x, want infinity", got)
	}
}

func TestConversionErrors(t *testing.T) {
	if err := DequantizeRow(make([]float32, 32), Q4_0, make([]byte, 17)); err == nil {
		t.Error("a short block was decoded")
	}
	if err := DequantizeRow(make([]float32, 31), Q8_0, make([]byte, 34)); err == nil {
		t.Error("a block was decoded to 31 values")
	}
	if err := DequantizeRow(make([]float32, 256), 10, make([]byte, 84)); err == nil {
		t.Error("Q2_K was decoded")
	}
	if err := QuantizeRow(make([]byte, 18), Q4_0, make([]float32, 32)); err == nil {
		t.Error("Q4_0 was encoded")
	}
	if err := QuantizeRow(make([]byte, 34), Q8_0, make([]float32, 31)); err == nil {
		t.Error("31 values were encoded as Q8_0")
	}
	if err := QuantizeRow(make([]byte, 3), F16, make([]float32, 2)); err == nil {
		t.Error("2 values were encoded to 3 bytes")
	}
}

func BenchmarkDequantize(b *testing.B) {
	const n = 4096
	dst := make([]float32, n)
	for _, typ := range []Type{F16, Q4_0, Q4_1, Q5_0, Q8_0, Q4_K, Q5_K, Q6_K} {
		b.Run(typ.String(), func(b *testing.B) {
			size, _ := typ.RowSize(n)
			src := bytes.Repeat([]byte{0x34}, size)
			b.SetBytes(4 * n)
			for b.Loop() {
				if err := DequantizeRow(dst, typ, src); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
