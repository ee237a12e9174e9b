package encoder

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/code2lora/code2lora/internal/embedding"
)

// FileVector is what an encoder makes of one file.
type FileVector struct {
	Blob
	Vector []float32 // (Dim); nil if the file is too short to encode
	Tokens int       // read of the file
	Cached bool      // the vector was known
}

// Filewise is an [Encoder] that reads each file by itself and pools the files'
// vectors: its Encode is Choose, then Vectors, then Assemble. Whoever keeps the
// mean and the maximum of the vectors up to date by other means needs only the
// vectors of the files that change.
type Filewise interface {
	Encoder
	// Dim is the length of a file vector.
	Dim() int
	// Choose returns the blobs to read of all that a repository has, in the order
	// of their ids, and how many the limit of the encoder leaves out. It depends
	// on nothing but ids and paths. It doesn't change its argument.
	Choose(all []Blob) (chosen []Blob, leftOut int)
	// Vectors calls fn with the vector of each blob, in any order: those that the
	// cache knows, then the others, whose contents it asks of src. A blob that src
	// leaves out is not passed on. fn may keep the vector, but not change it. The
	// first error of fn ends it.
	Vectors(ctx context.Context, src Source, blobs []Blob, fn func(FileVector) error) error
	// Assemble makes a representation of the mean and the maximum of the vectors
	// of files, (Dim) each. input is the [InputDigest] of the files that have a
	// vector, tokens what was read of them.
	Assemble(mean, most []float32, files, leftOut, tokens int, input string) (*embedding.Representation, error)
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

// Dim implements [Filewise].
func (e *pooled) Dim() int { return e.files.dim() }

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
		if err := fn(FileVector{Blob: b, Vector: v, Tokens: tokens, Cached: true}); err != nil {
			return err
		}
	}
	files := e.files.fresh()
	err := src.Each(ctx, missing, func(b Blob, content []byte) error {
		return files.add(ctx, content, func(v []float32, tokens int) error {
			if err := fn(FileVector{Blob: b, Vector: v, Tokens: tokens}); err != nil {
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
func (e *pooled) Assemble(mean, most []float32, files, leftOut, tokens int, input string) (*embedding.Representation, error) {
	n := e.Dim()
	if len(mean) != n || len(most) != n {
		return nil, fmt.Errorf("mean of %d values and maximum of %d: want %d, the file vectors of %s", len(mean), len(most), n, e.ID())
	}
	if files < 1 {
		return nil, fmt.Errorf("%w: no file with a vector", ErrNothing)
	}
	v := slices.Concat(mean, most)
	rep := &embedding.Representation{
		Encoder: e.ID(), Input: input, Files: files, LeftOut: leftOut, Tokens: tokens,
		Tensors: map[string]embedding.Tensor{embedding.Repository: {Shape: []int{len(v)}, Data: v}},
	}
	if e.opt.Lexicon {
		d := n / 2 // a file vector is hidden states, then lexicon
		a, err := e.hidden.lexicon.direction(mean[d:])
		if err != nil {
			return nil, err
		}
		rep.Tensors[embedding.Lexicon] = embedding.Tensor{Shape: []int{d}, Data: a}
	}
	return rep, nil
}
