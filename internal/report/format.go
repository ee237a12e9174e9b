package report

import (
	"fmt"
	"math"
	"strings"

	"github.com/code2lora/code2lora/internal/stats"
)

// unknown is what tables show where there is no number.
const unknown = "–"

// number writes x with the given number of decimals, and a minus sign that is
// as wide as a plus.
func number(x float64, decimals int) string {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return unknown
	}
	s := fmt.Sprintf("%.*f", decimals, x)
	if strings.Trim(s, "-0.") == "" {
		s = strings.TrimPrefix(s, "-") // no negative zero
	}
	return strings.Replace(s, "-", "−", 1)
}

// signed writes a difference.
func signed(x float64, decimals int) string {
	s := number(x, decimals)
	if x > 0 && strings.Trim(s, "0.") != "" {
		s = "+" + s
	}
	return s
}

// bounds writes the bounds of an interval, [low, high], or n/a where one
// repository says nothing about others.
func bounds(iv stats.Interval, write func(float64) string) string {
	if math.IsNaN(iv.Low) || math.IsNaN(iv.High) {
		return "[n/a]"
	}
	return "[" + write(iv.Low) + ", " + write(iv.High) + "]"
}

// intervalColumns names the CSV columns of an intervalCell.
func intervalColumns(name string) []string { return []string{name, name + "_low", name + "_high"} }

// intervalCell shows an average and its interval, times scale.
func intervalCell(iv stats.Interval, scale float64, write func(float64) string) cell {
	c := cell{Text: unknown, Values: []any{iv.Mean, iv.Low, iv.High}}
	if iv.N > 0 && !math.IsNaN(iv.Mean) {
		w := func(x float64) string { return write(scale * x) }
		c.Text, c.Note = w(iv.Mean), bounds(iv, w)
	}
	return c
}

func percent(x float64) string       { return number(x, 1) }
func signedPercent(x float64) string { return signed(x, 1) }
func three(x float64) string         { return number(x, 3) }
func signedThree(x float64) string   { return signed(x, 3) }

// shareCell shows a share in percent.
func shareCell(share float64) cell { return cell{Text: number(100*share, 1), Values: []any{share}} }

func countCell(n int) cell { return cell{Text: fmt.Sprint(n), Values: []any{n}} }

func numberCell(x float64, decimals int) cell {
	return cell{Text: number(x, decimals), Values: []any{x}}
}

// probability writes a p-value.
func probability(p float64) string {
	switch {
	case math.IsNaN(p):
		return unknown
	case p < 0.001:
		return "<0.001"
	case p < 0.1:
		return fmt.Sprintf("%.3f", p)
	}
	return fmt.Sprintf("%.2f", p)
}

func probabilityCell(p float64) cell {
	return cell{Text: probability(p), Values: []any{p}, Strong: p < 0.05}
}

// quantity writes a number with three significant digits and a prefix of SI.
func quantity(x float64, unit string) string {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return unknown
	}
	prefix := ""
	for _, p := range []string{"k", "M", "G", "T", "P", "E", "Z"} {
		if math.Abs(x) < 999.5 {
			break
		}
		x, prefix = x/1000, p
	}
	digits := 0
	if a := math.Abs(x); a != 0 && a < 9.995 {
		digits = 2
	} else if a != 0 && a < 99.95 {
		digits = 1
	}
	if prefix == "" && x == math.Trunc(x) {
		digits = 0
	}
	return strings.TrimSpace(number(x, digits) + " " + prefix + unit)
}

// times writes a ratio.
func times(x float64) string {
	switch {
	case math.IsNaN(x) || math.IsInf(x, 0):
		return unknown
	case x >= 99.5:
		return quantity(math.Round(x), "") + "×"
	}
	return number(x, 2) + "×"
}

// plural writes a number of things.
func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

func tasks(n int) string        { return plural(n, "task", "tasks") }
func repositories(n int) string { return plural(n, "repository", "repositories") }
