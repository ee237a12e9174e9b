//go:build !linux

package memory

// limits returns the sources of this platform beside the whole machine: none.
// What container runtimes limit elsewhere is a virtual machine, whose memory
// is that of the machine.
func limits() []source { return nil }
