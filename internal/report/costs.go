package report

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/code2lora/code2lora/internal/stats"
)

// Costs says what methods cost, beside what their scores tell. It is a file,
// see docs/formats.md. What is left out is not known.
type Costs struct {
	Format     int     `json:"format"`               // 1
	Parameters float64 `json:"parameters,omitempty"` // of the base
	Note       string  `json:"note,omitempty"`       // how the numbers came about
	Methods    []Cost  `json:"methods"`
}

// Cost is what one method costs.
type Cost struct {
	Name  string `json:"name"`            // the method's spec
	Level string `json:"level,omitempty"` // of disclosure; "": each that has no entry of its own
	// AdaptSeconds and AdaptFLOP are paid once for each repository, before its
	// first query; StoredBytes are kept of it.
	AdaptSeconds *float64 `json:"adapt_seconds,omitempty"`
	AdaptFLOP    *float64 `json:"adapt_flop,omitempty"`
	StoredBytes  *float64 `json:"stored_bytes,omitempty"`
	// OnceSeconds, OnceFLOP and OnceBytes are paid once for all repositories: the
	// fit of a shared adapter, and the adapter. Left out: nothing that is counted.
	OnceSeconds *float64 `json:"once_seconds,omitempty"`
	OnceFLOP    *float64 `json:"once_flop,omitempty"`
	OnceBytes   *float64 `json:"once_bytes,omitempty"`
	// QuerySeconds and QueryFLOP are those of one answer, with the context.
	QuerySeconds *float64 `json:"query_seconds,omitempty"`
	QueryFLOP    *float64 `json:"query_flop,omitempty"`
	// ExtraTokens are those of the context; else they are taken from the scores.
	ExtraTokens *float64 `json:"extra_tokens,omitempty"`
}

// ReadCosts reads a file of costs.
func ReadCosts(path string) (*Costs, error) {
	var c Costs
	if err := readJSON(path, &c, true); err != nil {
		return nil, err
	}
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &c, nil
}

// Validate reports everything that is wrong with costs.
func (c *Costs) Validate() error {
	var errs []error
	if c.Format != 1 {
		errs = append(errs, fmt.Errorf("format %d, want 1", c.Format))
	}
	if !(c.Parameters >= 0) {
		errs = append(errs, fmt.Errorf("%g parameters: want 0 or more", c.Parameters))
	}
	for i, m := range c.Methods {
		if m.Name == "" {
			errs = append(errs, fmt.Errorf("method %d has no name", i+1))
		}
		if slices.ContainsFunc(c.Methods[:i], func(o Cost) bool { return o.Name == m.Name && o.Level == m.Level }) {
			errs = append(errs, fmt.Errorf("method %q is there twice for level %q", m.Name, m.Level))
		}
		for _, v := range []struct {
			name  string
			value *float64
		}{{"adapt_seconds", m.AdaptSeconds}, {"adapt_flop", m.AdaptFLOP}, {"stored_bytes", m.StoredBytes},
			{"once_seconds", m.OnceSeconds}, {"once_flop", m.OnceFLOP}, {"once_bytes", m.OnceBytes},
			{"query_seconds", m.QuerySeconds}, {"query_flop", m.QueryFLOP}, {"extra_tokens", m.ExtraTokens}} {
			if v.value != nil && !(*v.value >= 0) {
				errs = append(errs, fmt.Errorf("method %q: %s is %g, want 0 or more", m.Name, v.name, *v.value))
			}
		}
	}
	return errors.Join(errs...)
}

// of returns what is known about a method at a level.
func (c *Costs) of(method, level string) Cost {
	var found Cost
	if c == nil {
		return found
	}
	for _, m := range c.Methods {
		if m.Name == method && (m.Level == level || m.Level == "" && found.Level == "") {
			found = m
		}
	}
	return found
}

// known is a number that may be left out.
func known(x *float64) float64 {
	if x == nil {
		return math.NaN()
	}
	return *x
}

// price is what a row costs, with everything that can be derived.
type price struct {
	tokens                  float64 // of the context, a query
	extraFLOP               float64 // of a query, beyond the base's
	querySeconds, baseQuery float64
	adaptSeconds, adaptFLOP float64
	storedBytes             float64
	onceSeconds, onceFLOP   float64 // for all repositories together; 0 if there is nothing that is counted
}

