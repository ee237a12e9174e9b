package nn

import (
	"math"
	"sync"

	"github.com/code2lora/code2lora/internal/kernel"
)

// queryBlock is the number of query rows whose scores are held at a time. At
// 64 rows and 4,096 keys a block of scores is 1 MiB, the size of an L2 cache.
const queryBlock = 64

// Attention describes causal grouped-query attention of one sequence.
//
// The sequence's n new rows of queries attend to past + n rows of keys and
// values: query row i sees keys 0..past+i. Query head h reads key/value head
// h / (H/Hkv). Rows of q and of outputs are H·hd wide, rows of k and v Hkv·hd.
type Attention struct {
	H, Hkv, HD int
	N          int // query rows
	Past       int // key rows before the first query row
}

// Units returns the number of independent parts of Forward: one per query
// head and block of query rows.
func (a Attention) Units() int { return a.H * ((a.N + queryBlock - 1) / queryBlock) }

// Forward computes one unit; units may run in parallel. All of them compute,
// for every query head,
//
//	S = q kᵀ / sqrt(hd), masked;  P = softmax(S);  o = P v
//
// Shapes: o, q (N, H·hd); k, v (Past+N, Hkv·hd); lse (N, H) receives the
// logarithm of the softmax denominators for Backward.
func (a Attention) Forward(unit int, o, lse, q, k, v []float32) {
	// The longest blocks come first, so that the threads end together.
	h, b := unit%a.H, a.Units()/a.H-1-unit/a.H
	lo, hi := b*queryBlock, min(a.N, (b+1)*queryBlock)
	rows, keys := hi-lo, a.Past+hi
	s := scratch(rows * keys)
	defer release(s)
	a.scores(s, q, k, h, lo, hi)
	for r := range rows {
		row := s[r*keys:][:keys]
		seen := a.Past + lo + r + 1
		l := kernel.LogSumExp(row[:seen])
		for j := range row[:seen] {
			row[j] -= l
		}
		kernel.Exp(row[:seen], row[:seen])
		clear(row[seen:])
		lse[(lo+r)*a.H+h] = l
	}
	wq, wkv, hkv := a.H*a.HD, a.Hkv*a.HD, h/(a.H/a.Hkv)
	kernel.Gemm(false, false, rows, a.HD, keys, 1, s, keys, v[hkv*a.HD:], wkv, 0, o[lo*wq+h*a.HD:], wq)
}

// scores writes q kᵀ / sqrt(hd) of query rows lo..hi of head h to s
// (hi−lo, Past+hi), unmasked.
func (a Attention) scores(s, q, k []float32, h, lo, hi int) {
	wq, wkv, hkv, keys := a.H*a.HD, a.Hkv*a.HD, h/(a.H/a.Hkv), a.Past+hi
	scale := float32(1 / math.Sqrt(float64(a.HD)))
	kernel.Gemm(false, true, hi-lo, keys, a.HD, scale, q[lo*wq+h*a.HD:], wq, k[hkv*a.HD:], wkv, 0, s, keys)
}

// Backward adds the gradients of Forward that pass through key/value head hkv
// to dq, dk and dv; Past must be zero. Heads may run in parallel: one goroutine
// owns a key/value head, so the sums have one order. With P recomputed from lse:
//
//	dv += Pᵀ do;  dP = do vᵀ;  dS = P ∘ (dP − rowsum(do ∘ o))
//	dq += dS k / sqrt(hd);  dk += dSᵀ q / sqrt(hd)
func (a Attention) Backward(hkv int, dq, dk, dv, do, o, lse, q, k, v []float32) {
	if a.Past != 0 {
		panic("nn: attention backward with cached keys")
	}
	wq, wkv, group := a.H*a.HD, a.Hkv*a.HD, a.H/a.Hkv
	scale := float32(1 / math.Sqrt(float64(a.HD)))
	p, ds := scratch(queryBlock*a.N), scratch(queryBlock*a.N)
	defer release(p)
	defer release(ds)
	for h := hkv * group; h < (hkv+1)*group; h++ {
		for lo := 0; lo < a.N; lo += queryBlock {
			hi := min(a.N, lo+queryBlock)
			rows, keys := hi-lo, hi
			a.scores(p, q, k, h, lo, hi)
			kernel.Gemm(false, true, rows, keys, a.HD, 1, do[lo*wq+h*a.HD:], wq, v[hkv*a.HD:], wkv, 0, ds, keys)
			for r := range rows {
				a.softmaxBackward(ds[r*keys:][:keys], p[r*keys:][:keys], lo+r, h, do, o, lse)
			}
			kernel.Gemm(true, false, keys, a.HD, rows, 1, p, keys, do[lo*wq+h*a.HD:], wq, 1, dv[hkv*a.HD:], wkv)
			kernel.Gemm(false, false, rows, a.HD, keys, scale, ds, keys, k[hkv*a.HD:], wkv, 1, dq[lo*wq+h*a.HD:], wq)
			kernel.Gemm(true, false, keys, a.HD, rows, scale, ds, keys, q[lo*wq+h*a.HD:], wq, 1, dk[hkv*a.HD:], wkv)
		}
	}
}

// softmaxBackward replaces the scores p of query row t by probabilities, and
// their gradient ds by that of the scores.
func (a Attention) softmaxBackward(ds, p []float32, t, h int, do, o, lse []float32) {
	l := lse[t*a.H+h]
	for j := range p[:t+1] {
		p[j] -= l
	}
	kernel.Exp(p[:t+1], p[:t+1])
	clear(p[t+1:])
	at := (t*a.H + h) * a.HD
	delta := kernel.Dot(do[at:][:a.HD], o[at:][:a.HD])
	for j := range ds[:t+1] {
		ds[j] = p[j] * (ds[j] - delta)
	}
	clear(ds[t+1:])
}

var scratchPool sync.Pool

// scratch returns n float32 values with arbitrary contents.
func scratch(n int) []float32 {
	if p, ok := scratchPool.Get().(*[]float32); ok && cap(*p) >= n {
		return (*p)[:n]
	}
	return make([]float32, n)
}

func release(s []float32) { scratchPool.Put(&s) }
