package nn

import "sync"

var scratchPool sync.Pool

// scratch returns n float32 values with arbitrary contents.
func scratch(n int) []float32 {
	if p, ok := scratchPool.Get().(*[]float32); ok && cap(*p) >= n {
		return (*p)[:n]
	}
	return make([]float32, n)
}

func release(s []float32) { scratchPool.Put(&s) }
