package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// eachBF16 runs f in the precision BFloat16, once in the portable emulation
// and once for every implementation that this CPU can run.
func eachBF16(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	defer keep()()
	emulated := generic
	emulated.bf16 = &genericBF16
	for _, o := range append([]*ops{&emulated}, implementations...) {
		if o.bf16 == nil {
			continue
		}
		active = o
		if err := SetPrecision(BFloat16); err != nil {
			t.Fatal(err)
		}
		t.Run(o.bf16.name, f)
	}
}

// rounded returns x rounded to bfloat16, eight binary digits, by arithmetic;
// subnormal numbers give zeros, and NaNs lose the lower half of their bits.
func rounded(x []float32) []float32 {
	out := make([]float32, len(x))
	for i, v := range x {
		switch b := math.Float32bits(v); {
		case v != v:
			out[i] = math.Float32frombits(b&^0xffff | 0x400000)
		case b>>23&0xff == 0:
			out[i] = float32(math.Copysign(0, float64(v)))
		default:
			frac, exp := math.Frexp(float64(v))
			out[i] = float32(math.Ldexp(math.RoundToEven(math.Ldexp(frac, 8)), exp-8))
		}
	}
	return out
}

// pairProduct64 is product64 on operands rounded to bfloat16. Their products
// are exact in float32. Besides sums, which product64 accounts for at a
// rounding of 2^-23 for each term, as if VDPBF16PS truncated, results below
// 2^-126 may become zero in each of the k steps.
func pairProduct64(c, x []float32, xi, xp int, w []float32, wp, wj int, m, n, k int) (sum, bound []float64) {
	sum, bound = product64(c, rounded(x), xi, xp, rounded(w), wp, wj, m, n, k)
	for i := range bound {
		bound[i] += float64(k+1) * 0x1p-126
	}
	return sum, bound
}

func TestBFloat16(t *testing.T) {
	shapes := [][3]int{
		{8, 1, 1}, {8, 33, 70}, {9, 16, 16}, {10, 17, 3}, {11, 32, 1400}, {13, 31, 64}, {23, 48, 37}, {12, 80, 641},
		{29, 67, 53}, {61, 64, 640}, {400, 70, 35}, {385, 41, 130}, {24, 673, 2}, {30, 0, 5}, {30, 5, 0}, {0, 3, 3},
	}
	eachBF16(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 2))
		for _, s := range shapes {
			T, out, in := s[0], s[1], s[2]
			w, x, dy := random(r, out*in), random(r, T*in), random(r, T*out)
			f := NewFrozen(w, out, in)
			y, dx := random(r, T*out), random(r, T*in)
			what := fmt.Sprintf("%v: ", s)

			want, bound := pairProduct64(y, x, in, 1, w, 1, in, T, out, in)
			f.ForwardAdd(y, x, T)
			compare(t, what+"ForwardAdd", y, want, bound)

			want, bound = pairProduct64(make([]float32, T*out), x, in, 1, w, 1, in, T, out, in)
			for i := range y {
				y[i] = float32(math.NaN())
			}
			f.Forward(y, x, T)
			compare(t, what+"Forward", y, want, bound)

			want, bound = pairProduct64(dx, dy, out, 1, w, in, 1, T, in, out)
			f.Backward(dx, dy, T, true)
			compare(t, what+"Backward", dx, want, bound)
		}
	})
}

func FuzzBFloat16(f *testing.F) {
	f.Add(uint64(1), uint16(8), uint16(17), uint16(9))
	f.Add(uint64(2), uint16(390), uint16(33), uint16(645))
	f.Fuzz(func(t *testing.T, seed uint64, rows, out16, in16 uint16) {
		r := rand.New(rand.NewPCG(seed, 0))
		T, out, in := minPairRows+int(rows%400), 1+int(out16%100), 1+int(in16%1400)
		w, x, y := random(r, out*in), random(r, T*in), random(r, T*out)
		sum, bound := pairProduct64(y, x, in, 1, w, 1, in, T, out, in)
		start := append([]float32(nil), y...)
		eachBF16(t, func(t *testing.T) {
			copy(y, start)
			NewFrozen(w, out, in).ForwardAdd(y, x, T)
			compare(t, "ForwardAdd", y, sum, bound)
		})
	})
}

// TestBFloat16Error bounds what the precision costs: each operand changes by
// at most 2^-8 of itself, so a product by (1+2^-8)² - 1.
func TestBFloat16Error(t *testing.T) {
	const T, out, in = 16, 40, 576
	r := rand.New(rand.NewPCG(3, 4))
	w, x, y := random(r, out*in), random(r, T*in), make([]float32, T*out)
	want, bound := product64(y, x, in, 1, w, 1, in, T, out, in)
	for i := range bound {
		abs := bound[i] / (float64(in+2) * 0x1p-23)
		bound[i] += abs * (0x1p-7 + 0x1p-16)
	}
	eachBF16(t, func(t *testing.T) {
		NewFrozen(w, out, in).Forward(y, x, T)
		compare(t, "Forward", y, want, bound)
		differ := false
		for i, v := range y {
			differ = differ || math.Abs(float64(v)-want[i]) > 1e-3
		}
		if !differ {
			t.Error("the result is as near as one in float32")
		}
	})
}

