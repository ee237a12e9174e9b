package kernel

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// BenchmarkPrecision alternates between the precisions, so that what else runs
// on the machine slows both, and reports the rate of the fastest round of
// each, in GFLOP/s, and their ratio.
func BenchmarkPrecision(b *testing.B) {
	if err := SetPrecision(BFloat16); err != nil {
		b.Skip(err)
	}
	defer func() { _ = SetPrecision(Float32) }()
	r := rand.New(rand.NewPCG(1, 2))
	for _, s := range shapes[:4] {
		out, in := s[0], s[1]
		f := NewFrozen(random(r, out*in), out, in)
		for _, T := range []int{8, 64, 1024, 2048} {
			x, y := random(r, T*in), random(r, T*out)
			for _, dir := range []struct {
				name string
				run  func()
			}{
				{"forward", func() { f.Forward(y, x, T) }},
				{"backward", func() { f.Backward(x, y, T, true) }},
			} {
				b.Run(fmt.Sprintf("out=%d/in=%d/T=%d/dir=%s", out, in, T, dir.name), func(b *testing.B) {
					best := [2]time.Duration{time.Hour, time.Hour}
					round := func() {
						for _, p := range []Precision{Float32, BFloat16} {
							_ = SetPrecision(p) // can't fail: see above
							start := time.Now()
							dir.run()
							best[p] = min(best[p], time.Since(start))
						}
					}
					round() // packs
					for b.Loop() {
						round()
					}
					flops := float64(2 * T * out * in)
					b.ReportMetric(flops/best[Float32].Seconds()/1e9, "float32-GFLOP/s")
					b.ReportMetric(flops/best[BFloat16].Seconds()/1e9, "bfloat16-GFLOP/s")
					b.ReportMetric(best[Float32].Seconds()/best[BFloat16].Seconds(), "ratio")
				})
			}
		}
	}
}
