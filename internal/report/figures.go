package report

import (
	"bytes"
	"cmp"
	"fmt"
	"image/color"
	"math"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"github.com/code2lora/code2lora/internal/curves"
	"github.com/code2lora/code2lora/internal/stats"
)

// width of all figures.
const width = 24 * vg.Centimeter

// newPlot returns a plot without a background, which is the page's, in letters
// without serifs.
func newPlot(x, y string) *plot.Plot {
	p := plot.New()
	p.BackgroundColor = nil
	p.X.Label.Text, p.Y.Label.Text = x, y
	p.X.Tick.Marker, p.Y.Tick.Marker = plot.TickerFunc(ticks), plot.TickerFunc(ticks)
	for _, s := range []*text.Style{&p.Title.TextStyle, &p.X.Label.TextStyle, &p.Y.Label.TextStyle, &p.X.Tick.Label, &p.Y.Tick.Label, &p.Legend.TextStyle} {
		s.Font = font.From(sans, s.Font.Size)
	}
	p.Title.TextStyle.Font.Size, p.Legend.TextStyle.Font.Size = 10, 10
	p.X.Label.TextStyle.Font.Size, p.Y.Label.TextStyle.Font.Size = 10, 10
	p.Legend.Padding = vg.Points(2)
	p.X.Tick.Label.Font.Size, p.Y.Tick.Label.Font.Size = 9, 9
	return p
}

// ticks marks round numbers, as many as fit.
func ticks(low, high float64) []plot.Tick {
	if !(high > low) {
		return []plot.Tick{{Value: low, Label: fmt.Sprintf("%g", low)}}
	}
	step := math.Pow(10, math.Floor(math.Log10((high-low)/4)))
	for _, m := range []float64{5, 2} {
		if (high-low)/(m*step) >= 4 {
			step *= m
			break
		}
	}
	var all []plot.Tick
	for i := math.Ceil(low/step-1e-9) + 0; i*step <= high+1e-9*step; i++ {
		all = append(all, plot.Tick{Value: i * step, Label: fmt.Sprintf("%.6g", i*step)})
	}
	return all
}

var sans = font.Font{Typeface: "Liberation", Variant: "Sans"}

// svg draws on a canvas of the given height.
func svg(height vg.Length, paint func(draw.Canvas)) ([]byte, error) {
	out, canvas := curves.SVG(width, height)
	const margin = 0.15 * vg.Centimeter
	paint(draw.Crop(canvas, margin, -4*margin, margin, -2*margin))
	var b bytes.Buffer
	_, err := out.WriteTo(&b)
	// Fonts of the same widths, which more machines have, and any without serifs.
	family := []byte("font-family:Liberation Sans")
	return bytes.ReplaceAll(b.Bytes(), append(family, ';'), append(family, ",Arial,Helvetica,sans-serif;"...)), err
}

// colorOf is that of a level, or of anything else by number.
func colorOf(i int) color.Color { return curves.Colors[i%len(curves.Colors)] }

// dots are points of one colour, with an entry of the legend if they have a
// name.
func dots(p *plot.Plot, name string, xys plotter.XYs, c color.Color, shape draw.GlyphDrawer) error {
	if len(xys) == 0 {
		return nil
	}
	s, err := plotter.NewScatter(xys)
	if err != nil {
		return err
	}
	s.Color, s.Radius, s.Shape = c, vg.Points(2.5), shape
	p.Add(s)
	if name != "" {
		p.Legend.Add(name, s)
	}
	return nil
}

// bar is a point with an interval, of which nothing may be known.
type bar struct {
	x, y float64 // the interval is of y, unless the bars lie
	iv   stats.Interval
}

// intervals draws bars; lying ones go along x. Values are shares, drawn in
// percent.
func intervals(p *plot.Plot, name string, bars []bar, lying bool, c color.Color) error {
	var points plotter.XYs
	for _, b := range bars {
		at := plotter.XY{X: b.x, Y: b.y}
		points = append(points, at)
		if math.IsNaN(b.iv.Low) || math.IsNaN(b.iv.High) {
			continue
		}
		ends := plotter.XYs{{X: b.x, Y: 100 * b.iv.Low}, {X: b.x, Y: 100 * b.iv.High}}
		if lying {
			ends = plotter.XYs{{X: 100 * b.iv.Low, Y: b.y}, {X: 100 * b.iv.High, Y: b.y}}
		}
		l, err := plotter.NewLine(ends)
		if err != nil {
			return err
		}
		l.Color, l.Width = c, vg.Points(1.2)
		p.Add(l)
	}
	return dots(p, name, points, c, draw.CircleGlyph{})
}

