package retrieve

import (
	"strings"
	"testing"
)

func TestAssemble(t *testing.T) {
	if got := Assemble("", "x"); got != "x" {
		t.Errorf("no context: got %q, want the prefix", got)
	}
	if got, want := Assemble("c", "x"), "c\n\n\nx"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestRunes(t *testing.T) {
	for _, tt := range []struct {
		s           string
		n           int
		first, last string
	}{
		{"abc", 2, "ab", "bc"}, {"abc", 3, "abc", "abc"}, {"abc", 9, "abc", "abc"}, {"abc", 0, "", ""}, {"aéß", 2, "aé", "éß"}, {"", 1, "", ""},
		{"é", 1, "é", "é"}, {"ééé", 4, "ééé", "ééé"},
	} {
		if got := firstRunes(tt.s, tt.n); got != tt.first {
			t.Errorf("first %d of %q: got %q, want %q", tt.n, tt.s, got, tt.first)
		}
		if got := lastRunes(tt.s, tt.n); got != tt.last {
			t.Errorf("last %d of %q: got %q, want %q", tt.n, tt.s, got, tt.last)
		}
	}
}

// TestHead: where nothing fits, the beginning of the best block is better than
// nothing.
func TestHead(t *testing.T) {
	blocks := []block{{head: "# File: a\n", code: strings.Repeat("code of the first\n", 20)}, {head: "# File: b\n", code: strings.Repeat("second\n", 90)}}
	for budget, want := range map[int]string{
		200: "# File: a\n" + strings.Repeat("code of the first\n", 20),
		20:  "# File: a\n" + strings.Repeat("code of the first\n", 2) + "code of the first",
		5:   "",
	} {
		got := strings.Join(fill(blocks, budget, countBytes, nil), "+")
		if strings.TrimSpace(got) != strings.TrimSpace(want) {
			t.Errorf("budget %d: got %q, want %q", budget, got, want)
		}
	}
}
