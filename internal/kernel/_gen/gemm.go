package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// unroll is the number of steps of k in a round of the main loop.
const unroll = 4

func gemm() {
	for rows := 1; rows <= 6; rows++ {
		micro(rows, 1, avx2)
	}
	for rows := 1; rows <= 3; rows++ {
		micro(rows, 2, avx2)
	}
	for _, panels := range []int{1, 2} {
		for rows := 1; rows <= 12; rows++ {
			micro(rows, panels, avx512)
		}
	}
	transpose()
	copyPanel()
}

type isa int

const (
	avx2 isa = iota
	avx512
	bf16 // AVX-512 on pairs of bfloat16 numbers: an element is a pair
)

// suffix ends the names of the functions in set.
func (set isa) suffix() string { return [...]string{"AVX2", "AVX512", "BF16"}[set] }

// micro generates a micro-kernel: C (rows, panels·16) = A (rows, k) · B, all
// of C in registers, for groups of rows that follow each other. Strides come
// in elements.
func micro(rows, panels int, set isa) {
	name := fmt.Sprintf("micro%dx%d%s", rows, 16*panels, set.suffix())
	TEXT(name, NOSPLIT, "func(c *float32, ldc int, a *float32, ars int, acs int, b *float32, bs int, ps int, groups int, k int, add bool)")
	Doc(fmt.Sprintf("%s is the micro-kernel for groups of %d rows and %d columns.", name, rows, 16*panels))
	Pragma("noescape")

	t := tile{name: name, rows: rows, set: set, panels: panels}
	ars, acs, bs := stride("ars"), stride("acs"), stride("bs")
	var ps Register
	if panels == 2 {
		ps = stride("ps")
	}
	a, c := Load(Param("a"), GP64()), Load(Param("c"), GP64())
	groups := Load(Param("groups"), GP64())

	Label(name + "_group")
	as, rowA := t.rowsOf(a, ars)
	b := Load(Param("b"), GP64())
	rowB := []Mem{{Base: b}}
	if panels == 2 {
		rowB = append(rowB, Mem{Base: b, Index: ps, Scale: 1})
	}
	t.prefetch(c)
	k := Load(Param("k"), GP64())
	t.zero()
	t.sum(k, func() {
		t.step(rowA, rowB)
		for _, p := range as {
			ADDQ(acs, p)
		}
		ADDQ(bs, b)
	})
	t.write(c)
	next := GP64()
	IMUL3Q(Imm(uint64(rows)), ars, next)
	ADDQ(next, a)
	DECQ(groups)
	JNE(LabelRef(name + "_group"))
	VZEROUPPER()
	RET()
}

// stride loads a parameter in elements and returns it in bytes.
func stride(name string) Register {
	r := Load(Param(name), GP64())
	SHLQ(Imm(2), r)
	return r
}

// tile is C in registers: acc[i][j] holds 8 or 16 columns of row i.
type tile struct {
	name   string
	rows   int
	panels int
	set    isa
	acc    [][]VecVirtual
}

// rowsOf returns the address of A in each row, and the registers that hold
// it: rows i, i+1, i+2 are base, base + ars, base + 2·ars.
func (t *tile) rowsOf(a, ars Register) (as []Register, row func(i int) Mem) {
	as = []Register{GP64()}
	MOVQ(a, as[0])
	if t.rows > 3 {
		three := GP64()
		LEAQ(Mem{Base: ars, Index: ars, Scale: 2}, three)
		for i := 3; i < t.rows; i += 3 {
			next := GP64()
			LEAQ(Mem{Base: as[len(as)-1], Index: three, Scale: 1}, next)
			as = append(as, next)
		}
	}
	return as, func(i int) Mem {
		if i%3 == 0 {
			return Mem{Base: as[i/3]}
		}
		return Mem{Base: as[i/3], Index: ars, Scale: uint8(i % 3)}
	}
}

// sum generates the loop over k.
func (t *tile) sum(k Register, step func()) {
	loop, rest, one, done := t.name+"_loop", t.name+"_rest", t.name+"_one", t.name+"_done"
	SUBQ(Imm(unroll), k)
	JLT(LabelRef(rest))
	Label(loop)
	for range unroll {
		step()
	}
	SUBQ(Imm(unroll), k)
	JGE(LabelRef(loop))
	Label(rest)
	ADDQ(Imm(unroll), k)
	JEQ(LabelRef(done))
	Label(one)
	step()
	DECQ(k)
	JNE(LabelRef(one))
	Label(done)
}

func (t *tile) lanes() int {
	if t.set == avx2 {
		return 8
	}
	return 16
}

func (t *tile) vec() VecVirtual {
	if t.set == avx2 {
		return YMM()
	}
	return ZMM()
}

func (t *tile) zero() {
	for range t.rows {
		var row []VecVirtual
		for range t.panels * 16 / t.lanes() {
			v := t.vec()
			if t.set == avx2 {
				VXORPS(v, v, v)
			} else {
				VPXORD(v, v, v)
			}
			row = append(row, v)
		}
		t.acc = append(t.acc, row)
	}
}

