package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// vector generates the AVX2 vector operations. The portable versions in
// vector_generic.go say what each does.
func vector() {
	tailMasks()
	dot()
	add()
	axpy()
	scale()
	sum()
	maximum()
	exp()
	expSub("expSub", true)
	expSub("sumExpSub", false)
	swiGLU()
	swiGLUBackward()
	scaleMul()
	dotMul()
	normBackward()
	subMul()
}

// masks holds eight words of ones and eight of zeros: the eight words from
// word 8-n on select the first n lanes.
var masks Mem

func tailMasks() {
	masks = GLOBL("tailMasks", RODATA|NOPTR)
	for i := range 16 {
		v := uint32(math.MaxUint32)
		if i >= 8 {
			v = 0
		}
		DATA(4*i, U32(v))
	}
}

// lanes gives the body of a loop access to the eight elements of the round.
type lanes struct {
	off  int        // byte offset in the round
	mask VecVirtual // nil unless it is the tail
}

func (l lanes) load(p Register) VecVirtual {
	v := YMM()
	m := Mem{Base: p, Disp: l.off}
	if l.mask == nil {
		VMOVUPS(m, v)
	} else {
		VMASKMOVPS(m, l.mask, v)
	}
	return v
}

func (l lanes) store(v VecVirtual, p Register) {
	m := Mem{Base: p, Disp: l.off}
	if l.mask == nil {
		VMOVUPS(v, m)
	} else {
		VMASKMOVPS(v, l.mask, m)
	}
}

// loop generates body for n elements at each of ptrs: rounds of unroll times
// eight elements, rounds of eight, and a round for the tail, in which loads
// give zero for, and stores spare, what is beyond n. Body u uses its own
// accumulator, if it has one.
func loop(name string, n Register, unroll int, ptrs []Register, body func(l lanes, u int)) {
	advance := func(bytes int) {
		for _, p := range ptrs {
			ADDQ(U32(bytes), p)
		}
	}
	rounds := func(label string, count int) {
		SUBQ(Imm(uint64(8*count)), n)
		JLT(LabelRef(name + "_" + label + "_end"))
		Label(name + "_" + label)
		for u := range count {
			body(lanes{off: 32 * u}, u)
		}
		advance(32 * count)
		SUBQ(Imm(uint64(8*count)), n)
		JGE(LabelRef(name + "_" + label))
		Label(name + "_" + label + "_end")
		ADDQ(Imm(uint64(8*count)), n)
	}
	if unroll > 1 {
		rounds("wide", unroll)
	}
	rounds("eight", 1)
	JEQ(LabelRef(name + "_done"))
	at, mask := GP64(), YMM()
	LEAQ(masks.Offset(32), at)
	SHLQ(Imm(2), n)
	SUBQ(n, at)
	VMOVUPS(Mem{Base: at}, mask)
	body(lanes{mask: mask}, 0)
	Label(name + "_done")
}

func function(name, signature string) string {
	name += "AVX2"
	TEXT(name, NOSPLIT, signature)
	Doc(name + " is " + name[:len(name)-4] + "Generic in AVX2.")
	Pragma("noescape")
	return name
}

func base(name string) Register   { return Load(Param(name).Base(), GP64()) }
func length(name string) Register { return Load(Param(name).Len(), GP64()) }

func broadcast(name string) VecVirtual {
	v := YMM()
	addr, err := Param(name).Resolve()
	if err != nil {
		panic(err)
	}
	VBROADCASTSS(addr.Addr, v)
	return v
}

func zeros(n int) []VecVirtual {
	var out []VecVirtual
	for range n {
		v := YMM()
		VXORPS(v, v, v)
		out = append(out, v)
	}
	return out
}

// fold reduces accumulators to one, pairwise.
func fold(acc []VecVirtual, op func(a, b Op, out VecVirtual)) VecVirtual {
	for len(acc) > 1 {
		half := len(acc) / 2
		for i := range half {
			op(acc[i+half], acc[i], acc[i])
		}
		acc = acc[:half]
	}
	return acc[0]
}

// fold8 reduces the lanes of v to its first.
func fold8(v VecVirtual, op func(a, b Op, out VecVirtual)) VecVirtual {
	lo, hi := XMM(), XMM()
	VMOVAPS(v.AsX(), lo)
	VEXTRACTF128(Imm(1), v, hi)
	op(hi, lo, lo)
	for _, swap := range []uint64{0x4e, 0xb1} { // halves, then neighbours
		VPERMILPS(Imm(swap), lo, hi)
		op(hi, lo, lo)
	}
	return lo
}

func addOp(a, b Op, out VecVirtual) { VADDPS(a, b, out) }

func dot() {
	name := function("dot", "func(x []float32, y []float32) float32")
	x, y, n := base("x"), base("y"), length("x")
	acc := zeros(8)
	loop(name, n, 8, []Register{x, y}, func(l lanes, u int) {
		VFMADD231PS(l.load(x), l.load(y), acc[u])
	})
	s := fold8(fold(acc, addOp), addOp)
	VZEROUPPER()
	Store(s, ReturnIndex(0))
	RET()
}

