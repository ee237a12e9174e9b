package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
)

// pairs generates what products of bfloat16 numbers need.
func pairs() {
	for _, panels := range []int{1, 2} {
		for rows := 1; rows <= 12; rows++ {
			micro(rows, panels, bf16)
		}
	}
	roundPairs()
}

// roundPairs generates the conversion of 32·n numbers.
func roundPairs() {
	TEXT("roundPairsBF16", NOSPLIT, "func(dst *float32, src *float32, n int)")
	Doc("roundPairsBF16 writes 32·n numbers of src to dst as bfloat16, in order; n > 0.")
	Pragma("noescape")
	dst, src, n := Load(Param("dst"), GP64()), Load(Param("src"), GP64()), Load(Param("n"), GP64())
	Label("round_loop")
	lo, hi, out := ZMM(), ZMM(), ZMM()
	VMOVUPS(Mem{Base: src}, lo)
	VMOVUPS(Mem{Base: src, Disp: 64}, hi)
	raw("VCVTNE2PS2BF16", lo, hi, out)
	VMOVUPS(out, Mem{Base: dst})
	ADDQ(U32(128), src)
	ADDQ(Imm(64), dst)
	DECQ(n)
	JNE(LabelRef("round_loop"))
	VZEROUPPER()
	RET()
}
