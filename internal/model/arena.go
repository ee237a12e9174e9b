package model

import "sync"

// arena hands out float32 slices that live as long as one pass. Passes need
// hundreds of megabytes for moments; reusing them spares the collector. The
// slices are not cleared.
type arena struct {
	chunks [][]float32
	chunk  int // the chunk in use
	used   int // values used of it
}

// chunkSize is the number of values in one chunk, 64 MiB.
const chunkSize = 1 << 24

var arenas = sync.Pool{New: func() any { return new(arena) }}

func newArena() *arena { return arenas.Get().(*arena) }

// free makes all slices of the arena available to another pass.
func (a *arena) free() {
	a.chunk, a.used = 0, 0
	arenas.Put(a)
}

// floats returns n values of arbitrary content.
func (a *arena) floats(n int) []float32 {
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

// copyOf returns a copy of s.
func (a *arena) copyOf(s []float32) []float32 {
	c := a.floats(len(s))
	copy(c, s)
	return c
}
