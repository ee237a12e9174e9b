//go:build !noasm

package kernel

// halfFunc is halfGeneric in assembly for a number of rows.
type halfFunc func(c *float32, ldc int, a *float32, lda int, b *float32, pairs, panels int, add bool)

var halvesAVX2 = [3]halfFunc{1: half1AVX2, half2AVX2}

var halvesAVX512 = [9]halfFunc{
	1: half1AVX512, half2AVX512, half3AVX512, half4AVX512, half5AVX512, half6AVX512, half7AVX512, half8AVX512,
}

func halfAVX2(c []float32, ldc int, a []float32, lda int, b []float32, rows, pairs, panels int, add bool) {
	halvesAVX2[rows](&c[0], ldc, &a[0], lda, &b[0], pairs, panels, add)
}

func halfAVX512(c []float32, ldc int, a []float32, lda int, b []float32, rows, pairs, panels int, add bool) {
	halvesAVX512[rows](&c[0], ldc, &a[0], lda, &b[0], pairs, panels, add)
}
