package tokenizer

import (
	"fmt"
	"math/bits"
	"slices"
	"strings"
	"sync"
)

// noRank is the rank of a pair that is not merged: worse than all others.
const noRank = 1<<31 - 1

// mergeTable maps a pair of ids to the rank of its merge and the id it gives.
// It is a hash table with open addressing: a lookup is a multiplication
// and usually one cache line, where a Go map costs several times that.
type mergeTable struct {
	entries []mergeEntry // a power of two; at most two thirds full
	shift   uint         // 64 - log2(len(entries))
}

type mergeEntry struct {
	pair     uint64
	rank, id int32
}

// freePair marks a free entry. It is the pair of two bytes that have no
// token, which is never merged.
const freePair = ^uint64(0)

func pairOf(left, right int32) uint64 { return uint64(uint32(left))<<32 | uint64(uint32(right)) }

func newMergeTable(n int) mergeTable {
	size := bits.Len(uint(n + n/2)) // 2^size > 1.5 n
	m := mergeTable{make([]mergeEntry, 1<<size), uint(64 - size)}
	for i := range m.entries {
		m.entries[i] = mergeEntry{freePair, noRank, -1}
	}
	return m
}

// find returns the entry of the pair, or the free one where it belongs.
func (m *mergeTable) find(left, right int32) *mergeEntry {
	pair := pairOf(left, right)
	mask := uint64(len(m.entries) - 1)
	for i := pair * 0x9E3779B97F4A7C15 >> m.shift; ; i++ {
		e := &m.entries[i&mask]
		if e.pair == pair || e.pair == freePair {
			return e
		}
	}
}

// setMerges checks and indexes the merges. Of a merge that is listed twice the
// better rank counts. A merge that would turn text into a control token is left
// out: text must never control. fromMerge tells which tokens a merge gives.
func (t *Tokenizer) setMerges(merges []string) (fromMerge []bool, err error) {
	t.merges = newMergeTable(len(merges))
	fromMerge = make([]bool, len(t.types))
	var joined []byte
	for rank, merge := range merges {
		// A token may begin with a space, hence not the first byte.
		cut := -1
		if len(merge) > 1 {
			cut = 1 + strings.IndexByte(merge[1:], ' ')
		}
		if cut < 1 || cut+1 == len(merge) {
			return nil, fmt.Errorf("merge %d (%q) is not a pair: want two tokens with a space between them", rank, merge)
		}
		joined = append(append(joined[:0], merge[:cut]...), merge[cut+1:]...)
		left, ok1 := t.vocab[merge[:cut]]
		right, ok2 := t.vocab[merge[cut+1:]]
		both, ok3 := t.vocab[string(joined)]
		if !ok1 || !ok2 || !ok3 {
			return nil, fmt.Errorf("merge %d (%q): want %q, %q and %q in the vocabulary, not all of them are", rank, merge, merge[:cut], merge[cut+1:], joined)
		}
		fromMerge[both] = true
		if typ := t.types[both]; typ == Control || typ == Unknown {
			continue
		}
		if e := t.merges.find(left, right); e.rank == noRank {
			*e = mergeEntry{pairOf(left, right), int32(rank), both}
		}
	}
	return fromMerge, nil
}

// shortPiece is the longest piece in bytes that is merged in place. That takes
// quadratic time, but for short pieces less than the heap.
const shortPiece = 32

// appendMerged appends the tokens of one piece.
func (t *Tokenizer) appendMerged(dst []int32, piece string) []int32 {
	if t.pre.ignoreMerges {
		if id, ok := t.wholePiece(piece); ok {
			return append(dst, id)
		}
	}
	if len(piece) <= shortPiece {
		return t.mergeShort(dst, piece)
	}
	// Positions in the heap have 32 bits. A piece this long is no text.
	const most = 1 << 30
	for len(piece) > most {
		dst = t.mergeLong(dst, piece[:most])
		piece = piece[most:]
	}
	return t.mergeLong(dst, piece)
}

// wholePiece returns the ordinary token that a piece is.
func (t *Tokenizer) wholePiece(piece string) (int32, bool) {
	var buf [128]byte
	if len(piece) > len(buf)/2 {
		id, ok := t.vocab[toAlphabet(piece)]
		return id, ok && t.types[id] == Normal
	}
	id, ok := t.vocab[string(appendAlphabet(buf[:0], piece))]
	return id, ok && t.types[id] == Normal
}

