// Package encoder turns the files of a repository into the representation
// that a hypernetwork reads.
//
// An [Encoder] pools twice: windows of tokens into a file vector (mean), file
// vectors into the repository vector (mean, then maximum, side by side), as
// recipe B of the authors' code does with Qwen3-Embedding (arXiv 2606.06492
// §3.1), and, if asked for, into matrices of their moments. All are exact sums,
// of package aggregate. The default encoder asks the frozen base model itself
// for hidden states, so that no second model is needed; a lexical one counts
// words and costs next to nothing. A third reads no code, but what the
// repository says about itself; see [Describe].
//
// File vectors are cached by blob id and encoder id: a new commit costs the
// files it changed. Files are streamed; memory is bounded by one batch of
// windows and one vector per file.
package encoder

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/code2lora/code2lora/internal/aggregate"
	"github.com/code2lora/code2lora/internal/embedding"
	"github.com/code2lora/code2lora/internal/kernel"
	"github.com/code2lora/code2lora/internal/model"
	"github.com/code2lora/code2lora/internal/tokenizer"
)

// Blob is one file of a repository.
type Blob struct {
	Path string
	ID   string // git's object id of the content
	Size int64  // bytes
}

// Source gives the files of a repository at one commit. Each calls f for the
// blobs in order; it may leave out blobs whose content turns out to be unfit.
type Source interface {
	Blobs() []Blob
	Each(ctx context.Context, blobs []Blob, f func(b Blob, content []byte) error) error
}

// Cache keeps file vectors between runs. [store.Cache] is one.
type Cache interface {
	Get(key string) ([]byte, bool, error)
	Put(key string, data []byte) error
}

// Progress is what an encoder reports while it works.
type Progress struct {
	Files, TotalFiles int
	Cached            int // of Files, those whose vectors were known
	Tokens            int // encoded so far
	EstimatedTokens   int // in all files, from their sizes
}

// NewProgress is that of an encoder before the first of these blobs.
func NewProgress(blobs []Blob) Progress {
	p := Progress{TotalFiles: len(blobs)}
	for _, b := range blobs {
		p.EstimatedTokens += int(float64(b.Size) / bytesPerToken)
	}
	return p
}

// Add counts a file.
func (p *Progress) Add(v FileVector) {
	p.Files++
	p.Tokens += v.Tokens
	if v.Cached {
		p.Cached++
	}
}

// Encoder turns a repository into a representation. Its methods may be called
// concurrently.
type Encoder interface {
	// ID names the encoder and all options that change its result.
	ID() string
	// Encode reads the files of src. report may be nil.
	Encode(ctx context.Context, src Source, report func(Progress)) (*embedding.Representation, error)
}

// ErrNothing is returned when a repository has no file to encode.
var ErrNothing = errors.New("nothing to encode")

// New returns the encoder that o describes. The hidden encoder needs the base
// model whose weights have the digest o.Base; cache may be nil.
func New(o Options, m *model.Model, t *tokenizer.Tokenizer, cache Cache) (Encoder, error) {
	if err := o.Validate(); err != nil {
		return nil, fmt.Errorf("encoder: %w", err)
	}
	e := &pooled{opt: o, cache: cache}
	if o.Kind == KindLexical {
		return e.with(&lexical{o.Dim})
	}
	if m == nil || t == nil {
		return nil, errors.New("encoder: hidden states need a base model")
	}
	if o.Layer > m.NumHiddenLayers {
		return nil, fmt.Errorf("encoder: layer %d, but the base has %d", o.Layer, m.NumHiddenLayers)
	}
	if o.Chunk > m.MaxContext() {
		return nil, fmt.Errorf("encoder: chunk %d, but the base's context is %d tokens", o.Chunk, m.MaxContext())
	}
	if o.Kind == KindDescription {
		return &description{opt: o, model: m, tokenizer: t}, nil
	}
	h := &hidden{opt: o, model: m, tokenizer: t, lexicon: &lexicon{model: m, base: o.Base, cache: cache}}
	e.hidden = h
	return e.with(h)
}

