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
	for rows := 1; rows <= 6; rows++ {
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
// for each other, so one row alone keeps the adders busy. For AVX2 and more rows
// than whose sums fit the registers, a panel is read twice, once for each half of
// its columns, so that codes are converted once for all rows.
func codesMicro(rows int, set isa) {
	name := fmt.Sprintf("codes%d%s", rows, set.suffix())
	TEXT(name, NOSPLIT, "func(c *float32, ldc int, a *float32, lda int, b *byte, steps int, panels int, add bool)")
	Doc(fmt.Sprintf("%s is codesGeneric for %d rows.", name, rows))
	Pragma("noescape")
	ldc, lda := stride("ldc"), stride("lda")
	c, b := Load(Param("c"), GP64()), Load(Param("b"), GP64())
	panels := Load(Param("panels"), GP64())
	k := codesLoop{tile: tile{set: set, rows: rows, panels: 1}, b: b}
	k.vectors = 16 / k.lanes()
	start := GP64()
	if set == avx2 && rows > 2 {
		k.vectors, k.half = 1, GP64()
	}

	Label(name + "_panel")
	if k.half != nil {
		MOVQ(b, start)
		XORQ(k.half, k.half)
		Label(name + "_half")
	}
	as, rowA := k.rowsOf(Load(Param("a"), GP64()), lda)
	k.rowA = rowA
	k.clear()
	k.blocks(name, as)
	k.store(name, c, ldc)
	if k.half != nil {
		end := GP64()
		MOVQ(b, end)
		MOVQ(start, b)
		ADDQ(Imm(8), k.half)
		CMPQ(k.half, Imm(16))
		JNE(LabelRef(name + "_half"))
		MOVQ(end, b)
	}
	ADDQ(Imm(64), c)
	DECQ(panels)
	JNE(LabelRef(name + "_panel"))
	VZEROUPPER()
	RET()
}

// codesLoop is what the parts of the loop over a panel share.
type codesLoop struct {
	tile
	b       Register
	half    Register // 0 or 8, the first column; nil if all 16 are done at once
	vectors int      // of columns, done at once
	rowA    func(int) Mem
}

// clear makes the sums of the panel zero.
func (k *codesLoop) clear() {
	for range k.rows {
		var row []VecVirtual
		for range k.vectors {
			v := k.vec()
			cleared(v)
			row = append(row, v)
		}
		k.acc = append(k.acc, row)
	}
}

// column returns m, the address of the first column in a row of numbers of so
// many bytes, moved to the half at hand.
func (k *codesLoop) column(m Mem, bytes uint8) Mem {
	if k.half == nil {
		return m
	}
	return m.Idx(k.half, bytes)
}

// blocks adds all blocks of the panel at b to its sums, and moves b behind it.
func (k *codesLoop) blocks(name string, as []Register) {
	left := Load(Param("steps"), GP64())
	SUBQ(Imm(codeSteps), left)
	JLT(LabelRef(name + "_rest"))
	Label(name + "_loop")
	if k.rows <= prefetchRows {
		for off := 0; off < codeScales+16*codeSteps; off += 64 {
			PREFETCHT0(Mem{Base: k.b, Disp: prefetchAhead + off})
		}
	}
	sums := k.block(nil)
	for p := range codeSteps {
		k.step(sums, p, p == 0)
	}
	k.end(sums, k.b)
	for _, p := range as {
		ADDQ(Imm(4*codeSteps), p)
	}
	ADDQ(U32(codeScales+16*codeSteps), k.b)
	SUBQ(Imm(codeSteps), left)
	JGE(LabelRef(name + "_loop"))
	Label(name + "_rest")
	ADDQ(Imm(codeSteps), left)
	JEQ(LabelRef(name + "_done"))
	scales := GP64()
	MOVQ(k.b, scales)
	sums = k.block(cleared)
	Label(name + "_one")
	k.step(sums, 0, false)
	for _, p := range as {
		ADDQ(Imm(4), p)
	}
	ADDQ(Imm(16), k.b)
	DECQ(left)
	JNE(LabelRef(name + "_one"))
	k.end(sums, scales)
	ADDQ(Imm(codeScales), k.b)
	Label(name + "_done")
}

// block returns registers for the sums [row][vector] of a block, with init
// unless that is nil.
func (k *codesLoop) block(init func(VecVirtual)) (sums [][]VecVirtual) {
	for range k.rows {
		var row []VecVirtual
		for range k.vectors {
			v := k.vec()
			if init != nil {
				init(v)
			}
			row = append(row, v)
		}
		sums = append(sums, row)
	}
	return sums
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
func (k *codesLoop) step(sums [][]VecVirtual, p int, first bool) {
	for j := range k.vectors {
		q := k.vec()
		VPMOVSXBD(k.column(Mem{Base: k.b, Disp: codeScales + 16*p + k.lanes()*j}, 1), q)
		VCVTDQ2PS(q, q)
		for i := range k.rows {
			x := k.rowA(i).Offset(4 * p)
			switch {
			case k.set == avx2:
				v := k.vec()
				VBROADCASTSS(x, v)
				if first {
					VMULPS(v, q, sums[i][j])
				} else {
					VFMADD231PS(v, q, sums[i][j])
				}
			case first:
				VMULPS_BCST(x, q, sums[i][j])
			default:
				VFMADD231PS_BCST(x, q, sums[i][j])
			}
		}
	}
}

// end adds the sums of a block with these scales to those of the panel.
func (k *codesLoop) end(sums [][]VecVirtual, scales Register) {
	for j := range k.vectors {
		v := k.vec()
		VPMOVZXWD(k.column(Mem{Base: scales, Disp: 2 * k.lanes() * j}, 2), v)
		VPSLLD(Imm(16), v, v)
		for i := range k.rows {
			VFMADD231PS(v, sums[i][j], k.acc[i][j])
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
				m := k.column(Mem{Base: at, Disp: 4 * k.lanes() * j}, 4)
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
