package metric

// EditSimilarity is ratio() of Python's difflib.SequenceMatcher(None, p, r) on
// code points: 2M / (|p| + |r|), where M is the length of the longest common
// block, plus those to its left and to its right, and so on. It is 1 for two
// empty texts. p and r may not be exchanged, and characters that are frequent
// in an r of at least 200 begin no block ("autojunk").
func EditSimilarity(p, r string) float64 {
	m := newMatcher([]rune(p), []rune(r))
	if len(m.a)+len(m.b) == 0 {
		return 1
	}
	return 2 * float64(m.matched()) / float64(len(m.a)+len(m.b))
}

// matcher is a SequenceMatcher.
type matcher struct {
	a, b []rune
	at   map[rune][]int // where a character is in b; not of frequent ones
	runs []int          // lengths of the blocks that end at j−1; zero between calls
	next []int
}

func newMatcher(a, b []rune) *matcher {
	m := &matcher{a: a, b: b, at: map[rune][]int{}, runs: make([]int, len(b)+1), next: make([]int, len(b)+1)}
	for j, r := range b {
		m.at[r] = append(m.at[r], j)
	}
	if n := len(b); n >= 200 {
		for r, positions := range m.at {
			if len(positions) > n/100+1 {
				delete(m.at, r)
			}
		}
	}
	return m
}

// matched returns the total length of all blocks.
func (m *matcher) matched() (total int) {
	type window struct{ alo, ahi, blo, bhi int }
	queue := []window{{0, len(m.a), 0, len(m.b)}}
	for len(queue) > 0 {
		w := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		i, j, k := m.longest(w.alo, w.ahi, w.blo, w.bhi)
		if k == 0 {
			continue
		}
		total += k
		if w.alo < i && w.blo < j {
			queue = append(queue, window{w.alo, i, w.blo, j})
		}
		if i+k < w.ahi && j+k < w.bhi {
			queue = append(queue, window{i + k, w.ahi, j + k, w.bhi})
		}
	}
	return total
}

// longest returns the longest block a[i:i+k] = b[j:j+k] of a window, of
// equally long ones the first in a, then in b.
func (m *matcher) longest(alo, ahi, blo, bhi int) (besti, bestj, best int) {
	besti, bestj = alo, blo
	for i := alo; i < ahi; i++ {
		for _, j := range m.at[m.a[i]] {
			if j < blo {
				continue
			}
			if j >= bhi {
				break
			}
			k := m.runs[j] + 1
			m.next[j+1] = k
			if k > best {
				besti, bestj, best = i-k+1, j-k+1, k
			}
		}
		m.runs, m.next = m.next, m.runs
		clear(m.next[blo : bhi+1])
	}
	clear(m.runs[blo : bhi+1])
	for besti > alo && bestj > blo && m.a[besti-1] == m.b[bestj-1] {
		besti, bestj, best = besti-1, bestj-1, best+1
	}
	for besti+best < ahi && bestj+best < bhi && m.a[besti+best] == m.b[bestj+best] {
		best++
	}
	return besti, bestj, best
}

// Levenshtein is 1 − d / max(|a|, |b|) on code points, where d is the least
// number of insertions, deletions and substitutions; 1 for two empty texts.
// It is rapidfuzz.distance.Levenshtein.normalized_similarity.
func Levenshtein(a, b string) float64 {
	x, y := []rune(a), []rune(b)
	n := max(len(x), len(y))
	if n == 0 {
		return 1
	}
	return 1 - float64(distance(x, y, 1))/float64(n)
}

// Indel is 1 − d / (|a| + |b|) on code points, where d is the least number of
// insertions and deletions; 1 for two empty texts. It is rapidfuzz.fuzz.ratio
// divided by 100.
func Indel(a, b string) float64 {
	x, y := []rune(a), []rune(b)
	n := len(x) + len(y)
	if n == 0 {
		return 1
	}
	return 1 - float64(distance(x, y, 2))/float64(n)
}

// distance is the edit distance, where a substitution costs as much as given.
func distance(a, b []rune, substitution int) int {
	row := make([]int, len(b)+1) // distances of a[:i] to all b[:j]
	for j := range row {
		row[j] = j
	}
	for i, r := range a {
		diagonal := row[0]
		row[0] = i + 1
		for j, q := range b {
			d := diagonal
			if r != q {
				d += substitution
			}
			diagonal = row[j+1]
			row[j+1] = min(d, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}