// TestBFloat16Places reads x and writes y at the ends of accessible memory.
func TestBFloat16Places(t *testing.T) {
	r := rand.New(rand.NewPCG(17, 18))
	eachBF16(t, func(t *testing.T) {
		for _, p := range places() {
			for T := 8; T <= 26; T++ {
				out, in := 11+T, 73-T
				w := random(r, out*in)
				f := NewFrozen(w, out, in)
				x, okX := p.make(t, T*in)
				y, okY := p.make(t, T*out)
				fill(r, x)
				want, bound := pairProduct64(make([]float32, T*out), x, in, 1, w, 1, in, T, out, in)
				f.Forward(y, x, T)
				compare(t, "Forward at "+p.name, y, want, bound)
				clear(x)
				want, bound = pairProduct64(x, y, out, 1, w, in, 1, T, in, out)
				f.Backward(x, y, T, true)
				compare(t, "Backward at "+p.name, x, want, bound)
				if !okX() || !okY() {
					t.Fatalf("at %s with %d rows: wrote outside", p.name, T)
				}
			}
		}
	})
}

// TestBFloat16Determinism wants the same bits from any number of threads, and
// for a row whatever the other rows are, from the least number of rows on.
func TestBFloat16Determinism(t *testing.T) {
	defer SetThreads(0)
	r := rand.New(rand.NewPCG(19, 20))
	const T, out, in = 403, 177, 331
	x, dy := random(r, T*in), random(r, T*out)
	w := random(r, out*in)
	eachBF16(t, func(t *testing.T) {
		var y, dx []float32
		for threads := 1; threads <= 5; threads++ {
			SetThreads(threads)
			f := NewFrozen(w, out, in) // packs on so many threads too
			y2, dx2 := make([]float32, T*out), make([]float32, T*in)
			f.Forward(y2, x, T)
			f.Backward(dx2, dy, T, true)
			if threads == 1 {
				y, dx = y2, dx2
				continue
			}
			same(t, "Forward on more threads", y2, y)
			same(t, "Backward on more threads", dx2, dx)
		}
		f := NewFrozen(w, out, in)
		for _, n := range []int{8, 9, 11, 13, 24, 100} {
			y2, dx2 := make([]float32, n*out), make([]float32, n*in)
			const at = 7
			f.Forward(y2, x[at*in:][:n*in], n)
			same(t, "Forward of fewer rows", y2, y[at*out:][:n*out])
			f.Backward(dx2, dy[at*out:][:n*out], n, true)
			same(t, "Backward of fewer rows", dx2, dx[at*in:][:n*in])
		}
	})
}

// TestBFloat16FewRows: below the least number of rows, and after a return to
// Float32, results have the bits of Float32.
func TestBFloat16FewRows(t *testing.T) {
	r := rand.New(rand.NewPCG(21, 22))
	const T, out, in = 9, 40, 70
	x, dy, w := random(r, T*in), random(r, T*out), random(r, out*in)
	eachBF16(t, func(t *testing.T) {
		both := func(f *Frozen, p Precision, n int) (y, dx []float32) {
			if err := SetPrecision(p); err != nil {
				t.Fatal(err)
			}
			y, dx = make([]float32, n*out), make([]float32, n*in)
			f.Forward(y, x[:n*in], n)
			f.Backward(dx, dy[:n*out], n, true)
			return y, dx
		}
		y, dx := both(NewFrozen(w, out, in), Float32, T)
		f := NewFrozen(w, out, in)
		if got, _ := both(f, BFloat16, T); math.Float32bits(got[0]) == math.Float32bits(y[0]) {
			t.Errorf("%d rows are not rounded", T)
		}
		for n := 1; n < minPairRows; n++ {
			gotY, gotX := both(f, BFloat16, n)
			same(t, "Forward of few rows", gotY, y[:n*out])
			same(t, "Backward of few rows", gotX, dx[:n*in])
		}
		gotY, gotX := both(f, Float32, T)
		same(t, "Forward in Float32 again", gotY, y)
		same(t, "Backward in Float32 again", gotX, dx)
	})
}

// TestBFloat16NonFinite: NaN and infinity, also one that rounding makes, reach
// their row, or column, and no other.
func TestBFloat16NonFinite(t *testing.T) {
	inf := float32(math.Inf(1))
	eachBF16(t, func(t *testing.T) {
		for _, bad := range []float32{inf, -inf, float32(math.NaN()), math.MaxFloat32} {
			for _, in := range []int{35, 36, 70} {
				const T, out = 9, 21
				w, x := make([]float32, out*in), make([]float32, T*in)
				for i := range w {
					w[i] = 1
				}
				for i := range x {
					x[i] = 1
				}
				x[4*in+in-1] = bad
				w[20*in+2] = bad
				y := make([]float32, T*out)
				NewFrozen(w, out, in).Forward(y, x, T)
				for i, v := range y {
					finite := !math.IsInf(float64(v), 0) && v == v
					if want := i/out != 4 && i%out != 20; finite != want {
						t.Fatalf("with %g: element (%d, %d) is %g", bad, i/out, i%out, v)
					}
				}
			}
		}
	})
}

