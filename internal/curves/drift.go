package curves

import (
	"cmp"
	"image/color"
	"io"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"

	"github.com/code2lora/code2lora/internal/follow"
)

// Drift draws the drift of states against the commits since their anchors, and
// beside it how far the state at the anchor, which never moved, is by then.
func Drift(list []follow.Drift) (io.WriterTo, error) {
	p := plot.New()
	p.X.Label.Text, p.Y.Label.Text = "commits since the anchor", "distance from a fresh state's adapter"
	p.Legend.Top, p.Legend.Left = true, true
	var followed, anchored plotter.XYs
	for _, d := range slices.SortedFunc(slices.Values(list), func(a, b follow.Drift) int { return cmp.Compare(a.Steps, b.Steps) }) {
		followed = append(followed, plotter.XY{X: float64(d.Steps), Y: d.Distance})
		if d.Anchored > 0 {
			anchored = append(anchored, plotter.XY{X: float64(d.Steps), Y: d.Anchored})
		}
	}
	for _, l := range []struct {
		name string
		xys  plotter.XYs
		c    color.Color
	}{{"state that followed", followed, Colors[0]}, {"state at the anchor", anchored, Grey}} {
		if err := Line(p, l.name, l.xys, l.c); err != nil {
			return nil, err
		}
	}
	p.Y.Min = 0
	w, c := SVG(16*vg.Centimeter, 10*vg.Centimeter)
	p.Draw(c)
	return w, nil
}
