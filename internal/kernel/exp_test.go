package kernel

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestExpRange(t *testing.T) {
	const batch = 1 << 12
	each(t, func(t *testing.T, _ *ops) {
		x, y := make([]float32, 0, batch), make([]float32, batch)
		worst := 0.0
		flush := func() {
			Exp(y[:len(x)], x)
			for i, v := range x {
				want := math.Exp(float64(v))
				bound := expRel * want
				if want < 0x1p-126 {
					bound = tiny
				}
				if want > math.MaxFloat32*(1+u) {
					if !math.IsInf(float64(y[i]), 1) {
						t.Fatalf("Exp(%g) is %g, want +Inf", v, y[i])
					}
					continue
				}
				if want > math.MaxFloat32*(1-expRel) && math.IsInf(float64(y[i]), 1) {
					continue // rounding may go either way here
				}
				err := math.Abs(float64(y[i]) - want)
				if !(err <= bound) {
					t.Fatalf("Exp(%g) is %g, want %g ± %g", v, y[i], want, bound)
				}
				if want >= 0x1p-126 {
					worst = max(worst, err/want)
				}
			}
			x = x[:0]
		}
		// Every 1,009th float32 of either sign up to 110.
		for b := uint32(0); b < math.Float32bits(110); b += 1009 {
			x = append(x, math.Float32frombits(b), math.Float32frombits(b|1<<31))
			if len(x) == batch {
				flush()
			}
		}
		flush()
		t.Logf("largest relative error: %.3g", worst)
	})
}

func TestExpSpecial(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	for _, c := range []struct{ x, want float32 }{
		{0, 1}, {float32(math.Copysign(0, -1)), 1}, {inf, inf}, {-inf, 0}, {nan, nan},
		{88.7228, 3.4027e38}, {88.8, inf}, {1e30, inf}, {-1e30, 0}, {-104, 0}, {-150, 0},
		{-103.2789, math.SmallestNonzeroFloat32}, {1e-20, 1},
	} {
		each(t, func(t *testing.T, _ *ops) {
			for n := 1; n <= 9; n += 8 { // in the tail and in the loop
				x := make([]float32, n)
				for i := range x {
					x[i] = c.x
				}
				Exp(x, x)
				for _, got := range x {
					same := got == c.want || got != got && c.want != c.want
					if !same && !(math.Abs(float64(got-c.want)) <= 1e-4*math.Abs(float64(c.want))) {
						t.Errorf("Exp(%g) is %g, want %g", c.x, got, c.want)
					}
				}
			}
		})
	}
}

func TestSoftmaxAndLogSumExp(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	each(t, func(t *testing.T, _ *ops) {
		for _, n := range []int{1, 2, 7, 8, 9, 63, 64, 65, 1009, 4095, 4096, 4097, 50021} {
			for _, spread := range []float64{0, 1, 30, 1e4} {
				x := random(r, n)
				m := math.Inf(-1)
				for i := range x {
					x[i] = float32(float64(x[i])*spread + 1000)
					m = max(m, float64(x[i]))
				}
				var sum float64
				for _, v := range x {
					sum += math.Exp(float64(v) - m)
				}
				// The largest term of the sum is 1, so an error of u·|d|·e^d of
				// the others, d = v-m, is below u·n/e; the sums of up to
				// sumBlock terms err by a factor sumBlock·u at the very most.
				rel := second * (expRel + u*float64(n)/math.E + u*float64(min(n, sumBlock)))
				want := m + math.Log(sum)
				if got := float64(LogSumExp(x)); !(math.Abs(got-want) <= rel+u*math.Abs(want)) {
					t.Errorf("LogSumExp of %d: %g, want %g", n, got, want)
				}
				y := append([]float32(nil), x...)
				if got := float64(SoftmaxLogSum(y)); !(math.Abs(got-want) <= rel+u*math.Abs(want)) {
					t.Errorf("SoftmaxLogSum of %d: %g, want %g", n, got, want)
				}
				for i, v := range x {
					d := float64(v) - m
					p := math.Exp(d) / sum
					if !(math.Abs(float64(y[i])-p) <= p*(rel+expRel+u*math.Abs(d)+2*u)+tiny) {
						t.Fatalf("SoftmaxRow of %d: element %d is %g, want %g", n, i, y[i], p)
					}
				}
			}
		}
	})
}