// TestBFloat16Subnormal: subnormal operands are zeros, and so are results.
func TestBFloat16Subnormal(t *testing.T) {
	eachBF16(t, func(t *testing.T) {
		for _, c := range []struct{ x, w, want float32 }{
			{0x1p-127, 0x1p20, 0},         // operands
			{0x1p20, -0x1.fffffcp-127, 0}, // even if rounding makes it normal
			{0x1p-100, 0x1p-27, 0},        // the result
			{0x1p-126, 0x1p20, 0x1p-106},  // the least normal number is kept
			{0x1p-100, -0x1p-26, -0x1p-126},
		} {
			y, x := make([]float32, 8), make([]float32, 8)
			for i := range x {
				x[i] = c.x
			}
			NewFrozen([]float32{c.w}, 1, 1).Forward(y, x, 8)
			for _, v := range y {
				if v != c.want {
					t.Errorf("%g · %g is %g, want %g", c.x, c.w, v, c.want)
				}
			}
		}
	})
}

func TestRoundPairs(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	special := []uint32{
		0, 1 << 31, 1, 0x7fffff, 0x807fffff, 0x800000, 0x7f800000, 0xff800000, 0x7f7fffff, 0x7f7f7fff, 0x7f7f8000,
		0x7f800001, 0x7fffffff, 0xffc00000, 0x3f808000, 0x3f818000, 0x3f808001, 0x3f807fff, 0x3fff8000, 0x3fffffff,
	}
	eachBF16(t, func(t *testing.T) {
		for _, p := range places() {
			for n := range 140 {
				src, _ := p.make(t, n)
				for i := range src {
					b := r.Uint32()
					switch r.IntN(3) {
					case 0:
						b = special[r.IntN(len(special))]
					case 1:
						b = b&^0xffff | 0x8000 // halfway
					}
					src[i] = math.Float32frombits(b)
				}
				dst, untouched := p.make(t, ceilDiv(n, 2))
				active.bf16.roundPairs(dst, src)
				want := rounded(append(append([]float32(nil), src...), 0))
				for i, v := range dst {
					lo, hi := unpair(v)
					same(t, fmt.Sprintf("pair %d of %d numbers at %s", i, n, p.name), []float32{lo, hi}, want[2*i:][:2])
				}
				if !untouched() {
					t.Fatalf("%d numbers at %s: wrote outside", n, p.name)
				}
			}
		}
	})
}

func TestPrecision(t *testing.T) {
	defer keep()()
	precision.Store(int32(Float32))
	for _, o := range implementations {
		active = o
		wantErr := o.bf16 == nil
		if err := SetPrecision(BFloat16); (err != nil) != wantErr {
			t.Errorf("%s: SetPrecision(BFloat16) gives error %v, want one: %v", o.name, err, wantErr)
		}
		want := BFloat16
		if wantErr {
			want = Float32
		}
		if got := CurrentPrecision(); got != want {
			t.Errorf("%s: precision is %v, want %v", o.name, got, want)
		}
		if got := choosePrecision("bfloat16"); got != want {
			t.Errorf("%s: for bfloat16 %v is chosen, want %v", o.name, got, want)
		}
		if err := SetPrecision(Float32); err != nil || CurrentPrecision() != Float32 {
			t.Errorf("%s: SetPrecision(Float32) gives error %v, and precision %v", o.name, err, CurrentPrecision())
		}
	}
	for _, p := range []Precision{-1, 3} {
		if err := SetPrecision(p); err == nil || CurrentPrecision() != Float32 {
			t.Errorf("SetPrecision(%v) gives no error, or precision %v", p, CurrentPrecision())
		}
	}
	for _, name := range []string{"", "float32", "float16", "BF16"} {
		if got := choosePrecision(name); got != Float32 {
			t.Errorf("for %q %v is chosen, want float32", name, got)
		}
	}
}

func TestParsePrecision(t *testing.T) {
	for _, p := range []Precision{Float32, BFloat16, Int8} {
		if got, err := ParsePrecision(p.String()); got != p || err != nil {
			t.Errorf("ParsePrecision(%q) is %v, %v", p, got, err)
		}
	}
	for _, name := range []string{"", "f32", "Float32", "Precision(3)"} {
		if got, err := ParsePrecision(name); err == nil {
			t.Errorf("ParsePrecision(%q) is %v, want an error", name, got)
		}
	}
	if got, want := Precision(7).String(), "Precision(7)"; got != want {
		t.Errorf("String is %q, want %q", got, want)
	}
}
