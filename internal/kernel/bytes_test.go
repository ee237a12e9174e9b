package kernel

import (
	"math/rand/v2"
	"testing"
)

// TestPackingBytes compares what is announced with what products then make.
func TestPackingBytes(t *testing.T) {
	defer func(p int32) { precision.Store(p) }(precision.Load())
	r := rand.New(rand.NewPCG(1, 1))
	held := func(f *Frozen) int64 {
		n := 4 * (len(f.fwd.data) + len(f.bwd.data) + len(f.fwdPairs.data) + len(f.bwdPairs.data))
		for _, q := range []*quantPanels{f.quant.data, f.quantBack.data} {
			if q != nil {
				n += len(q.data)
			}
		}
		return int64(n)
	}
	for _, p := range []Precision{Float32, BFloat16, Int8} {
		if p.check() != nil {
			continue // no test of another machine's products
		}
		precision.Store(int32(p))
		for _, format := range []BlockFormat{0, Q4_K, Q8_0, Q6_K} {
			for i, T := range []int{1, minPairRows - 1, minPairRows, 40, 1, 40} {
				out, in := 37, 256
				if i > 3 {
					out = 64 // for which Backward may run on codes
				}
				f := NewFrozenFrom(out, in, Source{Row: func(dst []float32, _ int) { clear(dst) }})
				if format != 0 {
					f, _ = quantised(r, format, out, in)
				}
				x, y := make([]float32, T*in), make([]float32, T*out)
				for _, backward := range []bool{false, true, false} {
					before, want := held(f), f.PackingBytes(p, T, backward)
					if backward {
						f.Backward(x, y, T, true)
					} else {
						f.Forward(y, x, T)
					}
					if got := held(f) - before; got != want {
						t.Errorf("%v, format %d, %d rows, backward %t: packed %d bytes, announced %d", p, format, T, backward, got, want)
					}
					if got := f.PackingBytes(p, T, backward); got != 0 {
						t.Errorf("%v, format %d, %d rows, backward %t: announces %d bytes after the product", p, format, T, backward, got)
					}
				}
			}
		}
	}
	if got := NewFrozenFrom(0, 5, Source{}).PackingBytes(Float32, 3, true); got != 0 {
		t.Errorf("matrix without rows: got %d bytes, want 0", got)
	}
}