func TestSoftmaxSpecial(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	each(t, func(t *testing.T, _ *ops) {
		for _, c := range []struct {
			x    []float32
			want []float32
			lse  float32
		}{
			{nil, nil, -inf},
			{[]float32{3}, []float32{1}, 3},
			{[]float32{-inf, 0, -inf}, []float32{0, 1, 0}, 0},
			{[]float32{-inf, -inf}, []float32{nan, nan}, -inf},
			{[]float32{1, inf}, []float32{nan, nan}, inf},
			{[]float32{1, nan, 2}, []float32{nan, nan, nan}, nan},
		} {
			same := func(a, b float32) bool { return a == b || a != a && b != b }
			if got := LogSumExp(c.x); !same(got, c.lse) {
				t.Errorf("LogSumExp(%v) = %g, want %g", c.x, got, c.lse)
			}
			y := append([]float32(nil), c.x...)
			if got := SoftmaxLogSum(y); !same(got, c.lse) {
				t.Errorf("SoftmaxLogSum(%v) = %g, want %g", c.x, got, c.lse)
			}
			for i := range y {
				if !same(y[i], c.want[i]) {
					t.Errorf("SoftmaxRow(%v) = %v, want %v", c.x, y, c.want)
					break
				}
			}
		}
	})
}

// TestAliases runs the operations that allow it in place.
func TestAliases(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	each(t, func(t *testing.T, _ *ops) {
		for n := range 40 {
			x, w, got := random(r, n), random(r, n), make([]float32, n)
			for name, f := range map[string]func(dst, src []float32){
				"Exp":            func(dst, src []float32) { Exp(dst, src) },
				"SwiGLU to gate": func(dst, src []float32) { SwiGLU(dst, src, w) },
				"SwiGLU to up":   func(dst, src []float32) { SwiGLU(dst, w, src) },
				"ScaleMul":       func(dst, src []float32) { ScaleMul(dst, src, w, 0.3) },
			} {
				f(got, x)
				in := append([]float32(nil), x...)
				f(in, in)
				for i := range in {
					if in[i] != got[i] {
						t.Fatalf("%s of %d: in place element %d is %g, else %g", name, n, i, in[i], got[i])
					}
				}
			}
		}
	})
}

func TestLengthsPanic(t *testing.T) {
	a, b := make([]float32, 3), make([]float32, 4)
	for name, f := range map[string]func(){
		"Dot":      func() { Dot(a, b) },
		"Axpy":     func() { Axpy(a, 1, b) },
		"Add":      func() { Add(a, b) },
		"Exp":      func() { Exp(a, b) },
		"SwiGLU":   func() { SwiGLU(a, a, b) },
		"Backward": func() { SwiGLUBackward(a, a, a, a, a, b) },
		"DotMul":   func() { DotMul(a, a, b) },
		"Norm":     func() { NormBackward(a, a, b, a, 1, 1) },
		"SubMul":   func() { SubMul(a, b, 1) },
		"ExpSub":   func() { ExpSub(a, b, 1) },
		"ScaleMul": func() { ScaleMul(a, a, b, 1) },
		"Frozen":   func() { NewFrozen(a, 2, 2) },
		"Forward":  func() { NewFrozen(b, 2, 2).Forward(a, b, 2) },
		"Backprop": func() { NewFrozen(b, 2, 2).Backward(a, b, 2, true) },
		"Row":      func() { NewFrozen(b, 2, 2).Row(a[:2], 2) },
		"Gemm A":   func() { Gemm(false, false, 2, 2, 2, 1, a, 2, b, 2, 0, b, 2) },
		"Gemm B":   func() { Gemm(false, true, 2, 2, 2, 1, b, 2, b, 1, 0, b, 2) },
		"Gemm C":   func() { Gemm(false, false, 2, 2, 2, 1, b, 2, b, 2, 0, a, 2) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s accepts operands that don't fit", name)
				}
			}()
			f()
		}()
	}
}
