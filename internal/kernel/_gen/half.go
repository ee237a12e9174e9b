package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// half generates products of float32 rows with matrices of bfloat16 numbers.
func half() {
	for rows := 1; rows <= 2; rows++ {
		halfMicro(rows, avx2)
	}
	for rows := 1; rows <= 8; rows++ {
		halfMicro(rows, avx512)
	}
}

// halfMicro generates C (rows, panels·16) = A (rows, 2·pairs) · B, or adds the
// product to C. A panel of B holds for each pair of steps of the sum 16 words,
// a bfloat16 number of the first step in the lower half of each. Every element
// of C has two sums, one over the lower and one over the upper halves: so one
// row alone keeps the adders busy.
func halfMicro(rows int, set isa) {
	name := fmt.Sprintf("half%d%s", rows, set.suffix())
	TEXT(name, NOSPLIT, "func(c *float32, ldc int, a *float32, lda int, b *float32, pairs int, panels int, add bool)")
	Doc(fmt.Sprintf("%s is halfGeneric for %d rows.", name, rows))
	Pragma("noescape")
	ldc, lda := stride("ldc"), stride("lda")
	c, b := Load(Param("c"), GP64()), Load(Param("b"), GP64())
	panels := Load(Param("panels"), GP64())
	lo, hi := tile{set: set, rows: rows, panels: 1}, tile{set: set, rows: rows, panels: 1}
	var mask VecVirtual
	if set == avx512 {
		mask = lo.vec()
		word := GP32()
		MOVL(U32(0xffff0000), word)
		VPBROADCASTD(word, mask)
	}

	Label(name + "_panel")
	as, rowA := lo.rowsOf(Load(Param("a"), GP64()), lda)
	lo.zero()
	hi.zero()
	pairs := Load(Param("pairs"), GP64())
	Label(name + "_loop")
	if rows <= prefetchRows {
		PREFETCHT0(Mem{Base: b, Disp: prefetchAhead})
	}
	for j := range lo.acc[0] {
		m := Mem{Base: b, Disp: 4 * lo.lanes() * j}
		l, h := lo.vec(), lo.vec()
		if set == avx512 {
			VPSLLD(Imm(16), m, l)
			VPANDD(m, mask, h)
			for i := range rows {
				VFMADD231PS_BCST(rowA(i), l, lo.acc[i][j])
				VFMADD231PS_BCST(rowA(i).Offset(4), h, hi.acc[i][j])
			}
			continue
		}
		VMOVUPS(m, h)
		VPSLLD(Imm(16), h, l)
		VPSRLD(Imm(16), h, h)
		VPSLLD(Imm(16), h, h)
		for i := range rows {
			x := lo.vec()
			VBROADCASTSS(rowA(i), x)
			VFMADD231PS(x, l, lo.acc[i][j])
			VBROADCASTSS(rowA(i).Offset(4), x)
			VFMADD231PS(x, h, hi.acc[i][j])
		}
	}
	for _, p := range as {
		ADDQ(Imm(8), p)
	}
	ADDQ(Imm(64), b)
	DECQ(pairs)
	JNE(LabelRef(name + "_loop"))

	add, at := Load(Param("add"), GP8()), GP64()
	MOVQ(c, at)
	TESTB(add, add)
	JEQ(LabelRef(name + "_store"))
	for i := range rows {
		for j := range lo.acc[i] {
			m := Mem{Base: at, Disp: 4 * lo.lanes() * j}
			VADDPS(hi.acc[i][j], lo.acc[i][j], lo.acc[i][j])
			VADDPS(m, lo.acc[i][j], lo.acc[i][j])
			VMOVUPS(lo.acc[i][j], m)
		}
		ADDQ(ldc, at)
	}
	JMP(LabelRef(name + "_next"))
	Label(name + "_store")
	for i := range rows {
		for j := range lo.acc[i] {
			VADDPS(hi.acc[i][j], lo.acc[i][j], lo.acc[i][j])
			VMOVUPS(lo.acc[i][j], Mem{Base: at, Disp: 4 * lo.lanes() * j})
		}
		ADDQ(ldc, at)
	}
	Label(name + "_next")
	ADDQ(Imm(64), c)
	DECQ(panels)
	JNE(LabelRef(name + "_panel"))
	VZEROUPPER()
	RET()
}
