//go:build unix

package kernel

import "golang.org/x/sys/unix"

// reserve returns n zeros outside of the collector's heap, in large pages where
// the system has them: a product over hundreds of megabytes would otherwise
// wait for the translation of addresses. free gives them back.
func reserve(n int) (data []byte, free func()) {
	data, err := unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return alignedBytes(n), func() {}
	}
	adviseHuge(data)
	return data, func() { _ = unix.Munmap(data) }
}
