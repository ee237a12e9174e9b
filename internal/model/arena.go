package model

import (
	"sync"

	"github.com/code2lora/code2lora/internal/kernel"
)

// arena hands out float32 slices that live as long as one pass. Passes need
// hundreds of megabytes for moments; reusing them spares the collector. The
// slices are not cleared.
type arena struct {
	chunks [][]float32
	chunk  int // the chunk in use
	used   int // values used of it
	taken  int // values handed out and not given back
	peak   int // most values that were handed out at a time
}

// chunkSize is the number of values in one chunk, 64 MiB.
const chunkSize = 1 << 24

var arenas = sync.Pool{New: func() any { return new(arena) }}

func newArena() *arena { return arenas.Get().(*arena) }

// free makes all slices of the arena available to another pass.
func (a *arena) free() {
	a.giveBack(mark{})
	a.peak = 0
	arenas.Put(a)
}

// held returns the bytes that the arena has from the system.
func (a *arena) held() (bytes int64) {
	for _, c := range a.chunks {
		bytes += 4 * int64(len(c))
	}
	return bytes
}

// mark is a state of an arena, see giveBack.
type mark struct{ chunk, used, taken int }

func (a *arena) mark() mark { return mark{a.chunk, a.used, a.taken} }

// giveBack returns all slices that were handed out since a mark.
func (a *arena) giveBack(m mark) { a.chunk, a.used, a.taken = m.chunk, m.used, m.taken }

// floats returns n values of arbitrary content.
func (a *arena) floats(n int) []float32 {
	a.taken += n
	a.peak = max(a.peak, a.taken)
	for a.chunk < len(a.chunks) {
		if c := a.chunks[a.chunk]; a.used+n <= len(c) {
			s := c[a.used:][:n:n]
			a.used += n
			return s
		}
		a.chunk++
		a.used = 0
	}
	a.chunks = append(a.chunks, make([]float32, max(n, chunkSize)))
	a.used = n
	return a.chunks[a.chunk][:n:n]
}

// zeros returns n zeros.
func (a *arena) zeros(n int) []float32 {
	s := a.floats(n)
	clear(s)
	return s
}

// keep copies src to dst, for which it allocates n values the first time.
func (a *arena) keep(dst *[]float32, src []float32, n int) {
	if *dst == nil {
		*dst = a.floats(n)
	}
	const chunk = 1 << 14
	kernel.Parallel((len(src)+chunk-1)/chunk, func(i int) { copy((*dst)[i*chunk:], src[i*chunk:min(len(src), (i+1)*chunk)]) })
}
