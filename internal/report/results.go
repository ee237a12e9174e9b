package report

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/code2lora/code2lora/internal/stats"
)

// results has the tables of the paper: methods and suites.
func (b *builder) results(level int, c *condition, suites []*suite) {
	b.doc.section(level, c.id+"results", "Results")
	b.doc.text("Exact match, strict reading: the answer as it was generated, without any look at the target. " +
		"In brackets 95 %% intervals over repositories; n/a where there is one repository, which says nothing about others.")
	for _, track := range []struct{ name, of string }{{"Static track", "static"}, {"Evolution track", "evolution"}, {"Out of distribution", "ood"}} {
		var some []*suite
		for _, s := range suites {
			if strings.HasPrefix(s.id, track.of) {
				some = append(some, s)
			}
		}
		if len(some) > 0 {
			b.matrix(c.id+"matrix-"+track.of, track.name+": exact match in %", some)
		}
	}
	for _, s := range suites {
		b.doc.section(min(level+1, 4), c.id+s.id, s.name)
		b.suite(c, s)
	}
}

// matrix is a table of methods and suites at both levels.
func (b *builder) matrix(id, caption string, suites []*suite) {
	t := &table{ID: id, Caption: caption, Columns: []column{{Name: "method", Text: true}}}
	type place struct {
		s     *suite
		level string
	}
	var places []place
	for _, s := range suites {
		for _, l := range s.levels() {
			places = append(places, place{s, l})
			name := s.name + ", " + l
			t.Columns = append(t.Columns, column{Name: name, CSV: intervalColumns(name)})
		}
	}
	for _, label := range labels(suites) {
		row := tableRow{Cells: []cell{{Text: label}}}
		for _, p := range places {
			c := cell{Text: unknown}
			for _, e := range p.s.at(p.level) {
				if e.label != label {
					continue
				}
				c = intervalCell(stats.Mean(values(e.scores, exact), b.Stats), 100, percent)
				if status := e.status(p.s); status != "" {
					c.Note += " (" + status + ")"
				}
				for _, n := range e.numbers() {
					if !slices.Contains(row.Runs, n) {
						row.Runs = append(row.Runs, n)
					}
				}
			}
			row.Cells = append(row.Cells, c)
		}
		slices.Sort(row.Runs)
		t.Rows = append(t.Rows, row)
	}
	b.doc.table(t)
}

// labels lists the methods of suites in the order of their rows.
func labels(suites []*suite) []string {
	var all []*entry
	for _, s := range suites {
		for _, e := range s.entries {
			if !slices.ContainsFunc(all, func(o *entry) bool { return o.label == e.label }) {
				all = append(all, e)
			}
		}
	}
	slices.SortStableFunc(all, func(a, b *entry) int { return a.spec.order() - b.spec.order() })
	var names []string
	for _, e := range all {
		names = append(names, e.label)
	}
	return names
}

// suite is the whole table of a suite, and its figure.
func (b *builder) suite(c *condition, s *suite) {
	b.doc.text("%s of %s.", tasks(len(s.tasks)), repositories(len(s.repos)))
	t := &table{ID: c.id + s.id + "-scores", Caption: s.name + ": all measures", Columns: []column{{Name: "method", Text: true}, {Name: "level", Text: true},
		{Name: "n"}, {Name: "repositories"}, {Name: "exact match, %", CSV: intervalColumns("exact")},
		{Name: "macro exact match, %", CSV: intervalColumns("exact_macro")}, {Name: "paper's reading, % ¹", CSV: []string{"exact_paper"}},
		{Name: "edit similarity ⁴", CSV: []string{"edit_similarity"}}, {Name: "CodeBLEU ⁴", CSV: []string{"code_bleu"}},
		{Name: "token BLEU ² ⁴", CSV: []string{"token_bleu"}}, {Name: "cross-entropy ³", CSV: intervalColumns("cross_entropy")},
		{Name: "tests passed, %", CSV: []string{"passed", "passed_low", "passed_high", "passed_n"}},
		{Name: "context tokens", CSV: []string{"context_tokens"}}},
		Notes: []string{
			"¹ Exact match as the paper's code computes it. It looks at the target to shorten the answer, so it is to compare with the paper only.",
			"² What the paper's code falls back to, and most likely what its column CodeBLEU is.",
			"³ Nats per token of the target, averaged over tasks; lower is better.",
		}}
	if slices.ContainsFunc(s.entries, (*entry).cut) {
		t.Notes = append(t.Notes, "⁴ "+unknown+" of runs that were made without --texts: their wrong answers end where they were known to be wrong, "+
			"so similarities to the target are of beginnings, and not comparable with those of whole answers.")
	} else {
		for i := range t.Columns {
			t.Columns[i].Name = strings.TrimSuffix(t.Columns[i].Name, " ⁴")
		}
	}
	for _, e := range s.entries {
		t.Rows = append(t.Rows, b.scoreRow(s, e))
	}
	b.doc.table(t)
	b.forest(c.id+s.id+"-exact", s)
}

// scoreRow has all measures of a row.
func (b *builder) scoreRow(s *suite, e *entry) tableRow {
	macro := b.Stats
	macro.Average = stats.Macro
	all := values(e.scores, exact)
	plain := func(f figure, scale float64, decimals int) cell {
		m, _ := mean(e.scores, f)
		return cell{Text: number(scale*m, decimals), Values: []any{m}}
	}
	similarity := func(f figure) cell {
		if e.cut() {
			return cell{Text: unknown, Values: []any{math.NaN()}}
		}
		return plain(f, 1, 3)
	}
	micro := stats.Mean(all, b.Stats)
	row := tableRow{Runs: e.numbers(), Cells: []cell{e.cell(s), {Text: e.level}, countCell(len(e.scores)), countCell(micro.Clusters),
		intervalCell(micro, 100, percent), intervalCell(stats.Mean(all, macro), 100, percent),
		plain(exactPaper, 100, 1), similarity(edit), similarity(codeBLEU), similarity(tokenBLEU),
		intervalCell(stats.Mean(values(e.scores, crossEntropy), b.Stats), 1, three)}}
	ran := stats.Mean(values(e.scores, passed), b.Stats)
	tests := intervalCell(ran, 100, percent)
	tests.Values = append(tests.Values, ran.N)
	if ran.N > 0 {
		tests.Note += fmt.Sprintf(" n=%d", ran.N)
	}
	row.Cells = append(row.Cells, tests, plain(contextTokens, 1, 0))
	return row
}
