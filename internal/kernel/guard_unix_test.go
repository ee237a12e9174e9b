//go:build unix

package kernel

import (
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// pagePlaces put an operand next to a page that can't be read, so that a read
// beyond it is a fault.
func pagePlaces() []place {
	return []place{
		{"page start", func(t *testing.T, n int) ([]float32, func() bool) { return paged(t, n, false) }},
		{"page end", func(t *testing.T, n int) ([]float32, func() bool) { return paged(t, n, true) }},
	}
}

func paged(t *testing.T, n int, end bool) ([]float32, func() bool) {
	t.Helper()
	page := unix.Getpagesize()
	size := max(1, ceilDiv(4*n, page)) * page
	mem, err := unix.Mmap(-1, 0, size+2*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Munmap(mem) })
	for _, guard := range [][]byte{mem[:page], mem[page+size:]} {
		if err := unix.Mprotect(guard, unix.PROT_NONE); err != nil {
			t.Fatal(err)
		}
	}
	all := unsafe.Slice((*float32)(unsafe.Pointer(&mem[page])), size/4)
	if end {
		all = all[len(all)-n:]
	}
	return all[:n:n], func() bool { return true }
}
