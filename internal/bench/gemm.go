package bench

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/gguf"
	"github.com/code2lora/code2lora/internal/kernel"
)

const (
	gemmRows   = 1024                  // tokens of a training step or an evaluation batch
	gemmTime   = 20 * time.Millisecond // a run repeats a product for at least this long
	roofRounds = 5
	// readFloats is what bandwidth reads: 256 MiB, far more than caches hold.
	readFloats = 64 << 20
	readChunk  = 1 << 18 // floats that a thread reads at a time
)

// roofs measures what the machine can do: how fast it reads memory, and the
// product that all machines are compared by.
func (r *runner) roofs(ctx context.Context) error {
	r.progress("memory bandwidth and a product")
	buf := make([]float32, readFloats)
	for i := range buf {
		buf[i] = 1 // pages that were never written are all the same one
	}
	partial := make([]float32, readFloats/readChunk)
	seconds, err := turns(ctx, roofRounds, timed(func(context.Context) error {
		kernel.Parallel(len(partial), func(i int) { partial[i] = kernel.Sum(buf[i*readChunk:][:readChunk]) })
		return nil
	}))
	if err != nil {
		return err
	}
	first := r.reads == nil
	r.reads = append(r.reads, rates(4*readFloats/1e9, seconds[0])...)
	ps, seconds, err := r.gemm(ctx, roofShape, kernel.Q4_0, roofRounds)
	if err == nil && first && slices.Contains(r.Works, Gemm) {
		r.addProducts("", roofShape, ps, seconds)
	}
	return err
}

// roofShape is the product that all machines are compared by.
var roofShape = adapter.Shape{In: 896, Out: 4864}

// product is x (1024, in) · Wᵀ in one precision.
type product struct {
	precision kernel.Precision
	flop      float64 // of one run
	run       run
}

// products returns the product of a shape in each precision, on random numbers;
// for those precisions that depend on it, with weights stored in a format. Where
// there is none for such a precision, so is no product.
func (r *runner) products(s adapter.Shape, format kernel.BlockFormat) []product {
	rng := rand.New(rand.NewPCG(1, 2))
	x, y := normal(rng, gemmRows*s.In), make([]float32, gemmRows*s.Out)
	random := normal(rng, s.Out*s.In)
	var ps []product
	for _, p := range r.Precisions {
		w := kernel.NewFrozen(random, s.Out, s.In)
		if p == kernel.Int8 {
			if w = stored(s, format); w == nil {
				continue
			}
		}
		_ = kernel.SetPrecision(p) // can't fail: see Precisions
		began := time.Now()
		w.Forward(y, x, gemmRows) // packs
		w.Forward(y, x, gemmRows)
		times := 1 + int(gemmTime/max(1, time.Since(began)))
		ps = append(ps, product{p, float64(times) * 2 * gemmRows * float64(s.In) * float64(s.Out),
			func(context.Context) (time.Duration, error) {
				_ = kernel.SetPrecision(p)
				began := time.Now()
				for range times {
					w.Forward(y, x, gemmRows)
				}
				return time.Since(began), nil
			}})
	}
	return ps
}

// stored returns a matrix in a format, or nil if there is no such matrix. All
// of its bytes are the same, since speed doesn't depend on them as long as the
// scales among them are ordinary numbers: 0x2c2c is 0.065.
func stored(s adapter.Shape, format kernel.BlockFormat) *kernel.Frozen {
	t, err := gguf.ParseType(format.String())
	if err != nil {
		return nil // weights that are not quantised
	}
	size, err := t.RowSize(s.In)
	if err != nil {
		return nil // no whole number of blocks
	}
	row := bytes.Repeat([]byte{0x2c}, size)
	return kernel.NewFrozenFrom(s.Out, s.In, kernel.Source{Stored: func(int) []byte { return row }, Format: format})
}

// gemms measures products on the shapes of a model's linear layers.
func (r *runner) gemms(ctx context.Context, n *network) error {
	seen := map[adapter.Shape]bool{}
	for _, m := range n.blocks {
		s := adapter.Shape{In: m.In(), Out: m.Out()}
		if seen[s] {
			continue
		}
		seen[s] = true
		r.progress("%s: product %d × %d × %d", n.name, gemmRows, s.In, s.Out)
		ps, seconds, err := r.gemm(ctx, s, m.format, r.Rounds)
		if err != nil {
			return err
		}
		r.addProducts(n.name, s, ps, seconds)
	}
	return nil
}

// gemm measures the products of a shape, and remembers the best of each
// precision.
func (r *runner) gemm(ctx context.Context, s adapter.Shape, format kernel.BlockFormat, rounds int) (ps []product, seconds [][]float64, err error) {
	ps = r.products(s, format)
	var runs []run
	for _, p := range ps {
		runs = append(runs, p.run)
	}
	if seconds, err = turns(ctx, rounds, runs...); err != nil {
		return nil, nil, err
	}
	for i, p := range ps {
		name := p.precision.String()
		r.report.Peak[name] = max(r.report.Peak[name], p.flop/1e9/slices.Min(seconds[i]))
	}
	return ps, seconds, nil
}

// addProducts adds figures of products.
func (r *runner) addProducts(name string, s adapter.Shape, ps []product, seconds [][]float64) {
	for i, p := range ps {
		r.add(Figure{Work: Gemm, Variant: fmt.Sprintf("%dx%dx%d", gemmRows, s.In, s.Out), Model: name,
			Precision: p.precision.String(), Unit: "GFLOP/s", Sample: sample(rates(p.flop/1e9, seconds[i]))}, nil)
	}
}

// normal returns n normally distributed numbers.
func normal(rng *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(rng.NormFloat64())
	}
	return x
}
