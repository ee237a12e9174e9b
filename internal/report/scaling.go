package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/stat"

	"github.com/code2lora/code2lora/internal/repopeft"
	"github.com/code2lora/code2lora/internal/stats"
)

// scalingPoint is a run of a method made from N repositories.
type scalingPoint struct {
	n   int
	run *run
}

// scalingRuns reads the runs of the scaling curve, and checks that they can
// make one.
func (b *builder) scalingRuns(rd *reader) ([]scalingPoint, error) {
	var all []scalingPoint
	for _, p := range b.Scaling {
		if p.Repositories < 0 {
			return nil, fmt.Errorf("scaling: %d repositories: want 0 or more", p.Repositories)
		}
		r, err := rd.run(p.Run)
		if err != nil {
			return nil, fmt.Errorf("scaling: %w", err)
		}
		all = append(all, scalingPoint{p.Repositories, r})
	}
	for _, p := range all {
		o := all[0].run.info
		if i := p.run.info; i.Benchmark != o.Benchmark || i.BaseSHA256 != o.BaseSHA256 || i.Precision != o.Precision {
			return nil, fmt.Errorf("scaling: %s is of base %s in %s on benchmark %s, %s of %s in %s on %s: one curve has one of each",
				all[0].run.dir, o.Base, o.Precision, short(o.Benchmark), p.run.dir, i.Base, i.Precision, short(i.Benchmark))
		}
	}
	slices.SortStableFunc(all, func(a, b scalingPoint) int { return cmp.Compare(a.n, b.n) })
	return all, nil
}

// scaled is a point of a curve: exact match on the tasks that all its points
// have.
type scaled struct {
	n     int
	run   *run
	exact stats.Interval // shares
}

// scalingCurve is a suite at a level.
type scalingCurve struct {
	name, level string
	order       int
	test        bool
	tasks       int
	points      []scaled
}

// scaling has the curve of exact match against training repositories.
func (b *builder) scaling(points []scalingPoint) error {
	if len(points) == 0 {
		return nil
	}
	b.doc.section(2, "scaling", "Training repositories")
	b.doc.text("Exact match on the tasks that all points of a curve have. Fits are least squares on the points above 0 repositories: " +
		"exact match in %% = a ln N + b, and error in %% = c N^α, fitted as its logarithm; R² is that of the fit, in logarithms for the second.")
	curves := scalingCurves(points, b.Stats)
	if len(curves) == 0 {
		b.doc.text("The runs have no tasks in common.")
	}
	for i, c := range curves {
		b.scalingCurve(fmt.Sprintf("scaling-%d", i+1), c)
		if err := b.scalingFigure(fmt.Sprintf("scaling-%d-curve", i+1), c); err != nil {
			return err
		}
	}
	return nil
}

// scalingCurves divides runs into curves.
func scalingCurves(points []scalingPoint, o stats.Options) []scalingCurve {
	var levels []string
	for _, p := range points {
		if l := p.run.info.Level; !slices.Contains(levels, l) && !p.run.spec.levelless() {
			levels = append(levels, l)
		}
	}
	if len(levels) == 0 {
		levels = []string{points[0].run.info.Level}
	}
	slices.SortFunc(levels, func(a, b string) int { return cmp.Or(cmp.Compare(levelOrder(a), levelOrder(b)), cmp.Compare(a, b)) })
	var all []scalingCurve
	for _, level := range levels {
		var of []scalingPoint
		for _, p := range points {
			if p.run.info.Level == level || p.run.spec.levelless() {
				of = append(of, p)
			}
		}
		all = append(all, levelCurves(of, level, o)...)
	}
	slices.SortStableFunc(all, func(a, b scalingCurve) int {
		return cmp.Or(cmp.Compare(oneIf(b.test), oneIf(a.test)), cmp.Compare(a.order, b.order), cmp.Compare(a.name, b.name))
	})
	return all
}

