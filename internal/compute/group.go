package compute

import (
	"cmp"
	"slices"
)

// Group deals sequences to batches so that those which begin with the same
// tokens come together, and the base computes the common part once. It returns
// the indices of each batch. A batch costs at most rows tokens, not counting
// what a sequence has in common with the one before it, or holds a single
// sequence. The order of the batches is that of their first sequences.
func Group(sequences [][]int32, rows int) [][]int {
	order := make([]int, len(sequences))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return slices.Compare(sequences[i], sequences[j]) })
	var batches [][]int
	cost := 0
	for k, i := range order {
		n := len(sequences[i])
		if k > 0 {
			n -= CommonPrefix(sequences[order[k-1]], sequences[i])
		}
		if len(batches) == 0 || cost+n > rows {
			batches, cost, n = append(batches, nil), 0, len(sequences[i])
		}
		last := &batches[len(batches)-1]
		*last, cost = append(*last, i), cost+n
	}
	for _, b := range batches {
		slices.Sort(b)
	}
	slices.SortFunc(batches, func(a, b []int) int { return cmp.Compare(a[0], b[0]) })
	return batches
}

// CommonPrefix returns how many tokens two sequences have in common at their
// beginning.
func CommonPrefix(a, b []int32) int {
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return n
}