// mergeShort merges a piece of at most shortPiece bytes.
func (t *Tokenizer) mergeShort(dst []int32, piece string) []int32 {
	var ids, ranks, merged [shortPiece]int32 // ranks[i], merged[i]: of ids[i] with ids[i+1]
	n := len(piece)
	for i := range n {
		ids[i] = t.byteID[piece[i]]
	}
	lookup := func(i int) {
		e := t.merges.find(ids[i], ids[i+1])
		ranks[i], merged[i] = e.rank, e.id
	}
	for i := range n - 1 {
		lookup(i)
	}
	for {
		best, at := int32(noRank), -1
		for i, r := range ranks[:max(n-1, 0)] {
			if r < best {
				best, at = r, i
			}
		}
		if at < 0 {
			break
		}
		ids[at] = merged[at]
		copy(ids[at+1:n-1], ids[at+2:n])
		if at+2 < n { // ranks[at] and merged[at] are looked up again below
			copy(ranks[at+1:n-2], ranks[at+2:n-1])
			copy(merged[at+1:n-2], merged[at+2:n-1])
		}
		n--
		if at > 0 {
			lookup(at - 1)
		}
		if at+1 < n {
			lookup(at)
		}
	}
	for _, id := range ids[:n] {
		if id >= 0 {
			dst = append(dst, id)
		}
	}
	return dst
}

// symbol is a token in the linked list of a piece.
type symbol struct {
	id, prev, next int32 // prev, next: positions, -1 at the ends
	rank, merged   int32 // of this symbol with the next one
}

// scratch is what mergeLong works on.
type scratch struct {
	symbols []symbol
	heap    []uint64 // rank<<32 | position of the left symbol; a binary min-heap
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

// mergeLong merges a piece of n bytes in O(n log n). An entry of the heap is
// out of date when the symbol at its position has another rank by now.
func (t *Tokenizer) mergeLong(dst []int32, piece string) []int32 {
	w := scratches.Get().(*scratch)
	defer func() {
		if cap(w.symbols) <= 1<<16 { // do not keep what one odd file needed
			scratches.Put(w)
		}
	}()
	w.load(t, piece)
	s := w.symbols
	for len(w.heap) > 0 {
		top := w.pop()
		at := int32(uint32(top))
		left := &s[at]
		if left.rank != int32(top>>32) {
			continue
		}
		right := &s[left.next]
		left.id, left.next = left.merged, right.next
		right.rank = noRank
		if left.next >= 0 {
			s[left.next].prev = at
		}
		w.rank(t, at)
		if left.prev >= 0 {
			w.rank(t, left.prev)
		}
	}
	for i := int32(0); i >= 0; i = s[i].next {
		if s[i].id >= 0 {
			dst = append(dst, s[i].id)
		}
	}
	return dst
}

// load makes a list of single bytes and the heap of their pairs.
func (w *scratch) load(t *Tokenizer, piece string) {
	w.symbols, w.heap = slices.Grow(w.symbols[:0], len(piece)), slices.Grow(w.heap[:0], len(piece))
	for i := range len(piece) {
		w.symbols = append(w.symbols, symbol{id: t.byteID[piece[i]], prev: int32(i - 1), next: int32(i + 1)})
	}
	w.symbols[len(piece)-1].next = -1
	for i := range w.symbols {
		w.rank(t, int32(i))
	}
}

// rank looks up the pair that begins at a symbol and puts it on the heap.
func (w *scratch) rank(t *Tokenizer, at int32) {
	left := &w.symbols[at]
	left.rank = noRank
	if left.next < 0 {
		return
	}
	e := t.merges.find(left.id, w.symbols[left.next].id)
	left.rank, left.merged = e.rank, e.id
	if e.rank != noRank {
		w.push(uint64(e.rank)<<32 | uint64(at))
	}
}

func (w *scratch) push(v uint64) {
	h := append(w.heap, v)
	i := len(h) - 1
	for i > 0 && h[(i-1)/2] > v {
		h[i] = h[(i-1)/2]
		i = (i - 1) / 2
	}
	h[i] = v
	w.heap = h
}

func (w *scratch) pop() uint64 {
	h := w.heap
	top, last := h[0], h[len(h)-1]
	h = h[:len(h)-1]
	w.heap = h
	for i := 0; len(h) > 0; {
		child := 2*i + 1
		if child+1 < len(h) && h[child+1] < h[child] {
			child++
		}
		if child >= len(h) || h[child] >= last {
			h[i] = last
			break
		}
		h[i] = h[child]
		i = child
	}
	return top
}
