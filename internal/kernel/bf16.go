package kernel

import (
	"fmt"
	"os"
	"sync/atomic"
)

// Precision is the number format in which products with a [Frozen] are
// computed.
type Precision int32

const (
	// Float32 is the default.
	Float32 Precision = iota
	// BFloat16 rounds both operands of [Frozen.Forward], [Frozen.ForwardAdd]
	// and [Frozen.Backward] to bfloat16 (8 significant bits, to nearest, ties
	// to even) and takes their sums in float32. Inputs, outputs and everything
	// else stay float32, and so do products of less than 8 rows, such as those
	// of decoding: a row's result depends on the number of rows only by being
	// on one or the other side of that. [Product] rounds both operands too,
	// for any number of rows.
	//
	// As in the instruction VDPBF16PS, subnormal numbers count as zero, as
	// operands and as sums. The terms of a sum are taken in pairs, in an order
	// that docs/kernels.md describes.
	BFloat16
	// Int8 computes [Frozen.Forward] and [Frozen.ForwardAdd] on quantised
	// weights as they are stored, with x rounded to int8 (quant.go), for any
	// number of rows: a row's result doesn't depend on it. Weights that are not
	// quantised count as in Float32. [Frozen.Backward] does the same with dy, on
	// weights that are rounded to int8 once more (quantback.go). Where they are
	// not quantised, or the number of rows of W isn't a multiple of 32, it is that
	// of BFloat16 where the CPU has it, else that of Float32.
	Int8
)

var precisionNames = []string{Float32: "float32", BFloat16: "bfloat16", Int8: "int8"}

// String returns "float32", "bfloat16" or "int8".
func (p Precision) String() string {
	if p < 0 || int(p) >= len(precisionNames) {
		return fmt.Sprintf("Precision(%d)", int32(p))
	}
	return precisionNames[p]
}

// ParsePrecision returns the precision with the given name.
func ParsePrecision(name string) (Precision, error) {
	for p, s := range precisionNames {
		if s == name {
			return Precision(p), nil
		}
	}
	return Float32, fmt.Errorf("precision is %q, want one of %q", name, precisionNames)
}

// PrecisionVar is the environment variable that sets the precision at start.
const PrecisionVar = "CODE2LORA_PRECISION"

// precision is the one in use.
var precision = func() *atomic.Int32 {
	var p atomic.Int32
	p.Store(int32(choosePrecision(os.Getenv(PrecisionVar))))
	return &p
}()

// choosePrecision returns the precision with the given name; Float32 if the
// name is empty, or not one that this machine can do, which is then said on
// standard error.
func choosePrecision(name string) Precision {
	if name == "" {
		return Float32
	}
	p, err := ParsePrecision(name)
	if err == nil {
		err = p.check()
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v; using %q\n", PrecisionVar, err, Float32)
		return Float32
	}
	return p
}

// check returns why p can't be used.
func (p Precision) check() error {
	switch {
	case p == Float32 || p == Int8:
		return nil
	case p != BFloat16:
		return fmt.Errorf("no such precision: %v", p)
	case active.bf16 == nil:
		return fmt.Errorf("precision %v needs a CPU with AVX512_BF16 and the kernels for avx512, not %s", p, active.name)
	}
	return nil
}

// SetPrecision sets the precision of the products that begin from now on. It
// returns an error, and changes nothing, if this machine can't do p: BFloat16
// needs AVX512_BF16. The environment variable CODE2LORA_PRECISION (float32,
// bfloat16 or int8) sets it at start.
func SetPrecision(p Precision) error {
	if err := p.check(); err != nil {
		return err
	}
	precision.Store(int32(p))
	return nil
}

// CurrentPrecision returns the precision in use.
func CurrentPrecision() Precision { return Precision(precision.Load()) }

// minPairRows is the number of rows from which products have the precision
// BFloat16. It keeps decoding, a row or a few at a time, in float32, and needs
// no second packing for it.
const minPairRows = 8

// pairOps returns what does a product of T rows if that is to be in bfloat16,
// else nil.
func pairOps(T int) *ops {
	if T < minPairRows || CurrentPrecision() == Float32 {
		return nil
	}
	return active.bf16
}

// Packings of bfloat16 numbers are panels like those of float32 numbers, with
// pairs of rows, row 2p in the lower halves, in the place of rows. A missing
// last row is zero.

// packForwardPairs makes the packing of Wᵀ (in, out).
func (f *Frozen) packForwardPairs() []float32 {
	defer f.done()
	ps := ceilDiv(f.in, 2) * panelWidth
	data := aligned(ceilDiv(f.out, panelWidth) * ps)
	Parallel(ceilDiv(f.out, panelWidth), func(q int) {
		buf, n := f.rows(q)
		for j := range n {
			src, dst := (*buf)[j*f.in:][:f.in], data[q*ps+j:]
			for p := 0; p+1 < f.in; p += 2 {
				dst[p/2*panelWidth] = pair(src[p], src[p+1])
			}
			if f.in%2 == 1 {
				dst[f.in/2*panelWidth] = pair(src[f.in-1], 0)
			}
		}
		packBuffers.Put(buf)
	})
	return data
}

// packBackwardPairs makes the packing of W (out, in).
func (f *Frozen) packBackwardPairs() []float32 {
	defer f.done()
	ps := ceilDiv(f.out, 2) * panelWidth
	data := aligned(ceilDiv(f.in, panelWidth) * ps)
	Parallel(ceilDiv(f.out, panelWidth), func(q int) {
		buf, n := f.rows(q)
		if n%2 == 1 {
			clear((*buf)[n*f.in:][:f.in])
		}
		for j := 0; j < n; j += 2 {
			lo, hi := (*buf)[j*f.in:][:f.in], (*buf)[(j+1)*f.in:][:f.in]
			row := (q*panelWidth + j) / 2 * panelWidth
			for i, v := range lo {
				data[i/panelWidth*ps+row+i%panelWidth] = pair(v, hi[i])
			}
		}
		packBuffers.Put(buf)
	})
	return data
}

// pairRows rounds the rows of a (m, k) to bfloat16, as pairs. The buffer is of
// packBuffers.
func (o *ops) pairRows(a []float32, m, k int) *[]float32 {
	half := ceilDiv(k, 2)
	buf := packBuffer(m * half)
	rows := max(1, roundChunk/k)
	Parallel(ceilDiv(m, rows), func(t int) {
		lo, hi := t*rows, min((t+1)*rows, m)
		if k%2 == 0 {
			o.roundPairs((*buf)[lo*half:hi*half], a[lo*k:hi*k])
			return
		}
		for i := lo; i < hi; i++ {
			o.roundPairs((*buf)[i*half:(i+1)*half], a[i*k:(i+1)*k])
		}
	})
	return buf
}

// pairedProduct does C (m, n) = A (m, k) · B (k, n), or C += A·B if add, where
// A is given as pairs and B is a packing of pairs.
func (o *ops) pairedProduct(c, a, b []float32, m, n, k int, add bool) {
	half := ceilDiv(k, 2)
	o.product(c, n, view{a, half, 1}, panels{b, panelWidth, half * panelWidth}, m, n, half, add)
}

// roundChunk is how many numbers are rounded at a time: some 10 µs.
const roundChunk = 1 << 15
