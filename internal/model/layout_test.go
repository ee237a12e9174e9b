package model

import (
	"slices"
	"testing"

	"github.com/code2lora/code2lora/internal/nn"
)

func TestLayout(t *testing.T) {
	long := []int32{1, 2, 3, 4, 5, 6, 7, 8}
	label := func(pos ...int) (ls []Label) {
		for _, p := range pos {
			ls = append(ls, Label{Pos: p})
		}
		return ls
	}
	for name, c := range map[string]struct {
		seqs []Sequence
		rows int     // computed
		at   [][]int // row of each own token, -1 if left out
	}{
		"nothing in common": {[]Sequence{{Tokens: long, Labels: label(7)}, {Tokens: []int32{2, 3}, Labels: label(1)}}, 10, [][]int{{0, 1, 2, 3, 4, 5, 6, 7}, {8, 9}}},
		"too little":        {[]Sequence{{Tokens: long[:4], Labels: label(3)}, {Tokens: []int32{1, 2, 3, 9}, Labels: label(3)}}, 8, [][]int{{0, 1, 2, 3}, {4, 5, 6, 7}}},
		"enough":            {[]Sequence{{Tokens: long[:5], Labels: label(4)}, {Tokens: []int32{1, 2, 3, 4, 9}, Labels: label(4)}}, 6, [][]int{{0, 1, 2, 3, 4}, {0, 1, 2, 3, 5}}},
		"contained":         {[]Sequence{{Tokens: long, Labels: label(7)}, {Tokens: long[:2], Labels: label(1)}}, 8, [][]int{{0, 1, 2, 3, 4, 5, 6, 7}, {0, 1}}},
		"continued":         {[]Sequence{{Tokens: long[:2], Labels: label(1)}, {Tokens: long, Labels: label(7)}}, 8, [][]int{{0, 1}, {0, 1, 2, 3, 4, 5, 6, 7}}},
		"other adapter":     {[]Sequence{{Tokens: long, Labels: label(7)}, {Tokens: long, Adapter: 1, Labels: label(7)}}, 16, [][]int{{0, 1, 2, 3, 4, 5, 6, 7}, {8, 9, 10, 11, 12, 13, 14, 15}}},
		"tail cut":          {[]Sequence{{Tokens: long, Labels: label(2, 1)}}, 3, [][]int{{0, 1, 2, -1, -1, -1, -1, -1}}},
		"tail cut in part":  {[]Sequence{{Tokens: long, Labels: label(0)}, {Tokens: []int32{9}, Prefix: 1, PrefixLen: 3, Labels: label(0)}}, 4, [][]int{{0, 1, 2, -1, -1, -1, -1, -1}, {3}}},
		"no labels":         {[]Sequence{{Tokens: long}}, 0, [][]int{{-1, -1, -1, -1, -1, -1, -1, -1}}},
		"said, inside":      {[]Sequence{{Tokens: long, Labels: label(7)}, {Tokens: []int32{9, 8}, Prefix: 1, PrefixLen: 2, Labels: label(1)}}, 10, [][]int{{0, 1, 2, 3, 4, 5, 6, 7}, {8, 9}}},
		"said, goes on":     {[]Sequence{{Tokens: long, Labels: label(7)}, {Tokens: []int32{3, 4, 5, 6, 0}, Prefix: 1, PrefixLen: 2, Labels: label(4)}}, 9, [][]int{{0, 1, 2, 3, 4, 5, 6, 7}, {2, 3, 4, 5, 8}}},
		"said, of a prefix": {[]Sequence{{Tokens: long[:3]}, {Tokens: long[3:5], Prefix: 1}, {Tokens: long[5:], Prefix: 2, Labels: label(2)}}, 8, [][]int{{0, 1, 2}, {3, 4}, {5, 6, 7}}},
		"adapters together": {[]Sequence{{Tokens: long[:1], Labels: label(0)}, {Tokens: long[:1], Adapter: 1, Labels: label(0)}, {Tokens: long[1:2], Labels: label(0)}}, 3, [][]int{{0}, {2}, {1}}},
		"hidden states":     {[]Sequence{{Tokens: long[:2], Hidden: []float32{1, 2}, Labels: label(1)}, {Tokens: long[:2], Hidden: []float32{1, 2}, Labels: label(1)}}, 2, [][]int{{0, 1}, {0, 1}}},
		"other hidden":      {[]Sequence{{Tokens: long[:2], Hidden: []float32{1, 2}, Labels: label(1)}, {Tokens: long[:2], Hidden: []float32{1, 3}, Labels: label(1)}}, 4, [][]int{{0, 1}, {2, 3}}},
	} {
		y := newLayout(Batch{Sequences: c.seqs}, true, false)
		if y.T != c.rows {
			t.Errorf("%s: %d rows, want %d", name, y.T, c.rows)
		}
		for i, want := range c.at {
			var got []int
			for pos := range c.seqs[i].Tokens {
				got = append(got, y.row(i, pos))
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s: sequence %d has rows %v, want %v", name, i, got, want)
			}
		}
	}
}

