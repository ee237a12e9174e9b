package engine

import "math/bits"

// MaxIndexTokens bounds an [Index]: at some 16 bytes for each token, 64 MiB.
const MaxIndexTokens = 4 << 20

const (
	ownGram    = 2  // tokens that must be the same, in the text itself
	repoGram   = 3  // in a repository, where chance finds more
	tries      = 32 // earlier places that a look-up compares
	longest    = 32 // tokens of each that it compares
	mostDraft  = 15 // so that a pass has 16 rows
	firstDraft = 3
	mostPause  = 32
	separator  = -1 // between texts
)

// Index finds where in a collection of texts the last tokens of a sequence
// appeared before, and what followed there: so it can propose how the sequence
// goes on. What it proposes depends on the texts and their order only.
//
// All texts lie one after the other in tokens. Places whose last gram tokens
// have the same hash are chained, from the latest to the first. An Index may be
// read from several goroutines at once, but not while texts are added.
type Index struct {
	gram   int
	tokens []int32
	head   []int32 // of each chain: 1 + the place of its last token; 0 if empty
	prev   []int32 // of each place: the one before in its chain, likewise
}

// NewIndex returns an empty index for the token sequences of a repository's
// files, of about the given number of tokens in all.
func NewIndex(tokens int) *Index { return newIndex(repoGram, tokens) }

func newIndex(gram, tokens int) *Index {
	n := max(256, min(tokens, MaxIndexTokens))
	return &Index{gram: gram, head: make([]int32, 1<<bits.Len(uint(n-1)))}
}

// Len returns the number of tokens, separators included.
func (x *Index) Len() int { return len(x.tokens) }

// Add adds the tokens of a text. It reports false, and adds what there is room
// for, when that makes more than [MaxIndexTokens].
func (x *Index) Add(tokens []int32) bool {
	room := MaxIndexTokens - len(x.tokens) - 1
	whole := len(tokens) <= room
	if room <= 0 {
		return whole
	}
	x.append(tokens[:min(len(tokens), room)])
	x.tokens, x.prev = append(x.tokens, separator), append(x.prev, 0)
	return whole
}

// append continues the last text.
func (x *Index) append(tokens []int32) {
	for _, t := range tokens {
		x.tokens = append(x.tokens, t)
		h, ok := x.hash(x.tokens)
		if !ok {
			x.prev = append(x.prev, 0)
			continue
		}
		x.prev = append(x.prev, x.head[h])
		x.head[h] = int32(len(x.tokens))
	}
}

// hash returns the chain of the last tokens, unless they are too few or reach
// into the text before.
func (x *Index) hash(tokens []int32) (chain int, ok bool) {
	if len(tokens) < x.gram {
		return 0, false
	}
	h := uint64(0)
	for _, t := range tokens[len(tokens)-x.gram:] {
		if t < 0 {
			return 0, false
		}
		h = (h ^ uint64(t)) * 0x9e3779b97f4a7c15
	}
	return int(h >> 32 & uint64(len(x.head)-1)), true
}

// find returns the place after the longest match of the end of text, the latest
// of several, and how many tokens match; 0 if fewer than a gram do. Places
// after before don't count.
func (x *Index) find(text []int32, before int) (at, matched int) {
	h, ok := x.hash(text)
	if !ok {
		return 0, 0
	}
	end := x.head[h]
	for range tries {
		for int(end) > before {
			end = x.prev[end-1]
		}
		if end == 0 || matched == longest {
			break
		}
		n := 0
		for n < longest && n < len(text) && n < int(end) && x.tokens[int(end)-1-n] == text[len(text)-1-n] {
			n++
		}
		if n >= x.gram && n > matched {
			at, matched = int(end), n
		}
		end = x.prev[end-1]
	}
	return at, matched
}

// draft copies up to n tokens that follow place at. A copy of the present end
// of the text goes on with itself, as a text that repeats does.
func (x *Index) draft(dst []int32, at, n int, open bool) []int32 {
	for i := range n {
		switch p := at + i; {
		case p < len(x.tokens) && x.tokens[p] >= 0:
			dst = append(dst, x.tokens[p])
		case p >= len(x.tokens) && open:
			dst = append(dst, dst[p-len(x.tokens)])
		default:
			return dst
		}
	}
	return dst
}

// drafter proposes tokens for one sequence. Drafts become longer while they are
// accepted as a whole. When they are rejected they become shorter, and at last
// there is a pause, which doubles from one to the next: so for a text in
// which nothing comes back they cost about as much as one token.
type drafter struct {
	own, repo *Index
	size      int
	pause     int
	backoff   int
	buf       []int32
}

func newDrafter(tokens int, repo *Index) *drafter {
	return &drafter{own: newIndex(ownGram, tokens), repo: repo, size: firstDraft}
}

// next proposes at most most tokens for a text, all of which own has.
func (d *drafter) next(most int) []int32 {
	if d.pause > 0 {
		d.pause--
		return nil
	}
	text := d.own.tokens
	n := min(d.size, most)
	from, open := d.own, true
	at, matched := d.own.find(text, len(text)-1)
	if d.repo != nil {
		if a, m := d.repo.find(text, len(d.repo.tokens)); m > matched {
			from, open, at, matched = d.repo, false, a, m
		}
	}
	if matched == 0 || n < 1 {
		return nil
	}
	d.buf = from.draft(d.buf[:0], at, n, open)
	return d.buf
}

// learn takes notice of what became of a draft.
func (d *drafter) learn(drafted, accepted int) {
	switch {
	case drafted == 0:
	case accepted == drafted:
		d.size, d.backoff = min(mostDraft, max(d.size, 2*drafted)), 0
	case accepted > 0:
		d.size, d.backoff = accepted+1, 0
	case d.size > 1:
		d.size /= 2
	default:
		d.backoff = min(mostPause, max(2, 2*d.backoff))
		d.pause = d.backoff
	}
}