// forest draws exact match with its intervals, a line for each method.
func (b *builder) forest(id string, s *suite) error {
	names := labels([]*suite{s})
	p := newPlot("exact match, %", "")
	f := &drawing{ID: id, Caption: s.name + ": exact match in %, strict, with 95 % intervals over repositories.",
		Header: []string{"method", "level", "exact", "exact_low", "exact_high"}}
	levels := s.levels()
	for k, level := range levels {
		var bars []bar
		for _, e := range s.entries {
			if e.level != level {
				continue
			}
			iv := stats.Mean(values(e.scores, exact), b.Stats)
			row := float64(len(names) - 1 - slices.Index(names, e.label))
			row -= 0.3 * (float64(k) - float64(len(levels)-1)/2)
			bars = append(bars, bar{100 * iv.Mean, row, iv})
			f.Data = append(f.Data, []any{e.label, e.level, iv.Mean, iv.Low, iv.High})
			f.Runs = append(f.Runs, e.numbers()...)
		}
		if err := intervals(p, level, bars, true, colorOf(k)); err != nil {
			return err
		}
	}
	slices.Sort(f.Runs)
	f.Runs = slices.Compact(f.Runs)
	rows := slices.Clone(names)
	slices.Reverse(rows)
	for i, name := range rows {
		rows[i] = shorten(name, 60)
	}
	p.NominalY(rows...)
	pad := 0.03 * (p.X.Max - p.X.Min)
	p.X.Min, p.X.Max = max(p.X.Min-pad, 0), min(p.X.Max+pad, 100)
	p.Y.Min, p.Y.Max = -0.6, float64(len(names))-0.4
	grid := plotter.NewGrid()
	grid.Horizontal.Width = 0
	grid.Vertical.Color = curves.Grey
	p.Add(grid)
	p.Legend.Top, p.Legend.Left = true, false
	height := vg.Length(len(names))*0.75*vg.Centimeter + 2.5*vg.Centimeter
	var err error
	if f.SVG, err = svg(height, p.Draw); err != nil {
		return err
	}
	b.doc.figure(f)
	return nil
}

// shorten keeps the ends of long names, which tell them apart.
func shorten(s string, most int) string {
	r := []rune(s)
	if len(r) <= most {
		return s
	}
	half := (most - 1) / 2
	return string(r[:half]) + "…" + string(r[len(r)-half:])
}

// panel is a method in a scatter plot.
type panel struct {
	name  string
	repos []ofRepository
}

// panelsInRow is how many panels are beside each other.
const panelsInRow = 3

// scatter draws a panel for each method: exact match of each repository
// against that of the base.
func scatter(panels []panel) ([]byte, error) {
	var plots []*plot.Plot
	for _, pn := range panels {
		p := newPlot("base, %", "method, %")
		p.Title.Text = shorten(pn.name, 36)
		diagonal, err := plotter.NewLine(plotter.XYs{{X: 0, Y: 0}, {X: 100, Y: 100}})
		if err != nil {
			return nil, err
		}
		diagonal.Color = curves.Grey
		p.Add(diagonal)
		var better, worse plotter.XYs
		for _, r := range pn.repos {
			xy := plotter.XY{X: 100 * r.base, Y: 100 * r.method}
			if r.method < r.base {
				worse = append(worse, xy)
			} else {
				better = append(better, xy)
			}
		}
		if err := dots(p, "", better, colorOf(0), draw.CircleGlyph{}); err != nil {
			return nil, err
		}
		if err := dots(p, "", worse, colorOf(3), draw.PyramidGlyph{}); err != nil {
			return nil, err
		}
		p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = -2, 102, -2, 102
		plots = append(plots, p)
	}
	rows := (len(plots) + panelsInRow - 1) / panelsInRow
	tiles := draw.Tiles{Rows: rows, Cols: panelsInRow, PadX: 0.4 * vg.Centimeter, PadY: 0.4 * vg.Centimeter}
	return svg(vg.Length(rows)*width/panelsInRow, func(c draw.Canvas) {
		for i, p := range plots {
			p.Draw(tiles.At(c, i%panelsInRow, i/panelsInRow))
		}
	})
}

// spot is a method in a plot of tokens against accuracy.
type spot struct {
	label, level string
	x, y         float64
	front        bool
}

