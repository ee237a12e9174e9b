package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

var constants = map[string]Mem{}

// constant returns eight copies of v in memory.
func constant(name string, v float32) Mem { return constant32(name, math.Float32bits(v)) }

func constant32(name string, v uint32) Mem {
	if m, ok := constants[name]; ok {
		return m
	}
	m := GLOBL(name, RODATA|NOPTR)
	for i := range 8 {
		DATA(4*i, U32(v))
	}
	constants[name] = m
	return m
}

// e^r = 1 + r + r²·(expPoly[0] + expPoly[1]·r + ...) on |r| <= ln(2)/2, to
// 2e-9 (the coefficients of expf in the Cephes library, S. Moshier).
var expPoly = []float32{5.0000001201e-1, 1.6666665459e-1, 4.1665795894e-2, 8.3334519073e-3, 1.3981999507e-3, 1.9875691500e-4}

// ln 2 in two parts, the first with so few bits that n·ln2Hi is exact.
const (
	ln2Hi = 0.693359375
	ln2Lo = -2.12194440e-4
)

// expLimits loads the range to which arguments are clamped: below it e^x
// rounds to 0, above it to infinity.
func expLimits() (lo, hi VecVirtual) {
	lo, hi = YMM(), YMM()
	VMOVUPS(constant("expLo", -104), lo)
	VMOVUPS(constant("expHi", 89), hi)
	return lo, hi
}

// expLanes replaces x by e^x: with n = round(x/ln 2) and r = x - n·ln 2 it is
// e^r·2^n. 2^n is multiplied in two halves, as it may be out of range where
// the product is not; so subnormal results are rounded once, correctly.
func expLanes(x, lo, hi VecVirtual) {
	n, p, r2 := YMM(), YMM(), YMM()
	VMINPS(x, hi, x) // a NaN in the first operand passes
	VMAXPS(x, lo, x)
	VMULPS(constant("log2e", math.Log2E), x, n)
	VROUNDPS(Imm(8), n, n)
	VFNMADD231PS(constant("ln2Hi", ln2Hi), n, x)
	VFNMADD231PS(constant("ln2Lo", ln2Lo), n, x)
	last := len(expPoly) - 1
	VMOVUPS(constant(polyName(last), expPoly[last]), p)
	for i := last - 1; i >= 0; i-- {
		VFMADD213PS(constant(polyName(i), expPoly[i]), x, p)
	}
	VMULPS(x, x, r2)
	VFMADD213PS(x, r2, p)
	VADDPS(constant("one", 1), p, p)

	ni, half := YMM(), YMM()
	bias := constant32("bias", 127)
	VCVTPS2DQ(n, ni)
	VPSRAD(Imm(1), ni, half)
	VPSUBD(half, ni, ni)
	for _, e := range []VecVirtual{half, ni} {
		VPADDD(bias, e, e)
		VPSLLD(Imm(23), e, e)
		VMULPS(e, p, p)
	}
	VMOVAPS(p, x)
}

func polyName(i int) string { return "expPoly" + string(rune('0'+i)) }

func exp() {
	name := function("exp", "func(dst []float32, src []float32)")
	dst, src, n := base("dst"), base("src"), length("dst")
	lo, hi := expLimits()
	loop(name, n, 1, []Register{dst, src}, func(l lanes, _ int) {
		v := l.load(src)
		expLanes(v, lo, hi)
		l.store(v, dst)
	})
	VZEROUPPER()
	RET()
}

// expSub generates dst[i] = e^(src[i]-shift), or only its sum.
func expSub(what string, write bool) {
	signature := "func(src []float32, shift float32) float32"
	if write {
		signature = "func(dst []float32, src []float32, shift float32) float32"
	}
	name := function(what, signature)
	src, n, shift := base("src"), length("src"), broadcast("shift")
	ptrs := []Register{src}
	if write {
		ptrs = append(ptrs, base("dst"))
	}
	lo, hi := expLimits()
	acc := zeros(1)[0]
	loop(name, n, 1, ptrs, func(l lanes, _ int) {
		v := l.load(src)
		VSUBPS(shift, v, v)
		expLanes(v, lo, hi)
		if write {
			l.store(v, ptrs[1])
		}
		if l.mask != nil {
			VANDPS(l.mask, v, v)
		}
		VADDPS(v, acc, acc)
	})
	s := fold8(acc, addOp)
	VZEROUPPER()
	Store(s, ReturnIndex(0))
	RET()
}

// onePlusExpNeg returns 1 + e^-x.
func onePlusExpNeg(x, lo, hi VecVirtual) VecVirtual {
	e := YMM()
	VXORPS(constant32("signBit", 1<<31), x, e)
	expLanes(e, lo, hi)
	VADDPS(constant("one", 1), e, e)
	return e
}

func swiGLU() {
	name := function("swiGLU", "func(h []float32, gate []float32, up []float32)")
	h, gate, up, n := base("h"), base("gate"), base("up"), length("h")
	lo, hi := expLimits()
	loop(name, n, 1, []Register{h, gate, up}, func(l lanes, _ int) {
		g := l.load(gate)
		e := onePlusExpNeg(g, lo, hi)
		VDIVPS(e, g, g)
		VMULPS(l.load(up), g, g)
		l.store(g, h)
	})
	VZEROUPPER()
	RET()
}

func swiGLUBackward() {
	name := function("swiGLUBackward", "func(h []float32, dgate []float32, dup []float32, dh []float32, gate []float32, up []float32)")
	h, dgate, dup, dh, gate, up := base("h"), base("dgate"), base("dup"), base("dh"), base("gate"), base("up")
	n := length("dh")
	lo, hi := expLimits()
	loop(name, n, 1, []Register{h, dgate, dup, dh, gate, up}, func(l lanes, _ int) {
		g, d, w := l.load(gate), l.load(dh), l.load(up)
		e := onePlusExpNeg(g, lo, hi)
		one, s, t := YMM(), YMM(), YMM()
		VMOVUPS(constant("one", 1), one)
		VDIVPS(e, one, s)

		v := YMM()
		VMULPS(g, s, v) // silu
		VMULPS(w, v, v)
		l.store(v, h)
		VMULPS(s, d, d) // dh·s
		VMULPS(g, d, v)
		l.store(v, dup)

		VSUBPS(s, one, t)
		VFMADD213PS(one, g, t) // 1 + gate·(1-s)
		VMULPS(w, d, d)
		VMULPS(t, d, d)
		l.store(d, dgate)
	})
	VZEROUPPER()
	RET()
}
