package report

import (
	"fmt"
	"image/color"
	"math"
	"math/bits"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"github.com/code2lora/code2lora/internal/curves"
	"github.com/code2lora/code2lora/internal/repopeft"
	"github.com/code2lora/code2lora/internal/stats"
)

// Bin is a range of distances from the anchor, in kept commits.
type Bin struct {
	From int `json:"from"`
	To   int `json:"to"` // inclusive
}

// String names a bin.
func (b Bin) String() string {
	if b.From == b.To {
		return fmt.Sprint(b.From)
	}
	return fmt.Sprintf("%d–%d", b.From, b.To)
}

// DistanceBin returns the bin of a distance: 0, 1, 2 and 3, 4 to 7, and so on,
// each twice as wide as the one before. As few repositories have a long history,
// bins of equal width would be empty where they matter.
func DistanceBin(distance int) Bin {
	if distance <= 0 {
		return Bin{}
	}
	from := 1 << (bits.Len(uint(distance)) - 1)
	return Bin{from, 2*from - 1}
}

// Distances are what adapters are worth at each distance from the anchor.
type Distances struct {
	Suite   string           `json:"suite"`
	Level   string           `json:"level"`
	Bins    []Bin            `json:"bins"`
	Methods []DistanceMethod `json:"methods"`
}

// DistanceMethod is a method of Distances, with an interval for each bin.
type DistanceMethod struct {
	Name         string           `json:"name"`
	Spec         string           `json:"spec"`
	Exact        []stats.Interval `json:"exact"`         // exact match, a share
	CrossEntropy []stats.Interval `json:"cross_entropy"` // nats per token of the target
	// MinusStale is the difference in exact match from the adapter of the anchor,
	// on the tasks that both have; nil of that one and where there is none.
	MinusStale []stats.Interval `json:"minus_stale,omitempty"`

	drawn bool // in the figure, too
}

// distances has exact match against the distance from the anchor.
func (b *builder) distances(level int, c *condition, suites []*suite) error {
	begun := false
	for _, s := range suites {
		bins := binsOf(s)
		if len(bins) < 2 {
			continue // of the static track, or of commits that nobody has counted
		}
		if !begun {
			begun = true
			b.doc.section(level, c.id+"distance", "Distance from the anchor")
			b.doc.text("Exact match in %% by how many commits with tasks a repository has had since its anchor, the first of them, where a stale adapter was made and states begin. " +
				"Intervals draw repositories, which are others in each column: far ones are those with long histories. Differences from the stale adapter are paired by task.")
		}
		for _, l := range s.levels() {
			if err := b.distance(c, s, l, bins); err != nil {
				return err
			}
		}
	}
	return nil
}

// binsOf lists the bins that the tasks of a suite are in.
func binsOf(s *suite) []Bin {
	most := 0
	found := map[Bin]bool{}
	for _, t := range s.tasks {
		found[DistanceBin(t.CommitIndex)] = true
		most = max(most, t.CommitIndex)
	}
	var all []Bin
	for at := 0; at <= most; {
		bin := DistanceBin(at)
		if found[bin] {
			all = append(all, bin)
		}
		at = bin.To + 1
	}
	return all
}

// distance has the tables and the figure of a suite at a level.
func (b *builder) distance(c *condition, s *suite, level string, bins []Bin) error {
	d := Distances{Suite: s.name, Level: level, Bins: bins}
	id := c.id + s.id + "-" + level + "-by-distance"
	counts := map[Bin]int{}
	for _, t := range s.tasks {
		counts[DistanceBin(t.CommitIndex)]++
	}
	rates := &table{ID: id, Caption: s.name + ", " + level + ", by commits since the anchor", Columns: []column{{Name: "method", Text: true}}}
	gains := &table{ID: id + "-minus-stale", Caption: rates.Caption + ": points of exact match above the adapter of the anchor", Columns: []column{{Name: "method", Text: true}}}
	for _, bin := range bins {
		name := fmt.Sprintf("%s (%d)", bin, counts[bin])
		rates.Columns = append(rates.Columns, column{Name: name, CSV: intervalColumns(bin.String())})
		gains.Columns = append(gains.Columns, column{Name: name, CSV: intervalColumns(bin.String())})
	}
	stale := s.stale(level)
	f := &drawing{ID: id + "-curve", Header: []string{"method", "from", "to", "n", "repositories", "exact", "exact_low", "exact_high"},
		Caption: s.name + ", " + level + ": exact match in % of adapters, and of the base, against commits with tasks since the anchor; bands are 95 % intervals over repositories."}
	for _, e := range s.at(level) {
		m := b.distanceMethod(s, e, stale, bins)
		row, gain := tableRow{Cells: []cell{e.cell(s)}, Runs: e.numbers()}, tableRow{Cells: []cell{e.cell(s)}, Runs: e.numbers()}
		for i := range bins {
			row.Cells = append(row.Cells, intervalCell(m.Exact[i], 100, percent))
			if m.MinusStale != nil {
				gain.Cells = append(gain.Cells, intervalCell(m.MinusStale[i], 100, signedPercent))
			}
			if iv := m.Exact[i]; m.drawn && iv.N > 0 {
				f.Data = append(f.Data, []any{e.label, bins[i].From, bins[i].To, iv.N, iv.Clusters, iv.Mean, iv.Low, iv.High})
			}
		}
		rates.Rows = append(rates.Rows, row)
		if m.MinusStale != nil {
			gains.Rows = append(gains.Rows, gain)
		}
		if m.drawn {
			f.Runs = append(f.Runs, e.numbers()...)
		}
		d.Methods = append(d.Methods, m)
	}
	b.doc.table(rates)
	if len(gains.Rows) > 0 {
		b.doc.table(gains)
	}
	f.JSON = d
	var err error
	if f.SVG, err = d.draw(); err != nil {
		return err
	}
	b.doc.figure(f)
	return nil
}

