package curves

import (
	"fmt"
	"image/color"
	"io"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// Grey is for what is drawn for comparison.
var Grey = color.RGBA{170, 170, 170, 255}

// Colors tell apart what is drawn in one figure.
var Colors = []color.RGBA{
	{31, 119, 180, 255},  // blue
	{255, 127, 14, 255},  // orange
	{44, 160, 44, 255},   // green
	{214, 39, 40, 255},   // red
	{148, 103, 189, 255}, // violet
	{140, 86, 75, 255},   // brown
	{227, 119, 194, 255}, // pink
	{188, 189, 34, 255},  // olive
	{23, 190, 207, 255},  // cyan
}

// SVG returns a drawing of the given size, which is written when something has
// been drawn on the canvas.
func SVG(w, h vg.Length) (io.WriterTo, draw.Canvas) {
	c := vgsvg.New(w, h)
	return c, draw.New(c)
}

// Line adds a curve with an entry of the legend; one without points is left
// out.
func Line(p *plot.Plot, name string, xys plotter.XYs, c color.Color) error {
	for _, xy := range xys {
		if math.IsNaN(xy.Y) || math.IsInf(xy.Y, 0) {
			return fmt.Errorf("%s at %g is not finite", name, xy.X)
		}
	}
	if len(xys) == 0 {
		return nil
	}
	l, err := plotter.NewLine(xys)
	if err != nil {
		return err
	}
	l.Color, l.Width = c, vg.Points(1.5)
	p.Add(l)
	p.Legend.Add(name, l)
	return nil
}