// FuzzLayout lays out sequences over a small alphabet, so that they have much
// in common. Walking up the tree from each row must spell its sequence.
func FuzzLayout(f *testing.F) {
	f.Add([]byte("\x00\x00\x07abababa\x00\x00\x07abababb\x02\x03\x03bab"), true, false)
	f.Add([]byte("\x01\x00\x04aaaa\x03\x02\x06aabbbb\x04\x01\x05bbbbb\x00\x00\x01a"), false, true)
	f.Fuzz(func(t *testing.T, data []byte, share, all bool) {
		b, paths := fuzzBatch(data)
		if len(b.Sequences) == 0 {
			return
		}
		y := newLayout(b, share, all)
		nn.NewTree(1, 1, 2, y.nodes()) // panics unless nodes are in order
		total := 0
		for i, s := range b.Sequences {
			total += len(s.Tokens)
			needed := -1
			for _, l := range s.Labels {
				needed = max(needed, l.Pos)
			}
			for pos := range s.Tokens {
				row := y.row(i, pos)
				if row < 0 {
					if all || pos <= needed {
						t.Fatalf("sequence %d: token %d was left out", i, pos)
					}
					continue
				}
				want := paths[i][:len(paths[i])-len(s.Tokens)+pos+1]
				if got := y.spell(row); !slices.Equal(got, want) {
					t.Fatalf("sequence %d: row %d of token %d spells %v, want %v", i, row, pos, got, want)
				}
			}
		}
		if y.T > total {
			t.Errorf("%d rows for %d tokens", y.T, total)
		}
	})
}

// fuzzBatch reads sequences, and also returns them written out.
func fuzzBatch(data []byte) (b Batch, paths [][]int32) {
	for len(data) >= 3 && len(b.Sequences) < 40 {
		head, n := data[:3], min(1+int(data[2])%31, len(data)-3)
		if n == 0 {
			break
		}
		s := Sequence{Adapter: int(head[0]&1) - 1}
		var path []int32
		if j := int(head[0]>>1) % (len(b.Sequences) + 1); j > 0 {
			parent := b.Sequences[j-1]
			s.Adapter, s.Prefix, s.PrefixLen = parent.Adapter, j, int(head[1])%(len(parent.Tokens)+1)
			path = slices.Clone(paths[j-1][:len(paths[j-1])-len(parent.Tokens)+prefixLen(s, parent)])
		}
		for _, c := range data[3:][:n] {
			s.Tokens = append(s.Tokens, int32(c&3))
		}
		if head[1]&3 > 0 {
			s.Labels = []Label{{Pos: int(head[1]>>2) % n}}
		}
		b.Sequences, paths = append(b.Sequences, s), append(paths, append(path, s.Tokens...))
		data = data[3+n:]
	}
	return b, paths
}

// spell returns the tokens that lead to a row.
func (y *layout) spell(row int) []int32 {
	for _, r := range y.runs {
		if row < r.at || row >= r.at+r.need {
			continue
		}
		var path []int32
		for up := r.parent; up != nil; up = up.parent {
			path = slices.Concat(up.tokens, path)
		}
		return append(path, r.tokens[:row-r.at+1]...)
	}
	return nil
}
