package engine

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/kernel"
)

func do(t *testing.T, e *Engine, r Request) *Completion {
	t.Helper()
	c, err := e.Do(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestPromptCacheKey asks one prompt of several adapters in turn. What one
// left is used by the same content only, whatever adapters are called.
func TestPromptCacheKey(t *testing.T) {
	e := load(t, "tiny-llama")
	named := func(seed uint64) *adapter.Adapter {
		a := seeded(e, seed)
		a.Provenance = adapter.Provenance{Repository: "owner/name", Commit: "abc"}
		return a
	}
	one := Request{Prompt: Prompt{Prefix: strings.Repeat(code, 4)}, Options: Options{MaxTokens: 6}}
	for i, tt := range []struct {
		what   string
		a      *adapter.Adapter
		cached bool
	}{
		{"adapter 1", named(1), false},
		{"adapter 2 of the same name", named(2), false},
		{"the base", nil, false},
		{"adapter 1 again", named(1), true},
		{"the base again", nil, true},
		{"adapter 2 again", named(2), true},
		{"adapter 3", named(3), false},
	} {
		one.Adapter = handle(t, e, tt.a)
		c := do(t, e, one)
		if got := c.CachedTokens > 0; got != tt.cached {
			t.Errorf("%d, %s: %d tokens from the cache, want some: %t", i, tt.what, c.CachedTokens, tt.cached)
		}
		if tt.cached && c.CachedTokens != c.PromptTokens-1 {
			t.Errorf("%d, %s: %d tokens from the cache, want all %d but one", i, tt.what, c.CachedTokens, c.PromptTokens)
		}
		if want := alone(t, e, one); !reflect.DeepEqual(answer(c), want) {
			t.Errorf("%d, %s: got %+v, without cache %+v", i, tt.what, answer(c), want)
		}
	}
	// Nor is it used in another precision.
	setPrecision(t, kernel.Int8)
	one.Adapter = nil
	if c := do(t, e, one); c.CachedTokens != 0 {
		t.Errorf("%d tokens from another precision", c.CachedTokens)
	}
}

// TestPromptCachePrefix shares beginnings of all lengths, around the bounds of
// pages, and continues an answer.
func TestPromptCachePrefix(t *testing.T) {
	e := random(t, letters(t, nil))
	long := strings.Repeat("abcdefg hijkl", 4)
	base := Request{Prompt: Prompt{Prefix: long}, Options: Options{MaxTokens: 8}}
	first := do(t, e, base)
	for _, n := range []int{1, 7, 8, 9, 31, 40, 51} {
		r := base
		r.Prompt.Prefix = long[:n] + "?!"
		c := do(t, e, r)
		if want := n >= leastShared; (c.CachedTokens >= leastShared) != want {
			t.Errorf("%d tokens in common: %d from the cache", n, c.CachedTokens)
		}
		if got, want := answer(c), alone(t, e, r); !reflect.DeepEqual(got, want) {
			t.Errorf("%d tokens in common: got %+v, want %+v", n, got, want)
		}
	}
	r := base
	r.Prompt.Prefix, r.Options.MaxTokens = long+first.Text[:3], 5
	if c := do(t, e, r); c.CachedTokens < len(long) || !reflect.DeepEqual(answer(c), alone(t, e, r)) {
		t.Errorf("an answer continued: %d tokens from the cache, want at least %d: %+v", c.CachedTokens, len(long), answer(c))
	}
}

// check compares the count of pages with the entries, and both with a limit.
func (p *promptCache) check(t *testing.T, pageBytes, limit int64) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	pages := map[*float32]int{}
	for _, e := range p.entries {
		if e.cache.Len() != len(e.tokens) {
			t.Errorf("a cache of %d tokens for %d", e.cache.Len(), len(e.tokens))
		}
		e.cache.EachPage(func(f *float32) { pages[f]++ })
	}
	if len(pages) != len(p.pages) || len(pages) > 0 && !reflect.DeepEqual(pages, p.pages) {
		t.Errorf("%d pages counted, %d there", len(p.pages), len(pages))
	}
	if got := int64(len(pages)) * pageBytes; got > limit {
		t.Errorf("%d bytes kept, want at most %d", got, limit)
	}
}

func TestPromptCacheBound(t *testing.T) {
	tok := letters(t, nil)
	for pages := range 5 {
		e := random(t, tok)
		limit := int64(pages) * e.Model.CacheBytes(1)
		e.CacheBytes = limit
		if pages == 0 {
			e.CacheBytes = 1 // room for nothing
		}
		for i := range 12 {
			prefix := fmt.Sprintf("%c%s", 'a'+i%6, strings.Repeat("xyz ", 2+i%9))
			c := do(t, e, Request{Prompt: Prompt{Prefix: prefix}, Options: Options{MaxTokens: 3}})
			if pages == 0 && c.CachedTokens > 0 {
				t.Errorf("%d tokens from a cache without room", c.CachedTokens)
			}
			e.prompts.check(t, e.Model.CacheBytes(1), max(limit, 0))
		}
	}
	// The least recently used goes first.
	e := random(t, tok)
	e.CacheBytes = 2 * e.Model.CacheBytes(1)
	ask := func(c string) int {
		return do(t, e, Request{Prompt: Prompt{Prefix: strings.Repeat(c, 20)}, Options: Options{MaxTokens: 1}}).CachedTokens
	}
	ask("a")
	ask("b")
	ask("a")
	ask("c") // b goes
	if got := ask("a"); got == 0 {
		t.Error("what was used last is gone")
	}
	if got := ask("b"); got != 0 {
		t.Errorf("%d tokens of what was not used for longest", got)
	}
	if !e.prompts.clear() || e.prompts.clear() {
		t.Error("clear: want true, then false")
	}
	if got := ask("a"); got != 0 {
		t.Errorf("%d tokens after clear", got)
	}
}

// TestPromptCacheShares checks that requests of one batch take a common
// beginning from the first of them.
func TestPromptCacheShares(t *testing.T) {
	e := load(t, "tiny-llama")
	h := handle(t, e, seeded(e, 1))
	var rs []Request
	for i := range 4 {
		rs = append(rs, Request{Prompt: Prompt{Prefix: strings.Repeat(code, 8) + fmt.Sprint(i)}, Adapter: h, Options: Options{MaxTokens: 4}})
	}
	for i, res := range e.CompleteBatch(context.Background(), rs) {
		if res.Err != nil {
			t.Fatal(res.Err)
		}
		if c := res.Completion; (c.CachedTokens > worthWaiting) != (i > 0) || !reflect.DeepEqual(answer(c), alone(t, e, rs[i])) {
			t.Errorf("request %d: %d of %d tokens from the cache, got %+v", i, c.CachedTokens, c.PromptTokens, answer(c))
		}
	}
}

// TestPromptCacheConcurrent is for the race detector.
func TestPromptCacheConcurrent(t *testing.T) {
	e := random(t, letters(t, nil))
	e.CacheBytes = 3 * e.Model.CacheBytes(1)
	hs := []*Handle{nil, handle(t, e, seeded(e, 1))}
	var want [8]Completion
	request := func(i int) Request {
		return Request{Prompt: Prompt{Prefix: strings.Repeat("abcdef ", 4)[:8+2*i]}, Adapter: hs[i%2], Options: Options{MaxTokens: 9}}
	}
	for i := range want {
		want[i] = alone(t, e, request(i))
	}
	var all sync.WaitGroup
	for g := range 4 {
		all.Go(func() {
			for j := range 16 {
				i := (g*3 + j) % len(want)
				c, err := e.Do(context.Background(), request(i))
				if err != nil || !reflect.DeepEqual(answer(c), want[i]) {
					t.Errorf("request %d: got %+v, %v; want %+v", i, c, err, want[i])
				}
			}
		})
	}
	all.Wait()
	e.prompts.check(t, e.Model.CacheBytes(1), e.CacheBytes)
}
