// Package lru keeps what was used last, within a bound that its user chooses
// the unit of: bytes, or a number of things.
package lru

import (
	"container/list"
	"sync"
)

// Cache keeps values by key. When the sum of their costs exceeds its bound, the
// ones whose use is longest ago go. Its methods may be called concurrently; a
// value may be in use by several callers, also after it has gone.
type Cache[K comparable, V any] struct {
	mu    sync.Mutex
	max   int64
	total int64
	order *list.List // of *entry[K, V], last used first
	byKey map[K]*list.Element
}

type entry[K comparable, V any] struct {
	key   K
	value V
	cost  int64
}

// New returns a cache for costs of at most max in sum. With a max of 0 or less
// nothing is kept.
func New[K comparable, V any](max int64) *Cache[K, V] {
	return &Cache[K, V]{max: max, order: list.New(), byKey: map[K]*list.Element{}}
}

// Get returns the value of a key, if it is kept.
func (c *Cache[K, V]) Get(key K) (value V, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.byKey[key]
	if !ok {
		return value, false
	}
	c.order.MoveToFront(e)
	return e.Value.(*entry[K, V]).value, true
}

// Put keeps a value, instead of an earlier one of the same key. A value that
// costs more than the whole bound isn't kept; a negative cost counts as 0.
func (c *Cache[K, V]) Put(key K, value V, cost int64) {
	cost = max(cost, 0)
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.byKey[key]; ok {
		c.remove(e)
	}
	if cost > c.max || c.max <= 0 {
		return
	}
	c.byKey[key] = c.order.PushFront(&entry[K, V]{key, value, cost})
	c.total += cost
	for c.total > c.max {
		c.remove(c.order.Back())
	}
}

// Cost returns the sum of the costs of what is kept.
func (c *Cache[K, V]) Cost() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.total
}

// Len returns the number of values that are kept.
func (c *Cache[K, V]) Len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.byKey)
}

func (c *Cache[K, V]) remove(e *list.Element) {
	old := c.order.Remove(e).(*entry[K, V])
	delete(c.byKey, old.key)
	c.total -= old.cost
}
