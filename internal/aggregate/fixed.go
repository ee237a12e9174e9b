package aggregate

import (
	"encoding/binary"
	"math"
	"math/bits"
)

// fixed is a sum of multiples of 2^-64: hi + lo·2^-64, in two's complement. Sums
// of integers don't depend on the order of their terms, as those of floating-point
// numbers do.
type fixed struct {
	hi int64
	lo uint64
}

// toFixed rounds x, with |x| < 2^62, to the nearest multiple of 2^-64, half to
// even. A float32 of magnitude 2^-41 or more, and a product of two that isn't
// below 2^-17, is one already.
func toFixed(x float64) fixed {
	y := math.RoundToEven(math.Abs(x) * (1 << 64)) // exact but for the rounding: 53 bits
	hi := math.Floor(y / (1 << 64))
	f := fixed{int64(hi), uint64(y - hi*(1<<64))}
	if x < 0 {
		return f.negative()
	}
	return f
}

func (f fixed) negative() fixed {
	lo, borrow := bits.Sub64(0, f.lo, 0)
	return fixed{-f.hi - int64(borrow), lo}
}

func (f fixed) plus(g fixed) fixed {
	lo, carry := bits.Add64(f.lo, g.lo, 0)
	return fixed{f.hi + g.hi + int64(carry), lo}
}

func (f fixed) minus(g fixed) fixed { return f.plus(g.negative()) }

// compare returns -1, 0 or 1.
func (f fixed) compare(g fixed) int {
	switch {
	case f.hi != g.hi && f.hi < g.hi, f.hi == g.hi && f.lo < g.lo:
		return -1
	case f == g:
		return 0
	}
	return 1
}

// times returns f·n for 0 ≤ n ≤ MaxCount, if |f| ≤ Limit².
func (f fixed) times(n int64) fixed {
	carry, lo := bits.Mul64(f.lo, uint64(n))
	return fixed{f.hi*n + int64(carry), lo}
}

// float returns the value, rounded.
func (f fixed) float() float64 {
	if f.hi < 0 {
		return -f.negative().float()
	}
	return float64(f.hi) + float64(f.lo)*0x1p-64
}

func (f fixed) append(b []byte) []byte {
	return binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(b, f.lo), uint64(f.hi))
}

// readFixed reads 16 bytes.
func readFixed(b []byte) fixed {
	return fixed{int64(binary.LittleEndian.Uint64(b[8:])), binary.LittleEndian.Uint64(b)}
}
