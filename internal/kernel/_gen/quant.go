package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/ir"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// quant generates what products of quantised weights need: see quant.go and
// quantpack.go for the layouts.
func quant() {
	quantConstants()
	for _, bits := range []int{4, 5, 6, 8} {
		for rows := 1; rows <= maxQuantRowsVNNI; rows++ {
			quantVNNI(bits, rows)
		}
		for rows := 1; rows <= 4; rows++ {
			quantAVX2(bits, rows)
		}
	}
	scalesHalf()
	scalesPair()
	scalesSuperPair()
	scalesSuperOne()
	quantise()
}

const maxQuantRowsVNNI = 12

// With up to eight rows, as many requests, a product waits for its weights. The hardware looks ahead
// within a page only, so they are asked for.
const (
	prefetchRows  = 8
	prefetchAhead = 2048 // bytes
)

// codeMasks are constants of 32 bytes each.
var codeMasks struct {
	low, fifth, sixth, flip, ones, spread, bit Mem
}

func bytes32(name string, at func(i int) byte) Mem {
	m := GLOBL(name, RODATA|NOPTR)
	for i := range 32 {
		DATA(i, U8(at(i)))
	}
	return m
}

func all(v byte) func(int) byte { return func(int) byte { return v } }

func quantConstants() {
	codeMasks.low = bytes32("quantLow", all(0x0f))
	codeMasks.fifth = bytes32("quantFifth", all(0x10))
	codeMasks.sixth = bytes32("quantSixth", all(0x30))
	codeMasks.flip = bytes32("quantFlip", all(0x80))
	codeMasks.ones = bytes32("quantOnes", func(i int) byte { return byte(1 - i%2) })
	codeMasks.spread = bytes32("quantSpread", func(i int) byte { return byte(i / 8) })
	codeMasks.bit = bytes32("quantBit", func(i int) byte { return 1 << (i % 8) })
}

// quantLoop is what both micro-kernels share.
type quantLoop struct {
	name                           string
	bits, rows                     int
	c, ldc, codes, scales, x, left Register
}

func quantMicro(bits, rows int, suffix string) *quantLoop {
	q := &quantLoop{name: fmt.Sprintf("quant%dx%d%s", bits, rows, suffix), bits: bits, rows: rows}
	TEXT(q.name, NOSPLIT, "func(c *float32, ldc int, codes *byte, scales *float32, x *float32, blocks int, add bool)")
	Doc(fmt.Sprintf("%s is the micro-kernel for %d rows and codes of %d bits.", q.name, rows, bits))
	Pragma("noescape")
	q.codes, q.scales, q.x = Load(Param("codes"), GP64()), Load(Param("scales"), GP64()), Load(Param("x"), GP64())
	q.left = Load(Param("blocks"), GP64())
	return q
}

// parts is the number of scale blocks in 32 columns.
func (q *quantLoop) parts() int {
	if q.bits == 6 {
		return 2
	}
	return 1
}

// word is the address of word r of vector i of a record.
func (q *quantLoop) word(i, r int) Mem { return Mem{Base: q.x, Disp: 4 * (i*q.rows + r)} }

// sum is the address of d·Σq of row r that goes with scale block part.
func (q *quantLoop) sum(part, r int) Mem {
	if q.parts() == 1 {
		return q.word(11, r)
	}
	return q.word(9+part, r)
}

func (q *quantLoop) advance() {
	if q.rows <= prefetchRows {
		for off := 0; off < 64*q.bits; off += 64 {
			PREFETCHT0(Mem{Base: q.codes, Disp: prefetchAhead + off})
		}
	}
	ADDQ(U32(64*q.bits), q.codes)
	ADDQ(U32(128*q.parts()), q.scales)
	ADDQ(U32(48*q.rows), q.x)
	DECQ(q.left)
}

