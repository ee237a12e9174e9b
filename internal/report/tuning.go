package report

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// grid is the record of a search for settings, as "code2lora tune" writes it.
type grid struct {
	Points []struct {
		Name       string `json:"name"`
		Validation struct {
			Tasks        int     `json:"tasks"`
			ExactMatch   float64 `json:"exact_match"`
			CrossEntropy float64 `json:"cross_entropy"`
		} `json:"validation"`
		Error        string                 `json:"error"`
		Repositories []struct{ Dir string } `json:"repositories"`
	} `json:"points"`
	Best       *int   `json:"best"`
	SelectedBy string `json:"selected_by"`
}

// readGrid reads the record of a search.
func readGrid(path string) (*grid, error) {
	var g grid
	if err := readJSON(path, &g, false); err != nil {
		return nil, err
	}
	if len(g.Points) == 0 || g.Best == nil {
		return nil, fmt.Errorf("%s: not a record of a grid: it has no points, or no best", path)
	}
	if *g.Best < -1 || *g.Best >= len(g.Points) {
		return nil, fmt.Errorf("%s: best is point %d of %d", path, *g.Best, len(g.Points))
	}
	return &g, nil
}

// tuning has what settings were chosen by, apart from all test results.
func (b *builder) tuning(conditions []*condition) error {
	var suites []*suite
	for _, c := range conditions {
		suites = append(suites, c.suites(false)...)
	}
	if len(b.Grids)+len(suites) == 0 {
		return nil
	}
	b.doc.section(2, "tuning", "Tuning")
	b.doc.text("What settings were chosen by: tasks of validation repositories, and other tasks that are no test. Nothing in this section is a result.")
	for i, path := range b.Grids {
		g, err := readGrid(path)
		if err != nil {
			return err
		}
		if err := b.read("grid", path); err != nil {
			return err
		}
		b.grid(fmt.Sprintf("grid-%d", i+1), path, g)
	}
	for _, c := range conditions {
		tested := map[string]bool{} // specs that have test results
		for _, s := range c.suites(true) {
			for _, e := range s.entries {
				tested[e.spec.text] = true
			}
		}
		for _, s := range c.suites(false) {
			b.validation(c, s, tested, len(conditions) > 1)
		}
	}
	return nil
}

// grid is the table of a search.
func (b *builder) grid(id, path string, g *grid) {
	name := filepath.Base(filepath.Dir(path))
	if name == "." || name == string(filepath.Separator) {
		name = filepath.Base(path)
	}
	by := strings.ReplaceAll(g.SelectedBy, "_", " ")
	if by == "" {
		by = "a criterion that the record doesn't name"
	}
	t := &table{ID: id, Caption: fmt.Sprintf("Grid %s: %s, chosen by %s", name, plural(len(g.Points), "point", "points"), by),
		Columns: []column{{Name: "point", Text: true}, {Name: "validation tasks"}, {Name: "exact match, %", CSV: []string{"exact"}},
			{Name: "cross-entropy", CSV: []string{"cross_entropy"}}, {Name: "chosen", Text: true}, {Name: "failed because", Text: true}}}
	for i, p := range g.Points {
		row := tableRow{Cells: []cell{{Text: p.Name, Strong: i == *g.Best}, countCell(p.Validation.Tasks), shareCell(p.Validation.ExactMatch), numberCell(p.Validation.CrossEntropy, 3), {}, {Text: p.Error}}}
		if p.Error != "" {
			row.Cells[1], row.Cells[2], row.Cells[3] = cell{Text: unknown}, cell{Text: unknown, Values: []any{""}}, cell{Text: unknown, Values: []any{""}}
		}
		if i == *g.Best {
			row.Cells[4].Text = "yes"
		}
		t.Rows = append(t.Rows, row)
	}
	if *g.Best < 0 {
		t.Notes = append(t.Notes, "All points failed, so none was chosen.")
	}
	b.doc.table(t)
}

// validation is a suite that settings are chosen by.
func (b *builder) validation(c *condition, s *suite, tested map[string]bool, several bool) {
	title := s.name
	if several {
		title += " (" + c.name() + ")"
	}
	t := &table{ID: c.id + s.id, Caption: fmt.Sprintf("%s: %s of %s", title, tasks(len(s.tasks)), repositories(len(s.repos))),
		Columns: []column{{Name: "method", Text: true}, {Name: "level", Text: true}, {Name: "n"}, {Name: "repositories"},
			{Name: "exact match, %", CSV: intervalColumns("exact")}, {Name: "macro exact match, %", CSV: intervalColumns("exact_macro")},
			{Name: "cross-entropy", CSV: intervalColumns("cross_entropy")}, {Name: "context tokens", CSV: []string{"context_tokens"}},
			{Name: "has test results", Text: true}}}
	for _, e := range s.entries {
		row := b.scoreRow(s, e)
		used := "no"
		if tested[e.spec.text] {
			used = "yes"
		}
		row.Cells = append(slices.Clone(row.Cells[:6]), row.Cells[10], row.Cells[12], cell{Text: used, Strong: used == "yes"})
		t.Rows = append(t.Rows, row)
	}
	b.doc.table(t)
}
