package lru

import (
	"strconv"
	"sync"
	"testing"
)

// keys returns which of the letters of all are kept, without using them.
func keys(c *Cache[string, int], all string) (kept string) {
	for _, k := range all {
		if _, ok := c.byKey[string(k)]; ok {
			kept += string(k)
		}
	}
	return kept
}

func TestCache(t *testing.T) {
	tests := []struct {
		name string
		max  int64
		do   func(c *Cache[string, int])
		want string
		cost int64
	}{
		{"all fit", 6, func(c *Cache[string, int]) {}, "abc", 6},
		{"the oldest goes", 5, func(c *Cache[string, int]) {}, "bc", 5},
		{"used is young", 6, func(c *Cache[string, int]) { c.Get("a"); c.Put("d", 4, 2) }, "acd", 6},
		{"several go", 6, func(c *Cache[string, int]) { c.Put("d", 4, 6) }, "d", 6},
		{"too large", 6, func(c *Cache[string, int]) { c.Put("d", 4, 7) }, "abc", 6},
		{"too large instead of an earlier one", 6, func(c *Cache[string, int]) { c.Put("a", 4, 7) }, "bc", 5},
		{"replaced", 6, func(c *Cache[string, int]) { c.Put("c", 9, 1) }, "abc", 4},
		{"negative cost", 6, func(c *Cache[string, int]) { c.Put("d", 9, -5) }, "abcd", 6},
		{"no room at all", 0, func(c *Cache[string, int]) { c.Put("d", 9, 0) }, "", 0},
	}
	for _, tt := range tests {
		c := New[string, int](tt.max)
		c.Put("a", 1, 1)
		c.Put("b", 2, 2)
		c.Put("c", 3, 3)
		tt.do(c)
		if got := keys(c, "abcd"); got != tt.want || c.Cost() != tt.cost || c.Len() != len(tt.want) {
			t.Errorf("%s: got %q (%d kept) of cost %d, want %q of cost %d", tt.name, got, c.Len(), c.Cost(), tt.want, tt.cost)
		}
	}
}

func TestCacheValue(t *testing.T) {
	c := New[string, int](9)
	c.Put("a", 1, 1)
	c.Put("a", 2, 1)
	if v, ok := c.Get("a"); v != 2 || !ok {
		t.Errorf("got %d, %v, want the last value", v, ok)
	}
	if v, ok := c.Get("b"); v != 0 || ok {
		t.Errorf("got %d, %v, want nothing", v, ok)
	}
}

func TestCacheConcurrent(t *testing.T) {
	c := New[string, int](50)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 500 {
				k := strconv.Itoa((i * (g + 1)) % 97)
				if v, ok := c.Get(k); ok && strconv.Itoa(v) != k {
					t.Errorf("key %s has value %d", k, v)
				}
				n, _ := strconv.Atoi(k)
				c.Put(k, n, int64(n%5))
			}
		})
	}
	wg.Wait()
	if c.Cost() > 50 {
		t.Errorf("cost %d, want at most 50", c.Cost())
	}
}
