// Package curves draws the learning curves of a training run: the loss per
// step, and the validation of own, average and strange adapters.
package curves

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"image/color"
	"io"
	"os"
	"path/filepath"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"

	"github.com/code2lora/code2lora/internal/store"
	"github.com/code2lora/code2lora/internal/train"
)

// ReadMetrics reads a metrics file: one [train.Progress] object per line. A
// last line that was cut by a kill is ignored.
func ReadMetrics(path string) ([]train.Progress, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var all []train.Progress
	in := bufio.NewReader(f)
	for line := 1; ; line++ {
		text, err := in.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		var p train.Progress
		if err := json.Unmarshal(text, &p); err != nil {
			return nil, fmt.Errorf("%s line %d: %w", path, line, err)
		}
		all = append(all, p)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s: no metrics yet", path)
	}
	return all, nil
}

// Draw writes the curves to path, as SVG or PNG by its suffix, atomically.
func Draw(path, title string, metrics []train.Progress) error {
	loss, match, err := plots(title, metrics)
	if err != nil {
		return err
	}
	const w, h = 22 * vg.Centimeter, 18 * vg.Centimeter
	var out io.WriterTo
	var canvas draw.Canvas
	switch strings.ToLower(filepath.Ext(path)) {
	case ".svg":
		out, canvas = SVG(w, h)
	case ".png":
		c := vgimg.PngCanvas{Canvas: vgimg.New(w, h)}
		out, canvas = c, draw.New(c)
	default:
		return fmt.Errorf("%s: want a name that ends in .svg or .png", path)
	}
	loss.Draw(draw.Crop(canvas, 0, 0, h/2, 0))
	match.Draw(draw.Crop(canvas, 0, 0, 0, -h/2))
	return store.WriteFile(path, func(f io.Writer) error {
		_, err := out.WriteTo(f)
		return err
	})
}

// plots makes the two panels: cross-entropy, and exact match.
func plots(title string, metrics []train.Progress) (loss, match *plot.Plot, err error) {
	loss, match = plot.New(), plot.New()
	loss.Title.Text, loss.Y.Label.Text = title, "cross-entropy (nats per token)"
	match.X.Label.Text, match.Y.Label.Text = "step", "exact match (validation)"
	var training plotter.XYs
	smooth, weight := 0.0, 0.0
	for _, p := range metrics {
		if p.Validation != nil {
			continue
		}
		// An average over about 20 steps, corrected for its start.
		smooth, weight = 0.95*smooth+0.05*p.Loss, 0.95*weight+0.05
		training = append(training, plotter.XY{X: float64(p.Step), Y: smooth / weight})
	}
	if err := Line(loss, "training", training, Grey); err != nil {
		return nil, nil, err
	}
	for _, c := range []struct {
		name  string
		color color.Color
		score func(*train.Audit) train.Score
	}{
		{"own", Colors[0], func(a *train.Audit) train.Score { return a.Own }},
		{"average", Colors[1], func(a *train.Audit) train.Score { return a.Average }},
		{"stranger", Colors[2], func(a *train.Audit) train.Score { return a.Stranger }},
	} {
		var ce, em plotter.XYs
		for _, p := range metrics {
			if p.Validation != nil {
				s := c.score(p.Validation)
				ce = append(ce, plotter.XY{X: float64(p.Step), Y: s.CrossEntropy.Mean})
				em = append(em, plotter.XY{X: float64(p.Step), Y: s.ExactMatch.Mean})
			}
		}
		if err := errors.Join(Line(loss, c.name, ce, c.color), Line(match, c.name, em, c.color)); err != nil {
			return nil, nil, err
		}
	}
	loss.Legend.Top, match.Legend.Top = true, false
	return loss, match, nil
}
