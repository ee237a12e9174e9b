package encoder

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/code2lora/code2lora/internal/aggregate"
	"github.com/code2lora/code2lora/internal/embedding"
)

// FileVector is what an encoder makes of one file.
type FileVector struct {
	Blob
	Vector []float32 // (Dim); nil if the file is too short to encode
	Sketch []float32 // random projections of it (Cross of Sums); nil if it is, or without any
	Tokens int       // read of the file
	Cached bool      // the vector was known
}

// Filewise is an [Encoder] that reads each file by itself and pools the files'
// vectors: its Encode is Choose, then Vectors, then Assemble. Whoever keeps the
// sums over the vectors up to date needs only the vectors of the files that
// change, and gets the same representation, bit for bit.
type Filewise interface {
	Encoder
	// Sums says what is summed over files: Dim is the length of a file vector,
	// Cross that of its sketch.
	Sums() aggregate.Options
	// Choose returns the blobs to read of all that a repository has, in the order
	// of their ids, and how many the limit of the encoder leaves out. It depends
	// on nothing but ids and paths. It doesn't change its argument.
	Choose(all []Blob) (chosen []Blob, leftOut int)
	// Vectors calls fn with the vector of each blob, in any order: those that the
	// cache knows, then the others, whose contents it asks of src. A blob that src
	// leaves out is not passed on. fn may keep the vector, but not change it. The
	// first error of fn ends it.
	Vectors(ctx context.Context, src Source, blobs []Blob, fn func(FileVector) error) error
	// Assemble makes a representation of the sums over the vectors of files, which
	// must be what Sums says and settled. input is the [InputDigest] of the files
	// that have a vector, tokens what was read of them.
	Assemble(sums *aggregate.Sums, leftOut, tokens int, input string) (*embedding.Representation, error)
}

var _ Filewise = (*pooled)(nil)

// InputDigest identifies what was read: SHA-256, in hexadecimal, of "ID PATH
// NUL" of each blob, in the order in which [Filewise.Choose] has them.
func InputDigest(blobs []Blob) string {
	blobs = slices.Clone(blobs)
	slices.SortFunc(blobs, compareBlobs)
	h := sha256.New()
	for _, b := range blobs {
		fmt.Fprintf(h, "%s %s\x00", b.ID, b.Path)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// compareBlobs orders blobs by id, then by path.
func compareBlobs(a, b Blob) int {
	return strings.Compare(a.ID+"\x00"+a.Path, b.ID+"\x00"+b.Path)
}

// Sums implements [Filewise].
func (e *pooled) Sums() aggregate.Options {
	return aggregate.Options{Dim: e.files.dim(), Max: true, Second: e.opt.Second, Cross: e.opt.Cross}
}

// Choose implements [Filewise].
func (e *pooled) Choose(all []Blob) ([]Blob, int) {
	blobs := slices.Clone(all)
	slices.SortFunc(blobs, compareBlobs)
	if n := e.opt.MaxFiles; n > 0 && n < len(blobs) {
		return blobs[:n], len(blobs) - n
	}
	return blobs, 0
}

// Vectors implements [Filewise].
func (e *pooled) Vectors(ctx context.Context, src Source, blobs []Blob, fn func(FileVector) error) error {
	var missing []Blob
	for _, b := range blobs {
		v, tokens, ok, err := e.cached(b)
		if err != nil {
			return err
		}
		if !ok {
			missing = append(missing, b)
			continue
		}
		if err := fn(FileVector{Blob: b, Vector: v, Sketch: e.sketch(v), Tokens: tokens, Cached: true}); err != nil {
			return err
		}
	}
	files := e.files.fresh()
	err := src.Each(ctx, missing, func(b Blob, content []byte) error {
		return files.add(ctx, content, func(v []float32, tokens int) error {
			if err := fn(FileVector{Blob: b, Vector: v, Sketch: e.sketch(v), Tokens: tokens}); err != nil {
				return err
			}
			return e.keep(b, v, tokens)
		})
	})
	if err != nil {
		return err
	}
	return files.flush(ctx)
}

// Assemble implements [Filewise].
func (e *pooled) Assemble(sums *aggregate.Sums, leftOut, tokens int, input string) (*embedding.Representation, error) {
	if got, want := sums.Options(), e.Sums(); got != want {
		return nil, fmt.Errorf("sums %+v: want %+v, as of the file vectors of %s", got, want, e.ID())
	}
	if sums.Count() < 1 {
		return nil, fmt.Errorf("%w: no file with a vector", ErrNothing)
	}
	mean := sums.Mean()
	most, _, err := sums.Max()
	if err != nil {
		return nil, err
	}
	v := slices.Concat(mean, most)
	rep := &embedding.Representation{
		Encoder: e.ID(), Input: input, Files: sums.Count(), LeftOut: leftOut, Tokens: tokens,
		Tensors: map[string]embedding.Tensor{embedding.Repository: {Shape: []int{len(v)}, Data: v}},
	}
	n := len(mean)
	if e.opt.Lexicon {
		d := n / 2 // a file vector is hidden states, then lexicon
		a, err := e.hidden.lexicon.direction(mean[d:])
		if err != nil {
			return nil, err
		}
		rep.Tensors[embedding.Lexicon] = embedding.Tensor{Shape: []int{d}, Data: a}
	}
	if e.opt.Second {
		rep.Tensors[embedding.Second] = embedding.Tensor{Shape: []int{n, n}, Data: sums.Second()}
	}
	if k := e.opt.Cross; k > 0 {
		rep.Tensors[embedding.Cross] = embedding.Tensor{Shape: []int{n, k}, Data: sums.Cross()}
	}
	return rep, nil
}

// newProjection returns R (k,d), of signs that depend on nothing but k and d.
func newProjection(k, d int) []float32 {
	rng, r := rand.New(rand.NewPCG(0x6d6f6d656e7473, uint64(k))), make([]float32, k*d)
	for i := range r {
		r[i] = 1 - 2*float32(rng.Uint64()>>63)
	}
	return r
}

// sketch returns Rx/√d (k) of a file vector x (d). It is summed in float64 and in
// order: what is taken away from sums has the bits of what was added.
func (e *pooled) sketch(x []float32) []float32 {
	if x == nil || e.opt.Cross == 0 {
		return nil
	}
	y, scale := make([]float32, e.opt.Cross), 1/math.Sqrt(float64(len(x)))
	for i := range y {
		sum := 0.0
		for j, r := range e.projection[i*len(x):][:len(x)] {
			sum += float64(r) * float64(x[j])
		}
		y[i] = float32(sum * scale)
	}
	return y
}