// quantVNNI generates the micro-kernel for AVX512_VNNI.
func quantVNNI(bits, rows int) {
	q := quantMicro(bits, rows, "VNNI")
	vec := func(m Mem) VecVirtual {
		v := ZMM()
		VBROADCASTI32X4(m, v)
		return v
	}
	var low, fifth, sixth VecVirtual
	if bits < 8 {
		low = vec(codeMasks.low)
	}
	switch bits {
	case 5:
		fifth = vec(codeMasks.fifth)
	case 6:
		sixth = vec(codeMasks.sixth)
	}
	acc := make([]VecVirtual, rows)
	for i := range acc {
		acc[i] = zeroed()
	}
	q.fetchTile()
	Label(q.name + "_loop")
	w := make([]VecVirtual, 8)
	for g := range w {
		w[g] = ZMM()
	}
	q.unpackVNNI(w, low, fifth, sixth)
	for part := range q.parts() {
		scale, offset := ZMM(), ZMM()
		VMOVUPS(Mem{Base: q.scales, Disp: 128 * part}, scale)
		VMOVUPS(Mem{Base: q.scales, Disp: 128*part + 64}, offset)
		groups := w[part*8/q.parts():][:8/q.parts()]
		for r := 0; r < rows; r += 4 {
			n := min(4, rows-r)
			sums := make([]VecVirtual, n)
			for i := range sums {
				sums[i] = zeroed()
			}
			for g, codes := range groups {
				for i, s := range sums {
					VPDPBUSD_BCST(q.word(part*8/q.parts()+g, r+i), codes, s)
				}
			}
			for i, s := range sums {
				VCVTDQ2PS(s, s)
				VMULPS(scale, s, s)
				VFMADD231PS_BCST(q.word(8, r+i), s, acc[r+i])
				VFMADD231PS_BCST(q.sum(part, r+i), offset, acc[r+i])
			}
		}
	}
	q.advance()
	JNE(LabelRef(q.name + "_loop"))
	q.write(q.name, acc, 0)
	VZEROUPPER()
	RET()
}

// zeroed returns a register of zeros. The generator takes VPXORD for an
// instruction that reads its operands, and would keep a register for them.
func zeroed() VecVirtual {
	v := ZMM()
	Instruction(&ir.Instruction{Opcode: "VPXORD", Operands: []Op{v, v, v}, Outputs: []Op{v}})
	return v
}

// fetchTile asks for the lines of C, which lie far from each other.
func (q *quantLoop) fetchTile() {
	c, ldc := Load(Param("c"), GP64()), stride("ldc")
	for r := range q.rows {
		PREFETCHT0(Mem{Base: c})
		if r+1 < q.rows {
			ADDQ(ldc, c)
		}
	}
}

// unpackVNNI fills w with the eight groups of codes.
func (q *quantLoop) unpackVNNI(w []VecVirtual, low, fifth, sixth VecVirtual) {
	at := func(off int) Mem { return Mem{Base: q.codes, Disp: off} }
	if q.bits == 8 {
		for g := range w {
			VMOVDQU64(at(64*g), w[g])
		}
		return
	}
	for i := range 4 {
		VMOVDQU64(at(64*i), w[i])
		VPSRLW(Imm(4), w[i], w[i+4])
		VPANDD(low, w[i], w[i])
		VPANDD(low, w[i+4], w[i+4])
	}
	switch q.bits {
	case 5:
		for g := range w {
			k := K()
			KMOVQ(at(256+8*g), k)
			VPADDB(fifth, w[g], k, w[g])
		}
	case 6:
		for h := range 2 {
			v := ZMM()
			VMOVDQU64(at(256+64*h), v)
			for p := range 4 {
				s := v
				if p != 2 {
					s = ZMM()
				}
				shiftToHigh(p, v, s)
				VPTERNLOGD(U8(0xf8), sixth, s, w[4*h+p]) // w | s & sixth
			}
		}
	}
}

// shiftToHigh moves bits 2p and 2p+1 of every byte of v to bits 4 and 5 of s.
func shiftToHigh(p int, v, s VecVirtual) {
	switch p {
	case 0:
		VPSLLW(Imm(4), v, s)
	case 1:
		VPSLLW(Imm(2), v, s)
	case 3:
		VPSRLW(Imm(2), v, s)
	}
}

