package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/code2lora/code2lora/internal/repopeft"
)

// dimension divides the tasks of a suite.
type dimension struct {
	id, name string
	buckets  []string
	of       func(*repopeft.Score) string
}

// mostFamilies bounds the columns of a table; rarer ones are counted together.
const mostFamilies = 8

// others is the bucket of what is rare.
const others = "others"

// breakdowns has exact match by what tasks are like.
func (b *builder) breakdowns(level int, c *condition, suites []*suite) error {
	b.doc.section(level, c.id+"breakdown", "Breakdown")
	b.doc.text("Exact match in %%, by what tasks are like; the number of tasks is in the head of each column. Kinds of tasks are suites of their own, above.")
	for _, s := range suites {
		b.distinct(c, s)
		for _, d := range dimensions(s) {
			for _, l := range s.levels() {
				b.breakdown(c, s, d, l)
			}
		}
	}
	return nil
}

// dimensions are those in which the tasks of a suite differ.
func dimensions(s *suite) []dimension {
	resolved := func(t *repopeft.Score) string {
		if t.Resolved {
			return "with"
		}
		return "without"
	}
	family := func(t *repopeft.Score) string { return t.Family }
	all := []dimension{
		{id: "target", name: "kind of target", of: func(t *repopeft.Score) string { return t.Difficulty }},
		{id: "family", name: "family", of: rare(s, family)},
		quartiles(s),
		{id: "short", name: "targets that are short", of: shortness},
		{id: "resolved", name: "dependency-resolved context", of: resolved},
		{id: "language", name: "language", of: func(t *repopeft.Score) string { return t.Language }},
	}
	for i := range all {
		d := &all[i]
		if d.buckets == nil {
			d.buckets = buckets(s, d.of)
		}
		if d.id == "target" {
			slices.SortStableFunc(d.buckets, func(a, b string) int {
				return cmp.Compare(slices.Index(repopeft.Difficulties, a), slices.Index(repopeft.Difficulties, b))
			})
		}
	}
	return slices.DeleteFunc(all, func(d dimension) bool { return len(d.buckets) < 2 })
}

// buckets lists what tasks are in, the rest last.
func buckets(s *suite, of func(*repopeft.Score) string) []string {
	var all []string
	for _, t := range s.tasks {
		if v := of(t); !slices.Contains(all, v) {
			all = append(all, v)
		}
	}
	slices.SortFunc(all, func(a, b string) int {
		return cmp.Or(cmp.Compare(oneIf(a == others), oneIf(b == others)), strings.Compare(a, b))
	})
	return all
}

// rare puts all but the largest buckets into one.
func rare(s *suite, of func(*repopeft.Score) string) func(*repopeft.Score) string {
	counts := map[string]int{}
	for _, t := range s.tasks {
		counts[of(t)]++
	}
	if len(counts) <= mostFamilies {
		return of
	}
	var names []string
	for n := range counts {
		names = append(names, n)
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(counts[b]-counts[a], strings.Compare(a, b)) })
	names = names[:mostFamilies-1]
	return func(t *repopeft.Score) string {
		if v := of(t); slices.Contains(names, v) {
			return v
		}
		return others
	}
}

// quartiles divides by the length of the target, at the quartiles of the suite.
// Equal lengths stay together, so that there may be fewer than four.
func quartiles(s *suite) dimension {
	lengths := make([]int, 0, len(s.tasks))
	for _, t := range s.tasks {
		lengths = append(lengths, t.TargetBytes)
	}
	slices.Sort(lengths)
	var ends []int // of the buckets, inclusive
	for q := 1; q <= 4; q++ {
		end := lengths[(len(lengths)*q+3)/4-1]
		if len(ends) == 0 || end > ends[len(ends)-1] {
			ends = append(ends, end)
		}
	}
	var names []string
	from := lengths[0]
	for _, end := range ends {
		if from == end {
			names = append(names, plural(end, "byte", "bytes"))
		} else {
			names = append(names, fmt.Sprintf("%d to %d bytes", from, end))
		}
		from = end + 1
	}
	return dimension{id: "length", name: "length of the target, in quarters", buckets: names, of: func(t *repopeft.Score) string {
		i, _ := slices.BinarySearch(ends, t.TargetBytes)
		return names[i]
	}}
}

// breakdown is the table of a dimension at a level.
func (b *builder) breakdown(c *condition, s *suite, d dimension, level string) {
	t := &table{ID: c.id + s.id + "-" + level + "-by-" + d.id, Caption: fmt.Sprintf("%s, %s, by %s", s.name, level, d.name), Folded: true,
		Columns: []column{{Name: "method", Text: true}}}
	counts := map[string]int{}
	for _, task := range s.tasks {
		counts[d.of(task)]++
	}
	for _, name := range d.buckets {
		shown := name
		if shown == "" {
			shown = "none"
		}
		t.Columns = append(t.Columns, column{Name: fmt.Sprintf("%s (%d)", shown, counts[name]), CSV: []string{shown, shown + " n"}})
	}
	for _, e := range s.at(level) {
		row := tableRow{Cells: []cell{e.cell(s)}, Runs: e.numbers()}
		in := map[string][]*repopeft.Score{}
		for _, score := range e.scores {
			name := d.of(s.tasks[score.Task])
			in[name] = append(in[name], score)
		}
		for _, name := range d.buckets {
			m, n := mean(in[name], exact)
			one := cell{Text: number(100*m, 1), Values: []any{m, n}}
			if n != counts[name] && n > 0 {
				one.Note = fmt.Sprintf("n=%d", n)
			}
			row.Cells = append(row.Cells, one)
		}
		t.Rows = append(t.Rows, row)
	}
	b.doc.table(t)
}
