package encoder

import (
	"context"
	"hash/fnv"
	"math"
	"unicode"
	"unicode/utf8"
)

// lexical makes file vectors of the words in a file: identifiers are split at
// underscores and changes of case, each word is hashed to one of dim places
// with a sign, and the counts are damped by a logarithm and scaled to unit
// length (feature hashing, arXiv 0902.2206).
type lexical struct{ dimension int }

func (l *lexical) fresh() fileVectors { return l }

func (l *lexical) dim() int { return l.dimension }

func (l *lexical) flush(context.Context) error { return nil }

func (l *lexical) add(_ context.Context, content []byte, done func([]float32, int) error) error {
	counts := map[string]int{}
	n := 0
	words(content, func(w string) {
		counts[w]++
		n++
	})
	if n == 0 {
		return done(nil, 0)
	}
	sums := make([]float64, l.dimension)
	for w, c := range counts {
		h := fnv.New64a()
		h.Write([]byte(w))
		s := h.Sum64()
		// Multiples of 2^-20 add without rounding, so that the sum does not
		// depend on the order in which a map gives the words.
		x := math.Round((1+math.Log(float64(c)))*(1<<20)) / (1 << 20)
		if s>>63 == 1 {
			x = -x
		}
		sums[s%uint64(l.dimension)] += x
	}
	var norm float64
	for _, x := range sums {
		norm += x * x
	}
	v := make([]float32, l.dimension)
	for i, x := range sums {
		v[i] = float32(x / math.Sqrt(max(norm, 1e-30)))
	}
	return done(v, n)
}

// words calls f with the lower-case words of identifiers: runs of letters,
// where an upper-case letter after a lower-case one begins a new word.
func words(text []byte, f func(string)) {
	var word []rune
	end := func() {
		if len(word) > 1 {
			f(string(word))
		}
		word = word[:0]
	}
	lower := false
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		text = text[n:]
		if !unicode.IsLetter(r) {
			end()
			lower = false
			continue
		}
		if unicode.IsUpper(r) && lower {
			end()
		}
		lower = unicode.IsLower(r)
		word = append(word, unicode.ToLower(r))
	}
	end()
}
