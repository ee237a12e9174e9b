// Package testutil helps tests: those of numeric code, and those of what reads
// the benchmark's tests. It imports nothing of ours.
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

// checkedValues bounds the values of one tensor that CheckGradient varies.
const checkedValues = 40

// CheckGradient compares dx, the gradient of loss with respect to x, with
// central differences of fourth order,
//
//	f'(x) ≈ (8 (f(x+h) − f(x−h)) − (f(x+2h) − f(x−2h))) / 12h
//
// at up to 40 evenly spread places. loss reads x, which is restored. What
// float32 leaves of such a difference is within 1e-2 of the gradient's largest
// value; a wrong formula is off by far more.
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
	step := (len(x) + checkedValues - 1) / checkedValues
	for i := 0; i < len(x); i += step {
		old := x[i]
		at := func(d float32) float64 {
			x[i] = old + d
			return loss()
		}
		want := (8*(at(h)-at(-h)) - (at(2*h) - at(-2*h))) / (12 * h)
		x[i] = old
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
