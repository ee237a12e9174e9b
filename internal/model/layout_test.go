package model

import (
	"slices"
	"testing"
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
