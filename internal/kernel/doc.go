// Package kernel holds the arithmetic that everything numeric in this module is
// built on: matrix products, vector operations, the exponential functions, and
// the pool of threads that runs them.
//
// All matrices are row-major. An operand's shape is written (rows, columns); a
// leading dimension (lda, ldb, ldc) is the distance in elements between the
// starts of two rows.
//
// Each kernel exists in portable Go, which is its definition, and most exist in
// assembly generated from internal/kernel/_gen. The implementation is chosen
// once, at start, from what the CPU can do; the environment variable
// CODE2LORA_KERNEL (generic, avx2 or avx512) overrides the choice, and the
// build tag noasm leaves the assembly out. See docs/kernels.md.
//
// # Precision
//
// Arithmetic is in float32. [SetPrecision], or the environment variable
// CODE2LORA_PRECISION, lets products with a [Frozen] round their operands to
// bfloat16, which about doubles their speed on CPUs that have instructions for
// it, or run on quantised weights as they are stored, with int8 activations.
//
// # Determinism
//
// Every sum belongs to one goroutine and is taken in an order that depends on
// its length alone. So, for one implementation, results are the same bit for
// bit whatever the number of threads; and a row of [Frozen.Forward],
// [Frozen.Backward] does not depend on how many rows it was computed with, so
// that a token decoded alone gets what it gets in a batch. In the precision
// [BFloat16] that holds among products of 8 rows or more; in [Int8] always.
//
// # Errors
//
// Wrong lengths are bugs of the caller, and panic with the shapes in the
// message. Operands must not overlap unless a function says that they may.
package kernel