// price returns what a row costs.
func (b *builder) price(e *entry) price {
	c, base := b.costs.of(e.spec.text, e.level), b.costs.of(baseName, e.level)
	p := price{tokens: known(c.ExtraTokens), querySeconds: known(c.QuerySeconds), baseQuery: known(base.QuerySeconds),
		adaptSeconds: known(c.AdaptSeconds), adaptFLOP: known(c.AdaptFLOP), storedBytes: known(c.StoredBytes)}
	if c.OnceSeconds != nil {
		p.onceSeconds = *c.OnceSeconds
	}
	if c.OnceFLOP != nil {
		p.onceFLOP = *c.OnceFLOP
	}
	if math.IsNaN(p.tokens) {
		p.tokens, _ = mean(e.scores, contextTokens)
	}
	p.extraFLOP = known(c.QueryFLOP) - known(base.QueryFLOP)
	if math.IsNaN(p.extraFLOP) && b.Parameters > 0 {
		p.extraFLOP = 2 * b.Parameters * p.tokens
	}
	if e.spec.base() || e.spec.context() { // nothing to adapt
		if math.IsNaN(p.adaptSeconds) {
			p.adaptSeconds = 0
		}
		if math.IsNaN(p.adaptFLOP) {
			p.adaptFLOP = 0
		}
	}
	return p
}

// costSection has tokens against accuracy, and costs.
func (b *builder) costSection(level int, c *condition, suites []*suite) error {
	b.doc.section(level, c.id+"costs", "Cost and accuracy")
	text := "Context tokens are the average of what a method put before the prefix. "
	if b.Parameters > 0 {
		text += fmt.Sprintf("Where no FLOP are given, those of a context are 2 × %s parameters × its tokens. ", quantity(b.Parameters, ""))
	}
	if b.costs != nil {
		text += "Times are multiples of the base's query on the same machine. Adaptation is of one repository, once; for retrieval it counts as nothing unless it was measured. What is paid once for all repositories, such as the fit of a shared adapter, stands apart; the training of a checkpoint isn't counted."
	}
	b.doc.text("%s", strings.TrimSpace(text))
	if b.costs != nil && b.costs.Note != "" {
		b.doc.text("On the costs: %s", b.costs.Note)
	}
	if unused := b.unusedCosts(c); len(unused) > 0 {
		b.doc.text("There are costs of methods that have no run here: %s.", strings.Join(unused, ", "))
	}
	for _, s := range suites {
		front := b.front(s)
		b.costTable(c, s, front)
		f := &drawing{ID: c.id + s.id + "-pareto", Caption: s.name + ": context tokens against exact match in %. The dashed line is the front: no method needs fewer tokens and is better.",
			Header: []string{"method", "level", "context_tokens", "exact", "front"}}
		var points []spot
		for _, l := range s.levels() {
			for _, e := range s.at(l) {
				m, _ := mean(e.scores, exact)
				p := spot{label: e.label, level: l, x: b.price(e).tokens, y: 100 * m, front: front[l][e]}
				points = append(points, p)
				f.Data = append(f.Data, []any{p.label, p.level, p.x, m, p.front})
				f.Runs = append(f.Runs, e.numbers()...)
			}
		}
		slices.Sort(f.Runs)
		f.Runs = slices.Compact(f.Runs)
		var err error
		if f.SVG, err = pareto(points, s.levels()); err != nil {
			return err
		}
		b.doc.figure(f)
		b.breakEvens(c, s)
	}
	return nil
}

// unusedCosts lists methods of the costs that no run of a condition is of.
func (b *builder) unusedCosts(c *condition) (names []string) {
	if b.costs == nil {
		return nil
	}
	for _, m := range b.costs.Methods {
		if !slices.ContainsFunc(c.runs, func(r *run) bool { return r.info.Method == m.Name }) && !slices.Contains(names, m.Name) {
			names = append(names, m.Name)
		}
	}
	return names
}

// front finds the rows of each level that no other one beats in tokens without
// being worse, or in accuracy without being longer.
func (b *builder) front(s *suite) map[string]map[*entry]bool {
	front := map[string]map[*entry]bool{}
	for _, level := range s.levels() {
		front[level] = map[*entry]bool{}
		rows := slices.DeleteFunc(s.at(level), func(e *entry) bool { return e.spec.readsAnswer() })
		for _, e := range rows {
			x := b.price(e).tokens
			y, _ := mean(e.scores, exact)
			beaten := slices.ContainsFunc(rows, func(o *entry) bool {
				ox := b.price(o).tokens
				oy, _ := mean(o.scores, exact)
				return ox <= x && oy >= y && (ox < x || oy > y)
			})
			front[level][e] = !beaten
		}
	}
	return front
}

