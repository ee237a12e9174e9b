package stats

import "math/bits"

// random is NumPy's default_rng: PCG64 (XSL-RR 128/64), seeded by
// SeedSequence. M. O'Neill, PCG: A Family of Simple Fast Space-Efficient
// Statistically Good Algorithms for Random Number Generation, 2014.
type random struct {
	hi, lo       uint64 // state
	incHi, incLo uint64
	half         uint32 // upper half of the last 64 bits, if not used yet
	hasHalf      bool
}

// newRandom returns default_rng(seed).
func newRandom(seed uint32) *random {
	s := seedState(seed)
	r := &random{incHi: s[2]<<1 | s[3]>>63, incLo: s[3]<<1 | 1}
	r.step()
	var carry uint64
	r.lo, carry = bits.Add64(r.lo, s[1], 0)
	r.hi, _ = bits.Add64(r.hi, s[0], carry)
	r.step()
	return r
}

// seedState returns SeedSequence(seed).generate_state(4, uint64).
func seedState(seed uint32) (state [4]uint64) {
	const multA, multB = 0x931e8875, 0x58f38ded
	a := uint32(0x43b0d7e5)
	hash := func(v uint32) uint32 {
		v ^= a
		a *= multA
		v *= a
		return v ^ v>>16
	}
	var pool [4]uint32
	for i := range pool {
		if i == 0 {
			pool[i] = hash(seed)
		} else {
			pool[i] = hash(0)
		}
	}
	for src := range pool {
		for dst := range pool {
			if src != dst {
				v := 0xca01f9dd*pool[dst] - 0x4973f715*hash(pool[src])
				pool[dst] = v ^ v>>16
			}
		}
	}
	b := uint32(0x8b51f9dd)
	for i := range 8 {
		v := pool[i%4] ^ b
		b *= multB
		v *= b
		v ^= v >> 16
		state[i/2] |= uint64(v) << (32 * (i % 2))
	}
	return state
}

// step is state = state·multiplier + increment, in 128 bits.
func (r *random) step() {
	const mulHi, mulLo = 0x2360ed051fc65da4, 0x4385df649fccf645
	hi, lo := bits.Mul64(r.lo, mulLo)
	hi += r.hi*mulLo + r.lo*mulHi
	var carry uint64
	r.lo, carry = bits.Add64(lo, r.incLo, 0)
	r.hi, _ = bits.Add64(hi, r.incHi, carry)
}

func (r *random) uint64() uint64 {
	r.step()
	return bits.RotateLeft64(r.hi^r.lo, -int(r.hi>>58))
}

func (r *random) uint32() uint32 {
	if r.hasHalf {
		r.hasHalf = false
		return r.half
	}
	v := r.uint64()
	r.half, r.hasHalf = uint32(v>>32), true
	return uint32(v)
}

// below returns a number from 0 to n−1, n at least 1, by Lemire's method, as
// integers(0, n) does.
func (r *random) below(n uint32) uint32 {
	if n == 1 {
		return 0 // without a draw
	}
	m := uint64(r.uint32()) * uint64(n)
	if uint32(m) < n {
		for threshold := -n % n; uint32(m) < threshold; {
			m = uint64(r.uint32()) * uint64(n)
		}
	}
	return uint32(m >> 32)
}
