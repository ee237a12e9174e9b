package report

import (
	"github.com/code2lora/code2lora/internal/repopeft"
	"github.com/code2lora/code2lora/internal/stats"
)

// shortTarget is the least number of bytes of a target that isn't short. What is
// shorter is mostly digits, which a base can guess.
const shortTarget = 4

// shortness is the bucket of a task by its target.
func shortness(s *repopeft.Score) string {
	if s.TargetBytes < shortTarget {
		return "less than 4 bytes"
	}
	return "4 bytes or more"
}

// distinct is a table in which the tasks of a repository that have the same
// target count once. It is left out where scores don't tell.
func (b *builder) distinct(c *condition, s *suite) {
	for _, task := range s.tasks {
		if task.TargetDigest == "" {
			b.doc.text("%s: there is no table of distinct targets, as some scores have no digests of them: score the runs again.", s.name)
			return
		}
	}
	t := &table{ID: c.id + s.id + "-distinct", Caption: s.name + ": exact match in %, each different target of a repository once", Folded: true,
		Columns: []column{{Name: "method", Text: true}, {Name: "level", Text: true}, {Name: "tasks"}, {Name: "all tasks", CSV: []string{"exact"}},
			{Name: "distinct targets", CSV: []string{"targets"}}, {Name: "exact match of distinct targets", CSV: intervalColumns("exact_distinct")},
			{Name: "of those, less than 4 bytes", CSV: []string{"short", "short_n"}}, {Name: "4 bytes or more", CSV: append(intervalColumns("long"), "long_n")}},
		Notes: []string{"Tasks with the same target count as one, whose figure is their average. White space in targets makes no difference."}}
	for _, e := range s.entries {
		m, _ := mean(e.scores, exact)
		all := once(e.scores, func(*repopeft.Score) bool { return true })
		short := stats.Mean(once(e.scores, func(s *repopeft.Score) bool { return s.TargetBytes < shortTarget }), b.Stats)
		long := stats.Mean(once(e.scores, func(s *repopeft.Score) bool { return s.TargetBytes >= shortTarget }), b.Stats)
		longCell := intervalCell(long, 100, percent)
		longCell.Values = append(longCell.Values, long.N)
		t.Rows = append(t.Rows, tableRow{Runs: e.numbers(), Cells: []cell{e.cell(s), {Text: e.level}, countCell(len(e.scores)),
			{Text: number(100*m, 1), Values: []any{m}}, countCell(len(all)), intervalCell(stats.Mean(all, b.Stats), 100, percent),
			{Text: number(100*short.Mean, 1), Values: []any{short.Mean, short.N}}, longCell}})
	}
	b.doc.table(t)
}

// once averages exact match over the scores with the same target in the same
// repository, of those that f chooses.
func once(scores []*repopeft.Score, f func(*repopeft.Score) bool) []stats.Value {
	type target struct{ repository, digest string }
	at := map[target]int{}
	var all []stats.Value
	var n []float64
	for _, s := range scores {
		if !f(s) {
			continue
		}
		key := target{s.Repository, s.TargetDigest}
		i, ok := at[key]
		if !ok {
			i = len(all)
			at[key] = i
			all, n = append(all, stats.Value{Cluster: s.Repository}), append(n, 0)
		}
		all[i].X += exact(s)
		n[i]++
	}
	for i := range all {
		all[i].X /= n[i]
	}
	return all
}