// write stores vectors of consecutive rows at column off of C, or adds them to
// memory.
func (q *quantLoop) write(label string, acc []VecVirtual, off int) {
	c, ldc, add := Load(Param("c"), GP64()), stride("ldc"), Load(Param("add"), GP8())
	store, done := label+"_store", label+"_written"
	each := func(adding bool) {
		for _, v := range acc {
			if adding {
				VADDPS(Mem{Base: c, Disp: off}, v, v)
			}
			VMOVUPS(v, Mem{Base: c, Disp: off})
			ADDQ(ldc, c)
		}
	}
	TESTB(add, add)
	JEQ(LabelRef(store))
	each(true)
	JMP(LabelRef(done))
	Label(store)
	each(false)
	Label(done)
}

// quantAVX2 generates the micro-kernel for AVX2, which does eight columns of
// the panel after the other eight. Products of two codes are added as 16-bit
// numbers as long as those can hold the sum.
func quantAVX2(bits, rows int) {
	q := quantMicro(bits, rows, "AVX2")
	for half := range 2 {
		label := fmt.Sprintf("%s_half%d", q.name, half)
		if half == 1 {
			Load(Param("codes"), q.codes)
			Load(Param("scales"), q.scales)
			Load(Param("x"), q.x)
			Load(Param("blocks"), q.left)
		}
		acc := yzeros(rows)
		Label(label)
		per := 8 / q.parts()
		for part := range q.parts() {
			sums := q.sumsAVX2(half, part*per, per)
			for r, s := range sums {
				VCVTDQ2PS(s, s)
				VMULPS(Mem{Base: q.scales, Disp: 128*part + 32*half}, s, s)
				b := YMM()
				VBROADCASTSS(q.word(8, r), b)
				VFMADD231PS(s, b, acc[r])
				VBROADCASTSS(q.sum(part, r), b)
				VFMADD231PS(Mem{Base: q.scales, Disp: 128*part + 64 + 32*half}, b, acc[r])
			}
		}
		q.advance()
		JNE(LabelRef(label))
		q.write(label, acc, 32*half)
	}
	VZEROUPPER()
	RET()
}

func yzeros(n int) []VecVirtual {
	out := make([]VecVirtual, n)
	for i := range out {
		out[i] = YMM()
		VPXOR(out[i], out[i], out[i])
	}
	return out
}

// sumsAVX2 returns the sums of integers over groups first .. first+n-1 for
// every row.
func (q *quantLoop) sumsAVX2(half, first, n int) []VecVirtual {
	// The most groups whose sum fits 16 bits: two products of a code and 127
	// each; codes of 8 bits are used as code-128.
	most := map[int]int{4: 8, 5: 4, 6: 2, 8: 1}[q.bits]
	sums, words := make([]VecVirtual, q.rows), make([]VecVirtual, q.rows)
	for i := range n {
		w := q.unpackAVX2(half, first+i)
		var size VecVirtual
		if q.bits == 8 {
			size = YMM()
			VPABSB(w, size)
		}
		for r := range words {
			b := YMM()
			VPBROADCASTD(q.word(first+i, r), b)
			if q.bits == 8 {
				VPSIGNB(w, b, b)
				VPMADDUBSW(b, size, b)
			} else {
				VPMADDUBSW(b, w, b)
			}
			if i%most == 0 {
				words[r] = b
			} else {
				VPADDW(b, words[r], words[r])
			}
			if i%most != most-1 && i != n-1 {
				continue
			}
			VPMADDWD(codeMasks.ones, words[r], words[r])
			if sums[r] == nil {
				sums[r] = words[r]
			} else {
				VPADDD(words[r], sums[r], sums[r])
			}
		}
	}
	return sums
}

// unpackAVX2 returns half of group g of the codes.
func (q *quantLoop) unpackAVX2(half, g int) VecVirtual {
	at := func(off int) Mem { return Mem{Base: q.codes, Disp: off} }
	w := YMM()
	if q.bits == 8 {
		VMOVDQU(at(64*g+32*half), w)
		VPXOR(codeMasks.flip, w, w)
		return w
	}
	VMOVDQU(at(64*(g%4)+32*half), w)
	if g >= 4 {
		VPSRLW(Imm(4), w, w)
	}
	VPAND(codeMasks.low, w, w)
	if q.bits == 4 {
		return w
	}
	high := YMM()
	if q.bits == 5 {
		VPBROADCASTD(at(256+8*g+4*half), high)
		VPSHUFB(codeMasks.spread, high, high)
		VPAND(codeMasks.bit, high, high)
		VPCMPEQB(codeMasks.bit, high, high)
		VPAND(codeMasks.fifth, high, high)
	} else {
		VMOVDQU(at(256+64*(g/4)+32*half), high)
		shiftToHigh(g%4, high, high)
		VPAND(codeMasks.sixth, high, high)
	}
	VPOR(high, w, w)
	return w
}