func add() {
	name := function("add", "func(y []float32, x []float32)")
	y, x, n := base("y"), base("x"), length("y")
	loop(name, n, 4, []Register{y, x}, func(l lanes, _ int) {
		v := l.load(y)
		VADDPS(l.load(x), v, v)
		l.store(v, y)
	})
	VZEROUPPER()
	RET()
}

func axpy() {
	name := function("axpy", "func(y []float32, a float32, x []float32)")
	y, x, n, a := base("y"), base("x"), length("y"), broadcast("a")
	loop(name, n, 4, []Register{y, x}, func(l lanes, _ int) {
		v := l.load(y)
		VFMADD231PS(l.load(x), a, v)
		l.store(v, y)
	})
	VZEROUPPER()
	RET()
}

func scale() {
	name := function("scale", "func(x []float32, a float32)")
	x, n, a := base("x"), length("x"), broadcast("a")
	loop(name, n, 4, []Register{x}, func(l lanes, _ int) {
		v := l.load(x)
		VMULPS(a, v, v)
		l.store(v, x)
	})
	VZEROUPPER()
	RET()
}

func sum() {
	name := function("sum", "func(x []float32) float32")
	x, n := base("x"), length("x")
	acc := zeros(8)
	loop(name, n, 8, []Register{x}, func(l lanes, u int) { VADDPS(l.load(x), acc[u], acc[u]) })
	s := fold8(fold(acc, addOp), addOp)
	VZEROUPPER()
	Store(s, ReturnIndex(0))
	RET()
}

// maximum keeps apart which lanes have met a NaN, as VMAXPS forgets it.
func maximum() {
	name := function("max", "func(x []float32) float32")
	x, n := base("x"), length("x")
	low, nan := constant("negInf", float32(math.Inf(-1))), zeros(1)[0]
	acc := make([]VecVirtual, 4)
	for i := range acc {
		acc[i] = YMM()
		VMOVUPS(low, acc[i])
	}
	maxOp := func(a, b Op, out VecVirtual) { VMAXPS(a, b, out) }
	loop(name, n, 4, []Register{x}, func(l lanes, u int) {
		v, q := l.load(x), YMM()
		if l.mask != nil {
			w := YMM()
			VMOVUPS(low, w)
			VBLENDVPS(l.mask, v, w, v)
		}
		VCMPPS(Imm(3), v, v, q) // unordered
		VORPS(q, nan, nan)
		VMAXPS(v, acc[u], acc[u])
	})
	m := fold8(fold(acc, maxOp), maxOp)
	any := fold8(nan, func(a, b Op, out VecVirtual) { VORPS(a, b, out) })
	VORPS(any, m, m) // all ones are a NaN
	VZEROUPPER()
	Store(m, ReturnIndex(0))
	RET()
}

func scaleMul() {
	name := function("scaleMul", "func(y []float32, x []float32, w []float32, r float32)")
	y, x, w, n, r := base("y"), base("x"), base("w"), length("y"), broadcast("r")
	loop(name, n, 4, []Register{y, x, w}, func(l lanes, _ int) {
		v := l.load(x)
		VMULPS(r, v, v)
		VMULPS(l.load(w), v, v)
		l.store(v, y)
	})
	VZEROUPPER()
	RET()
}

func dotMul() {
	name := function("dotMul", "func(x []float32, y []float32, w []float32) float32")
	x, y, w, n := base("x"), base("y"), base("w"), length("x")
	acc := zeros(4)
	loop(name, n, 4, []Register{x, y, w}, func(l lanes, u int) {
		v := l.load(x)
		VMULPS(l.load(w), v, v)
		VFMADD231PS(l.load(y), v, acc[u])
	})
	s := fold8(fold(acc, addOp), addOp)
	VZEROUPPER()
	Store(s, ReturnIndex(0))
	RET()
}

func normBackward() {
	name := function("normBackward", "func(dx []float32, dy []float32, w []float32, x []float32, r float32, c float32)")
	dx, dy, w, x, n := base("dx"), base("dy"), base("w"), base("x"), length("dx")
	r, c := broadcast("r"), broadcast("c")
	loop(name, n, 2, []Register{dx, dy, w, x}, func(l lanes, _ int) {
		v, g := l.load(dx), l.load(dy)
		VMULPS(r, g, g)
		VFMADD231PS(l.load(w), g, v)
		VFNMADD231PS(l.load(x), c, v)
		l.store(v, dx)
	})
	VZEROUPPER()
	RET()
}

func subMul() {
	name := function("subMul", "func(y []float32, x []float32, a float32)")
	y, x, n, a := base("y"), base("x"), length("y"), broadcast("a")
	loop(name, n, 4, []Register{y, x}, func(l lanes, _ int) {
		v := l.load(y)
		VSUBPS(a, v, v)
		VMULPS(l.load(x), v, v)
		l.store(v, y)
	})
	VZEROUPPER()
	RET()
}
