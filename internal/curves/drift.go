package curves

import (
	"cmp"
	"image/color"
	"io"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"github.com/code2lora/code2lora/internal/follow"
)

// Drift draws the drift of states against the commits since their anchors, and
// beside it how far the state at the anchor, which never moved, is by then. Below
// that are differences in loss, where some were measured.
func Drift(list []follow.Drift) (io.WriterTo, error) {
	list = slices.SortedFunc(slices.Values(list), func(a, b follow.Drift) int { return cmp.Compare(a.Steps, b.Steps) })
	distance, err := driftPanel(list, "distance from a fresh state's adapter", []driftLine{
		{"state that followed", Colors[0], func(d follow.Drift) (float64, bool) { return d.Distance, true }},
		{"state at the anchor", Grey, func(d follow.Drift) (float64, bool) {
			if d.Anchored == nil {
				return 0, false
			}
			return *d.Anchored, true
		}},
	})
	if err != nil {
		return nil, err
	}
	distance.Y.Min = 0
	if !slices.ContainsFunc(list, func(d follow.Drift) bool { return d.Loss != nil }) {
		w, c := SVG(16*vg.Centimeter, 10*vg.Centimeter)
		distance.Draw(c)
		return w, nil
	}
	loss, err := driftPanel(list, "loss above that of … (nats per token)", []driftLine{
		{"a fresh state", Colors[0], func(d follow.Drift) (float64, bool) {
			if d.Loss == nil {
				return 0, false
			}
			return d.Loss.EvolvedFresh, true
		}},
		{"the state at the anchor", Grey, func(d follow.Drift) (float64, bool) {
			if d.Loss == nil || d.Loss.EvolvedAnchored == nil {
				return 0, false
			}
			return *d.Loss.EvolvedAnchored, true
		}},
	})
	if err != nil {
		return nil, err
	}
	loss.Y.Min, loss.Y.Max = min(loss.Y.Min, 0), max(loss.Y.Max, 0)
	zero := plotter.NewFunction(func(float64) float64 { return 0 })
	zero.Color, zero.Width = Grey, vg.Points(0.5)
	loss.Add(zero)
	w, c := SVG(16*vg.Centimeter, 16*vg.Centimeter)
	panels := [][]*plot.Plot{{distance}, {loss}}
	for i, row := range plot.Align(panels, draw.Tiles{Rows: 2, Cols: 1}, c) {
		panels[i][0].Draw(row[0])
	}
	return w, nil
}

// driftLine is a curve of a panel; at says where it has a value.
type driftLine struct {
	name  string
	color color.Color
	at    func(follow.Drift) (float64, bool)
}

func driftPanel(list []follow.Drift, y string, lines []driftLine) (*plot.Plot, error) {
	p := plot.New()
	p.X.Label.Text, p.Y.Label.Text = "commits since the anchor", y
	p.Legend.Top, p.Legend.Left = true, true
	for _, l := range lines {
		var xys plotter.XYs
		for _, d := range list {
			if v, ok := l.at(d); ok {
				xys = append(xys, plotter.XY{X: float64(d.Steps), Y: v})
			}
		}
		if err := Line(p, l.name, xys, l.color); err != nil {
			return nil, err
		}
	}
	return p, nil
}
