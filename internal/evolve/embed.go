package evolve

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/code2lora/code2lora/internal/encoder"
	"github.com/code2lora/code2lora/internal/gitrepo"
	"github.com/code2lora/code2lora/internal/kernel"
	"github.com/code2lora/code2lora/internal/model"
	"github.com/code2lora/code2lora/internal/tokenizer"
)

// Windows of a diff that are read if it has more than DiffOptions.MaxWindows.
const (
	SelectSpread = "spread" // evenly spread ones
	SelectFirst  = "first"  // the first ones
)

// DiffOptions say how the vector of a diff is made by hidden states of the base
// model. They are part of a checkpoint.
type DiffOptions struct {
	// Layer is the number of blocks that the hidden states have passed.
	Layer         int `json:"layer" yaml:"layer"`
	WindowOptions `yaml:",inline"`
	// MaxWindows bounds the windows that are read of one diff; 0: all. Select says
	// which they are.
	MaxWindows int    `json:"max_windows" yaml:"max_windows"`
	Select     string `json:"select" yaml:"select"`
	// MaxBytes is where the text of a diff is cut, so that a first commit of
	// millions of tokens is read in bounded memory.
	MaxBytes int `json:"max_bytes" yaml:"max_bytes"`
}

// DefaultDiffOptions read at most four windows of 128 tokens, in the way of the
// default encoder, of at most the text that the miner of the benchmark keeps.
func DefaultDiffOptions() DiffOptions {
	return DiffOptions{Layer: 8, WindowOptions: WindowOptions{Chunk: 128, Min: 8, End: -1}, MaxWindows: 4, Select: SelectSpread, MaxBytes: 1 << 18}
}

// Validate reports every option that cannot work.
func (o *DiffOptions) Validate() error {
	errs := []error{o.WindowOptions.Validate()}
	within := func(name string, v, lo, hi int) {
		if v < lo || v > hi {
			errs = append(errs, fmt.Errorf("%s %d: want %d to %d", name, v, lo, hi))
		}
	}
	within("layer", o.Layer, 0, 1<<10)
	within("chunk", o.Chunk, 2, 1<<15)
	within("end", int(o.End), -1, math.MaxInt32)
	within("max_windows", o.MaxWindows, 0, 1<<20)
	within("max_bytes", o.MaxBytes, 1, 1<<30)
	if o.Select != SelectSpread && o.Select != SelectFirst {
		errs = append(errs, fmt.Errorf("select %q: want %s or %s", o.Select, SelectSpread, SelectFirst))
	}
	return errors.Join(errs...)
}

// Production tells whether the diff of a file is part of a commit's: Python
// sources, Markdown and reStructuredText, without tests and what is vendored. It
// is the rule of the benchmark's strict profile.
func Production(path string) bool {
	return slices.Contains(diffLanguages, gitrepo.Language(path)) && !gitrepo.IsTestPath(path) && !gitrepo.IsVendoredPath(path)
}

// diffLanguages are those of [Production].
var diffLanguages = []string{"python", "markdown", "restructuredtext"}

// DiffEncoder makes vectors of diffs. Its methods may be called concurrently.
type DiffEncoder struct {
	opt       DiffOptions
	base      string
	model     *model.Model
	tokenizer *tokenizer.Tokenizer
	cache     encoder.Cache

	without   func(path string) bool // nil for none; see Recurrent.Filtered
	withoutID string
}

// NewDiffEncoder returns an encoder that asks a base model whose weights have
// the given SHA-256. cache may be nil.
func NewDiffEncoder(o DiffOptions, base string, m *model.Model, t *tokenizer.Tokenizer, cache encoder.Cache) (*DiffEncoder, error) {
	if err := o.Validate(); err != nil {
		return nil, fmt.Errorf("diffs: %w", err)
	}
	if o.Layer > m.NumHiddenLayers {
		return nil, fmt.Errorf("diffs: layer %d, but the base has %d", o.Layer, m.NumHiddenLayers)
	}
	if o.Chunk > m.MaxContext() {
		return nil, fmt.Errorf("diffs: chunk %d, but the base's context is %d tokens", o.Chunk, m.MaxContext())
	}
	if int(o.End) >= m.VocabSize {
		return nil, fmt.Errorf("diffs: end %d, but the base has %d tokens", o.End, m.VocabSize)
	}
	return &DiffEncoder{opt: o, base: base, model: m, tokenizer: t, cache: cache}, nil
}

// ID names the encoder with all its options. The number is the version of the
// algorithm.
func (e *DiffEncoder) ID() string {
	o := e.opt
	return fmt.Sprintf("diff/1 base=%s layer=%d chunk=%d overlap=%d min=%d end=%d max_windows=%d select=%s max_bytes=%d",
		e.base, o.Layer, o.Chunk, o.Overlap, o.Min, o.End, o.MaxWindows, o.Select, o.MaxBytes)
}

// Dim is the length of the vectors.
func (e *DiffEncoder) Dim() int { return 2 * e.model.HiddenSize }

