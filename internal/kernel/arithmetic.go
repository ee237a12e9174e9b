package kernel

// Arithmetic names what the bits of a result depend on besides its operands: the
// current precision and, where that matters, the implementation. Whoever keeps
// results to be used as if they had been computed again keeps them under it.
//
// In [Float32] the implementations in assembly do the same sums in the same
// order, so they have one name, "float32". In the other precisions they use what
// instructions the processor has for them.
func Arithmetic() string {
	p := CurrentPrecision()
	if p == Float32 && active != &generic {
		return p.String()
	}
	return p.String() + " " + active.name
}
