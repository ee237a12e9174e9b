package report

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCosts(t *testing.T) {
	dir := t.TempDir()
	costs := writeJSON(t, dir+"/costs.json", map[string]any{"format": 1, "parameters": 100, "note": "made up", "methods": []any{
		map[string]any{"name": "base", "query_seconds": 2},
		map[string]any{"name": "bm25", "query_seconds": 4},
		map[string]any{"name": "bm25", "level": "tree", "query_seconds": 6},
		map[string]any{"name": "examples", "query_seconds": 1},
		map[string]any{"name": "checkpoint", "adapt_seconds": 61, "adapt_flop": 1e6 + 1, "stored_bytes": 1.25e6, "query_seconds": 3, "query_flop": 9},
		map[string]any{"name": "nobody"},
	}})
	runs := t.TempDir()
	shapeOf := func(hits, context int) shape { return shape{perRepo: 10, hits: []int{hits}, context: context} }
	r := build(t, Options{Costs: costs, Runs: []string{
		simple(t, runs, "base", "tree", shapeOf(2, 0)), simple(t, runs, "bm25", "tree", shapeOf(4, 50)), simple(t, runs, "examples", "tree", shapeOf(7, 40)),
		simple(t, runs, "dependencies", "tree", shapeOf(3, 0)), simple(t, runs, "checkpoint", "tree", shapeOf(6, 0)),
	}})
	tb := r.doc.find(t, "static-cr-costs")
	wantColumn(t, tb, "method", "base", "bm25", "dependencies", "examples", "checkpoint")
	wantColumn(t, tb, "context tokens", "0", "50", "0", "40", "0")
	// examples is better with fewer tokens than bm25, checkpoint than all of 0.
	wantColumn(t, tb, "on the front of", "", "", "", "tree", "tree")
	wantColumn(t, tb, "FLOP a query, beyond base", "0", "10.0 k", "0", "8.00 k", "0")
	wantColumn(t, tb, "query time, of base's", "1.00×", "3.00×", unknown, "0.50×", "1.50×")
	wantColumn(t, tb, "adaptation, FLOP", "0", "0", "0", "0", "1.00 M")
	wantColumn(t, tb, "adaptation, in queries of base", "0.00×", "0.00×", "0.00×", "0.00×", "30.50×")
	wantColumn(t, tb, "stored bytes", unknown, unknown, unknown, unknown, "1.25 MB")
	be := r.doc.find(t, "static-cr-break-even")
	wantColumn(t, be, "retrieval", "bm25", "dependencies", "examples")
	wantColumn(t, be, "in FLOP", "101", "never", "126")  // 1000001/10000, no savings, 1000001/8000
	wantColumn(t, be, "in time", "21", unknown, "never") // 61/(6−3); dearer than examples
	for _, want := range []string{"made up", "nobody", "2 × 100 parameters"} {
		if !strings.Contains(r.doc.texts(), want) {
			t.Errorf("the report doesn't say %q", want)
		}
	}
	// Without costs there are tokens, and FLOP where the parameters are given.
	r = build(t, Options{Parameters: 10, Runs: []string{simple(t, runs, "bm25", "tree", shapeOf(4, 50))}})
	wantColumn(t, r.doc.find(t, "static-cr-costs"), "FLOP a query, beyond base", "1.00 k")
	if !strings.Contains(r.doc.texts(), "no costs were given") {
		t.Error("the report doesn't say that there are no costs")
	}
}

// TestOnce: the fit of a shared adapter counts once, and is no adaptation.
func TestOnce(t *testing.T) {
	costs := writeJSON(t, t.TempDir()+"/costs.json", map[string]any{"format": 1, "methods": []any{
		map[string]any{"name": "base", "query_seconds": 1, "query_flop": 10},
		map[string]any{"name": "bm25", "query_seconds": 3, "query_flop": 30},
		map[string]any{"name": "adapter", "adapt_seconds": 0, "adapt_flop": 0, "once_seconds": 100, "once_flop": 4000, "query_seconds": 1, "query_flop": 10},
	}})
	runs := t.TempDir()
	r := build(t, Options{Costs: costs, Runs: []string{simple(t, runs, "base", "tree", shape{perRepo: 10, hits: []int{2}}),
		simple(t, runs, "bm25", "tree", shape{perRepo: 10, hits: []int{4}, context: 9}), simple(t, runs, "adapter", "tree", shape{perRepo: 10, hits: []int{5}})}})
	tb := r.doc.find(t, "static-cr-costs")
	wantColumn(t, tb, "adaptation, FLOP", "0", "0", "0")
	wantColumn(t, tb, "once for all repositories, FLOP", "–", "–", "4.00 k")
	be := r.doc.find(t, "static-cr-break-even")
	wantColumn(t, be, "in FLOP", "200")
	wantColumn(t, be, "in time", "50")
}

func TestBreakEven(t *testing.T) {
	for _, tt := range []struct {
		more, saved float64
		want        string
	}{
		{100, 10, "10"}, {101, 10, "11"}, {0, 0, "at once"}, {-5, 1, "at once"}, {0, 3, "at once"},
		{5, 0, "never"}, {5, -1, "never"}, {0, -1, "never"}, {-25, -10, "only up to 2"},
		{math.NaN(), 1, unknown}, {1, math.NaN(), unknown},
	} {
		if got := breakEvenCell(tt.more, tt.saved).Text; got != tt.want {
			t.Errorf("%g more, %g saved: got %q, want %q", tt.more, tt.saved, got, tt.want)
		}
	}
}

func TestReadCostsErrors(t *testing.T) {
	for text, want := range map[string]string{
		`{`:                                        "line 1",
		"{\"format\": 1,\n\"x\": 2}":               "line 2",
		"{\"format\": 1}\n\n[]":                    "line 3: something follows",
		"{\n\"x\": 2,\n\"format\": 1\n}":           "line 2",
		`{"format": 2}`:                            "format 2, want 1",
		`{"format": 1, "methods": {}}`:             "line 1",
		`{"format": 1, "methods": [{"name": ""}]}`: "method 1 has no name",
		`{"format": 1, "methods": [{"name": "a"}, {"name": "a"}]}`:                            "twice",
		`{"format": 1, "parameters": -1}`:                                                     "-1 parameters",
		`{"format": 1, "methods": [{"name": "a", "query_flop": -1, "stored_bytes": -2}]}`:     "query_flop is -1",
		"{\"format\": 1,\n\"methods\": [\n{\"name\": \"a\",\n \"adapt_seconds\": \"fast\"}]}": "line 4",
	} {
		path := filepath.Join(t.TempDir(), "costs.json")
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadCosts(path); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: got %v, want %q and the path", text, err, want)
		}
	}
}

func FuzzReadCosts(f *testing.F) {
	f.Add(`{"format": 1, "parameters": 1e8, "methods": [{"name": "base", "query_seconds": 1}]}`)
	f.Add(`{"format": 1, "methods": [{"name": "a", "level": "tree", "adapt_flop": 1e13}]} x`)
	f.Fuzz(func(t *testing.T, text string) {
		path := filepath.Join(t.TempDir(), "costs.json")
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		c, err := ReadCosts(path)
		if err != nil {
			return
		}
		for _, m := range c.Methods {
			if got := c.of(m.Name, m.Level); got.Name != m.Name || got.Level != m.Level {
				t.Errorf("costs of %q at %q are those of %q at %q", m.Name, m.Level, got.Name, got.Level)
			}
		}
	})
}
