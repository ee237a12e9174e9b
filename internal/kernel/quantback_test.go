package kernel

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestQuantisedBackwardInt8 bounds what dx = dy·W in int8 costs: an element of
// dy, and one of W, changes by at most half of a 127th of the largest of the 32
// it shares a scale with, and a scale of W by its rounding to half precision.
func TestQuantisedBackwardInt8(t *testing.T) {
	each(t, func(t *testing.T, _ *ops) {
		precision.Store(int32(Int8))
		r := rand.New(rand.NewPCG(17, 18))
		for _, s := range []struct {
			T, out, in int
			format     BlockFormat
		}{{1, 32, 256, Q4_K}, {3, 96, 32, Q4_0}, {13, 64, 512, Q6_K}, {29, 160, 96, Q8_0}, {2, 2080, 64, Q4_1}, {0, 32, 32, Q5_0}} {
			f, w := quantised(r, s.format, s.out, s.in)
			dy := random(r, s.T*s.out)
			dx := random(r, s.T*s.in)
			start := slices.Clone(dx)
			f.Backward(dx, dy, s.T, true)
			plain := make([]float32, s.T*s.in)
			f.Backward(plain, dy, s.T, false)
			if f.bwd.made.Load() || f.bwdPairs.made.Load() {
				t.Errorf("%+v: another packing was made", s)
			}
			for i := range s.T {
				for k := range s.in {
					column := make([]float64, s.out)
					for j := range column {
						column[j] = w[j][k]
					}
					want, bound := int8Error(dy[i*s.out:][:s.out], column)
					if got := float64(plain[i*s.in+k]); !(math.Abs(got-want) <= bound) {
						t.Fatalf("%+v: element (%d, %d) is %g, want %g ± %g", s, i, k, got, want, bound)
					}
					if got := float64(dx[i*s.in+k] - start[i*s.in+k]); !(math.Abs(got-want) <= bound+1e-5) {
						t.Fatalf("%+v: element (%d, %d): added %g, want %g ± %g", s, i, k, got, want, bound)
					}
				}
			}
			for i := range s.T { // a row doesn't depend on the others
				one := make([]float32, s.in)
				f.Backward(one, dy[i*s.out:][:s.out], 1, false)
				if !slices.Equal(one, plain[i*s.in:][:s.in]) {
					t.Fatalf("%+v: row %d differs from the same row alone", s, i)
				}
			}
		}
	})
}

// int8Error returns Σ x·w and what it may change by if both are rounded to int8.
func int8Error(x []float32, w []float64) (sum, bound float64) {
	for b := 0; b < len(x); b += quantBlock {
		var px, pw float64
		for k := b; k < b+quantBlock; k++ {
			sum += float64(x[k]) * w[k]
			px, pw = max(px, math.Abs(float64(x[k]))), max(pw, math.Abs(w[k]))
		}
		// A scale that is rounded down cuts off the largest weights.
		dx, dw := px/254*1.001, pw*(1.001/254+0x1p-10)+127*0x1p-24
		for k := b; k < b+quantBlock; k++ {
			bound += dx*math.Abs(w[k]) + dw*math.Abs(float64(x[k])) + dx*dw
		}
	}
	return sum, bound + 1e-5
}

// TestPartsInt8Backward: in Int8 dx is that of Backward, and the parts are added
// to it.
func TestPartsInt8Backward(t *testing.T) {
	r := rand.New(rand.NewPCG(37, 38))
	each(t, func(t *testing.T, _ *ops) {
		if err := SetPrecision(Int8); err != nil {
			t.Fatal(err)
		}
		for _, T := range []int{1, 7, 61} {
			const out, in = 64, 256
			f, _ := quantised(r, Q4_K, out, in)
			dy, dx, want := random(r, T*out), random(r, T*in), make([]float32, T*in)
			parts := randomParts(r, T, out, in)
			f.Backward(want, dy, T, false)
			f.BackwardParts(dx, dy, T, false, true, parts)
			same(t, "detached", dx, want)
			mids := make([][]float32, len(parts))
			for i, p := range parts {
				mids[i] = slices.Clone(p.Mid)
				clear(p.Mid)
			}
			f.FillMidBackward(dy, T, parts)
			for i, p := range parts {
				same(t, "Mid without the product", p.Mid, mids[i])
			}
			f.BackwardParts(dx, dy, T, false, false, parts)
			bound := make([]float64, len(want)) // of rounding both operands of a part to bfloat16
			for i, p := range parts {
				same(t, "Mid", p.Mid, mids[i])
				for row := range p.N {
					for k := range in {
						var v, size float64
						for q := range p.Rank {
							term := float64(p.Mid[row*p.Rank+q]) * float64(p.A[q*in+k])
							v, size = v+term, size+math.Abs(term)
						}
						want[(p.At+row)*in+k] += float32(v)
						bound[(p.At+row)*in+k] += size * 0x1.02p-7
					}
				}
			}
			for i, v := range want {
				if d := math.Abs(float64(dx[i] - v)); !(d <= bound[i]+1e-5*(1+math.Abs(float64(v)))) {
					t.Fatalf("%d rows: element %d is %g, want %g", T, i, dx[i], v)
				}
			}
		}
	})
}

// TestPositiveHalf: every half precision number is itself, and numbers between
// two of them go to the nearer one, or the even one.
func TestPositiveHalf(t *testing.T) {
	for h := range uint16(0x7c00) {
		v := halfFloat(h)
		if got := positiveHalf(v); got != h {
			t.Fatalf("%g: got %#04x, want %#04x", v, got, h)
		}
		if h == 0x7bff {
			break
		}
		middle := (v + halfFloat(h+1)) / 2
		for x, want := range map[float32]uint16{
			middle: h + h&1, math.Nextafter32(middle, 0): h, math.Nextafter32(middle, 1e9): h + 1,
		} {
			if got := positiveHalf(x); got != want {
				t.Fatalf("%g: got %#04x, want %#04x", x, got, want)
			}
		}
	}
	if got := positiveHalf(1e6); got != 0x7bff {
		t.Errorf("1e6: got %#04x, want the largest finite number", got)
	}
}
