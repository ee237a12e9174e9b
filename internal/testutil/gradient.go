// Package testutil helps tests of numeric code. It imports nothing of ours.
package testutil

import (
	"math"
	"math/rand/v2"
	"testing"
)

// Randn returns n normally distributed values.
func Randn(rng *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(rng.NormFloat64())
	}
	return x
}

// Dot returns the dot product in float64.
func Dot(x, y []float32) float64 {
	var s float64
	for i := range x {
		s += float64(x[i]) * float64(y[i])
	}
	return s
}

// CheckGradient compares dx, the gradient of loss with respect to x, with
// central differences. loss reads x, which is restored. An error of 1e-2 of
// the gradient's largest value is what float32 leaves of a difference over
// 2e-2; a wrong formula is off by far more.
func CheckGradient(t *testing.T, name string, dx, x []float32, loss func() float64) {
	t.Helper()
	const h = 1e-2
	var largest float64
	for _, v := range dx {
		largest = max(largest, math.Abs(float64(v)))
	}
	if largest == 0 {
		t.Errorf("%s: the gradient is zero everywhere", name)
	}
	for i := range x {
		old := x[i]
		x[i] = old + h
		up := loss()
		x[i] = old - h
		down := loss()
		x[i] = old
		want := (up - down) / (2 * h)
		if got := float64(dx[i]); math.Abs(got-want) > 1e-2*max(largest, math.Abs(want)) {
			t.Errorf("%s[%d]: got %g, want %g", name, i, got, want)
		}
	}
}

// RelativeError returns ‖got − want‖ / ‖want‖.
func RelativeError(got, want []float32) float64 {
	var diff, norm float64
	for i := range want {
		d := float64(got[i]) - float64(want[i])
		diff += d * d
		norm += float64(want[i]) * float64(want[i])
	}
	return math.Sqrt(diff / max(norm, math.SmallestNonzeroFloat64))
}