// Between returns the vector of the production diff from one tree to another, ""
// for none, (Dim): zero if it has no window. It is cached by the two trees. What a
// partial clone has instead of that diff would give another vector; that is
// refused with [gitrepo.ErrMissingObject].
func (e *DiffEncoder) Between(ctx context.Context, d *gitrepo.Diffs, from, to string) ([]float32, error) {
	what, keep := "trees "+from+" "+to, Production
	if e.without != nil {
		what += " filter=" + e.withoutID
		keep = func(path string) bool { return Production(path) && !e.without(path) }
	}
	key := e.key(what)
	if v, err := e.cached(key); v != nil || err != nil {
		return v, err
	}
	diff, err := d.Between(from, to, e.opt.MaxBytes, keep)
	if err != nil {
		return nil, err
	}
	if diff.Unlike {
		return nil, fmt.Errorf("diff of trees %s and %s: %w, with which git finds renamed files: get it with \"git fetch --refetch --no-filter\"",
			cmp.Or(from, "none"), to, gitrepo.ErrMissingObject)
	}
	v, err := e.Text(ctx, strings.ToValidUTF8(diff.Text, "\uFFFD"))
	if err != nil {
		return nil, err
	}
	return v, e.keep(key, v)
}

// Text returns the vector of a diff, of which it reads no more than MaxBytes.
// It is cached by the text.
func (e *DiffEncoder) Text(ctx context.Context, text string) (v []float32, err error) {
	b := e.Batch()
	if err := b.Add(ctx, text, func(got []float32) error { v = got; return nil }); err != nil {
		return nil, err
	}
	return v, b.Flush(ctx)
}

// windows returns the tokens of the windows that are read.
func (e *DiffEncoder) windows(text string) ([][]int32, error) {
	var ws [][]int32
	err := DiffTokens(text, e.tokenizer, e.opt.WindowOptions, func(w []int32) error {
		if e.opt.MaxWindows == 0 || e.opt.Select == SelectSpread || len(ws) < e.opt.MaxWindows {
			ws = append(ws, w)
		}
		return nil
	})
	most := e.opt.MaxWindows
	if err != nil || most == 0 || len(ws) <= most {
		return ws, err
	}
	some := make([][]int32, most)
	for i := range some {
		some[i] = ws[(2*i+1)*len(ws)/(2*most)]
	}
	return some, nil
}

// batchTokens is the number of tokens in one pass over the weights.
const batchTokens = 2048

// DiffBatch collects the windows of several diffs, so that a pass over the base
// has enough of them. It is not for concurrent use.
type DiffBatch struct {
	encoder *DiffEncoder
	windows [][]int32
	of      []*diffJob // of each window
	rows    int
}

// diffJob is a diff whose windows are being read.
type diffJob struct {
	left int
	pool *DiffPool
	key  string
	done func([]float32) error
}

// Batch returns a new batch.
func (e *DiffEncoder) Batch() *DiffBatch { return &DiffBatch{encoder: e} }

// Add calls done with the vector of a diff, now or in a later call of Add or
// Flush.
func (b *DiffBatch) Add(ctx context.Context, text string, done func([]float32) error) error {
	e := b.encoder
	if len(text) > e.opt.MaxBytes {
		text = text[:strings.LastIndexByte(text[:e.opt.MaxBytes], '\n')+1]
	}
	sum := sha256.Sum256([]byte(text))
	key := e.key("text " + hex.EncodeToString(sum[:]))
	if v, err := e.cached(key); err != nil {
		return err
	} else if v != nil {
		return done(v)
	}
	ws, err := e.windows(text)
	if err != nil {
		return err
	}
	j := &diffJob{left: len(ws), pool: NewDiffPool(e.model.HiddenSize), key: key, done: done}
	if len(ws) == 0 {
		return e.finish(j)
	}
	for _, w := range ws {
		b.windows, b.of, b.rows = append(b.windows, w), append(b.of, j), b.rows+len(w)
		if b.rows >= batchTokens {
			if err := b.Flush(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// Flush reads the windows that are left.
func (b *DiffBatch) Flush(ctx context.Context) error {
	if len(b.windows) == 0 {
		return nil
	}
	e := b.encoder
	states, err := e.model.Hidden(ctx, b.windows, e.opt.Layer)
	if err != nil {
		return err
	}
	windows, of := b.windows, b.of
	b.windows, b.of, b.rows = nil, nil, 0
	for i, w := range windows {
		j := of[i]
		j.pool.Add(mean(states[i], len(w), e.model.HiddenSize))
		if j.left--; j.left == 0 {
			if err := e.finish(j); err != nil {
				return err
			}
		}
	}
	return nil
}

// mean is the mean over the T rows of x (T,d).
func mean(x []float32, T, d int) []float32 {
	sum := make([]float64, d)
	for t := range T {
		for i, v := range x[t*d:][:d] {
			sum[i] += float64(v)
		}
	}
	out := make([]float32, d)
	for i, s := range sum {
		out[i] = float32(s / float64(T))
	}
	return out
}

func (e *DiffEncoder) finish(j *diffJob) error {
	v := j.pool.Vector()
	if err := e.keep(j.key, v); err != nil {
		return err
	}
	return j.done(v)
}

// key is the cache key of a vector: encoder, arithmetic and what was read.
func (e *DiffEncoder) key(what string) string {
	key := "diff-vector " + e.ID() + " " + what
	if how := kernel.Arithmetic(); how != kernel.Float32.String() {
		key += " " + how
	}
	return key
}

// cached returns nil if the vector isn't known.
func (e *DiffEncoder) cached(key string) ([]float32, error) {
	if e.cache == nil {
		return nil, nil
	}
	data, ok, err := e.cache.Get(key)
	if err != nil || !ok || len(data) != 4*e.Dim() {
		return nil, err
	}
	v := make([]float32, e.Dim())
	for i := range v {
		v[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
	}
	return v, nil
}

func (e *DiffEncoder) keep(key string, v []float32) error {
	if e.cache == nil {
		return nil
	}
	data := make([]byte, 0, 4*len(v))
	for _, x := range v {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(x))
	}
	return e.cache.Put(key, data)
}