// with completes an encoder by what makes its file vectors.
func (e *pooled) with(files fileVectors) (Encoder, error) {
	e.files = files
	if err := e.Sums().Validate(); err != nil {
		return nil, fmt.Errorf("encoder: %w", err)
	}
	e.projection = newProjection(e.opt.Cross, files.dim())
	return e, nil
}

// fileVectors makes vectors of files. add may hold files back until a batch is
// full; done receives each file's vector (nil if the file is too short) and
// number of tokens. flush finishes what is held back. fresh returns one that
// holds nothing back, for another repository.
type fileVectors interface {
	fresh() fileVectors
	dim() int
	add(ctx context.Context, content []byte, done func(v []float32, tokens int) error) error
	flush(ctx context.Context) error
}

// pooled is an Encoder made of file vectors.
type pooled struct {
	opt    Options
	files  fileVectors
	hidden *hidden // files, if they are of this kind
	cache  Cache
	// projection (Cross,Dim) is made of random signs.
	projection []float32
}

// ID implements [Encoder].
func (e *pooled) ID() string { return e.opt.ID() }

// bytesPerToken is what byte-level BPE makes of Python sources, roughly; it
// serves estimates only.
const bytesPerToken = 3.3

// Encode implements [Encoder].
func (e *pooled) Encode(ctx context.Context, src Source, report func(Progress)) (*embedding.Representation, error) {
	if report == nil {
		report = func(Progress) {}
	}
	blobs, leftOut := e.Choose(src.Blobs())
	p := NewProgress(blobs)
	sums, err := aggregate.New(e.Sums())
	if err != nil {
		return nil, err
	}
	var read []Blob
	err = e.Vectors(ctx, src, blobs, func(v FileVector) error {
		p.Add(v)
		report(p)
		if v.Vector == nil {
			return nil
		}
		read = append(read, v.Blob)
		if err := sums.Add(v.Vector, v.Sketch); err != nil {
			return fmt.Errorf("file %s: %w", v.Path, err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(read) == 0 {
		return nil, fmt.Errorf("%w: %d files, none of them long enough", ErrNothing, len(blobs))
	}
	return e.Assemble(sums, leftOut, p.Tokens, InputDigest(read))
}

// key is the cache key of a file vector: blob and encoder, without the options
// that choose files or sums, and the arithmetic that it is computed in, so that a
// vector from the cache has the bits that it would have now.
func (e *pooled) key(b Blob) string {
	o := e.opt
	o.MaxFiles, o.Tests, o.Second, o.Cross = 0, false, false, 0
	key := "file-vector " + o.ID() + " " + b.ID
	if how := kernel.Arithmetic(); how != kernel.Float32.String() && o.Kind == KindHidden {
		key += " " + how
	}
	return key
}

// cached returns the vector of a blob, if it is known; a nil vector is that of
// a file too short to encode.
func (e *pooled) cached(b Blob) (v []float32, tokens int, ok bool, err error) {
	if e.cache == nil {
		return nil, 0, false, nil
	}
	data, ok, err := e.cache.Get(e.key(b))
	if err != nil || !ok {
		return nil, 0, false, err
	}
	if len(data) != 4 && len(data) != 4+4*e.files.dim() {
		return nil, 0, false, nil // of another program: encode again
	}
	tokens = int(binary.LittleEndian.Uint32(data))
	for i := 4; i < len(data); i += 4 {
		v = append(v, math.Float32frombits(binary.LittleEndian.Uint32(data[i:])))
	}
	return v, tokens, true, nil
}

// keep stores the vector of a blob.
func (e *pooled) keep(b Blob, v []float32, tokens int) error {
	if e.cache == nil {
		return nil
	}
	data := binary.LittleEndian.AppendUint32(nil, uint32(tokens))
	for _, x := range v {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(x))
	}
	return e.cache.Put(e.key(b), data)
}
