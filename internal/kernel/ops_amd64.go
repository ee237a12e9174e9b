//go:build !noasm

package kernel

import "golang.org/x/sys/cpu"

// assembly returns the implementations in assembly that this CPU can run.
func assembly() []*ops {
	var out []*ops
	if cpu.X86.HasAVX2 && cpu.X86.HasFMA {
		out = append(out, avx2())
		if cpu.X86.HasAVX512F {
			out = append(out, avx512())
			if cpu.X86.HasAVX512BW && cpu.X86.HasAVX512DQ && cpu.X86.HasAVX512VNNI {
				out[len(out)-1].quant = &quantVNNI
			}
			if cpu.X86.HasAVX512BF16 && cpu.X86.HasAVX512BW && cpu.X86.HasBMI2 {
				out[len(out)-1].bf16 = avx512BF16()
			}
		}
	}
	return out
}

func avx2() *ops {
	return &ops{
		name:           "avx2",
		micro:          microAVX2,
		mr:             6,
		np:             panelsAVX2,
		quant:          &quantAVX2,
		half:           halfAVX2,
		halfRows:       2,
		codes:          codesAVX2,
		codesRows:      6,
		transpose:      transposeAVX2,
		copyPanel:      copyPanelAVX2,
		dot:            dotAVX2,
		axpy:           axpyAVX2,
		add:            addAVX2,
		scale:          scaleAVX2,
		sum:            sumAVX2,
		max:            maxAVX2,
		exp:            expAVX2,
		expSub:         expSubAVX2,
		sumExpSub:      sumExpSubAVX2,
		swiGLU:         swiGLUAVX2,
		swiGLUBackward: swiGLUBackwardAVX2,
		scaleMul:       scaleMulAVX2,
		dotMul:         dotMulAVX2,
		normBackward:   normBackwardAVX2,
		subMul:         subMulAVX2,
	}
}

// avx512 differs from avx2 in the products only: the vector operations wait
// for memory, and their results then stay the same.
func avx512() *ops {
	o := avx2()
	o.name, o.micro, o.mr, o.np = "avx512", microAVX512, 12, panelsAVX512
	o.half, o.halfRows = halfAVX512, 8
	o.codes, o.codesRows = codesAVX512, 8
	return o
}

type microFunc func(c *float32, ldc int, a *float32, ars, acs int, b *float32, bs, ps, groups, k int, add bool)

var microsAVX2 = [3][7]microFunc{
	1: {1: micro1x16AVX2, micro2x16AVX2, micro3x16AVX2, micro4x16AVX2, micro5x16AVX2, micro6x16AVX2},
	2: {1: micro1x32AVX2, micro2x32AVX2, micro3x32AVX2},
}

func microAVX2(c []float32, ldc int, a view, b panels, t tileShape, k int, add bool) {
	microsAVX2[t.panels][t.rows](&c[0], ldc, &a.data[0], a.rs, a.cs, &b.data[0], b.bs, b.ps, t.groups, k, add)
}

// Sixteen registers hold six rows of one panel, or three of two.
func panelsAVX2(m int) int {
	if m <= 3 {
		return 2
	}
	return 1
}

var microsAVX512 = [3][13]microFunc{
	1: {
		1: micro1x16AVX512, micro2x16AVX512, micro3x16AVX512, micro4x16AVX512, micro5x16AVX512, micro6x16AVX512,
		micro7x16AVX512, micro8x16AVX512, micro9x16AVX512, micro10x16AVX512, micro11x16AVX512, micro12x16AVX512,
	},
	2: {
		1: micro1x32AVX512, micro2x32AVX512, micro3x32AVX512, micro4x32AVX512, micro5x32AVX512, micro6x32AVX512,
		micro7x32AVX512, micro8x32AVX512, micro9x32AVX512, micro10x32AVX512, micro11x32AVX512, micro12x32AVX512,
	},
}

func microAVX512(c []float32, ldc int, a view, b panels, t tileShape, k int, add bool) {
	microsAVX512[t.panels][t.rows](&c[0], ldc, &a.data[0], a.rs, a.cs, &b.data[0], b.bs, b.ps, t.groups, k, add)
}

func panelsAVX512(int) int { return 2 }

func avx512BF16() *ops {
	return &ops{name: "avx512_bf16", micro: microBF16, mr: 12, np: panelsAVX512, roundPairs: roundPairsAVX512, zipPairs: zipPairsAVX512}
}

var microsBF16 = [3][13]microFunc{
	1: {
		1: micro1x16BF16, micro2x16BF16, micro3x16BF16, micro4x16BF16, micro5x16BF16, micro6x16BF16,
		micro7x16BF16, micro8x16BF16, micro9x16BF16, micro10x16BF16, micro11x16BF16, micro12x16BF16,
	},
	2: {
		1: micro1x32BF16, micro2x32BF16, micro3x32BF16, micro4x32BF16, micro5x32BF16, micro6x32BF16,
		micro7x32BF16, micro8x32BF16, micro9x32BF16, micro10x32BF16, micro11x32BF16, micro12x32BF16,
	},
}

func microBF16(c []float32, ldc int, a view, b panels, t tileShape, k int, add bool) {
	microsBF16[t.panels][t.rows](&c[0], ldc, &a.data[0], a.rs, a.cs, &b.data[0], b.bs, b.ps, t.groups, k, add)
}

func roundPairsAVX512(dst, src []float32) {
	if len(src) > 0 {
		roundPairsBF16(&dst[0], &src[0], len(src))
	}
}

func zipPairsAVX512(dst []float32, width int, src []float32, ld, n, pairs int) {
	if n > 0 && pairs > 0 {
		zipPairsBF16(&dst[0], width, &src[0], ld, n, pairs)
	}
}

func transposeAVX2(dst, src []float32, ld, n int) int {
	if n >= 8 {
		transpose16AVX2(&dst[0], &src[0], ld, n/8)
	}
	return n / 8 * 8
}

func copyPanelAVX2(dst, src []float32, ld, n int) { copy16AVX2(&dst[0], &src[0], ld, n) }
