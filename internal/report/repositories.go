package report

import (
	"math"
	"slices"

	"gonum.org/v1/gonum/stat"

	"github.com/code2lora/code2lora/internal/repopeft"
)

// repositories has what each repository gains.
func (b *builder) repositories(level int, c *condition, suites []*suite) error {
	b.doc.section(level, c.id+"repositories", "Repositories")
	found := false
	for _, s := range suites {
		for _, l := range s.levels() {
			base := s.base(l)
			if base == nil {
				continue
			}
			others := slices.DeleteFunc(s.at(l), func(e *entry) bool { return e.spec.base() })
			if len(others) == 0 {
				continue
			}
			found = true
			if err := b.repositoryTable(c, s, l, base, others); err != nil {
				return err
			}
		}
	}
	if found {
		b.doc.text("Exact match of each repository, on the tasks that base and method have both answered. Median and standard deviation are over repositories.")
	} else {
		b.doc.text("Left out: the base was not run on the same suite and level as another method.")
	}
	return nil
}

// ofRepository is exact match of a repository by the base and by a method.
type ofRepository struct {
	name         string
	n            int
	base, method float64
}

// perRepository compares a method with the base, repository by repository.
func perRepository(e, base *entry, names []string) []ofRepository {
	in := map[string][2][]*repopeft.Score{}
	for _, s := range e.scores {
		if o := base.byTask[s.Task]; o != nil {
			both := in[s.Repository]
			both[0], both[1] = append(both[0], o), append(both[1], s)
			in[s.Repository] = both
		}
	}
	var all []ofRepository
	for _, name := range names {
		both, ok := in[name]
		if !ok {
			continue
		}
		r := ofRepository{name: name}
		r.base, r.n = mean(both[0], exact)
		r.method, _ = mean(both[1], exact)
		all = append(all, r)
	}
	return all
}

// repositoryTable counts the repositories that a method helps, and draws them.
func (b *builder) repositoryTable(c *condition, s *suite, level string, base *entry, methods []*entry) error {
	t := &table{ID: c.id + s.id + "-" + level + "-repositories", Caption: s.name + ", " + level,
		Columns: []column{{Name: "method", Text: true}, {Name: "repositories"}, {Name: "median, %"}, {Name: "deviation, points"}, {Name: "above base"},
			{Name: "equal"}, {Name: "below base"}, {Name: "share below, %"}, {Name: "largest loss, points"}, {Name: "largest gain, points"}}}
	f := &drawing{ID: c.id + s.id + "-" + level + "-scatter", Caption: s.name + ", " + level + ": exact match in % of each repository, method against base; below the diagonal the base is better.",
		Header: []string{"method", "repository", "n", "base", "exact"}, Runs: base.numbers()}
	var panels []panel
	for _, e := range methods {
		repos := perRepository(e, base, s.repos)
		if len(repos) == 0 {
			continue
		}
		row := repositoryRow(repos)
		row.Cells = append([]cell{e.cell(s)}, row.Cells...)
		row.Runs = append(e.numbers(), base.numbers()...)
		t.Rows = append(t.Rows, row)
		for _, r := range repos {
			f.Data = append(f.Data, []any{e.label, r.name, r.n, r.base, r.method})
		}
		for _, n := range e.numbers() {
			if !slices.Contains(f.Runs, n) {
				f.Runs = append(f.Runs, n)
			}
		}
		panels = append(panels, panel{e.label, repos})
	}
	if len(panels) == 0 {
		return nil
	}
	b.doc.table(t)
	var err error
	if f.SVG, err = scatter(panels); err != nil {
		return err
	}
	b.doc.figure(f)
	return nil
}

// repositoryRow sums up repositories.
func repositoryRow(repos []ofRepository) tableRow {
	var above, below int
	rates := make([]float64, len(repos))
	loss, gain := 0.0, 0.0
	for i, r := range repos {
		rates[i] = r.method
		switch d := r.method - r.base; {
		case d > 0:
			above++
			gain = max(gain, d)
		case d < 0:
			below++
			loss = min(loss, d)
		}
	}
	slices.Sort(rates)
	n := len(repos)
	median := (rates[(n-1)/2] + rates[n/2]) / 2
	deviation := math.NaN()
	if n > 1 {
		deviation = stat.StdDev(rates, nil)
	}
	return tableRow{Cells: []cell{countCell(n), shareCell(median), shareCell(deviation), countCell(above), countCell(n - above - below),
		countCell(below), shareCell(float64(below) / float64(n)),
		{Text: signed(100*loss, 1), Values: []any{loss}}, {Text: signed(100*gain, 1), Values: []any{gain}}}}
}
