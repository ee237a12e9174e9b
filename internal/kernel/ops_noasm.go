//go:build !amd64 || noasm

package kernel

// assembly returns the implementations in assembly: there are none.
func assembly() []*ops { return nil }
