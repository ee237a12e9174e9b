package dataset

import (
	"fmt"
	"strings"
	"testing"
)

// countWords is a tokenizer whose tokens are words and line ends.
func countWords(s string) int { return len(strings.Fields(s)) + strings.Count(s, "\n") }

// checkWindows checks what is promised of any windows.
func checkWindows(t *testing.T, doc *Document, windows []Window, skipped, maxTokens int) {
	t.Helper()
	next, n := 0, 0
	for _, w := range windows {
		if size := countWords(w.Text); size > maxTokens {
			t.Errorf("window at %d: %d tokens, at most %d", w.Offset, size, maxTokens)
		}
		if w.First < next || len(w.Tasks) == 0 {
			t.Errorf("window at %d: %d tasks from %d on, want some after %d", w.Offset, len(w.Tasks), w.First, next)
		}
		if body := w.Text[w.HeadBytes:]; !strings.HasPrefix(doc.Text[w.Offset:], body) {
			t.Errorf("window at %d: not the document's text", w.Offset)
		}
		if head := w.Text[:w.HeadBytes]; !strings.HasPrefix(doc.Text[doc.Imports.Start:doc.Imports.End], head) {
			t.Errorf("window at %d: begins with %q", w.Offset, head)
		}
		for i, s := range w.Tasks {
			if got, want := w.Text[s.Start:s.End], doc.Task(w.First+i).Target; got != want {
				t.Errorf("window at %d, task %d: got %q, want %q", w.Offset, i, got, want)
			}
		}
		line := w.Text[:strings.LastIndexByte(w.Text[:w.Tasks[0].Start], '\n')+1]
		if context := countWords(line[w.HeadBytes:]); w.Offset > 0 && context*minContext < maxTokens {
			t.Errorf("window at %d: %d tokens of context, want a quarter of %d", w.Offset, context, maxTokens)
		}
		next, n = w.First+len(w.Tasks), n+len(w.Tasks)
	}
	if n+skipped != len(doc.Tasks) {
		t.Errorf("%d tasks in windows, %d skipped, want %d in all", n, skipped, len(doc.Tasks))
	}
}

// long is a document of n functions with a task each, of 10 words a function.
func long(n int) *Document {
	var b strings.Builder
	b.WriteString("import a\nimport b\n\n")
	for i := range n {
		fmt.Fprintf(&b, "def f%d():\n    x = %d\n    assert x == %d\n", i, i, i)
	}
	doc, _ := DefaultOptions().uncapped().document("test_x.py", []byte(b.String()))
	return doc
}

func TestWindows(t *testing.T) {
	doc := long(50)
	if len(doc.Tasks) != 50 {
		t.Fatalf("%d tasks, want 50", len(doc.Tasks))
	}
	for _, tt := range []struct{ maxTokens, windows, skipped int }{
		{10_000, 1, 0},
		{len(strings.Fields(doc.Text)) + strings.Count(doc.Text, "\n"), 1, 0},
		{200, 4, 0}, // the first has 16 functions, the others the imports, a quarter of context and 12
		{15, 50, 0}, // one import, two lines of context and the assertion
		{8, 0, 50},  // two lines of context are the least that is a quarter
		{3, 0, 50},
		{0, 0, 50},
		{-5, 0, 50},
	} {
		windows, skipped := doc.Windows(tt.maxTokens, countWords)
		checkWindows(t, doc, windows, skipped, tt.maxTokens)
		if len(windows) != tt.windows || skipped != tt.skipped {
			t.Errorf("%d tokens: %d windows, %d skipped, want %d, %d", tt.maxTokens, len(windows), skipped, tt.windows, tt.skipped)
		}
	}
	windows, _ := doc.Windows(200, countWords)
	if w := windows[1]; !strings.HasPrefix(w.Text, "import a\nimport b\n") || w.Offset == 0 {
		t.Errorf("second window at %d begins with %.30q, want the imports", w.Offset, w.Text)
	}
	if w := windows[0]; w.HeadBytes != 0 || w.Offset != 0 {
		t.Errorf("first window at %d has a head of %d bytes", w.Offset, w.HeadBytes)
	}
}

// A line that fits no window costs its own targets and no others.
func TestWindowsLongLine(t *testing.T) {
	source := "def f():\n    assert a == 1\n    x = '" + strings.Repeat("y ", 200) + "'; assert b == 2\n" +
		strings.Repeat("    z = 1\n", 20) + "    assert c == 3\n"
	doc, _ := DefaultOptions().document("test_x.py", []byte(source))
	windows, skipped := doc.Windows(60, countWords)
	checkWindows(t, doc, windows, skipped, 60)
	if len(windows) != 2 || skipped != 1 {
		t.Errorf("%d windows, %d skipped, want 2 and 1", len(windows), skipped)
	}
}

// A text may have more tokens than its lines have one by one.
func TestWindowsSuperadditive(t *testing.T) {
	count := func(s string) int { return countWords(s) + strings.Count(s, "\n")/2 }
	doc := long(50)
	windows, skipped := doc.Windows(100, count)
	if len(windows) == 0 || skipped > 0 {
		t.Fatalf("%d windows, %d skipped", len(windows), skipped)
	}
	for _, w := range windows {
		if n := count(w.Text); n > 100 {
			t.Errorf("window at %d: %d tokens", w.Offset, n)
		}
	}
}
