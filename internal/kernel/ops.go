package kernel

import (
	"fmt"
	"os"
)

// panelWidth is the number of columns in a panel of a packed matrix: one
// AVX-512 register, two AVX2 ones. All implementations share the layout.
const panelWidth = 16

// ops is one implementation of the kernels.
type ops struct {
	name string

	// micro computes groups of rows, one after the other, of C (rows,
	// panels·16) = A (rows, k) · B, or adds the product to C if add. ldc is
	// C's leading dimension.
	micro func(c []float32, ldc int, a view, b panels, t tileShape, k int, add bool)
	// mr is the most rows that micro can do at a time, np(m) the number of
	// panels that it should for a product of m rows.
	mr int
	np func(m int) int

	// bf16 is the implementation of products of bfloat16 numbers that goes
	// with this one: nil if the CPU has no instructions for them. Of its own
	// functions only micro, mr, np and those on pairs exist, and operands A and B
	// of micro have a pair of numbers in the place of a float32.
	bf16 *ops
	// roundPairs rounds src to bfloat16 and writes it as ⌈len(src)/2⌉ pairs to
	// dst; see pair.
	roundPairs func(dst, src []float32)
	// zipPairs rounds src[2p·ld+i] and src[(2p+1)·ld+i] to bfloat16 and writes
	// them as a pair to dst[p·width+i], for i < n and p < pairs.
	zipPairs func(dst []float32, width int, src []float32, ld, n, pairs int)

	// quant is the implementation of products with quantised weights that goes
	// with this one.
	quant *quantOps

	// half is halfGeneric for 1 to halfRows rows.
	half     func(c []float32, ldc int, a []float32, lda int, b []float32, rows, pairs, panels int, add bool)
	halfRows int
	// codes is codesGeneric for 1 to codesRows rows.
	codes     func(c []float32, ldc int, a []float32, lda int, b []byte, rows, steps, panels int, add bool)
	codesRows int

	// transpose does dst[p*16+j] = src[j*ld+p] for j < 16 and all p < done <= n.
	transpose func(dst, src []float32, ld, n int) (done int)
	// copyPanel does dst[p*16+j] = src[p*ld+j] for j < 16 and p < n; n > 0.
	copyPanel func(dst, src []float32, ld, n int)

	dot            func(x, y []float32) float32
	axpy           func(y []float32, a float32, x []float32)
	add            func(y, x []float32)
	scale          func(x []float32, a float32)
	sum            func(x []float32) float32
	max            func(x []float32) float32
	exp            func(dst, src []float32)
	expSub         func(dst, src []float32, shift float32) float32
	sumExpSub      func(src []float32, shift float32) float32
	swiGLU         func(h, gate, up []float32)
	swiGLUBackward func(h, dgate, dup, dh, gate, up []float32)
	scaleMul       func(y, x, w []float32, r float32)
	dotMul         func(x, y, w []float32) float32
	normBackward   func(dx, dy, w, x []float32, r, c float32)
	subMul         func(y, x []float32, a float32)
}

var generic = ops{
	name:           "generic",
	micro:          microGeneric,
	mr:             4,
	quant:          &quantGeneric,
	np:             func(int) int { return 1 },
	half:           halfGeneric,
	halfRows:       4,
	codes:          codesGeneric,
	codesRows:      4,
	transpose:      func(_, _ []float32, _, _ int) int { return 0 },
	copyPanel:      copyPanelGeneric,
	dot:            dotGeneric,
	axpy:           axpyGeneric,
	add:            addGeneric,
	scale:          scaleGeneric,
	sum:            sumGeneric,
	max:            maxGeneric,
	exp:            expGeneric,
	expSub:         expSubGeneric,
	sumExpSub:      sumExpSubGeneric,
	swiGLU:         swiGLUGeneric,
	swiGLUBackward: swiGLUBackwardGeneric,
	scaleMul:       scaleMulGeneric,
	dotMul:         dotMulGeneric,
	normBackward:   normBackwardGeneric,
	subMul:         subMulGeneric,
}

// implementations are those that this CPU can run, the best last.
var implementations = append([]*ops{&generic}, assembly()...)

// active is the implementation in use. Only tests change it after start.
var active = choose(os.Getenv("CODE2LORA_KERNEL"))

// choose returns the implementation with the given name; the best one if the
// name is empty, or not one that this CPU can run, which is then said on
// standard error.
func choose(name string) *ops {
	best := implementations[len(implementations)-1]
	if name == "" {
		return best
	}
	var names []string
	for _, o := range implementations {
		if o.name == name {
			return o
		}
		names = append(names, o.name)
	}
	fmt.Fprintf(os.Stderr, "CODE2LORA_KERNEL: %q is not one of %q, which this machine can run; using %q\n", name, names, best.name)
	return best
}

// Implementation returns the name of the implementation in use: "generic",
// "avx2" or "avx512".
func Implementation() string { return active.name }
