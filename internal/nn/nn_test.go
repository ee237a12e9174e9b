package nn_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/code2lora/code2lora/internal/kernel"
	"github.com/code2lora/code2lora/internal/nn"
	"github.com/code2lora/code2lora/internal/testutil"
)

// Each test makes the loss the dot product of the output and dy, so that
// d(loss)/d(output) is dy.

func TestRMSNormGradient(t *testing.T) {
	const T, D, eps = 3, 5, 1e-5
	rng := rand.New(rand.NewPCG(1, 2))
	x, w, dy := testutil.Randn(rng, T*D), testutil.Randn(rng, D), testutil.Randn(rng, T*D)
	y, rstd := make([]float32, T*D), make([]float32, T)
	loss := func() float64 {
		nn.RMSNormForward(y, rstd, x, w, T, D, eps)
		return testutil.Dot(y, dy)
	}
	loss()
	again := make([]float32, T*D)
	nn.RMSNormApply(again, x, w, rstd, T, D)
	if e := testutil.RelativeError(again, y); e > 1e-6 {
		t.Errorf("RMSNormApply differs from RMSNormForward by %g", e)
	}
	inPlace := slices.Clone(x)
	nn.RMSNormForward(inPlace, rstd, inPlace, w, T, D, eps)
	if !slices.Equal(inPlace, y) {
		t.Errorf("in place: got %v, want %v", inPlace, y)
	}
	dx := make([]float32, T*D)
	nn.RMSNormBackward(dx, dy, x, w, rstd, T, D)
	testutil.CheckGradient(t, "dx", dx, x, loss)
}

func TestRoPE(t *testing.T) {
	const T, heads, hd = 3, 2, 6
	rng := rand.New(rand.NewPCG(3, 4))
	r := nn.NewRoPE(16, hd, 100, nil)
	x, pos := testutil.Randn(rng, T*heads*hd), []int32{0, 7, 3}
	y := append([]float32(nil), x...)
	r.Forward(y, pos, T, heads)
	for row, p := range pos { // the definition, in float64
		for h := range heads {
			for i := range hd / 2 {
				at := (row*heads+h)*hd + i
				s, c := math.Sincos(float64(p) * math.Pow(100, -2*float64(i)/hd))
				a, b := float64(x[at]), float64(x[at+hd/2])
				if e := math.Abs(float64(y[at])-(a*c-b*s)) + math.Abs(float64(y[at+hd/2])-(b*c+a*s)); e > 1e-5 {
					t.Errorf("row %d head %d pair %d is off by %g", row, h, i, e)
				}
			}
		}
	}
	r.Backward(y, pos, T, heads)
	if e := testutil.RelativeError(y, x); e > 1e-6 {
		t.Errorf("rotating there and back changes the input by %g", e)
	}
}

// TestRoPEFactors checks that factors divide the angles.
func TestRoPEFactors(t *testing.T) {
	const T, hd, pos = 1, 6, 5
	factors := []float32{1, 4, 0.5}
	r := nn.NewRoPE(8, hd, 100, factors)
	if got := r.Positions(); got != 8 {
		t.Errorf("%d positions, want 8", got)
	}
	x := []float32{1, 1, 1, 0, 0, 0} // every pair is (1,0), and becomes (cos, sin)
	r.Forward(x, []int32{pos}, T, 1)
	for i, f := range factors {
		s, c := math.Sincos(pos * math.Pow(100, -2*float64(i)/hd) / float64(f))
		if e := math.Abs(float64(x[i])-c) + math.Abs(float64(x[i+hd/2])-s); e > 1e-6 {
			t.Errorf("pair %d: got (%g,%g), want (%g,%g)", i, x[i], x[i+hd/2], c, s)
		}
	}
}

