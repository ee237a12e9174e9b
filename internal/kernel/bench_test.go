package kernel

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// eachB is each for benchmarks.
func eachB(b *testing.B, f func(b *testing.B)) {
	was := active
	defer func() { active = was }()
	for _, o := range implementations {
		if o == &generic && testing.Short() {
			continue
		}
		active = o
		b.Run(o.name, f)
	}
}

// gflops reports the rate of an operation that takes flops.
func gflops(b *testing.B, flops int) {
	b.ReportMetric(float64(flops)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
}

var shapes = [][2]int{{576, 576}, {1536, 576}, {576, 1536}, {4864, 896}, {896, 4864}}

func BenchmarkFrozen(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, s := range shapes {
		out, in := s[0], s[1]
		f := NewFrozen(random(r, out*in), out, in)
		for _, T := range []int{1, 4, 8, 256, 1024} {
			x, y := random(r, T*in), random(r, T*out)
			b.Run(fmt.Sprintf("out=%d/in=%d/T=%d", out, in, T), func(b *testing.B) {
				b.Run("dir=forward", func(b *testing.B) {
					eachB(b, func(b *testing.B) {
						for b.Loop() {
							f.Forward(y, x, T)
						}
						gflops(b, 2*T*out*in)
					})
				})
				b.Run("dir=backward", func(b *testing.B) {
					eachB(b, func(b *testing.B) {
						for b.Loop() {
							f.Backward(x, y, T, true)
						}
						gflops(b, 2*T*out*in)
					})
				})
			})
		}
	}
}

func BenchmarkGemm(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, g := range []struct {
		name           string
		transA, transB bool
		m, n, k        int
	}{
		{"lora-down", false, true, 1024, 16, 576},
		{"lora-up", false, true, 1024, 576, 16},
		{"lora-dB", true, false, 576, 16, 1024},
		{"lora-dA", true, false, 16, 576, 1024},
		{"scores", false, true, 256, 256, 64},
		{"values", false, false, 256, 64, 256},
		{"decode-scores", false, true, 3, 512, 64},
		{"decode-values", false, false, 3, 64, 512},
		{"square", false, false, 1024, 1024, 1024},
	} {
		x, y, c := random(r, g.m*g.k), random(r, g.k*g.n), random(r, g.m*g.n)
		lda, ldb := g.k, g.n
		if g.transA {
			lda = g.m
		}
		if g.transB {
			ldb = g.k
		}
		b.Run(fmt.Sprintf("op=%s/m=%d/n=%d/k=%d", g.name, g.m, g.n, g.k), func(b *testing.B) {
			eachB(b, func(b *testing.B) {
				for b.Loop() {
					Gemm(g.transA, g.transB, g.m, g.n, g.k, 1, x, lda, y, ldb, 0, c, g.n)
				}
				gflops(b, 2*g.m*g.n*g.k)
			})
		})
	}
}

func BenchmarkVector(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	const n = 1536
	x, y, z := random(r, n), random(r, n), random(r, n)
	u, v, w := random(r, n), random(r, n), random(r, n)
	for _, k := range []struct {
		name string
		f    func()
	}{
		{"Dot", func() { Dot(x, y) }},
		{"Axpy", func() { Axpy(y, 1e-9, x) }},
		{"Add", func() { Add(u, x) }},
		{"Scale", func() { Scale(z, 1) }},
		{"Sum", func() { Sum(x) }},
		{"Exp", func() { Exp(z, x) }},
		{"SoftmaxRow", func() { SoftmaxRow(z) }},
		{"LogSumExp", func() { LogSumExp(x) }},
		{"SwiGLU", func() { SwiGLU(z, x, y) }},
		{"SwiGLUBackward", func() { SwiGLUBackward(w, u, v, z, x, y) }},
		{"ScaleMul", func() { ScaleMul(z, x, y, 0.5) }},
		{"DotMul", func() { DotMul(x, y, z) }},
		{"NormBackward", func() { NormBackward(w, u, y, x, 1e-9, 1e-9) }},
		{"SubMul", func() { SubMul(u, x, 0.5) }},
	} {
		b.Run("op="+k.name, func(b *testing.B) {
			eachB(b, func(b *testing.B) {
				b.SetBytes(4 * n)
				for b.Loop() {
					k.f()
				}
			})
		})
	}
}

// BenchmarkParallel measures what handing work to another thread costs.
func BenchmarkParallel(b *testing.B) {
	out := make([]float32, 1024)
	for b.Loop() {
		Parallel(16, func(i int) { out[i*64]++ })
	}
}
