package engine

import (
	"slices"
	"sync"

	"github.com/code2lora/code2lora/internal/model"
)

// leastShared is the shortest common prefix worth taking over: a page of keys
// and values is copied for it.
const leastShared = 8

// promptCache keeps the keys and values of sequences that are done, or whose
// prompt is, for those that begin with the same tokens and use the same
// adapter. The least recently used go first.
//
// Its caches are never extended, only forked, so they may share pages with each
// other and with sequences that are being decoded. A page counts once.
type promptCache struct {
	mu      sync.Mutex
	entries []*promptEntry   // least recently used first
	pages   map[*float32]int // how many entries have the page
}

type promptEntry struct {
	key    string // see Handle.key
	tokens []int32
	cache  *model.Cache // as many tokens
}

// commonPrefix returns how many tokens a and b begin with in common.
func commonPrefix(a, b []int32) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

// take returns a cache with the longest prefix of tokens that there is, but not
// all of them, as the logits after the last are wanted; nil if there is none.
func (p *promptCache) take(key string, tokens []int32) *model.Cache {
	p.mu.Lock()
	defer p.mu.Unlock()
	best, longest := -1, leastShared-1
	for i, e := range p.entries {
		if e.key != key {
			continue
		}
		if n := min(commonPrefix(e.tokens, tokens), len(tokens)-1); n > longest {
			best, longest = i, n
		}
	}
	if best < 0 {
		return nil
	}
	e := p.entries[best]
	p.entries = append(slices.Delete(p.entries, best, best+1), e)
	return e.cache.Fork(longest)
}

// put keeps the keys and values of tokens, which are all of c. Entries that they
// continue are not needed any more, and the oldest ones are dropped until all
// take limit bytes at most.
func (p *promptCache) put(key string, tokens []int32, c *model.Cache, limit int64) {
	if len(tokens) < leastShared {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := 0; i < len(p.entries); {
		e := p.entries[i]
		switch n := commonPrefix(e.tokens, tokens); {
		case e.key != key || n < min(len(e.tokens), len(tokens)):
			i++
			continue
		case n == len(tokens) && n < len(e.tokens): // nothing new
			p.entries = append(slices.Delete(p.entries, i, i+1), e)
			return
		}
		p.drop(i)
	}
	if p.pages == nil {
		p.pages = map[*float32]int{}
	}
	p.entries = append(p.entries, &promptEntry{key, slices.Clone(tokens), c})
	c.EachPage(func(page *float32) { p.pages[page]++ })
	for pageBytes := c.PageBytes(); len(p.entries) > 0 && int64(len(p.pages))*pageBytes > limit; {
		p.drop(0)
	}
}

// drop forgets entry i.
func (p *promptCache) drop(i int) {
	p.entries[i].cache.EachPage(func(page *float32) {
		if p.pages[page]--; p.pages[page] == 0 {
			delete(p.pages, page)
		}
	})
	p.entries = slices.Delete(p.entries, i, i+1)
}

// clear forgets everything, and reports whether there was anything.
func (p *promptCache) clear() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	had := len(p.entries) > 0
	p.entries, p.pages = nil, nil
	return had
}
