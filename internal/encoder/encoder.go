// Package encoder turns the files of a repository into the representation
// that a hypernetwork reads.
//
// An [Encoder] pools twice: windows of tokens into a file vector (mean), file
// vectors into the repository vector (mean, then maximum, side by side), as
// recipe B of the authors' code does with Qwen3-Embedding (arXiv 2606.06492
// §3.1). The default encoder asks the frozen base model itself for hidden
// states, so that no second model is needed; a lexical one counts words and
// costs next to nothing. A third reads no code, but what the repository says
// about itself; see [Describe].
//
// File vectors are cached by blob id and encoder id: a new commit costs the
// files it changed. Files are streamed; memory is bounded by one batch of
// windows and one vector per file.
package encoder

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

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
		e.files = &lexical{o.Dim}
		return e, nil
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
	h := &hidden{opt: o, model: m, tokenizer: t, lexicon: &lexicon{model: m}}
	e.files, e.hidden = h, h
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
}

// ID implements [Encoder].
func (e *pooled) ID() string { return e.opt.ID() }

// bytesPerToken is what byte-level BPE makes of Python sources, roughly; it
// serves estimates only.
const bytesPerToken = 3.3

// choose returns the blobs to read, and how many the limit left out.
func (e *pooled) choose(all []Blob) ([]Blob, int) {
	blobs := slices.Clone(all)
	slices.SortFunc(blobs, func(a, b Blob) int {
		return strings.Compare(a.ID+"\x00"+a.Path, b.ID+"\x00"+b.Path)
	})
	if n := e.opt.MaxFiles; n > 0 && n < len(blobs) {
		return blobs[:n], len(blobs) - n
	}
	return blobs, 0
}

// Encode implements [Encoder].
func (e *pooled) Encode(ctx context.Context, src Source, report func(Progress)) (*embedding.Representation, error) {
	if report == nil {
		report = func(Progress) {}
	}
	blobs, leftOut := e.choose(src.Blobs())
	p := Progress{TotalFiles: len(blobs)}
	for _, b := range blobs {
		p.EstimatedTokens += int(float64(b.Size) / bytesPerToken)
	}
	files := e.files.fresh()
	pool := newPool(files.dim())
	done := func(b Blob, v []float32, tokens int) {
		p.Files++
		p.Tokens += tokens
		pool.add(b, v)
		report(p)
	}
	var missing []Blob
	for _, b := range blobs {
		v, tokens, ok, err := e.cached(b)
		if err != nil {
			return nil, err
		}
		if !ok {
			missing = append(missing, b)
			continue
		}
		p.Cached++
		done(b, v, tokens)
	}
	err := src.Each(ctx, missing, func(b Blob, content []byte) error {
		return files.add(ctx, content, func(v []float32, tokens int) error {
			done(b, v, tokens)
			return e.keep(b, v, tokens)
		})
	})
	if err != nil {
		return nil, err
	}
	if err := files.flush(ctx); err != nil {
		return nil, err
	}
	if pool.n == 0 {
		return nil, fmt.Errorf("%w: %d files, none of them long enough", ErrNothing, len(blobs))
	}
	v := pool.vector()
	rep := &embedding.Representation{
		Encoder: e.ID(), Input: pool.digest(), Files: pool.n, LeftOut: leftOut, Tokens: p.Tokens,
		Tensors: map[string]embedding.Tensor{embedding.Repository: v},
	}
	if e.opt.Lexicon {
		d := pool.d / 2 // a file vector is hidden states, then lexicon
		a, err := e.hidden.lexicon.direction(v.Data[d : 2*d])
		if err != nil {
			return nil, err
		}
		rep.Tensors[embedding.Lexicon] = embedding.Tensor{Shape: []int{d}, Data: a}
	}
	return rep, nil
}

// key is the cache key of a file vector: blob and encoder, without the options
// that choose files, and the precision that it is computed in.
func (e *pooled) key(b Blob) string {
	o := e.opt
	o.MaxFiles, o.Tests = 0, false
	key := "file-vector " + o.ID() + " " + b.ID
	if p := kernel.CurrentPrecision(); p != kernel.Float32 && o.Kind == KindHidden {
		key += " " + p.String()
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

// pool aggregates file vectors. Vectors may come in any order: they are summed
// at the end, in the order of their blobs, so that caching changes no bit.
type pool struct {
	d, n  int
	files []pooledFile
}

type pooledFile struct {
	blob Blob
	v    []float32
}

func newPool(d int) *pool { return &pool{d: d} }

func (p *pool) add(b Blob, v []float32) {
	if v == nil {
		return
	}
	p.n++
	p.files = append(p.files, pooledFile{b, v})
}

// sorted brings the files into an order that does not depend on the cache.
func (p *pool) sorted() []pooledFile {
	slices.SortFunc(p.files, func(a, b pooledFile) int {
		return strings.Compare(a.blob.ID+"\x00"+a.blob.Path, b.blob.ID+"\x00"+b.blob.Path)
	})
	return p.files
}

// vector is the mean over files followed by the maximum over files, (2d).
func (p *pool) vector() embedding.Tensor {
	sum, most := make([]float64, p.d), make([]float32, p.d)
	for i, f := range p.sorted() {
		for j, x := range f.v {
			sum[j] += float64(x)
			if i == 0 || x > most[j] {
				most[j] = x
			}
		}
	}
	out := make([]float32, 0, 2*p.d)
	for _, s := range sum {
		out = append(out, float32(s/float64(p.n)))
	}
	return embedding.Tensor{Shape: []int{2 * p.d}, Data: append(out, most...)}
}

// digest identifies what was read.
func (p *pool) digest() string {
	h := sha256.New()
	for _, f := range p.sorted() {
		fmt.Fprintf(h, "%s %s\x00", f.blob.ID, f.blob.Path)
	}
	return hex.EncodeToString(h.Sum(nil))
}
