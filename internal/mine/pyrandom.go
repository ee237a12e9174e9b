package mine

import (
	"math/bits"

	"gonum.org/v1/gonum/mathext/prng"
)

// pyRandom draws what Python's random.Random draws (CPython's
// Modules/_randommodule.c and Lib/random.py): a Mersenne Twister, seeded by
// init_by_array.
type pyRandom struct{ mt *prng.MT19937 }

// newPyRandom returns random.Random(seed).
func newPyRandom(seed uint32) pyRandom {
	mt := prng.NewMT19937()
	mt.SeedFromKeys([]uint32{seed})
	return pyRandom{mt}
}

// below returns a number from 0 to n-1, n being at least 1 (_randbelow).
func (p pyRandom) below(n int) int {
	k := bits.Len(uint(n))
	for {
		if r := int(p.mt.Uint32() >> (32 - k)); r < n {
			return r
		}
	}
}

// shuffle is random.shuffle of n things.
func (p pyRandom) shuffle(n int, swap func(i, j int)) {
	for i := n - 1; i > 0; i-- {
		swap(i, p.below(i+1))
	}
}
