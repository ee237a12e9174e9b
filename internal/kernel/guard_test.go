package kernel

import (
	"math"
	"math/rand/v2"
	"testing"
	"unsafe"
)

// canary is what surrounds an operand: a NaN that no kernel produces.
const canary = 0x7fedcba9

// place makes an operand of n elements, and a function that says whether the
// memory around it is untouched.
type place struct {
	name string
	make func(t *testing.T, n int) (x []float32, untouched func() bool)
}

// places are all alignments to a cache line that matter, between canaries,
// and, where the system can, the start and the end of accessible memory.
func places() []place {
	var out []place
	for off := range 8 {
		out = append(out, place{"offset " + string(rune('0'+off)), func(_ *testing.T, n int) ([]float32, func() bool) {
			return guarded(n, off)
		}})
	}
	return append(out, pagePlaces()...)
}

// guarded returns n elements that start off elements after a multiple of 32
// bytes, with 32 canaries on each side.
func guarded(n, off int) ([]float32, func() bool) {
	const side = 32
	buf := aligned(n + 2*side + 8)
	for i := range buf {
		buf[i] = math.Float32frombits(canary)
	}
	lo, hi := side+off, side+off+n
	return buf[lo:hi:hi], func() bool {
		for i, v := range buf {
			if (i < lo || i >= hi) && math.Float32bits(v) != canary {
				return false
			}
		}
		return true
	}
}

// fill gives x normally distributed values.
func fill(r *rand.Rand, x []float32) {
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
}

func TestGuarded(t *testing.T) {
	for off := range 8 {
		x, untouched := guarded(5, off)
		if got := uintptr(unsafe.Pointer(&x[0])) % 32; got != uintptr(4*off) {
			t.Errorf("offset %d: address is %d modulo 32, want %d", off, got, 4*off)
		}
		clear(x)
		if !untouched() {
			t.Errorf("offset %d: a write to the operand counts as one outside", off)
		}
		unsafe.Slice(&x[0], 6)[5] = 0
		if untouched() {
			t.Errorf("offset %d: a write behind the operand was not noticed", off)
		}
	}
}
