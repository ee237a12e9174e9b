package retrieve

import "math"

// The constants of Okapi BM25 in the paper's code.
const (
	bm25K1 = 1.5
	bm25B  = 0.75
)

// term is a word of a unit: the hash of its lower case, and how often it occurs.
// Hashes have 64 bits, so two words of one repository share one about as often
// as a disk errs.
type term struct {
	hash  uint64
	count int32
}

// words calls f for each word of a text: [A-Za-z_][A-Za-z0-9_]* or digits, in
// lower case.
func words(text string, f func(hash uint64)) {
	for i := 0; i < len(text); {
		c := text[i]
		if !isWord(c) {
			i++
			continue
		}
		digits := isDigit(c)
		h := uint64(14695981039346656037) // FNV-1a
		for i < len(text) && isWord(text[i]) && (!digits || isDigit(text[i])) {
			c = text[i]
			if c >= 'A' && c <= 'Z' {
				c += 'a' - 'A'
			}
			h = (h ^ uint64(c)) * 1099511628211
			i++
		}
		f(h)
	}
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func isWord(c byte) bool {
	return c == '_' || isDigit(c) || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// countWords returns the distinct words of a text in the order in which they
// first occur, and the number of all.
func countWords(text string) (terms []term, length int) {
	at := map[uint64]int{}
	words(text, func(h uint64) {
		length++
		if i, ok := at[h]; ok {
			terms[i].count++
			return
		}
		at[h] = len(terms)
		terms = append(terms, term{h, 1})
	})
	return terms, length
}

// bm25 returns the score of each unit for a query:
//
//	Σ over the query's words, with repeats, of
//	  idf · tf·(k1+1) / (tf + k1·(1 - b + b·length/mean))
//	idf = ln((N - df + 0.5)/(df + 0.5) + 1)
//
// A word of the query that no unit has counts nothing.
func bm25(units []*unit, meanLength float64, query string) []float64 {
	scores := make([]float64, len(units))
	terms, _ := countWords(query)
	at := make(map[uint64]int32, len(terms))
	var sieve [1 << 8]uint64 // bit h mod 16384 for each word of the query: most lookups end here
	for i, t := range terms {
		at[t.hash] = int32(i)
		sieve[t.hash>>6&255] |= 1 << (t.hash & 63)
	}
	type match struct{ unit, term, count int32 }
	var matches []match
	df := make([]int, len(terms))
	for i, u := range units {
		for _, t := range u.terms {
			if sieve[t.hash>>6&255]&(1<<(t.hash&63)) == 0 {
				continue
			}
			if q, ok := at[t.hash]; ok {
				df[q]++
				matches = append(matches, match{int32(i), q, t.count})
			}
		}
	}
	n := float64(len(units))
	weight := make([]float64, len(terms))
	for q, t := range terms {
		weight[q] = float64(t.count) * math.Log((n-float64(df[q])+0.5)/(float64(df[q])+0.5)+1)
	}
	for _, m := range matches {
		tf, length := float64(m.count), float64(max(1, units[m.unit].length))
		norm := tf + bm25K1*(1-bm25B+bm25B*length/max(meanLength, 1e-9))
		scores[m.unit] += weight[m.term] * tf * (bm25K1 + 1) / norm
	}
	return scores
}
