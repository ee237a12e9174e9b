package metric

import (
	"encoding/json"
	"math"
	"os"
	"testing"
)

// goldenPair is a pair of reference/metric_golden.py. DataFlow and CodeBLEU
// have two values where the package's own result changes between processes.
type goldenPair struct {
	Language, Prediction, Reference   string
	NGram, Weighted, Syntax           float64
	DataFlow, CodeBLEU                []float64
	BLEU, Levenshtein, Indel, Difflib float64
}

func readGolden(t *testing.T) []goldenPair {
	t.Helper()
	data, err := os.ReadFile("testdata/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	var golden struct{ Pairs []goldenPair }
	if err := json.Unmarshal(data, &golden); err != nil {
		t.Fatal(err)
	}
	if len(golden.Pairs) < 400 {
		t.Fatalf("%d pairs, want some hundreds", len(golden.Pairs))
	}
	return golden.Pairs
}

// within reports whether got is one of the values in want, or between them, up
// to rounding.
func within(got float64, want []float64) bool {
	const rounding = 1e-9
	return got >= want[0]-rounding && got <= want[len(want)-1]+rounding
}

func TestGoldenSimilarity(t *testing.T) {
	for i, p := range readGolden(t) {
		for _, c := range []struct {
			name      string
			got, want float64
		}{
			{"EditSimilarity", EditSimilarity(p.Prediction, p.Reference), p.Difflib},
			{"Levenshtein", Levenshtein(p.Prediction, p.Reference), p.Levenshtein},
			{"Indel", Indel(p.Prediction, p.Reference), p.Indel},
			{"BLEU", BLEU(fields(p.Prediction), fields(p.Reference)), p.BLEU},
		} {
			if math.Abs(c.got-c.want) > 1e-12 {
				t.Errorf("pair %d: %s(%q, %q) = %v, want %v", i, c.name, p.Prediction, p.Reference, c.got, c.want)
			}
		}
	}
}

func TestGoldenCodeBLEU(t *testing.T) {
	var flows, unstable int
	for i, p := range readGolden(t) {
		got, err := CodeBLEU(p.Language, p.Prediction, p.Reference)
		if err != nil {
			t.Fatal(err)
		}
		if math.Abs(got.NGram-p.NGram) > 1e-12 || math.Abs(got.Weighted-p.Weighted) > 1e-12 {
			t.Errorf("pair %d, %s: n-grams of %q and %q: got %v, %v, want %v, %v", i, p.Language, p.Prediction, p.Reference,
				got.NGram, got.Weighted, p.NGram, p.Weighted)
		}
		if math.Abs(got.Syntax-p.Syntax) > 1e-12 {
			t.Errorf("pair %d, %s: syntax of %q and %q: got %v, want %v", i, p.Language, p.Prediction, p.Reference, got.Syntax, p.Syntax)
		}
		if !within(got.DataFlow, p.DataFlow) {
			t.Errorf("pair %d, %s: data flow of %q and %q: got %v, want %v", i, p.Language, p.Prediction, p.Reference, got.DataFlow, p.DataFlow)
		}
		if !within(got.Value, p.CodeBLEU) {
			t.Errorf("pair %d, %s: CodeBLEU of %q and %q: got %v, want %v", i, p.Language, p.Prediction, p.Reference, got.Value, p.CodeBLEU)
		}
		if got.Flows > 0 {
			flows++
		}
		if len(p.CodeBLEU) > 1 {
			unstable++
		}
	}
	t.Logf("%d pairs with data flow, %d where the package has no fixed value", flows, unstable)
	if flows < 150 || unstable > 25 {
		t.Errorf("%d pairs with data flow, %d without a fixed value: want at least 150 and few", flows, unstable)
	}
}