// pareto draws methods by what they cost and how good they are. Those that no
// other one beats are labelled and joined.
func pareto(spots []spot, levels []string) ([]byte, error) {
	p := newPlot("context tokens a query", "exact match, %")
	for k, level := range levels {
		var all, front plotter.XYs
		var names []string
		for _, s := range spots {
			if s.level != level {
				continue
			}
			all = append(all, plotter.XY{X: s.x, Y: s.y})
			if s.front {
				front = append(front, plotter.XY{X: s.x, Y: s.y})
				names = append(names, shorten(s.label, 40))
			}
		}
		if err := dots(p, level, all, colorOf(k), draw.CircleGlyph{}); err != nil {
			return nil, err
		}
		if len(front) == 0 {
			continue
		}
		l, err := plotter.NewLabels(plotter.XYLabels{XYs: front, Labels: names})
		if err != nil {
			return nil, err
		}
		for i := range l.TextStyle {
			l.TextStyle[i].Font, l.TextStyle[i].Color = font.From(sans, 8), colorOf(k)
		}
		l.Offset = vg.Point{X: vg.Points(4), Y: vg.Points(2 - 10*float64(k))}
		p.Add(l)
		line, err := plotter.NewLine(steps(front))
		if err != nil {
			return nil, err
		}
		line.Color, line.Dashes = colorOf(k), []vg.Length{vg.Points(4), vg.Points(3)}
		p.Add(line)
	}
	p.X.Min = min(p.X.Min, 0)
	p.X.Max += 0.25 * (p.X.Max - p.X.Min) // for labels
	if p.X.Max-p.X.Min < 1 {
		p.X.Max = p.X.Min + 1
	}
	p.Y.Min, p.Y.Max = max(p.Y.Min-2, 0), min(p.Y.Max+2, 100)
	p.Legend.Top, p.Legend.Left = false, false
	return svg(11*vg.Centimeter, p.Draw)
}

// steps is the edge of what is beaten by a front: it goes right, then up.
func steps(front plotter.XYs) plotter.XYs {
	front = slices.Clone(front)
	slices.SortFunc(front, func(a, b plotter.XY) int { return cmp.Or(cmp.Compare(a.X, b.X), cmp.Compare(a.Y, b.Y)) })
	var out plotter.XYs
	for i, xy := range front {
		if i > 0 {
			out = append(out, plotter.XY{X: xy.X, Y: front[i-1].Y})
		}
		out = append(out, xy)
	}
	return out
}

// growth draws a scaling curve over the logarithm of N, and what stands at 0 as
// a level line.
func growth(c scalingCurve) ([]byte, error) {
	p := newPlot("training repositories", "exact match, %")
	var bars []bar
	least, most := math.Inf(1), math.Inf(-1)
	for _, pt := range c.points {
		if pt.n > 0 {
			x := float64(pt.n)
			bars = append(bars, bar{x, 100 * pt.exact.Mean, pt.exact})
			least, most = min(least, x), max(most, x)
		}
	}
	if len(bars) == 0 {
		least, most = 1, 10
	}
	if least == most {
		least, most = least/2, most*2
	}
	if err := intervals(p, c.name, bars, false, colorOf(0)); err != nil {
		return nil, err
	}
	curve := func(name string, f func(float64) float64, col color.Color) error {
		var xys plotter.XYs
		for i := range 65 {
			x := least * math.Pow(most/least, float64(i)/64)
			xys = append(xys, plotter.XY{X: x, Y: f(x)})
		}
		return curves.Line(p, name, xys, col)
	}
	for _, pt := range c.points {
		if pt.n == 0 {
			if err := curve("0 repositories", func(float64) float64 { return 100 * pt.exact.Mean }, curves.Grey); err != nil {
				return nil, err
			}
		}
	}
	if log, power, ok := c.fits(); ok {
		if err := curve("a ln N + b", func(x float64) float64 { return log.start + log.slope*math.Log(x) }, colorOf(1)); err != nil {
			return nil, err
		}
		if !math.IsNaN(power.slope) {
			if err := curve("100 − c N^α", func(x float64) float64 { return 100 - math.Exp(power.start+power.slope*math.Log(x)) }, colorOf(2)); err != nil {
				return nil, err
			}
		}
	}
	p.X.Scale = plot.LogScale{}
	p.X.Tick.Marker = plot.TickerFunc(func(_, _ float64) []plot.Tick { return c.ticks() })
	p.X.Min, p.X.Max = least*0.9, most*1.1
	p.Y.Min, p.Y.Max = max(p.Y.Min-1, 0), min(p.Y.Max+1, 100)
	p.Legend.Top, p.Legend.Left = true, true // most curves rise
	return svg(10*vg.Centimeter, p.Draw)
}

// ticks marks the numbers of repositories that were tried.
func (c scalingCurve) ticks() []plot.Tick {
	var all []plot.Tick
	for _, p := range c.points {
		if p.n > 0 {
			all = append(all, plot.Tick{Value: float64(p.n), Label: fmt.Sprint(p.n)})
		}
	}
	return all
}
