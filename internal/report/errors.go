package report

import (
	"slices"

	"github.com/code2lora/code2lora/internal/metric"
)

// errorClasses says in which way wrong answers are wrong.
func (b *builder) errorClasses(level int, c *condition, suites []*suite) error {
	b.doc.section(level, c.id+"errors", "Errors")
	b.doc.text("Shares of the wrong answers in %%, by the first rule that fires; the columns are in the order of the rules.")
	for _, s := range suites {
		columns := slices.Clone(metric.ErrorClasses)
		for _, e := range s.entries {
			for _, score := range e.scores {
				if !score.Exact && !slices.Contains(columns, score.Error) {
					columns = append(columns, score.Error)
				}
			}
		}
		slices.Sort(columns[len(metric.ErrorClasses):])
		t := &table{ID: c.id + s.id + "-errors", Caption: s.name, Columns: []column{{Name: "method", Text: true}, {Name: "level", Text: true}, {Name: "n"}, {Name: "wrong"}}}
		for _, name := range columns {
			if name == "" {
				name = "not classified"
			}
			t.Columns = append(t.Columns, column{Name: name})
		}
		for _, e := range s.entries {
			counts, wrong := map[string]int{}, 0
			for _, score := range e.scores {
				if !score.Exact {
					counts[score.Error]++
					wrong++
				}
			}
			row := tableRow{Runs: e.numbers(), Cells: []cell{e.cell(s), {Text: e.level}, countCell(len(e.scores)), countCell(wrong)}}
			for _, name := range columns {
				row.Cells = append(row.Cells, shareCell(float64(counts[name])/float64(wrong)))
			}
			t.Rows = append(t.Rows, row)
		}
		b.doc.table(t)
	}
	return nil
}
