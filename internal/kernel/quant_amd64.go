//go:build !noasm

package kernel

// quantMicroFunc is a micro-kernel of quantOps in assembly.
type quantMicroFunc func(c *float32, ldc int, codes *byte, scales *float32, x *float32, blocks int, add bool)

// Indexed by bits and rows.
var quantMicrosVNNI = [9][13]quantMicroFunc{
	4: {
		1: quant4x1VNNI, quant4x2VNNI, quant4x3VNNI, quant4x4VNNI, quant4x5VNNI, quant4x6VNNI,
		quant4x7VNNI, quant4x8VNNI, quant4x9VNNI, quant4x10VNNI, quant4x11VNNI, quant4x12VNNI,
	},
	5: {
		1: quant5x1VNNI, quant5x2VNNI, quant5x3VNNI, quant5x4VNNI, quant5x5VNNI, quant5x6VNNI,
		quant5x7VNNI, quant5x8VNNI, quant5x9VNNI, quant5x10VNNI, quant5x11VNNI, quant5x12VNNI,
	},
	6: {
		1: quant6x1VNNI, quant6x2VNNI, quant6x3VNNI, quant6x4VNNI, quant6x5VNNI, quant6x6VNNI,
		quant6x7VNNI, quant6x8VNNI, quant6x9VNNI, quant6x10VNNI, quant6x11VNNI, quant6x12VNNI,
	},
	8: {
		1: quant8x1VNNI, quant8x2VNNI, quant8x3VNNI, quant8x4VNNI, quant8x5VNNI, quant8x6VNNI,
		quant8x7VNNI, quant8x8VNNI, quant8x9VNNI, quant8x10VNNI, quant8x11VNNI, quant8x12VNNI,
	},
}

var quantMicrosAVX2 = [9][5]quantMicroFunc{
	4: {1: quant4x1AVX2, quant4x2AVX2, quant4x3AVX2, quant4x4AVX2},
	5: {1: quant5x1AVX2, quant5x2AVX2, quant5x3AVX2, quant5x4AVX2},
	6: {1: quant6x1AVX2, quant6x2AVX2, quant6x3AVX2, quant6x4AVX2},
	8: {1: quant8x1AVX2, quant8x2AVX2, quant8x3AVX2, quant8x4AVX2},
}

func microQuantVNNI(c []float32, ldc int, codes []byte, scales, x []float32, rows, blocks int, t *blockTrait, add bool) {
	quantMicrosVNNI[t.bits][rows](&c[0], ldc, &codes[0], &scales[0], &x[0], blocks, add)
}

func microQuantAVX2(c []float32, ldc int, codes []byte, scales, x []float32, rows, blocks int, t *blockTrait, add bool) {
	quantMicrosAVX2[t.bits][rows](&c[0], ldc, &codes[0], &scales[0], &x[0], blocks, add)
}

var quantVNNI = quantOps{name: "avx512_vnni", micro: microQuantVNNI, mr: 12, scales: expandScales, quantise: quantiseRow}

var quantAVX2 = quantOps{name: "avx2", micro: microQuantAVX2, mr: 4, scales: expandScalesSigned, quantise: quantiseRow}

func expandScales(dst []float32, src []byte, t *blockTrait, in int) {
	expand(dst, src, t, in, t.zero)
}

// expandScalesSigned is for a micro-kernel that takes codes of 8 bits as
// code-128.
func expandScalesSigned(dst []float32, src []byte, t *blockTrait, in int) {
	zero := t.zero
	if t.bits == 8 {
		zero += 128
	}
	expand(dst, src, t, in, zero)
}

func expand(dst []float32, src []byte, t *blockTrait, in int, zero float32) {
	switch t.kind {
	case halfScale:
		scalesHalfAVX2(&dst[0], &src[0], in/32, zero)
	case halfPair:
		scalesPairAVX2(&dst[0], &src[0], in/32)
	case superPair:
		scalesSuperPairAVX2(&dst[0], &src[0], in/256)
	case superOne:
		scalesSuperOneAVX2(&dst[0], &src[0], in/256, zero)
	}
}

func quantiseRow(q []int8, d, x []float32) {
	quantiseAVX2(&q[0], &d[0], &x[0], len(x)/quantBlock)
}