// levelCurves makes a curve of each suite.
func levelCurves(points []scalingPoint, level string, o stats.Options) []scalingCurve {
	seen := map[string]int{} // in how many points a task is
	suites := map[string]*scalingCurve{}
	for _, p := range points {
		for _, s := range p.run.scores {
			seen[s.Task]++
		}
	}
	of := func(s *repopeft.Score) string { _, name, _, _ := classify(s); return name }
	for _, p := range points {
		in := map[string][]*repopeft.Score{}
		for _, s := range p.run.scores {
			if seen[s.Task] == len(points) {
				in[of(s)] = append(in[of(s)], s)
			}
		}
		for name, scores := range in {
			c := suites[name]
			if c == nil {
				c = &scalingCurve{name: name, level: level, tasks: len(scores)}
				_, _, c.order, c.test = classify(scores[0])
				suites[name] = c
			}
			c.points = append(c.points, scaled{p.n, p.run, stats.Mean(values(scores, exact), o)})
		}
	}
	var all []scalingCurve
	for _, c := range suites {
		all = append(all, *c)
	}
	slices.SortFunc(all, func(a, b scalingCurve) int { return cmp.Compare(a.name, b.name) })
	return all
}

// title names a curve.
func (c scalingCurve) title() string {
	use := ""
	if !c.test {
		use = " (tuning)"
	}
	return fmt.Sprintf("%s, %s%s, %s", c.name, c.level, use, tasks(c.tasks))
}

// scalingCurve is the table of a curve, with its fits.
func (b *builder) scalingCurve(id string, c scalingCurve) {
	t := &table{ID: id, Caption: c.title(), Columns: []column{{Name: "training repositories"}, {Name: "method", Text: true}, {Name: "n"},
		{Name: "exact match, %", CSV: intervalColumns("exact")}}}
	for _, p := range c.points {
		row := tableRow{Cells: []cell{countCell(p.n), {Text: p.run.label, Note: p.run.left}, countCell(p.exact.N), intervalCell(p.exact, 100, percent)}, Runs: []int{p.run.number}}
		t.Rows = append(t.Rows, row)
	}
	if log, power, ok := c.fits(); ok {
		t.Notes = append(t.Notes, fmt.Sprintf("Exact match = %s ln N %s %s, R² %s.", number(log.slope, 2), sign(log.start), number(math.Abs(log.start), 1), number(log.r2, 3)))
		if !math.IsNaN(power.slope) {
			t.Notes = append(t.Notes, fmt.Sprintf("Error = %s N^(%s), R² %s.", number(math.Exp(power.start), 1), number(power.slope, 3), number(power.r2, 3)))
		}
	} else {
		t.Notes = append(t.Notes, "No fit: that needs three numbers of repositories above 0.")
	}
	b.doc.table(t)
}

func sign(x float64) string {
	if x < 0 {
		return "−"
	}
	return "+"
}

// fit is a straight line and how much of the variance it explains.
type fit struct{ start, slope, r2 float64 }

// fits returns the two fits of a curve, in percent; ok is false where there are
// too few points. The power law is NaN where nothing is wrong any more.
func (c scalingCurve) fits() (log, power fit, ok bool) {
	var x, hit, wrong []float64
	distinct := map[int]bool{}
	for _, p := range c.points {
		if p.n > 0 {
			distinct[p.n] = true
			x = append(x, math.Log(float64(p.n)))
			hit = append(hit, 100*p.exact.Mean)
			wrong = append(wrong, math.Log(100-100*p.exact.Mean))
		}
	}
	if len(distinct) < 3 {
		return log, power, false
	}
	line := func(y []float64) fit {
		if slices.ContainsFunc(y, func(v float64) bool { return math.IsInf(v, 0) }) {
			return fit{math.NaN(), math.NaN(), math.NaN()}
		}
		start, slope := stat.LinearRegression(x, y, nil, false)
		return fit{start, slope, stat.RSquared(x, y, nil, start, slope)}
	}
	return line(hit), line(wrong), true
}

// scalingFigure draws a curve.
func (b *builder) scalingFigure(id string, c scalingCurve) error {
	f := &drawing{ID: id, Caption: c.title() + ": exact match in % against training repositories, with 95 % intervals.",
		Header: []string{"repositories", "method", "n", "exact", "exact_low", "exact_high"}}
	for _, p := range c.points {
		f.Data = append(f.Data, []any{p.n, p.run.label, p.exact.N, p.exact.Mean, p.exact.Low, p.exact.High})
		f.Runs = append(f.Runs, p.run.number)
	}
	var err error
	if f.SVG, err = growth(c); err != nil {
		return err
	}
	b.doc.figure(f)
	return nil
}
