package half

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"sort"
	"testing"
)

// value is that of an F16 by its definition.
func value(h uint16) float64 {
	sign := 1.0
	if h>>15 == 1 {
		sign = -1
	}
	exp, frac := int(h>>10&31), float64(h&1023)
	switch {
	case exp == 31 && frac != 0:
		return math.NaN()
	case exp == 31:
		return math.Inf(int(sign))
	case exp == 0:
		return sign * math.Ldexp(frac, -24)
	}
	return sign * math.Ldexp(1024+frac, exp-25)
}

// all returns the bytes of every number of 16 bits.
func all() []byte {
	b := make([]byte, 0, 2<<16)
	for i := range 1 << 16 {
		b = binary.LittleEndian.AppendUint16(b, uint16(i))
	}
	return b
}

func at(b []byte, i int) uint16 { return binary.LittleEndian.Uint16(b[2*i:]) }

// TestFromF16 decodes every half, alone and in a slice, and encodes it again.
func TestFromF16(t *testing.T) {
	dst, back := make([]float32, 1<<16), make([]byte, 2<<16)
	DecodeF16(dst, all())
	EncodeF16(back, dst)
	for i, got := range dst {
		want, back := value(uint16(i)), at(back, i)
		if alone := FromF16(uint16(i)); math.Float32bits(alone) != math.Float32bits(got) {
			t.Fatalf("%#04x is %g alone and %g in a slice", i, alone, got)
		}
		switch {
		case math.IsNaN(want):
			if got == got || back&0x7c00 != 0x7c00 || back&0x3ff == 0 {
				t.Fatalf("%#04x, a NaN, is %g and back %#04x", i, got, back)
			}
		case float64(got) != want || math.Signbit(float64(got)) != (i>>15 == 1) || back != uint16(i):
			t.Fatalf("%#04x is %g and back %#04x, want %g", i, got, back, want)
		}
	}
}

// TestToF16 compares with a search among all finite halves.
func TestToF16(t *testing.T) {
	r := rand.New(rand.NewPCG(21, 22))
	var cases []float32
	for h := uint16(0); h < 0x7c00; h++ { // each, the middle to the next, and next to both
		v, next := value(h), value(h+1)
		if h == 0x7bff {
			next = 65536
		}
		mid := float32((v + next) / 2)
		cases = append(cases, float32(v), mid,
			math.Nextafter32(mid, 0), math.Nextafter32(mid, 1e9), math.Nextafter32(float32(v), 1e9))
	}
	for range 100000 {
		cases = append(cases, float32(math.Exp(r.Float64()*40-28)))
	}
	cases = append(cases, math.MaxFloat32, math.SmallestNonzeroFloat32, float32(math.Inf(1)))
	got := make([]byte, 2*len(cases))
	EncodeF16(got, cases)
	for i, x := range cases {
		want := nearest(float64(x))
		if got := at(got, i); got != want {
			t.Fatalf("F16 of %g is %#04x, want %#04x", x, got, want)
		}
		if got := ToF16(x); got != want {
			t.Fatalf("F16 of %g alone is %#04x, want %#04x", x, got, want)
		}
		if got := ToF16(-x); got != want|0x8000 {
			t.Fatalf("F16 of %g is %#04x, want %#04x", -x, got, want|0x8000)
		}
	}
}

// nearest returns the half nearest to x ≥ 0, of two the even one.
func nearest(x float64) uint16 {
	if x >= 65520 {
		return 0x7c00
	}
	h := uint16(sort.Search(0x7bff, func(h int) bool { return value(uint16(h)) >= x }))
	if h == 0 {
		return 0
	}
	below, above := x-value(h-1), value(h)-x
	if below < above || below == above && h&1 == 1 || above < 0 {
		if above < 0 { // beyond the largest number
			return h
		}
		return h - 1
	}
	return h
}

func TestBF16(t *testing.T) {
	for _, c := range []struct {
		x    uint32
		want uint16
	}{
		{0x3f800000, 0x3f80}, {0x3f808000, 0x3f80}, {0x3f808001, 0x3f81}, {0x3f818000, 0x3f82},
		{0x3f817fff, 0x3f81}, {0x7f7fffff, 0x7f80}, {0x7f800000, 0x7f80}, {0xff800000, 0xff80},
		{0x80000000, 0x8000}, {0x00008000, 0x0000}, {0x00018000, 0x0002},
	} {
		if got := ToBF16(math.Float32frombits(c.x)); got != c.want {
			t.Errorf("BF16 of %#08x is %#04x, want %#04x", c.x, got, c.want)
		}
	}
	dst, back := make([]float32, 1<<16), make([]byte, 2<<16)
	DecodeBF16(dst, all())
	EncodeBF16(back, dst)
	for i, v := range dst {
		if math.Float32bits(v) != uint32(i)<<16 || math.Float32bits(FromBF16(uint16(i))) != uint32(i)<<16 {
			t.Fatalf("%#04x is %g in a slice and %g alone", i, v, FromBF16(uint16(i)))
		}
		if back := at(back, i); v == v && back != uint16(i) || back != ToBF16(v) {
			t.Fatalf("%#04x is %g and back %#04x in a slice, %#04x alone", i, v, back, ToBF16(v))
		}
	}
	for _, b := range []uint32{math.Float32bits(float32(math.NaN())), 0x7f800001, 0xffffffff} {
		if got := ToBF16(math.Float32frombits(b)); got&0x7f80 != 0x7f80 || got&0x7f == 0 {
			t.Errorf("BF16 of the NaN %#08x is %#04x, which is none", b, got)
		}
	}
}

// TestLengths checks that a call touches nothing beyond its numbers, and that
// it refuses too few bytes.
func TestLengths(t *testing.T) {
	for _, tt := range []struct {
		name string
		call func(floats []float32, raw []byte)
	}{
		{"DecodeF16", DecodeF16},
		{"DecodeBF16", DecodeBF16},
		{"EncodeF16", func(f []float32, b []byte) { EncodeF16(b, f) }},
		{"EncodeBF16", func(f []float32, b []byte) { EncodeBF16(b, f) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.call(nil, nil)
			raw := []byte{1, 2, 3, 4, 5, 6}
			tt.call([]float32{1, 2}, raw)
			if raw[4] != 5 || raw[5] != 6 {
				t.Errorf("got % x, want the last two bytes as they were", raw)
			}
			defer func() {
				if recover() == nil {
					t.Error("three bytes for two numbers: no panic")
				}
			}()
			tt.call(make([]float32, 2), raw[:3])
		})
	}
}
