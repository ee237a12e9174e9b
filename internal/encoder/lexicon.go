package encoder

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"runtime"
	"slices"
	"strings"
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
	base  string // digest of the base's weights; "" if it isn't known
	cache Cache  // of the factor, which is the same for all repositories; may be nil
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

// prepare factorises EᵀE + λ, or takes the factor from the cache.
func (l *lexicon) prepare() {
	cached, err := l.cached()
	if err != nil {
		l.err = fmt.Errorf("lexicon: %w", err)
		return
	}
	if cached != nil {
		l.gram.SetFromU(cached)
		return
	}
	if !l.gram.Factorize(l.matrix()) {
		l.err = fmt.Errorf("lexicon: the output matrix of the base is not of full rank")
		return
	}
	if err := l.keep(); err != nil {
		l.err = fmt.Errorf("lexicon: %w", err)
		return
	}
	// A factor that was read knows no more than its numbers; neither may this one,
	// whose estimated condition could otherwise make one of the two refuse.
	var u mat.TriDense
	l.gram.UTo(&u)
	l.gram.SetFromU(&u)
}

// matrix returns EᵀE + λ.
func (l *lexicon) matrix() *mat.SymDense {
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
	return sym
}

// lexiconKey begins the cache key of a factor; the number is the version of the
// algorithm.
const lexiconKey = "lexicon-factor/1 "

// key is the cache key of the factor: all that its bits depend on. It is computed
// in float32 whatever the precision. It is empty if there is nothing to cache
// with.
func (l *lexicon) key() string {
	if l.cache == nil || l.base == "" {
		return ""
	}
	return fmt.Sprintf("%sbase=%s vocabulary=%d size=%d ridge=%g kernel=%s/%s", lexiconKey, l.base, l.model.VocabSize,
		l.model.HiddenSize, ridge, kernel.Implementation(), runtime.GOARCH)
}

// cached returns the upper triangular factor, nil if it isn't known. It is kept
// as the rows of its triangle, little-endian float64. What no factor can be
// counts as missing.
func (l *lexicon) cached() (*mat.TriDense, error) {
	key, d := l.key(), l.model.HiddenSize
	if key == "" {
		return nil, nil
	}
	data, ok, err := l.cache.Get(key)
	if err != nil || !ok || len(data) != 8*(d*(d+1)/2) {
		return nil, err
	}
	u := mat.NewTriDense(d, mat.Upper, nil)
	for i := range d {
		for j := i; j < d; j++ {
			x := math.Float64frombits(binary.LittleEndian.Uint64(data))
			if data = data[8:]; math.IsNaN(x) || math.IsInf(x, 0) || i == j && x <= 0 {
				return nil, nil
			}
			u.SetTri(i, j, x)
		}
	}
	return u, nil
}

// keep stores the factor.
func (l *lexicon) keep() error {
	key, d := l.key(), l.model.HiddenSize
	if key == "" {
		return nil
	}
	data, u := make([]byte, 0, 8*(d*(d+1)/2)), l.gram.RawU()
	for i := range d {
		for j := i; j < d; j++ {
			data = binary.LittleEndian.AppendUint64(data, math.Float64bits(u.At(i, j)))
		}
	}
	return l.cache.Put(key, data)
}

// BaseOnly returns a cache that has of c what was made of a base model alone, and
// neither finds nor keeps vectors of files and diffs: with it a repository is read
// from scratch, at the price that this has on a machine that knows the base. c
// may be nil, and so is the result then.
func BaseOnly(c Cache) Cache {
	if c == nil {
		return nil
	}
	return baseOnly{c}
}

type baseOnly struct{ Cache }

// Get implements [Cache].
func (c baseOnly) Get(key string) ([]byte, bool, error) {
	if !strings.HasPrefix(key, lexiconKey) {
		return nil, false, nil
	}
	return c.Cache.Get(key)
}

// Put implements [Cache].
func (c baseOnly) Put(key string, data []byte) error {
	if !strings.HasPrefix(key, lexiconKey) {
		return nil
	}
	return c.Cache.Put(key, data)
}
