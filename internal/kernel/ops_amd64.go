//go:build !noasm

package kernel

// assembly returns the implementations in assembly that this CPU can run.
func assembly() []*ops { return nil }
