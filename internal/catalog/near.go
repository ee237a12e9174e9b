package catalog

import (
	"slices"
	"strings"
)

// nearest returns the names that the user may have meant, nearest first: those
// that contain what was typed, or differ in few letters. Case, and the
// characters that separate the words of a name, don't count.
func nearest(typed string, names []string) []string {
	type candidate struct {
		name string
		d    int
	}
	var near []candidate
	t := squash(typed)
	if t == "" || len(t) > 100 {
		return nil
	}
	for _, name := range names {
		n := squash(name)
		d := editDistance(t, n)
		switch {
		case len(t) >= 3 && (strings.Contains(n, t) || strings.Contains(t, n)):
			near = append(near, candidate{name, min(d, 1)})
		case d <= 1+len(n)/4:
			near = append(near, candidate{name, d})
		}
	}
	slices.SortStableFunc(near, func(a, b candidate) int { return a.d - b.d })
	list := make([]string, len(near))
	for i, c := range near {
		list[i] = c.name
	}
	return list
}

func squash(s string) string {
	return strings.NewReplacer(".", "", "-", "", "_", "", "/", "", ":", "", " ", "").Replace(strings.ToLower(s))
}

// editDistance is the least number of bytes to insert, delete or replace to get
// from a to b (Levenshtein).
func editDistance(a, b string) int {
	row := make([]int, len(b)+1) // distances of a[:i] to each b[:j]
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
