//go:build !noasm

package kernel

// codesFunc is codesGeneric in assembly for a number of rows.
type codesFunc func(c *float32, ldc int, a *float32, lda int, b *byte, steps, panels int, add bool)

var codesFuncsAVX2 = [7]codesFunc{1: codes1AVX2, codes2AVX2, codes3AVX2, codes4AVX2, codes5AVX2, codes6AVX2}

var codesFuncsAVX512 = [9]codesFunc{
	1: codes1AVX512, codes2AVX512, codes3AVX512, codes4AVX512, codes5AVX512, codes6AVX512, codes7AVX512, codes8AVX512,
}

func codesAVX2(c []float32, ldc int, a []float32, lda int, b []byte, rows, steps, panels int, add bool) {
	codesFuncsAVX2[rows](&c[0], ldc, &a[0], lda, &b[0], steps, panels, add)
}

func codesAVX512(c []float32, ldc int, a []float32, lda int, b []byte, rows, steps, panels int, add bool) {
	codesFuncsAVX512[rows](&c[0], ldc, &a[0], lda, &b[0], steps, panels, add)
}