// costTable has the costs of a suite.
func (b *builder) costTable(c *condition, s *suite, front map[string]map[*entry]bool) {
	t := &table{ID: c.id + s.id + "-costs", Caption: s.name + ": costs", Columns: []column{{Name: "method", Text: true}, {Name: "level", Text: true},
		{Name: "exact match, %", CSV: intervalColumns("exact")}, {Name: "context tokens", CSV: []string{"context_tokens"}}, {Name: "on the front of", Text: true},
		{Name: "FLOP a query, beyond base", CSV: []string{"extra_flop"}}, {Name: "query time, of base's", CSV: []string{"query_time"}},
		{Name: "adaptation, FLOP", CSV: []string{"adapt_flop"}}, {Name: "adaptation, in queries of base", CSV: []string{"adapt_time"}},
		{Name: "once for all repositories, FLOP", CSV: []string{"once_flop"}},
		{Name: "stored bytes", CSV: []string{"stored_bytes"}}}}
	for _, e := range s.entries {
		p := b.price(e)
		once := cell{Text: "–", Values: []any{p.onceFLOP}}
		if p.onceFLOP > 0 {
			once.Text = quantity(p.onceFLOP, "")
		}
		var at []string
		for _, l := range s.levels() {
			if front[l][e] {
				at = append(at, l)
			}
		}
		query, adapt := p.querySeconds/p.baseQuery, p.adaptSeconds/p.baseQuery
		t.Rows = append(t.Rows, tableRow{Runs: e.numbers(), Cells: []cell{e.cell(s), {Text: e.level},
			intervalCell(stats.Mean(values(e.scores, exact), b.Stats), 100, percent), numberCell(p.tokens, 0), {Text: strings.Join(at, ", ")},
			{Text: quantity(p.extraFLOP, ""), Values: []any{p.extraFLOP}}, {Text: times(query), Values: []any{query}},
			{Text: quantity(p.adaptFLOP, ""), Values: []any{p.adaptFLOP}}, {Text: times(adapt), Values: []any{adapt}},
			once, {Text: quantity(p.storedBytes, "B"), Values: []any{p.storedBytes}}}})
	}
	b.doc.table(t)
}

// breakEvens says when adapters have paid for themselves.
func (b *builder) breakEvens(c *condition, s *suite) {
	if b.costs == nil {
		return
	}
	t := &table{ID: c.id + s.id + "-break-even", Caption: s.name + ": queries to one repository after which an adapter has cost less than retrieval; where it was fitted once for all repositories, queries to all of them together",
		Columns: []column{{Name: "adapter", Text: true}, {Name: "retrieval", Text: true}, {Name: "level", Text: true},
			{Name: "exact match, points", CSV: intervalColumns("exact_difference")}, {Name: "in FLOP", CSV: []string{"queries_flop", "flop"}},
			{Name: "in time", CSV: []string{"queries_time", "time"}}}}
	for _, level := range s.levels() {
		for _, p := range pairings(s, level) {
			if !p.a.spec.adapter() || !p.b.spec.context() {
				continue
			}
			x, y := b.price(p.a), b.price(p.b)
			t.Rows = append(t.Rows, tableRow{Runs: append(p.a.numbers(), p.b.numbers()...), Cells: []cell{{Text: p.a.label}, {Text: p.b.label}, {Text: level},
				intervalCell(stats.Difference(pairs(p.a, p.b, exact), b.Stats), 100, signedPercent),
				breakEvenCell(x.adaptFLOP+x.onceFLOP-y.adaptFLOP, y.extraFLOP-x.extraFLOP),
				breakEvenCell(x.adaptSeconds+x.onceSeconds-y.adaptSeconds, y.querySeconds-x.querySeconds)}})
		}
	}
	if len(t.Rows) > 0 {
		b.doc.table(t)
	}
}

// breakEvenCell says after how many queries what is paid more before the first
// is saved, where each query saves the given amount.
func breakEvenCell(more, saved float64) cell {
	switch {
	case math.IsNaN(more) || math.IsNaN(saved):
		return cell{Text: unknown, Values: []any{math.NaN(), "unknown"}}
	case more <= 0 && saved >= 0:
		return cell{Text: "at once", Values: []any{0, "at once"}}
	case saved <= 0 && more >= 0:
		return cell{Text: "never", Values: []any{math.NaN(), "never"}}
	case more < 0: // cheaper until its dearer queries have used that up
		n := math.Floor(more / saved)
		return cell{Text: fmt.Sprintf("only up to %.0f", n), Values: []any{n, "only up to"}}
	}
	n := math.Ceil(more / saved)
	return cell{Text: fmt.Sprintf("%.0f", n), Values: []any{n, "after"}}
}
