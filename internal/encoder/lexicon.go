package encoder

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"sync"

	"gonum.org/v1/gonum/mat"

	"github.com/code2lora/code2lora/internal/kernel"
	"github.com/code2lora/code2lora/internal/model"
)

// lexicon turns token counts into a direction of the residual stream.
//
// With E the output matrix (V,D) of the base, a file is summarised by
//
//	s = Σ w(id) E[id] / Σ w(id),  w = 1 + log(count)
//
// over its distinct tokens. Such vectors add up, so a repository's is the mean
// of its files'. The hidden state whose logits come closest to the weights w,
// in the sense of least squares, is then
//
//	a = (EᵀE + λ)⁻¹ s / norm
//
// where the final norm's weight is divided out, so that a can be written to the
// residual stream in front of it.
type lexicon struct {
	model *model.Model
	once  sync.Once
	gram  mat.Cholesky // of EᵀE + λ
	err   error
}

// ridge is λ as a share of the mean eigenvalue of EᵀE: directions in which
// hardly any token differs would otherwise be blown up.
const ridge = 0.1

// fileVector returns s (D) of one file.
func (l *lexicon) fileVector(ids []int32) []float32 {
	count := map[int32]int{}
	for _, id := range ids {
		count[id]++
	}
	d := l.model.HiddenSize
	sum, weight, row := make([]float64, d), 0.0, make([]float32, d)
	for _, id := range slices.Sorted(maps.Keys(count)) {
		w := 1 + math.Log(float64(count[id]))
		weight += w
		l.model.OutputRow(row, id)
		for j, x := range row {
			sum[j] += w * float64(x)
		}
	}
	v := make([]float32, d)
	for j, s := range sum {
		v[j] = float32(s / weight)
	}
	return v
}

// direction returns a (D) for the mean s of some files.
func (l *lexicon) direction(s []float32) ([]float32, error) {
	l.once.Do(l.prepare)
	if l.err != nil {
		return nil, l.err
	}
	d := len(s)
	b := mat.NewVecDense(d, nil)
	for j, x := range s {
		b.SetVec(j, float64(x))
	}
	var x mat.VecDense
	if err := l.gram.SolveVecTo(&x, b); err != nil {
		return nil, fmt.Errorf("lexicon: %w", err)
	}
	a := make([]float32, d)
	for j, w := range l.model.OutputNorm() {
		// A dimension that the norm mutes cannot carry anything.
		if math.Abs(float64(w)) > 1e-3 {
			a[j] = float32(x.AtVec(j) / float64(w))
		}
	}
	return a, nil
}

// prepare factorises EᵀE + λ.
func (l *lexicon) prepare() {
	d, V := l.model.HiddenSize, l.model.VocabSize
	gram, rows := make([]float32, d*d), make([]float32, batchTokens*d)
	for at := 0; at < V; at += batchTokens {
		n := min(batchTokens, V-at)
		kernel.Parallel(n, func(i int) { l.model.OutputRow(rows[i*d:][:d], int32(at+i)) })
		kernel.Gemm(true, false, d, d, n, 1, rows, d, rows, d, 1, gram, d)
	}
	sym, trace := mat.NewSymDense(d, nil), 0.0
	for i := range d {
		trace += float64(gram[i*d+i])
		for j := range i + 1 {
			sym.SetSym(i, j, float64(gram[i*d+j]))
		}
	}
	for i := range d {
		sym.SetSym(i, i, sym.At(i, i)+ridge*trace/float64(d))
	}
	if !l.gram.Factorize(sym) {
		l.err = fmt.Errorf("lexicon: the output matrix of the base is not of full rank")
	}
}
