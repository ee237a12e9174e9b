package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/ir"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// codes generates products of float32 rows with matrices of int8 codes.
func codes() {
	for rows := 1; rows <= 2; rows++ {
		codesMicro(rows, avx2)
	}
	for rows := 1; rows <= 8; rows++ {
		codesMicro(rows, avx512)
	}
}

// A block of a panel: 16 scales in bfloat16, then for each of up to codeSteps
// steps of the sum 16 codes.
const (
	codeSteps  = 16
	codeScales = 32 // bytes
)

// codesMicro generates C (rows, panels·16) = A (rows, steps) · B, or adds the
// product to C. Every element of C has a sum for the block at hand, which then
// goes with its scale into the sum over blocks. The sums of blocks don't wait
// for each other, so one row alone keeps the adders busy.
func codesMicro(rows int, set isa) {
	name := fmt.Sprintf("codes%d%s", rows, set.suffix())
	TEXT(name, NOSPLIT, "func(c *float32, ldc int, a *float32, lda int, b *byte, steps int, panels int, add bool)")
	Doc(fmt.Sprintf("%s is codesGeneric for %d rows.", name, rows))
	Pragma("noescape")
	ldc, lda := stride("ldc"), stride("lda")
	c, b := Load(Param("c"), GP64()), Load(Param("b"), GP64())
	panels := Load(Param("panels"), GP64())
	k := codesLoop{tile: tile{set: set, rows: rows, panels: 1}, b: b}

	Label(name + "_panel")
	as, rowA := k.rowsOf(Load(Param("a"), GP64()), lda)
	k.rowA = rowA
	k.zero()
	left := Load(Param("steps"), GP64())
	SUBQ(Imm(codeSteps), left)
	JLT(LabelRef(name + "_rest"))
	Label(name + "_loop")
	if rows <= prefetchRows {
		for off := 0; off < codeScales+16*codeSteps; off += 64 {
			PREFETCHT0(Mem{Base: b, Disp: prefetchAhead + off})
		}
	}
	sums := k.block(nil)
	for p := range codeSteps {
		k.step(sums, p, p == 0)
	}
	k.end(sums)
	for _, p := range as {
		ADDQ(Imm(4*codeSteps), p)
	}
	ADDQ(U32(codeScales+16*codeSteps), b)
	SUBQ(Imm(codeSteps), left)
	JGE(LabelRef(name + "_loop"))
	Label(name + "_rest")
	ADDQ(Imm(codeSteps), left)
	JEQ(LabelRef(name + "_done"))
	sums = k.block(cleared)
	Label(name + "_one")
	k.step(sums, 0, false)
	for _, p := range as {
		ADDQ(Imm(4), p)
	}
	ADDQ(Imm(16), b)
	DECQ(left)
	JNE(LabelRef(name + "_one"))
	k.end(sums)
	ADDQ(Imm(codeScales), b)
	Label(name + "_done")

	k.store(name, c, ldc)
	ADDQ(Imm(64), c)
	DECQ(panels)
	JNE(LabelRef(name + "_panel"))
	VZEROUPPER()
	RET()
}

// codesLoop is what the parts of the loop over a panel share.
type codesLoop struct {
	tile
	b    Register
	rowA func(int) Mem
}

// codesBlock is the block at hand: its scales and sums [row][vector].
type codesBlock struct {
	scale []VecVirtual
	sum   [][]VecVirtual
}

// block begins a block at b: it reads the scales, and makes registers for the
// sums, with init unless that is nil.
func (k *codesLoop) block(init func(VecVirtual)) codesBlock {
	var s codesBlock
	for j := range 16 / k.lanes() {
		v := k.vec()
		VPMOVZXWD(Mem{Base: k.b, Disp: 2 * k.lanes() * j}, v)
		VPSLLD(Imm(16), v, v)
		s.scale = append(s.scale, v)
	}
	for range k.rows {
		var row []VecVirtual
		for range 16 / k.lanes() {
			v := k.vec()
			if init != nil {
				init(v)
			}
			row = append(row, v)
		}
		s.sum = append(s.sum, row)
	}
	return s
}

// cleared makes v zero without reading it.
func cleared(v VecVirtual) {
	opcode := "VPXOR"
	if v.Size() == 64 {
		opcode = "VPXORD"
	}
	Instruction(&ir.Instruction{Opcode: opcode, Operands: []Op{v, v, v}, Outputs: []Op{v}})
}

// step adds term p, counted from b, to the sums; the first one replaces them.
func (k *codesLoop) step(s codesBlock, p int, first bool) {
	for j := range s.scale {
		q := k.vec()
		VPMOVSXBD(Mem{Base: k.b, Disp: codeScales + 16*p + k.lanes()*j}, q)
		VCVTDQ2PS(q, q)
		for i := range k.rows {
			x := k.rowA(i).Offset(4 * p)
			switch {
			case k.set == avx2:
				v := k.vec()
				VBROADCASTSS(x, v)
				if first {
					VMULPS(v, q, s.sum[i][j])
				} else {
					VFMADD231PS(v, q, s.sum[i][j])
				}
			case first:
				VMULPS_BCST(x, q, s.sum[i][j])
			default:
				VFMADD231PS_BCST(x, q, s.sum[i][j])
			}
		}
	}
}

// end adds the sums of a block to those of the panel.
func (k *codesLoop) end(s codesBlock) {
	for i := range k.rows {
		for j, scale := range s.scale {
			VFMADD231PS(scale, s.sum[i][j], k.acc[i][j])
		}
	}
}

// store writes the sums to a panel of C, or adds them to it.
func (k *codesLoop) store(name string, c, ldc Register) {
	add := Load(Param("add"), GP8())
	each := func(adding bool) {
		at := GP64()
		MOVQ(c, at)
		for i := range k.rows {
			for j, v := range k.acc[i] {
				m := Mem{Base: at, Disp: 4 * k.lanes() * j}
				if adding {
					VADDPS(m, v, v)
				}
				VMOVUPS(v, m)
			}
			ADDQ(ldc, at)
		}
	}
	TESTB(add, add)
	JEQ(LabelRef(name + "_store"))
	each(true)
	JMP(LabelRef(name + "_next"))
	Label(name + "_store")
	each(false)
	Label(name + "_next")
}
