package retrieve

import (
	"context"
	"strconv"
	"sync"

	"github.com/code2lora/code2lora/internal/disclosure"
	"github.com/code2lora/code2lora/internal/encoder"
	"github.com/code2lora/code2lora/internal/lru"
)

// Index keeps what several contexts know of the repositories that they are asked
// about: chunks by blob and chunker, and what a view has of them. Contexts with
// different settings may share one. Its methods may be called concurrently.
type Index struct {
	files   *lru.Cache[string, []*unit]
	views   *lru.Cache[string, *corpus]
	modules *lru.Cache[string, *module]
	names   *lru.Cache[string, *modules]
	shorts  *lru.Cache[string, string] // shortened blocks by what they were

	building sync.Mutex // one at a time, so that nothing is built twice
}

// The bounds of an Index: bytes of chunks, those of the views that were asked for
// last counted for each (views of one repository share them), and module names.
const (
	indexBytes = 256 << 20
	indexViews = 64
)

// NewIndex returns an index of some 600 MiB at most.
func NewIndex() *Index {
	return &Index{
		files:   lru.New[string, []*unit](indexBytes),
		views:   lru.New[string, *corpus](indexBytes),
		modules: lru.New[string, *module](indexBytes / 4),
		names:   lru.New[string, *modules](indexViews),
		shorts:  lru.New[string, string](indexBytes / 8),
	}
}

// unit is a chunk with what BM25 counts.
type unit struct {
	Chunk
	terms  []term
	length int // words
}

// bytes is what a unit takes in memory.
func (u *unit) bytes() int64 { return int64(len(u.Head)+len(u.Code)+16*len(u.terms)) + 200 }

// corpus is the units of a view, by path and then in file order.
type corpus struct {
	units      []*unit
	meanLength float64
}

// source says which files of a view are searched.
type source string

const (
	allFiles  source = "all"
	testFiles source = "tests"
)

// corpus returns the units of a view.
func (x *Index) corpus(ctx context.Context, v *disclosure.View, c Chunker, from source, maxChunks int) (*corpus, error) {
	key := v.Key() + " " + c.Name() + " " + string(from)
	if maxChunks > 0 {
		key += " " + strconv.Itoa(maxChunks)
	}
	if got, ok := x.views.Get(key); ok {
		return got, nil
	}
	x.building.Lock()
	defer x.building.Unlock()
	if got, ok := x.views.Get(key); ok {
		return got, nil
	}
	blobs := v.Blobs()
	if from == testFiles {
		blobs = v.Tests()
	}
	byFile, err := x.cut(ctx, v, blobs, c)
	if err != nil {
		return nil, err
	}
	got := &corpus{}
	words, size := 0, int64(0)
	for _, units := range byFile {
		for _, u := range units {
			if maxChunks > 0 && len(got.units) == maxChunks {
				break
			}
			got.units = append(got.units, u)
			words += u.length
			size += u.bytes()
		}
	}
	if n := len(got.units); n > 0 {
		got.meanLength = float64(words) / float64(n)
	}
	x.views.Put(key, got, min(size, indexBytes)) // the last one stays, however large
	return got, nil
}

// cut returns the units of blobs, in their order.
func (x *Index) cut(ctx context.Context, v *disclosure.View, blobs []encoder.Blob, c Chunker) ([][]*unit, error) {
	all := make([][]*unit, len(blobs))
	var missing []encoder.Blob
	at := map[string]int{} // index of a missing blob, by path
	for i, b := range blobs {
		if units, ok := x.files.Get(unitKey(b, c)); ok {
			all[i] = units
			continue
		}
		at[b.Path] = i
		missing = append(missing, b)
	}
	err := v.Each(ctx, missing, func(b encoder.Blob, text []byte) error {
		units, size := newUnits(c.Chunks(b.Path, text))
		all[at[b.Path]] = units
		x.files.Put(unitKey(b, c), units, size)
		return nil
	})
	return all, err
}

// unitKey has the path, since it stands in the head of each chunk.
func unitKey(b encoder.Blob, c Chunker) string { return b.ID + " " + c.Name() + " " + b.Path }

// newUnits counts the words of chunks, and the bytes that it takes to keep them.
func newUnits(chunks []Chunk) (units []*unit, size int64) {
	size = 200
	for _, c := range chunks {
		u := &unit{Chunk: c}
		u.terms, u.length = countWords(c.Text())
		units = append(units, u)
		size += u.bytes()
	}
	return units, size
}

// shorten is the function of that name; parsing is the most of what a query costs.
func (x *Index) shorten(b block) string {
	key := b.path + "\x00" + b.text()
	if s, ok := x.shorts.Get(key); ok {
		return s
	}
	s := shorten(b)
	x.shorts.Put(key, s, int64(len(key)+len(s)+200))
	return s
}

// Bytes returns about what the index keeps of files: their chunks with their
// counts, and what modules define. What it derives of these for views, and
// blocks that were shortened, are not counted.
func (x *Index) Bytes() int64 { return x.files.Cost() + x.modules.Cost() }