// scalesFunc begins a function that expands n scales.
func scalesFunc(name, doc, signature string) (dst, src, n Register) {
	TEXT(name, NOSPLIT, signature)
	Doc(name + " " + doc)
	Pragma("noescape")
	return Load(Param("dst"), GP64()), Load(Param("src"), GP64()), Load(Param("n"), GP64())
}

// halves loads 16 half-precision numbers. Every processor with AVX2 has F16C.
func halves(src Register, off int) (v [2]VecVirtual) {
	for i := range v {
		v[i] = YMM()
		VCVTPH2PS(Mem{Base: src, Disp: off + 16*i}, v[i])
	}
	return v
}

func put(dst Register, off int, v [2]VecVirtual) {
	for i := range v {
		VMOVUPS(v[i], Mem{Base: dst, Disp: off + 32*i})
	}
}

func times(v [2]VecVirtual, f func(i int) Op) (out [2]VecVirtual) {
	for i := range v {
		out[i] = YMM()
		VMULPS(f(i), v[i], out[i])
	}
	return out
}

// next ends a round of a loop, and asks for the codes that follow the scales.
func next(name string, dst, src, n Register, wrote, read int) {
	for off := 0; off < read; off += 64 {
		PREFETCHT0(Mem{Base: src, Disp: prefetchAhead + off})
	}
	ADDQ(U32(wrote), dst)
	ADDQ(U32(read), src)
	DECQ(n)
	JNE(LabelRef(name))
	VZEROUPPER()
	RET()
}

func zeroParam() VecVirtual {
	z := YMM()
	m, err := Param("zero").Resolve()
	if err != nil {
		panic(err)
	}
	VBROADCASTSS(m.Addr, z)
	return z
}

func scalesHalf() {
	dst, src, n := scalesFunc("scalesHalfAVX2", "expands n times 16 scales in half precision.", "func(dst *float32, src *byte, n int, zero float32)")
	zero := zeroParam()
	Label("scales_half")
	v := halves(src, 0)
	put(dst, 0, v)
	put(dst, 64, times(v, func(int) Op { return zero }))
	next("scales_half", dst, src, n, 128, 32)
}

func scalesPair() {
	dst, src, n := scalesFunc("scalesPairAVX2", "expands n times 16 scales and offsets in half precision.", "func(dst *float32, src *byte, n int)")
	Label("scales_pair")
	put(dst, 0, halves(src, 0))
	put(dst, 64, halves(src, 32))
	next("scales_pair", dst, src, n, 128, 64)
}

// small loads 16 bytes as numbers and multiplies them by d.
func small(src Register, off int, d [2]VecVirtual, signed bool) (v [2]VecVirtual) {
	for i := range v {
		v[i] = YMM()
		if m := (Mem{Base: src, Disp: off + 8*i}); signed {
			VPMOVSXBD(m, v[i])
		} else {
			VPMOVZXBD(m, v[i])
		}
		VCVTDQ2PS(v[i], v[i])
		VMULPS(d[i], v[i], v[i])
	}
	return v
}

func scalesSuperPair() {
	dst, src, n := scalesFunc("scalesSuperPairAVX2", "expands n times 8 times 16 scales and offsets of bytes.", "func(dst *float32, src *byte, n int)")
	Label("scales_super_pair")
	d, m := halves(src, 0), halves(src, 32)
	for i := range 8 {
		put(dst, 128*i, small(src, 64+16*i, d, false))
		put(dst, 128*i+64, small(src, 192+16*i, m, false))
	}
	next("scales_super_pair", dst, src, n, 8*128, 320)
}