// step adds one term to every sum of the tile.
func (t *tile) step(rowA func(int) Mem, rowB []Mem) {
	var bv []VecVirtual
	for _, m := range rowB {
		for off := 0; off < 16; off += t.lanes() {
			v := t.vec()
			VMOVUPS(m.Offset(4*off), v)
			bv = append(bv, v)
		}
	}
	for i, row := range t.acc {
		if t.set == avx512 && len(row) == 1 {
			VFMADD231PS_BCST(rowA(i), bv[0], row[0])
			continue
		}
		av := t.vec()
		VBROADCASTSS(rowA(i), av)
		for j, acc := range row {
			if t.set == bf16 {
				raw("VDPBF16PS", bv[j], av, acc)
			} else {
				VFMADD231PS(bv[j], av, acc)
			}
		}
	}
}

// prefetch asks for the lines of C that the tile will be written to, which
// would otherwise be waited for at the end of the sum. They are two lines for
// each row where C begins at a cache line, and one more where it does not,
// which is left to the hardware.
func (t *tile) prefetch(c Register) {
	at, ldc := GP64(), stride("ldc")
	MOVQ(c, at)
	for i := range t.rows {
		for j := range t.panels {
			PREFETCHT0(Mem{Base: at, Disp: 64 * j})
		}
		if i < t.rows-1 {
			ADDQ(ldc, at)
		}
	}
}

// write stores the tile, or adds it to memory, and moves c to the next group.
func (t *tile) write(c Register) {
	ldc, add := stride("ldc"), Load(Param("add"), GP8())
	store, done := t.name+"_store", t.name+"_written"
	each := func(adding bool) {
		for _, row := range t.acc {
			for j, acc := range row {
				m := Mem{Base: c, Disp: 4 * t.lanes() * j}
				if adding {
					VADDPS(m, acc, acc)
				}
				VMOVUPS(acc, m)
			}
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

// transpose generates the packing of 16 rows of 8·n elements into a panel.
func transpose() {
	TEXT("transpose16AVX2", NOSPLIT, "func(dst *float32, src *float32, ld int, n int)")
	Doc("transpose16AVX2 does dst[p*16+j] = src[j*ld+p] for p < 8n, j < 16.")
	Pragma("noescape")
	dst, src, ld := Load(Param("dst"), GP64()), Load(Param("src"), GP64()), stride("ld")
	n := Load(Param("n"), GP64())
	TESTQ(n, n)
	JLE(LabelRef("transpose_done"))
	Label("transpose_loop")
	row := GP64()
	MOVQ(src, row)
	for half := range 2 {
		var in []VecVirtual
		for range 8 {
			v := YMM()
			VMOVUPS(Mem{Base: row}, v)
			ADDQ(ld, row)
			in = append(in, v)
		}
		for p, v := range transpose8(in) {
			VMOVUPS(v, Mem{Base: dst, Disp: 64*p + 32*half})
		}
	}
	ADDQ(Imm(32), src)
	ADDQ(U32(8*64), dst)
	DECQ(n)
	JNE(LabelRef("transpose_loop"))
	Label("transpose_done")
	VZEROUPPER()
	RET()
}

// transpose8 returns the transpose of 8 rows of 8 elements.
func transpose8(in []VecVirtual) []VecVirtual {
	pair := make([]VecVirtual, 8) // elements of rows 2i, 2i+1, interleaved
	for i := 0; i < 8; i += 2 {
		pair[i], pair[i+1] = YMM(), YMM()
		VUNPCKLPS(in[i+1], in[i], pair[i])
		VUNPCKHPS(in[i+1], in[i], pair[i+1])
	}
	quad := make([]VecVirtual, 8) // columns p and p+4 of four rows
	for i := 0; i < 8; i += 4 {
		for p := range 4 {
			quad[i+p] = YMM()
			VSHUFPS(Imm(uint64(0x44+0xaa*(p%2))), pair[i+2+p/2], pair[i+p/2], quad[i+p])
		}
	}
	out := make([]VecVirtual, 8)
	for p := range 4 {
		out[p], out[p+4] = YMM(), YMM()
		VPERM2F128(Imm(0x20), quad[4+p], quad[p], out[p])
		VPERM2F128(Imm(0x31), quad[4+p], quad[p], out[p+4])
	}
	return out
}

// copyPanel generates the packing of 16 columns.
func copyPanel() {
	TEXT("copy16AVX2", NOSPLIT, "func(dst *float32, src *float32, ld int, n int)")
	Doc("copy16AVX2 does dst[p*16+j] = src[p*ld+j] for p < n, j < 16; n > 0.")
	Pragma("noescape")
	dst, src, ld := Load(Param("dst"), GP64()), Load(Param("src"), GP64()), stride("ld")
	n := Load(Param("n"), GP64())
	lo, hi := YMM(), YMM()
	Label("copy_loop")
	VMOVUPS(Mem{Base: src}, lo)
	VMOVUPS(Mem{Base: src, Disp: 32}, hi)
	VMOVUPS(lo, Mem{Base: dst})
	VMOVUPS(hi, Mem{Base: dst, Disp: 32})
	ADDQ(ld, src)
	ADDQ(Imm(64), dst)
	DECQ(n)
	JNE(LabelRef("copy_loop"))
	VZEROUPPER()
	RET()
}
