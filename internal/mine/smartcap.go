package mine

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/code2lora/code2lora/internal/dataset"
	"github.com/code2lora/code2lora/internal/repopeft"
)

// The caps of the paper on the tasks of a commit: so many are scored, and so
// many are trained on, with so many of a file.
const (
	paperScored       = 8
	paperTrained      = 8
	paperTrainedFile  = 4
	paperShortest     = 4 // characters of a target to train on
	paperShortBracket = 6 // below this, none that ends in ")" or begins with ","
)

// capPaper applies the paper's caps to the tasks of a commit: the smart cap to
// those that are trained on, the first ones of all others (benchmark
// specification §7.5 and §8). random is one for all commits, in their order.
func capPaper(c *repopeft.Commit, rows []row, random *pyRandom, dropped counter) []row {
	if c.Split != dataset.Train || c.InRepo != dataset.Train || c.Track == repopeft.OOD {
		dropped.add(reasonOverCommit, max(0, len(rows)-paperScored))
		return rows[:min(len(rows), paperScored)]
	}
	worthy := slices.DeleteFunc(rows, func(r row) bool { return trivial(r.task.Target) })
	dropped.add(reasonShort, len(rows)-len(worthy))
	order := smartCap(worthy, random)
	dropped.add(reasonOverCommit, len(worthy)-len(order))
	kept := make([]row, len(order))
	for i, at := range order {
		kept[i] = worthy[at]
	}
	return kept
}

// trivial is the rule for targets that aren't trained on. It also drops real
// answers such as 0, True) and [], as the paper's does.
func trivial(target string) bool {
	t := strings.TrimSpace(target)
	n := utf8.RuneCountInString(t)
	return n < paperShortest || n <= paperShortBracket && (strings.HasSuffix(t, ")") || strings.HasPrefix(t, ","))
}

// smartCap returns the indices of the rows that are taken, in order: of a file
// in turns from its functions, which are shuffled as their rows are; of all
// files in turns, which are shuffled too.
func smartCap(rows []row, random *pyRandom) []int {
	var files [][]int // the chosen rows of each
	for _, file := range group(len(rows), func(i int) string { return rows[i].task.File }) {
		shuffle(random, file)
		functions := group(len(file), func(i int) string { return rows[file[i]].task.Function })
		for _, f := range functions {
			for j := range f {
				f[j] = file[f[j]]
			}
		}
		shuffle(random, functions)
		files = append(files, inTurns(functions, paperTrainedFile))
	}
	shuffle(random, files)
	chosen := inTurns(files, paperTrained)
	slices.Sort(chosen)
	return chosen
}

// group divides 0 to n-1 by a name, in the order in which names come.
func group(n int, name func(int) string) [][]int {
	at := map[string]int{}
	var groups [][]int
	for i := range n {
		g, ok := at[name(i)]
		if !ok {
			g = len(groups)
			at[name(i)] = g
			groups = append(groups, nil)
		}
		groups[g] = append(groups[g], i)
	}
	return groups
}

func shuffle[T any](random *pyRandom, s []T) {
	random.shuffle(len(s), func(i, j int) { s[i], s[j] = s[j], s[i] })
}

// inTurns takes the last of each group in turn, up to n.
func inTurns(groups [][]int, n int) []int {
	var taken []int
	groups = slices.Clone(groups)
	for len(taken) < n && len(groups) > 0 {
		left := groups[:0]
		for _, g := range groups {
			if len(taken) < n {
				taken = append(taken, g[len(g)-1])
				g = g[:len(g)-1]
			}
			if len(g) > 0 {
				left = append(left, g)
			}
		}
		groups = left
	}
	return taken
}