func scalesSuperOne() {
	dst, src, n := scalesFunc("scalesSuperOneAVX2", "expands n times 16 times 16 scales of signed bytes.", "func(dst *float32, src *byte, n int, zero float32)")
	zero := zeroParam()
	Label("scales_super_one")
	d := halves(src, 0)
	for i := range 16 {
		v := small(src, 32+16*i, d, true)
		put(dst, 128*i, v)
		put(dst, 128*i+64, times(v, func(int) Op { return zero }))
	}
	next("scales_super_one", dst, src, n, 16*128, 288)
}

// word32 is a constant of one 32-bit word.
func word32(name string, v uint32) Mem {
	m := GLOBL(name, RODATA|NOPTR)
	DATA(0, U32(v))
	return m
}

// quantise generates the quantisation of blocks of 32 numbers.
func quantise() {
	magnitude := word32("quantMagnitude", 0x7fffffff)
	limit := word32("quantLimit", 127)
	least := word32("quantLeast", 0x0da24260) // 1e-30
	order := GLOBL("quantOrder", RODATA|NOPTR)
	for i, v := range []uint32{0, 4, 1, 5, 2, 6, 3, 7} {
		DATA(4*i, U32(v))
	}
	TEXT("quantiseAVX2", NOSPLIT, "func(q *int8, d *float32, x *float32, blocks int)")
	Doc("quantiseAVX2 quantises blocks of 32 numbers; blocks > 0.")
	Pragma("noescape")
	q, d, x := Load(Param("q"), GP64()), Load(Param("d"), GP64()), Load(Param("x"), GP64())
	blocks := Load(Param("blocks"), GP64())
	mask, most := YMM(), YMM()
	VPBROADCASTD(magnitude, mask)
	VPBROADCASTD(limit, most)
	VCVTDQ2PS(most, most)
	Label("quantise_loop")
	var v, a [4]VecVirtual
	for i := range v {
		v[i], a[i] = YMM(), YMM()
		VMOVUPS(Mem{Base: x, Disp: 32 * i}, v[i])
		VPAND(mask, v[i], a[i])
	}
	VPMAXSD(a[1], a[0], a[0])
	VPMAXSD(a[3], a[2], a[2])
	peak, t := a[0], YMM()
	VPMAXSD(a[2], peak, peak)
	VPERM2I128(Imm(1), peak, peak, t)
	VPMAXSD(t, peak, peak)
	VPSHUFD(Imm(0x4e), peak, t)
	VPMAXSD(t, peak, peak)
	VPSHUFD(Imm(0xb1), peak, t)
	VPMAXSD(t, peak, peak)

	scale, inverse, floor := YMM(), YMM(), YMM()
	VDIVPS(most, peak, scale)
	VDIVPS(peak, most, inverse)
	VBROADCASTSS(least, floor)
	VCMPPS(Imm(13), floor, peak, floor) // peak >= least
	VPAND(floor, inverse, inverse)
	for i := range v {
		VMULPS(inverse, v[i], v[i])
		VCVTPS2DQ(v[i], v[i])
	}
	first, second := YMM(), YMM()
	VPADDD(v[1], v[0], first)
	VPADDD(v[3], v[2], second)
	VPACKSSDW(v[1], v[0], v[0])
	VPACKSSDW(v[3], v[2], v[2])
	VPACKSSWB(v[2], v[0], v[0])
	places := YMM()
	VMOVDQU(order, places)
	VPERMD(v[0], places, v[0])
	VMOVDQU(v[0], Mem{Base: q})

	// Sums of each half, in the order first, second, both.
	VPHADDD(second, first, first)
	VPHADDD(first, first, first) // both lanes: first, second, first, second
	low, high := first.AsX(), XMM()
	VEXTRACTI128(Imm(1), first, high)
	VPADDD(high, low, low)
	both := XMM()
	VPHADDD(low, low, both)
	VPUNPCKLQDQ(both, low, low) // first, second, both, both
	VCVTDQ2PS(low, low)
	VMULPS(scale.AsX(), low, low)
	VMOVSS(scale.AsX(), Mem{Base: d})
	VMOVQ(low, Mem{Base: d, Disp: 4})
	VPEXTRD(Imm(2), low, Mem{Base: d, Disp: 12})

	ADDQ(Imm(32), q)
	ADDQ(Imm(16), d)
	ADDQ(U32(128), x)
	DECQ(blocks)
	JNE(LabelRef("quantise_loop"))
	VZEROUPPER()
	RET()
}