// stale returns the adapter of the anchor at a level, or nil.
func (su *suite) stale(level string) *entry {
	for _, e := range su.at(level) {
		if e.spec.stale() {
			return e
		}
	}
	return nil
}

func (b *builder) distanceMethod(s *suite, e, stale *entry, bins []Bin) DistanceMethod {
	m := DistanceMethod{Name: e.label, Spec: e.spec.text, drawn: e.spec.base() || e.spec.adapter()}
	for _, bin := range bins {
		var some []*repopeft.Score
		for _, score := range e.scores {
			if DistanceBin(s.tasks[score.Task].CommitIndex) == bin {
				some = append(some, score)
			}
		}
		m.Exact = append(m.Exact, stats.Mean(values(some, exact), b.Stats))
		m.CrossEntropy = append(m.CrossEntropy, stats.Mean(values(some, crossEntropy), b.Stats))
		if stale != nil && stale != e {
			m.MinusStale = append(m.MinusStale, stats.Difference(pairs(&entry{scores: some}, stale, exact), b.Stats))
		}
	}
	return m
}

// draw draws a curve with a band for each method, over bins of equal width.
func (d *Distances) draw() ([]byte, error) {
	p := newPlot("commits with tasks since the anchor", "exact match, %")
	var names []string
	for _, bin := range d.Bins {
		names = append(names, bin.String())
	}
	k := 0
	for _, m := range d.Methods {
		if !m.drawn {
			continue
		}
		if err := d.curve(p, m, colorOf(k)); err != nil {
			return nil, err
		}
		k++
	}
	p.NominalX(names...)
	p.X.Min, p.X.Max = -0.3, float64(len(names))-0.7
	p.Y.Min, p.Y.Max = max(p.Y.Min-1, 0), min(p.Y.Max+1, 100)
	p.Y.Max += 0.04 * float64(k) * (p.Y.Max - p.Y.Min) // for the legend
	p.Legend.Top, p.Legend.Left = true, false
	return svg(11*vg.Centimeter+vg.Length(k)*0.4*vg.Centimeter, p.Draw)
}

// curve draws the means of a method, and the band of its intervals.
func (d *Distances) curve(p *plot.Plot, m DistanceMethod, c color.Color) error {
	var line, low, high plotter.XYs
	for i, iv := range m.Exact {
		if iv.N == 0 {
			continue
		}
		x := float64(i)
		line = append(line, plotter.XY{X: x, Y: 100 * iv.Mean})
		if !math.IsNaN(iv.Low) && !math.IsNaN(iv.High) {
			low, high = append(low, plotter.XY{X: x, Y: 100 * iv.Low}), append(high, plotter.XY{X: x, Y: 100 * iv.High})
		}
	}
	if len(low) > 1 {
		for i := len(high) - 1; i >= 0; i-- {
			low = append(low, high[i])
		}
		band, err := plotter.NewPolygon(low)
		if err != nil {
			return err
		}
		r, g, b, _ := c.RGBA()
		band.Color, band.LineStyle.Width = color.NRGBA{uint8(r >> 8), uint8(g >> 8), uint8(b >> 8), 36}, 0
		p.Add(band)
	}
	if err := dots(p, "", line, c, draw.CircleGlyph{}); err != nil {
		return err
	}
	return curves.Line(p, shorten(m.Name, 60), line, c)
}
