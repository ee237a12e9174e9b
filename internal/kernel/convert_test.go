package kernel

import (
	"math"
	"math/rand/v2"
	"sort"
	"testing"
)

// half is the value of a half-precision number by its definition.
func half(h uint16) float64 {
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

func TestHalfToFloat(t *testing.T) {
	src, dst := make([]uint16, 1<<16), make([]float32, 1<<16)
	for i := range src {
		src[i] = uint16(i)
	}
	F16ToF32(dst, src)
	back := make([]uint16, 1<<16)
	F32ToF16(back, dst)
	for i, got := range dst {
		want := half(uint16(i))
		switch {
		case math.IsNaN(want):
			if got == got || back[i]&0x7c00 != 0x7c00 || back[i]&0x3ff == 0 {
				t.Fatalf("%#04x, a NaN, is %g and back %#04x", i, got, back[i])
			}
		case float64(got) != want || math.Signbit(float64(got)) != (i>>15 == 1) || back[i] != uint16(i):
			t.Fatalf("%#04x is %g and back %#04x, want %g", i, got, back[i], want)
		}
	}
}

// TestFloatToHalf compares with a search among all finite halves.
func TestFloatToHalf(t *testing.T) {
	r := rand.New(rand.NewPCG(21, 22))
	var cases []float32
	for h := uint16(0); h < 0x7c00; h++ { // each, the middle to the next, and next to both
		v, next := half(h), half(h+1)
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
	got := make([]uint16, len(cases))
	F32ToF16(got, cases)
	for i, x := range cases {
		if want := nearestHalf(float64(x)); got[i] != want {
			t.Fatalf("half of %g is %#04x, want %#04x", x, got[i], want)
		}
	}
	negated := make([]float32, len(cases))
	for i, x := range cases {
		negated[i] = -x
	}
	minus := make([]uint16, len(cases))
	F32ToF16(minus, negated)
	for i := range minus {
		if minus[i] != got[i]|0x8000 {
			t.Fatalf("half of %g is %#04x, want %#04x", negated[i], minus[i], got[i]|0x8000)
		}
	}
}

func nearestHalf(x float64) uint16 {
	if x >= 65520 {
		return 0x7c00
	}
	h := uint16(sort.Search(0x7bff, func(h int) bool { return half(uint16(h)) >= x }))
	if h == 0 {
		return 0
	}
	below, above := x-half(h-1), half(h)-x
	if below < above || below == above && h&1 == 1 || above < 0 {
		if above < 0 { // beyond the largest number
			return h
		}
		return h - 1
	}
	return h
}

func TestBrainFloat(t *testing.T) {
	nan := float32(math.NaN())
	for _, c := range []struct {
		x    uint32
		want uint16
	}{
		{0x3f800000, 0x3f80}, {0x3f808000, 0x3f80}, {0x3f808001, 0x3f81}, {0x3f818000, 0x3f82},
		{0x3f817fff, 0x3f81}, {0x7f7fffff, 0x7f80}, {0x7f800000, 0x7f80}, {0xff800000, 0xff80},
		{0x80000000, 0x8000}, {0x00008000, 0x0000}, {0x00018000, 0x0002},
	} {
		got := make([]uint16, 1)
		F32ToBF16(got, []float32{math.Float32frombits(c.x)})
		if got[0] != c.want {
			t.Errorf("bfloat16 of %#08x is %#04x, want %#04x", c.x, got[0], c.want)
		}
	}
	src, dst, back := make([]uint16, 1<<16), make([]float32, 1<<16), make([]uint16, 1<<16)
	for i := range src {
		src[i] = uint16(i)
	}
	BF16ToF32(dst, src)
	F32ToBF16(back, dst)
	for i, v := range dst {
		if math.Float32bits(v) != uint32(i)<<16 {
			t.Fatalf("%#04x is %g", i, v)
		}
		if v == v && back[i] != uint16(i) {
			t.Fatalf("%#04x is %g and back %#04x", i, v, back[i])
		}
	}
	for _, b := range []uint32{math.Float32bits(nan), 0x7f800001, 0xffffffff} {
		got := make([]uint16, 1)
		F32ToBF16(got, []float32{math.Float32frombits(b)})
		if got[0]&0x7f80 != 0x7f80 || got[0]&0x7f == 0 {
			t.Errorf("bfloat16 of the NaN %#08x is %#04x, which is none", b, got[0])
		}
	}
}
