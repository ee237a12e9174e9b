package metric

import (
	"math"
	"strings"
	"testing"
)

// TestPaper has what the authors' code gives.
func TestPaper(t *testing.T) {
	long := strings.Repeat("x", 250)
	tests := []struct {
		prediction, reference string
		exact                 bool
		similarity, bleu      float64
	}{
		{"foo", "bar", false, 0, 0.5},
		{"foo)", "bar)", false, 0.25, 0.537285},
		{"'abc'", "'abd'", false, 0.8, 0.5},
		{"a.b.c", "a.b.d", false, 0.8, 0.759836},
		{"None", "None)", false, 0.888889, 0.297302},
		{`ValueError, match="no")`, "ValueError)", false, 0.952381, 0.297302},
		{"[1, 2, 3]", "[1,2,3]", false, 0.6, 0.360384},
		{"self.x == 1", "self.x", true, 1, 1},
		{"  42 ,", "42", true, 1, 1},
		{"<|fim_middle|>7", "7", true, 1, 1},
		{"result.items()\nassert x", "result.items()", true, 1, 1},
		{`"#a"`, `"#b"`, true, 1, 1},
		{`"a:b":`, `"a:b"`, true, 0.909091, 0.537285},
		{"foo(1,2)", "foo(1, 2)", true, 0.941176, 1},
		{long + "y", long + "z", false, 0.996016, 0.5},
		{`"#000000"`, `"#ffffff"`, true, 1, 1},
		{"# x", "#", true, 1, 0},
		{"5 and x", "5", true, 1, 1},
		{"5, 6", "5", true, 1, 1},
	}
	for _, tt := range tests {
		got := Paper(tt.prediction, tt.reference)
		if got.Exact != tt.exact || math.Abs(got.EditSimilarity-tt.similarity) > 1e-6 || math.Abs(got.TokenBLEU-tt.bleu) > 1e-6 {
			t.Errorf("Paper(%.30q, %.30q) = %+v, want %v, %g, %g", tt.prediction, tt.reference, got, tt.exact, tt.similarity, tt.bleu)
		}
	}
}

func TestPostProcess(t *testing.T) {
	tests := []struct{ prediction, reference, p, r string }{
		{"a b c", "x y", "a b c", "x y"}, // several words: no help
		{"a, b c", "x y", "a", "x y"},    // no comma in the target
		{"a, b", "x,", "a,", "x,"},       // a comma, and one word
		{"a\nb", "x\ny", "a\nb", "x\ny"}, // several lines
		{"a # b", "x # y", "a", "x"},     //
		{"a, b", "# y", "a, b", ""},      // nothing is left of the target
		{"\u00a0a\x1cb", "x", "a", "x"},  // what Python takes for a blank
		{"", "x", "", "x"},               //
		{"<|fim_suffix|> a", "x", "a", "x"},
	}
	for _, tt := range tests {
		if p, r := PostProcess(tt.prediction, tt.reference); p != tt.p || r != tt.r {
			t.Errorf("PostProcess(%q, %q) = %q, %q, want %q, %q", tt.prediction, tt.reference, p, r, tt.p, tt.r)
		}
	}
}

func TestEditSimilarity(t *testing.T) {
	tests := []struct {
		a, b string
		want float64
	}{
		{"", "", 1},
		{"a", "", 0},
		{"größe", "grösse", 8.0 / 11},
		{"tide", "diet", 0.25}, // difflib's own example: the order matters
		{"diet", "tide", 0.5},
		// Every character of the second text is frequent, so none begins a block.
		{"ba", strings.Repeat("ab", 100), 0},
		{"ba", strings.Repeat("ab", 99), 4.0 / 200},
		{"ab", strings.Repeat("ab", 100), 4.0 / 202}, // but the empty one at the beginning is extended
	}
	for _, tt := range tests {
		if got := EditSimilarity(tt.a, tt.b); math.Abs(got-tt.want) > 1e-12 {
			t.Errorf("EditSimilarity(%.20q, %.20q) = %g, want %g", tt.a, tt.b, got, tt.want)
		}
	}
	if a, b := Levenshtein("", ""), Indel("", ""); a != 1 || b != 1 {
		t.Errorf("empty texts: got %g and %g, want 1", a, b)
	}
}

func TestBLEU(t *testing.T) {
	words := strings.Fields("a b c d e")
	if got := BLEU(words, words); math.Abs(got-1) > 1e-15 {
		t.Errorf("equal texts: got %g, want 1", got)
	}
	if got := BLEU(nil, words); got != 0 {
		t.Errorf("no prediction: got %g, want 0", got)
	}
	if got := BLEU([]string{"x"}, words); got != 0 {
		t.Errorf("no common word: got %g, want 0", got)
	}
}
