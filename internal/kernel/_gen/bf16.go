package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// pairs generates what products of bfloat16 numbers need.
func pairs() {
	for _, panels := range []int{1, 2} {
		for rows := 1; rows <= 12; rows++ {
			micro(rows, panels, bf16)
		}
	}
	roundPairs()
	zipPairs()
}

// roundPairs generates the conversion of n numbers. In the last round, masks
// select what is left of up to 32.
func roundPairs() {
	TEXT("roundPairsBF16", NOSPLIT, "func(dst *float32, src *float32, n int)")
	Doc("roundPairsBF16 writes n numbers of src to dst as bfloat16, in order, and a zero after them if n is odd; n > 0.")
	Pragma("noescape")
	dst, src, n := Load(Param("dst"), GP64()), Load(Param("src"), GP64()), Load(Param("n"), GP64())
	lo, hi, out := ZMM(), ZMM(), ZMM()
	SUBQ(Imm(32), n)
	JLT(LabelRef("round_rest"))
	Label("round_loop")
	VMOVUPS(Mem{Base: src}, lo)
	VMOVUPS(Mem{Base: src, Disp: 64}, hi)
	raw("VCVTNE2PS2BF16", lo, hi, out)
	VMOVUPS(out, Mem{Base: dst})
	ADDQ(U32(128), src)
	ADDQ(Imm(64), dst)
	SUBQ(Imm(32), n)
	JGE(LabelRef("round_loop"))
	Label("round_rest")
	ADDQ(Imm(32), n)
	JEQ(LabelRef("round_done"))
	first, second := lowBits(n.(GPVirtual))
	VMOVUPS_Z(Mem{Base: src}, first, lo)
	VMOVUPS_Z(Mem{Base: src, Disp: 64}, second, hi)
	raw("VCVTNE2PS2BF16", lo, hi, out)
	INCQ(n)
	SHRQ(Imm(1), n)
	words, _ := lowBits(n.(GPVirtual))
	VMOVUPS(out, words, Mem{Base: dst})
	Label("round_done")
	VZEROUPPER()
	RET()
}

// lowBits returns masks of the lower and the upper 16 of the n < 64 lowest
// bits.
func lowBits(n GPVirtual) (first, second OpmaskVirtual) {
	bits := GP64()
	MOVQ(U64(math.MaxUint64), bits)
	BZHIQ(n, bits, bits)
	first, second = K(), K()
	KMOVW(bits.As32(), first)
	SHRQ(Imm(16), bits)
	KMOVW(bits.As32(), second)
	return first, second
}

// zipAhead is how many pairs of rows zipPairs asks for ahead: what it reads of a
// row may be too short for the hardware to do so.
const zipAhead = 4

// zipPairs generates the packing of pairs of rows of n numbers.
func zipPairs() {
	order := GLOBL("zipOrder", RODATA|NOPTR)
	for i := range 16 {
		DATA(4*i, U32(i|(16+i)<<16))
	}
	TEXT("zipPairsBF16", NOSPLIT, "func(dst *float32, width int, src *float32, ld int, n int, pairs int)")
	Doc("zipPairsBF16 writes the pairs (src[2p·ld+i], src[(2p+1)·ld+i]) to dst[p·width+i], rounded to bfloat16, for i < n and p < pairs; n > 0, pairs > 0.")
	Pragma("noescape")
	toRow, fromRow := Load(Param("dst"), GP64()), Load(Param("src"), GP64())
	width, ld, pairs := stride("width"), stride("ld"), Load(Param("pairs"), GP64())
	lo, hi, out, zip := ZMM(), ZMM(), ZMM(), ZMM()
	VMOVUPS(order, zip)
	last := Load(Param("n"), GP64())
	ANDQ(Imm(15), last)
	mask, _ := lowBits(last.(GPVirtual))
	ahead := GP64()
	IMUL3Q(Imm(2*zipAhead), ld, ahead)
	Label("zip_row")
	dst, x, y, n := GP64(), GP64(), GP64(), Load(Param("n"), GP64())
	MOVQ(toRow, dst)
	MOVQ(fromRow, x)
	LEAQ(Mem{Base: x, Index: ld, Scale: 1}, y)
	SUBQ(Imm(16), n)
	JLT(LabelRef("zip_rest"))
	Label("zip_loop")
	VMOVUPS(Mem{Base: x}, lo)
	VMOVUPS(Mem{Base: y}, hi)
	PREFETCHT0(Mem{Base: x, Index: ahead, Scale: 1})
	PREFETCHT0(Mem{Base: y, Index: ahead, Scale: 1})
	raw("VCVTNE2PS2BF16", lo, hi, out)
	VPERMW(out, zip, out)
	VMOVUPS(out, Mem{Base: dst})
	for _, p := range []Register{dst, x, y} {
		ADDQ(Imm(64), p)
	}
	SUBQ(Imm(16), n)
	JGE(LabelRef("zip_loop"))
	Label("zip_rest")
	ADDQ(Imm(16), n)
	JEQ(LabelRef("zip_next"))
	VMOVUPS_Z(Mem{Base: x}, mask, lo)
	VMOVUPS_Z(Mem{Base: y}, mask, hi)
	raw("VCVTNE2PS2BF16", lo, hi, out)
	VPERMW(out, zip, out)
	VMOVUPS(out, mask, Mem{Base: dst})
	Label("zip_next")
	ADDQ(width, toRow)
	LEAQ(Mem{Base: fromRow, Index: ld, Scale: 2}, fromRow)
	DECQ(pairs)
	JNE(LabelRef("zip_row"))
	VZEROUPPER()
	RET()
}
