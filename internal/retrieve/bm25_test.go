package retrieve

import (
	"fmt"
	"math"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// plainWords is the definition of words that the paper's code has.
func plainWords(s string) []string {
	all := regexp.MustCompile(`[a-zA-Z_][a-zA-Z0-9_]*|\d+`).FindAllString(s, -1)
	for i := range all {
		all[i] = strings.ToLower(all[i])
	}
	return all
}

// plainBM25 is BM25 as it is written down, word by word.
func plainBM25(docs []string, query string) []float64 {
	words := make([][]string, len(docs))
	df := map[string]float64{}
	total := 0.0
	for i, d := range docs {
		words[i] = plainWords(d)
		total += float64(len(words[i]))
		for _, w := range slices.Compact(slices.Sorted(slices.Values(words[i]))) {
			df[w]++
		}
	}
	n := float64(len(docs))
	scores := make([]float64, len(docs))
	for i := range docs {
		for _, w := range plainWords(query) {
			tf := 0.0
			for _, x := range words[i] {
				if x == w {
					tf++
				}
			}
			if df[w] > 0 {
				idf := math.Log((n-df[w]+0.5)/(df[w]+0.5) + 1)
				scores[i] += idf * tf * 2.5 / (tf + 1.5*(0.25+0.75*float64(len(words[i]))/(total/n)))
			}
		}
	}
	return scores
}

func newTestUnits(docs ...string) (units []*unit, mean float64) {
	for _, d := range docs {
		u, _ := newUnits([]Chunk{{Code: d}})
		units = append(units, u...)
		mean += float64(u[0].length) / float64(len(docs))
	}
	return units, mean
}

func TestBM25(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	text := func(n int) string {
		var b strings.Builder
		for range n {
			fmt.Fprintf(&b, "%s%d%s", []string{"Word", "w_", "x.y ", "É1"}[rng.IntN(4)], rng.IntN(12), []string{" ", ".", "(", "\n"}[rng.IntN(4)])
		}
		return b.String()
	}
	for range 30 {
		docs := []string{"", "1"}
		for range 1 + rng.IntN(20) {
			docs = append(docs, text(rng.IntN(60)))
		}
		query := text(rng.IntN(40))
		units, mean := newTestUnits(docs...)
		got, want := bm25(units, mean, query), plainBM25(docs, query)
		for i := range docs {
			if math.Abs(got[i]-want[i]) > 1e-9*(1+want[i]) {
				t.Fatalf("document %d of %d: got score %g, want %g", i, len(docs), got[i], want[i])
			}
		}
	}
}

func TestWords(t *testing.T) {
	for _, s := range []string{"", "a1b 12ab _x 3.14", "Foo.barBaz(QUX)", "naïve été1", "x+=y;z"} {
		var got, want []uint64
		words(s, func(h uint64) { got = append(got, h) })
		for _, w := range plainWords(s) {
			words(w, func(h uint64) { want = append(want, h) })
		}
		if !slices.Equal(got, want) || len(want) != len(plainWords(s)) {
			t.Errorf("%q: got %d words, want %d: %q", s, len(got), len(want), plainWords(s))
		}
	}
}

func TestFuse(t *testing.T) {
	tests := []struct {
		rankings [][]int
		want     []int
	}{
		{[][]int{{3, 1}, {1, 2}}, []int{1, 3, 2}},
		{[][]int{{5}, {4}}, []int{4, 5}}, // equal: the lower index
		{[][]int{{7, 8, 9}, {}}, []int{7, 8, 9}},
		{nil, nil},
	}
	for _, tt := range tests {
		if got := fuse(60, tt.rankings...); !slices.Equal(got, tt.want) {
			t.Errorf("fuse(%v): got %v, want %v", tt.rankings, got, tt.want)
		}
	}
}
