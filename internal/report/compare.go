package report

import (
	"fmt"

	"github.com/code2lora/code2lora/internal/stats"
)

// pairing is a comparison of two rows, and why it is made.
type pairing struct {
	question string
	a, b     *entry
}

// pairings are the comparisons of a suite at a level.
func pairings(s *suite, level string) []pairing {
	var all []pairing
	rows := s.at(level)
	if base := s.base(level); base != nil {
		for _, e := range rows {
			if !e.spec.base() {
				all = append(all, pairing{"better than the base?", e, base})
			}
		}
	}
	for _, e := range rows {
		for _, o := range rows {
			if isControl(e.spec, o.spec) {
				all = append(all, pairing{"does own matter?", e, o})
			}
		}
	}
	for _, e := range rows {
		for _, o := range rows {
			switch kind, other := e.spec.generated(), o.spec.generated(); {
			case other == 0 && kind > 0:
				all = append(all, pairing{"better than the anchor's?", e, o})
			case other == 1 && kind > 1:
				all = append(all, pairing{"as good as a fresh one?", e, o})
			case other == 2 && kind == 3:
				all = append(all, pairing{"sums or a recurrence?", e, o})
			}
		}
	}
	for _, e := range rows {
		for _, o := range rows {
			if e.spec.adapter() && o.spec.context() && !o.spec.readsAnswer() {
				all = append(all, pairing{"adapter or retrieval?", e, o})
			}
		}
	}
	for _, e := range rows {
		for _, o := range rows {
			if e.spec.combined() && !o.spec.combined() && (o.spec.text == e.spec.parts[0].text || o.spec.text == e.spec.parts[1].text) {
				all = append(all, pairing{"better than its part?", e, o})
			}
		}
	}
	return all
}

// isControl reports whether own and control are methods that differ in whose
// adapter of a checkpoint they take, and nothing else.
func isControl(own, control spec) bool {
	if own.control() || len(own.parts) != len(control.parts) {
		return false
	}
	differ := 0
	for i, p := range own.parts {
		q := control.parts[i]
		switch {
		case p.which() != "" && q.which() != "" && p.without("which") == q.without("which"):
			if p.which() != q.which() {
				differ++
			}
		case p.text != q.text:
			return false
		}
	}
	return differ > 0
}

// comparisons has paired differences.
func (b *builder) comparisons(level int, c *condition, suites []*suite) error {
	b.doc.section(level, c.id+"comparisons", "Comparisons")
	b.doc.text("Differences A − B on the tasks that both have answered. The interval and the sign-flip test (the chance of such a difference between methods that are equal in every repository) take repositories as the unit; " +
		"Holm's correction is over each table. McNemar's test takes tasks as independent, which they are not, and is there to compare with other work. " +
		"Cohen's h: 0.2 is small, 0.5 medium, 0.8 large. The rank-biserial correlation is of cross-entropies; negative ones speak for A. p below 0.05 are bold.")
	found := false
	for _, s := range suites {
		for _, l := range s.levels() {
			found = b.comparisonTable(c, s, l) || found
		}
	}
	if !found {
		b.doc.text("There is nothing to compare: no two methods have the same suite and level.")
	}
	return nil
}

// comparisonTable has the comparisons of a suite at a level.
func (b *builder) comparisonTable(c *condition, s *suite, level string) bool {
	t := &table{ID: c.id + s.id + "-" + level + "-comparisons", Caption: s.name + ", " + level,
		Columns: []column{{Name: "question", Text: true}, {Name: "A", Text: true}, {Name: "B", Text: true}, {Name: "n"}, {Name: "repositories"},
			{Name: "exact match, points", CSV: intervalColumns("exact_difference")}, {Name: "p, sign flip", CSV: []string{"p_sign_flip"}},
			{Name: "p, Holm", CSV: []string{"p_holm"}}, {Name: "only A / only B", CSV: []string{"only_a", "only_b"}},
			{Name: "p, McNemar", CSV: []string{"p_mcnemar"}}, {Name: "Cohen's h", CSV: []string{"cohen_h"}},
			{Name: "cross-entropy", CSV: intervalColumns("cross_entropy_difference")}, {Name: "rank-biserial", CSV: []string{"rank_biserial"}}}}
	var ps []float64
	for _, p := range pairings(s, level) {
		hits := pairs(p.a, p.b, exact)
		if len(hits) == 0 {
			continue
		}
		row, signFlip := b.compare(s, p, hits)
		t.Rows = append(t.Rows, row)
		ps = append(ps, signFlip)
	}
	if len(ps) == 0 {
		return false
	}
	for i, p := range stats.Holm(ps) {
		t.Rows[i].Cells[7] = probabilityCell(p)
	}
	b.doc.table(t)
	return true
}

// compare makes the row of a comparison, with the p-value that Holm's
// correction is made of; its place is left empty.
func (b *builder) compare(s *suite, p pairing, hits []stats.Pair) (tableRow, float64) {
	d := stats.Difference(hits, b.Stats)
	signFlip := stats.SignFlip(hits, b.Stats)
	mc := stats.McNemarPairs(hits)
	var rateA, rateB float64
	for _, h := range hits {
		rateA, rateB = rateA+h.A/float64(len(hits)), rateB+h.B/float64(len(hits))
	}
	h := stats.CohenH(min(rateA, 1), min(rateB, 1))
	losses := pairs(p.a, p.b, crossEntropy)
	row := tableRow{Cells: []cell{{Text: p.question}, p.a.cell(s), p.b.cell(s), countCell(len(hits)), countCell(d.Clusters),
		intervalCell(d, 100, signedPercent), {Text: probability(signFlip), Values: []any{signFlip}}, {},
		{Text: fmt.Sprintf("%d / %d", mc.OnlyA, mc.OnlyB), Values: []any{mc.OnlyA, mc.OnlyB}}, {Text: probability(mc.Exact), Values: []any{mc.Exact}},
		{Text: signed(h, 2), Values: []any{h}}, intervalCell(stats.Difference(losses, b.Stats), 1, signedThree)}}
	rank := cell{Text: unknown}
	if len(losses) > 0 {
		r := stats.RankBiserial(losses)
		rank = cell{Text: signed(r, 2), Values: []any{r}}
	}
	row.Cells = append(row.Cells, rank)
	row.Runs = append(p.a.numbers(), p.b.numbers()...)
	return row, signFlip
}
