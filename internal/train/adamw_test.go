package train

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/code2lora/code2lora/internal/hypernet"
)

// TestAdamW compares ten steps with the formulas in float64. Values and moments
// are stored as float32, so each step may be off by a few units of 2^-24.
func TestAdamW(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	sizes := []int{1, 7, 40000} // more than two blocks
	var params []*hypernet.Param
	var want, m, v [][]float64
	for i, n := range sizes {
		p := &hypernet.Param{Name: string(rune('a' + i)), Value: make([]float32, n), Grad: make([]float32, n), Decay: i != 1}
		for j := range p.Value {
			p.Value[j] = float32(rng.NormFloat64())
		}
		w := make([]float64, n)
		for j := range w {
			w[j] = float64(p.Value[j])
		}
		params, want, m, v = append(params, p), append(want, w), append(m, make([]float64, n)), append(v, make([]float64, n))
	}
	o := NewAdamW(params, 0.1)
	o.Rate = func(p *hypernet.Param) float64 {
		if p.Name == "c" {
			return 0.25
		}
		return 1
	}
	for step := 1; step <= 10; step++ {
		lr := 0.01 * float64(step)
		for i, p := range params {
			for j := range p.Grad {
				p.Grad[j] = float32(rng.NormFloat64() * math.Pow(10, float64(j%7-3)))
				if j%5 == 0 {
					p.Grad[j] = 0 // never a gradient, only decay
				}
				g := float64(p.Grad[j])
				m[i][j] = 0.9*m[i][j] + 0.1*g
				v[i][j] = 0.999*v[i][j] + 0.001*g*g
				d := m[i][j] / (1 - math.Pow(0.9, float64(step))) / (math.Sqrt(v[i][j]/(1-math.Pow(0.999, float64(step)))) + 1e-8)
				if p.Decay {
					d += 0.1 * want[i][j]
				}
				if i == 2 {
					d *= 0.25
				}
				want[i][j] -= lr * d
			}
		}
		o.Step(params, lr)
		for i, p := range params {
			for j := range p.Value {
				if got := float64(p.Value[j]); math.Abs(got-want[i][j]) > 1e-6*float64(step)*max(1, math.Abs(want[i][j])) {
					t.Fatalf("step %d, %s[%d]: got %g, want %g", step, p.Name, j, got, want[i][j])
				}
				if p.Grad[j] != 0 {
					t.Fatalf("step %d, %s[%d]: the gradient is still %g", step, p.Name, j, p.Grad[j])
				}
			}
		}
	}
}

func TestClip(t *testing.T) {
	for name, tt := range map[string]struct{ most, scale float64 }{
		"measured only": {0, 1},
		"below":         {13.5, 1},
		"exactly":       {13, 1},
		"above":         {6.5, 0.5},
	} {
		params := []*hypernet.Param{{Grad: []float32{3, 0}}, {Grad: nil}, {Grad: []float32{-4, 12}}}
		if got := Clip(params, tt.most); math.Abs(got-13) > 1e-9 {
			t.Errorf("%s: norm %g, want 13", name, got)
		}
		got := []float64{float64(params[0].Grad[0]), float64(params[2].Grad[0]), float64(params[2].Grad[1])}
		for i, g := range []float64{3, -4, 12} {
			if math.Abs(got[i]-g*tt.scale) > 1e-6 {
				t.Errorf("%s: gradient %g, want %g", name, got[i], g*tt.scale)
			}
		}
	}
	if got := Clip([]*hypernet.Param{{Grad: []float32{float32(math.NaN())}}}, 1); !math.IsNaN(got) {
		t.Errorf("norm of NaN: %g", got)
	}
}

func TestLearningRate(t *testing.T) {
	const steps, warmup, peak, floor = 200, 10, 2e-3, 0.05
	last := 0.0
	for step := range steps {
		lr := learningRate(step, steps, warmup, peak, floor)
		switch {
		case step < warmup:
			if want := peak * float64(step+1) / warmup; math.Abs(lr-want) > 1e-12 {
				t.Errorf("step %d: got %g, want %g", step, lr, want)
			}
		case step > warmup && lr >= last:
			t.Errorf("step %d: %g after %g, want less", step, lr, last)
		}
		last = lr
	}
	for _, tt := range []struct {
		step int
		want float64
	}{{warmup - 1, peak}, {warmup, peak}, {105, peak * (0.5 + floor/2)}, {steps, peak * floor}, {steps + 50, peak * floor}} {
		if got := learningRate(tt.step, steps, warmup, peak, floor); math.Abs(got-tt.want) > 1e-12 {
			t.Errorf("step %d: got %g, want %g", tt.step, got, tt.want)
		}
	}
	if last > peak*floor*1.01 {
		t.Errorf("the last step has %g, want about %g", last, peak*floor)
	}
	for _, tt := range [][3]int{{0, 1, 0}, {0, 1, 1}, {4, 5, 5}} { // no division by zero
		if got := learningRate(tt[0], tt[1], tt[2], peak, floor); got != peak {
			t.Errorf("step %d of %d, warm-up %d: got %g, want %g", tt[0], tt[1], tt[2], got, peak)
		}
	}
}
