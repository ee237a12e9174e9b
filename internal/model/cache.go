package model

import (
	"context"
	"fmt"
	"slices"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/nn"
)

// Cache holds the keys and values of one sequence for decoding. Its contents
// depend on the adapter, so a cache belongs to one.
//
// It grows in pages of [nn.PageRows] tokens, which are never moved. Caches that
// were forked from each other share the full pages of their common beginning;
// who changes a shared page makes a copy first.
type Cache struct {
	m       *Model
	adapter *Packed     // nil for the bare base
	n       int         // tokens held
	pages   [][]float32 // each (layers, nn.Cached.PageSize())
	shared  int         // leading pages that another cache may have, too
}

// NewCache returns an empty cache for a sequence that uses adapter a, which
// may be nil. For many sequences with one adapter, see [Model.NewCacheOf].
func (m *Model) NewCache(a *adapter.Adapter) (*Cache, error) {
	p, err := m.Pack(a)
	if err != nil {
		return nil, err
	}
	return m.NewCacheOf(p), nil
}

// NewCacheOf returns an empty cache for a sequence that uses an adapter that
// the model has packed; nil stands for the bare base.
func (m *Model) NewCacheOf(p *Packed) *Cache {
	if p != nil && p.m != m {
		panic("model: adapter packed for another model")
	}
	return &Cache{m: m, adapter: p}
}

// Len returns the number of tokens whose keys and values are held.
func (c *Cache) Len() int { return c.n }

// Bytes returns the memory that the cache takes, shared pages included.
func (c *Cache) Bytes() int64 { return int64(len(c.pages)) * c.m.pageBytes() }

// EachPage calls f with the identity of each page, by which pages that caches
// share can be told from others. A page takes [Cache.PageBytes].
func (c *Cache) EachPage(f func(*float32)) {
	for _, p := range c.pages {
		f(&p[0])
	}
}

// PageBytes returns the size of a page.
func (c *Cache) PageBytes() int64 { return c.m.pageBytes() }

// Truncate forgets all but the first n tokens.
func (c *Cache) Truncate(n int) {
	c.n = min(c.n, max(0, n))
	keep := pagesFor(c.n)
	clear(c.pages[keep:])
	c.pages = c.pages[:keep]
	c.shared = min(c.shared, keep)
}

// Fork returns a cache that holds the first n tokens of c. It shares the pages
// that they fill, and copies the one that they begin.
func (c *Cache) Fork(n int) *Cache {
	n = min(c.n, max(0, n))
	full := n / nn.PageRows
	f := &Cache{m: c.m, adapter: c.adapter, n: n, pages: slices.Clone(c.pages[:full]), shared: full}
	if n%nn.PageRows > 0 {
		f.pages = append(f.pages, slices.Clone(c.pages[full]))
	}
	c.shared = max(c.shared, full)
	return f
}

// reserve makes room for n more tokens, in pages that no other cache has.
func (c *Cache) reserve(n int) {
	if first := c.n / nn.PageRows; first < c.shared {
		if c.n%nn.PageRows > 0 {
			c.pages[first] = slices.Clone(c.pages[first])
		} else {
			c.pages = c.pages[:first]
		}
		c.shared = first
	}
	for len(c.pages) < pagesFor(c.n+n) {
		c.pages = append(c.pages, make([]float32, c.m.pageBytes()/4))
	}
}

// pagesFor returns how many pages n tokens take.
func pagesFor(n int) int { return (n + nn.PageRows - 1) / nn.PageRows }

// cached describes attention over the model's caches.
func (c *Config) cached() nn.Cached {
	return nn.Cached{H: c.NumAttentionHeads, Hkv: c.NumKeyValueHeads, HD: c.HeadDim}
}

// pageBytes is the size of a page, for all layers.
func (c *Config) pageBytes() int64 {
	return 4 * int64(c.NumHiddenLayers) * int64(c.cached().PageSize())
}

// CacheBytes returns the memory that a [Cache] of n tokens takes.
func (c *Config) CacheBytes(n int) int64 { return int64(pagesFor(n)) * c.pageBytes() }

// Rows says for which tokens of an [Extension] logits are wanted.
type Rows int

const (
	LastRow Rows = iota // for the last one
	AllRows             // for every one: to check a draft
	NoRows              // for none: for a part of a prompt
)

// Extension asks to append tokens to the sequence of a cache.
type Extension struct {
	Cache  *Cache
	Tokens []int32 // at least one
	Logits Rows
}

func (e *Extension) rows() int {
	switch e.Logits {
	case AllRows:
		return len(e.Tokens)
	case NoRows:
		return 0
	}
	return 1
}

// Extend appends tokens to several sequences, in one pass over the weights,
// and returns for each the logits (rows, V) that follow its last token, or all
// of them, see [Rows]. Sequences may use different adapters; those with the
// same one are fastest as neighbours. On error the caches are as before. A
// cache must not be used by two calls at once.
//
// What a token gets does not depend on the other sequences of the call, nor on
// how a sequence was cut into calls, to the bit; but in the precision
// [kernel.BFloat16], where it matters whether a call has 8 rows or more.
func (m *Model) Extend(ctx context.Context, exts []Extension) ([][]float32, error) {
	return m.ExtendIn(ctx, new(Workspace), exts)
}

// ExtendIn is [Model.Extend] in memory that is used again: the logits are valid
// until w is next used.
func (m *Model) ExtendIn(ctx context.Context, w *Workspace, exts []Extension) ([][]float32, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if len(exts) == 0 {
		return nil, nil
	}
	if err := m.checkExtensions(exts); err != nil {
		return nil, err
	}
	w.begin(m, exts)
	for l := range m.layers {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		w.layer(l)
	}
	return w.logits(exts), nil
}

func (m *Model) checkExtensions(exts []Extension) error {
	seen := map[*Cache]bool{}
	for i, e := range exts {
		switch {
		case e.Cache == nil || e.Cache.m != m:
			return fmt.Errorf("extension %d: its cache was made for another model", i)
		case seen[e.Cache]:
			return fmt.Errorf("extension %d: its cache is used twice in one call", i)
		case len(e.Tokens) == 0:
			return fmt.Errorf("extension %d has no tokens", i)
		}
		if err := m.checkTokens(e.Tokens, e.Cache.n); err != nil {
			return fmt.Errorf("extension %d: %w", i, err)
		}
		seen[e.Cache] = true
	}
	return nil
}