// TestRoPEFar checks positions in all parts of a table, which several goroutines
// ask for at once.
func TestRoPEFar(t *testing.T) {
	const hd, positions, theta = 4, 1300, 100.0
	r := nn.NewRoPE(positions, hd, theta, nil)
	if got := r.Positions(); got != positions {
		t.Errorf("%d positions, want %d", got, positions)
	}
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			pos := make([]int32, positions)
			x := make([]float32, positions*hd)
			for i := range pos {
				pos[i] = int32(positions - 1 - i)
				x[i*hd], x[i*hd+1] = 1, 1
			}
			r.Forward(x, pos, positions, 1)
			for i, p := range pos {
				for j := range hd / 2 {
					s, c := math.Sincos(float64(p) * math.Pow(theta, -2*float64(j)/hd))
					if got := x[i*hd:]; got[j] != float32(c) || got[j+hd/2] != float32(s) {
						t.Errorf("position %d, pair %d: got (%g,%g), want (%g,%g)", p, j, got[j], got[j+hd/2], c, s)
						return
					}
				}
			}
		})
	}
	all.Wait()
}

func TestLoRAGradient(t *testing.T) {
	const T, in, out, r, scale = 3, 5, 70, 2, 1.5
	rng := rand.New(rand.NewPCG(9, 10))
	x, A, B := testutil.Randn(rng, T*in), testutil.Randn(rng, r*in), testutil.Randn(rng, out*r)
	dy, u, du := testutil.Randn(rng, T*out), make([]float32, T*r), make([]float32, T*r)
	loss := func() float64 {
		y := make([]float32, T*out)
		kernel.Gemm(false, true, T, r, in, 1, x, in, A, in, 0, u, r)
		kernel.Gemm(false, true, T, out, r, scale, u, r, B, r, 1, y, out)
		return testutil.Dot(y, dy)
	}
	loss()
	kernel.Gemm(false, false, T, r, out, scale, dy, out, B, r, 0, du, r)
	dA, dB := make([]float32, len(A)), make([]float32, len(B))
	nn.LoRAGradient(dA, dB, dy, u, du, x, T, in, out, r, scale)
	testutil.CheckGradient(t, "dA", dA, A, loss)
	testutil.CheckGradient(t, "dB", dB, B, loss)
	nn.LoRAGradient(dA, dB, dy, u, du, x, T, in, out, r, scale)
	for i := range dA {
		dA[i] /= 2
	}
	testutil.CheckGradient(t, "dA added twice", dA, A, loss)
}

func TestAddBias(t *testing.T) {
	y := []float32{1, 2, 3, 4, 5, 6}
	nn.AddBias(y, nil, 2, 3)
	nn.AddBias(y, []float32{10, 20, 30}, 2, 3)
	if want := []float32{11, 22, 33, 14, 25, 36}; !slices.Equal(y, want) {
		t.Errorf("got %v, want %v", y, want)
	}
}

func TestCrossEntropy(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 12))
	x := testutil.Randn(rng, 9)
	x[4] = 5
	const target, weight = 3, 0.7
	loss := func() float64 {
		nll, _ := nn.CrossEntropy(append([]float32(nil), x...), target, 0)
		return weight * float64(nll)
	}
	dx := append([]float32(nil), x...)
	nll, best := nn.CrossEntropy(dx, target, weight)
	kept := slices.Clone(x)
	if _, best := nn.CrossEntropy(kept, target, 0); best != 4 || !slices.Equal(kept, x) {
		t.Errorf("weight 0: argmax %d of %v, want 4, and the logits unchanged", best, kept)
	}
	if _, best := nn.CrossEntropy([]float32{1, 7, 7}, 0, 0); best != 1 {
		t.Errorf("two largest logits: got %d, want the first", best)
	}
	if best != 4 {
		t.Errorf("argmax: got %d, want 4", best)
	}
	var sum float64
	for _, v := range x {
		sum += math.Exp(float64(v))
	}
	if want := math.Log(sum) - float64(x[target]); math.Abs(float64(nll)-want) > 1e-5 {
		t.Errorf("nll: got %g, want %g", nll, want)
	}
	testutil.CheckGradient(t, "dlogits", dx, x, loss)
}
