package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// TestArithmetic wants the same bits in float32 of all implementations that have
// one name for what they compute.
func TestArithmetic(t *testing.T) {
	defer keep()()
	if err := SetPrecision(Float32); err != nil {
		t.Fatal(err)
	}
	want, by := map[string][]float32{}, map[string]string{}
	for _, o := range implementations {
		active = o
		name := Arithmetic()
		got := results()
		if want[name] == nil {
			want[name], by[name] = got, o.name
			continue
		}
		for i := range got {
			if math.Float32bits(got[i]) != math.Float32bits(want[name][i]) {
				t.Fatalf("%s: value %d of %d: %s has %g, %s has %g", name, i, len(got), o.name, got[i], by[name], want[name][i])
			}
		}
	}
	active = &generic
	if got, want := Arithmetic(), "float32 generic"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	for _, p := range []Precision{Int8, BFloat16} {
		names := map[string]bool{}
		for _, o := range implementations {
			active = o
			if SetPrecision(p) != nil {
				continue // not with this implementation
			}
			names[Arithmetic()] = true
			if got, want := Arithmetic(), fmt.Sprintf("%v %s", p, o.name); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
			if err := SetPrecision(Float32); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// results are those of what a forward pass calls, for many lengths.
func results() (all []float32) {
	rng := rand.New(rand.NewPCG(1, 2))
	values := func(n int) []float32 { return random(rng, n) }
	for n := 1; n < 200; n += 1 + n/16 {
		x, y, w := values(n), values(n), values(n)
		all = append(all, Dot(x, y), Sum(x), DotMul(x, y, w), LogSumExp(x))
		h := make([]float32, n)
		SwiGLU(h, x, y)
		all = append(all, h...)
		ScaleMul(h, x, w, 0.3)
		all = append(all, h...)
		Axpy(h, 0.7, y)
		Add(h, x)
		all = append(all, h...)
		SoftmaxRow(x)
		all = append(all, x...)
	}
	for _, s := range []struct{ T, out, in int }{{1, 5, 3}, {3, 17, 33}, {16, 40, 64}, {70, 130, 300}, {260, 64, 576}} {
		x, y := values(s.T*s.in), make([]float32, s.T*s.out)
		f := NewFrozen(values(s.out*s.in), s.out, s.in)
		f.Forward(y, x, s.T)
		all = append(all, y...)
		c := make([]float32, s.in*s.in)
		Gemm(true, false, s.in, s.in, s.T, 1, x, s.in, x, s.in, 1, c, s.in)
		all = append(all, c...)
		SumOuter(s.in, s.in, s.T, x, s.in, x, s.in, c, s.in)
		all = append(all, c...)
	}
	return all
}
