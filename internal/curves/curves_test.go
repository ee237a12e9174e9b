package curves_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"image/png"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/code2lora/code2lora/internal/curves"
	"github.com/code2lora/code2lora/internal/train"
)

// run is a run of n steps with a validation after every fifth.
func run(n int) []train.Progress {
	var all []train.Progress
	score := func(ce float64) train.Score {
		return train.Score{CrossEntropy: train.Estimate{Mean: ce}, ExactMatch: train.Estimate{Mean: 1 / (1 + ce)}}
	}
	for step := 1; step <= n; step++ {
		loss := 3 / math.Sqrt(float64(step))
		all = append(all, train.Progress{Step: step, Steps: n, Loss: loss})
		if step%5 == 0 {
			all = append(all, train.Progress{Step: step, Steps: n, Validation: &train.Audit{
				Own: score(loss), Average: score(loss + 0.1), Stranger: score(loss + 0.2)}})
		}
	}
	return all
}

// write stores metrics as a run does.
func write(t *testing.T, metrics []train.Progress, more string) string {
	t.Helper()
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	for _, p := range metrics {
		if err := enc.Encode(p); err != nil {
			t.Fatal(err)
		}
	}
	b.WriteString(more)
	path := filepath.Join(t.TempDir(), "metrics.jsonl")
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestDraw(t *testing.T) {
	for name, metrics := range map[string][]train.Progress{
		"run": run(30), "no validation yet": run(4), "one step": run(1),
		"one validation": run(5)[5:], "flat": {{Step: 1, Loss: 2}, {Step: 2, Loss: 2}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			picture := filepath.Join(dir, "curves.PNG")
			if err := curves.Draw(picture, "a <title> & more", metrics); err != nil {
				t.Fatal(err)
			}
			f, err := os.Open(picture)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			img, err := png.Decode(f)
			if err != nil {
				t.Fatal(err)
			}
			// 22 by 18 cm at 96 dots per inch.
			size := img.Bounds().Size()
			if math.Abs(float64(size.X)-22/2.54*96) > 1 || math.Abs(float64(size.Y)-18/2.54*96) > 1 {
				t.Errorf("%d by %d pixels, want 831 by 680", size.X, size.Y)
			}
			colours := map[[3]uint32]bool{}
			for y := range size.Y {
				for x := range size.X {
					r, g, b, _ := img.At(x, y).RGBA()
					colours[[3]uint32{r >> 8, g >> 8, b >> 8}] = true
				}
			}
			validated := metrics[len(metrics)-1].Validation != nil
			for what, c := range map[string][3]uint32{"own": {31, 119, 180}, "average": {255, 127, 14}, "stranger": {44, 160, 44}} {
				if colours[c] != validated {
					t.Errorf("a curve of %s: %t, want %t", what, colours[c], validated)
				}
			}

			drawing := filepath.Join(dir, "curves.svg")
			if err := curves.Draw(drawing, "a <title> & more", metrics); err != nil {
				t.Fatal(err)
			}
			data, err := os.ReadFile(drawing)
			if err != nil {
				t.Fatal(err)
			}
			text := texts(t, data)
			if !strings.Contains(text, "a <title> & more") || !strings.Contains(text, "exact match") || strings.Contains(text, "stranger") != validated {
				t.Errorf("texts of the drawing: %q", text)
			}
		})
	}
}

// texts returns what a drawing says, and checks that it is XML.
func texts(t *testing.T, svg []byte) string {
	t.Helper()
	var all strings.Builder
	d := xml.NewDecoder(bytes.NewReader(svg))
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return all.String()
		}
		if err != nil {
			t.Fatal(err)
		}
		if s, ok := token.(xml.CharData); ok {
			all.Write(s)
		}
	}
}

func TestDrawErrors(t *testing.T) {
	for name, tt := range map[string]struct {
		file    string
		metrics []train.Progress
		want    string
	}{
		"unknown suffix": {"curves.pdf", run(5), ".svg or .png"},
		"no suffix":      {"curves", run(5), ".svg or .png"},
		"not a number":   {"curves.svg", []train.Progress{{Step: 1, Loss: math.NaN()}}, "training at 1 is not finite"},
	} {
		dir := t.TempDir()
		err := curves.Draw(filepath.Join(dir, tt.file), "title", tt.metrics)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", name, err, tt.want)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("%s: left %v behind", name, left)
		}
	}
}

func TestReadMetrics(t *testing.T) {
	want := run(7)
	for name, more := range map[string]string{"whole": "", "cut": `{"step":8,"lo`, "without its end": `{"step":8,"loss":1}`} {
		got, err := curves.ReadMetrics(write(t, want, more))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		g, _ := json.Marshal(got)
		w, _ := json.Marshal(want)
		if !bytes.Equal(g, w) {
			t.Errorf("%s: got %s, want %s", name, g, w)
		}
	}
	for name, tt := range map[string]struct{ more, want string }{
		"empty":         {"", "no metrics yet"},
		"only cut":      {`{"step":1`, "no metrics yet"},
		"not JSON":      {"{\"step\":1}\nx\n", "line 2"},
		"not an object": {"[]\n", "line 1"},
	} {
		if _, err := curves.ReadMetrics(write(t, nil, tt.more)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", name, err, tt.want)
		}
	}
	if _, err := curves.ReadMetrics(filepath.Join(t.TempDir(), "none")); !os.IsNotExist(err) {
		t.Errorf("got %v, want that there is no such file", err)
	}
}
