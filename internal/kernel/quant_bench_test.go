package kernel

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// BenchmarkQuantised reports the rate of arithmetic, and at which rate the
// packed weights are read. The matrices are larger than caches.
func BenchmarkQuantised(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	const out, in = 32768, 1536
	for _, format := range []BlockFormat{Q4_1, Q5_0, Q8_0, Q4_K, Q6_K} {
		row := storedRow(r, format, in)
		f := NewFrozenFrom(out, in, Source{Stored: func(int) []byte { return row }, Format: format})
		for _, T := range []int{1, 2, 4, 8, 64, 512} {
			x, y := random(r, T*in), make([]float32, T*out)
			b.Run(fmt.Sprintf("%v/T=%d", format, T), func(b *testing.B) {
				eachB(b, func(b *testing.B) {
					was := CurrentPrecision()
					defer precision.Store(int32(was))
					precision.Store(int32(Int8))
					f.Prepare()
					for b.Loop() {
						f.Forward(y, x, T)
					}
					gflops(b, 2*T*out*in)
					b.ReportMetric(float64(len(f.quant.data.data))*float64(b.N)/b.Elapsed().Seconds()/1e9, "GB/s")
				})
			})
		}
	}
}
