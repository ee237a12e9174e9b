package retrieve

import (
	"slices"
	"strings"
	"testing"
)

const moduleSource = `"""Doc."""
import os

LIMIT = 3


@decorated
@twice(1)
def first(x):
    def inner():
        return 1
    return inner


class Second(Base):
    def method(self):
        return 2

if os.name == "nt":
    async def third():
        pass
`

func TestUnits(t *testing.T) {
	got := Units{}.Chunks("pkg/a.py", []byte(moduleSource))
	want := []string{
		"# File: pkg/a.py\n# Symbol: first\n@decorated\n@twice(1)\ndef first(x):\n    def inner():\n        return 1\n    return inner",
		"# File: pkg/a.py\n# Symbol: Second\nclass Second(Base):\n    def method(self):\n        return 2",
		"# File: pkg/a.py\n# Symbol: third\n    async def third():\n        pass",
	}
	texts := make([]string, len(got))
	for i := range got {
		texts[i] = got[i].Text()
	}
	if !slices.Equal(texts, want) {
		t.Errorf("got\n%q, want\n%q", texts, want)
	}
}

func TestUnitsOdd(t *testing.T) {
	long := "def f():\n" + strings.Repeat("    é = 1\n", 3000)
	tests := []struct {
		path, source string
		symbols      string
		text         string // part of the first
	}{
		{"a.py", "x = 1\n", "", ""},
		{"a.py", "", "", ""},
		{"a.py", "x = = (\n", "<module>", "# Symbol: <module>\nx = = ("},
		{"a.txt", "anything\n", "<module>", "// File: a.txt\n"},
		{"a.py", long, "f", "\n# ... truncated ..."},
	}
	for _, tt := range tests {
		var symbols []string
		chunks := Units{}.Chunks(tt.path, []byte(tt.source))
		for _, c := range chunks {
			symbols = append(symbols, c.Symbol)
		}
		if got := strings.Join(symbols, " "); got != tt.symbols {
			t.Errorf("%s %.20q: got symbols %q, want %q", tt.path, tt.source, got, tt.symbols)
		}
		if tt.text != "" && !strings.Contains(chunks[0].Text(), tt.text) {
			t.Errorf("%s %.20q: got %.80q, want %q in it", tt.path, tt.source, chunks[0].Text(), tt.text)
		}
	}
	code := Units{}.Chunks("a.py", []byte(long))[0].Code
	if n := len([]rune(strings.TrimSuffix(code, "\n# ... truncated ..."))); n != maxChars {
		t.Errorf("long unit: got %d characters, want %d", n, maxChars)
	}
}

func TestWindows(t *testing.T) {
	tests := []struct {
		w      Windows
		source string
		want   []string
	}{
		{Windows{Size: 4, Overlap: 1, Min: 2}, "abcdefghij", []string{"abcd", "defg", "ghij"}},
		{Windows{Size: 4, Overlap: 1, Min: 2}, "abcdefgh", []string{"abcd", "defg", "gh"}},
		{Windows{Size: 4, Overlap: 1, Min: 3}, "abcdefgh", []string{"abcd", "defg"}},
		{Windows{Size: 4, Min: 1}, "abcde", []string{"abcd", "e"}},
		{Windows{Size: 4, Min: 1}, "", nil},
		{Windows{Size: 2, Min: 1}, "aéb", []string{"a", "b"}}, // a character cut in two is left out
	}
	for _, tt := range tests {
		tt.w.Tokenizer = bytesTokenizer{}
		var got []string
		for _, c := range must(NewWindows(tt.w)).Chunks("d/a.py", []byte(tt.source)) {
			got = append(got, c.Code)
			if c.Head != "# File: d/a.py\n" {
				t.Errorf("got head %q", c.Head)
			}
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s of %q: got %q, want %q", tt.w.Name(), tt.source, got, tt.want)
		}
	}
	w := must(NewWindows(Windows{Tokenizer: bytesTokenizer{}}))
	if w.Size != 512 || w.Overlap != 64 || w.Min != 16 {
		t.Errorf("defaults: got %s, want 512/64/16", w.Name())
	}
	for _, bad := range []Windows{{}, {Tokenizer: bytesTokenizer{}, Size: 4, Overlap: 4}, {Tokenizer: bytesTokenizer{}, Size: 4, Min: 5},
		{Tokenizer: bytesTokenizer{}, Size: -1}, {Tokenizer: bytesTokenizer{}, Size: 4, Overlap: -1}} {
		if _, err := NewWindows(bad); err == nil {
			t.Errorf("%s: want an error", bad.Name())
		}
	}
}

const testSource = `import pytest

def helper():
    return 1

def test_one():
    def test_inner():
        pass
    assert helper() == 1

class TestTwo:
    @pytest.mark.slow
    def test_two(self):
        assert "é" == helper()
`

func TestTestsChunker(t *testing.T) {
	got := Tests{}.Chunks("tests/test_a.py", []byte(testSource))
	want := []string{
		"# File: tests/test_a.py\n# Symbol: test_one\ndef test_one():\n    def test_inner():\n        pass\n    assert helper() == 1",
		"# File: tests/test_a.py\n# Symbol: TestTwo.test_two\n    @pytest.mark.slow\n    def test_two(self):\n        assert \"é\" == helper()",
	}
	for i, c := range got {
		if i >= len(want) || c.Text() != want[i] {
			t.Errorf("chunk %d: got %q", i, c.Text())
		}
	}
	if len(got) != len(want) {
		t.Errorf("got %d chunks, want %d", len(got), len(want))
	}
}

func TestAssertionsChunker(t *testing.T) {
	got := Assertions{Before: 12}.Chunks("tests/test_a.py", []byte(testSource))
	want := []string{"helper() == 1", "sert \"é\" == helper()"}
	if len(got) != len(want) {
		t.Fatalf("got %d chunks, want %d", len(got), len(want))
	}
	for i, c := range got {
		if c.Text() != want[i] {
			t.Errorf("chunk %d: got %q, want %q", i, c.Text(), want[i])
		}
	}
	if got := (Assertions{}).Chunks("tests/test_a.py", []byte(testSource))[0].Code; !strings.HasPrefix(got, "import pytest") {
		t.Errorf("1000 characters before: got %q, want all of the file before", got)
	}
}

// TestOtherLanguages: what a chunker finds, and how it is shortened.
func TestOtherLanguages(t *testing.T) {
	body := strings.Repeat("    work();\n", 8)
	tests := []struct {
		path, source string
		units, tests string
		short        string // part of the first unit when it is short
	}{
		{"a/A.java", "package a;\n\n/** Says. */\npublic class A {\n  int x = 1;\n  A() {\n" + body + "  }\n  int f(int y) {\n" + body + "  }\n}\n",
			"A", "", "int f(int y) { ... }\n}"},
		{"a/ATest.java", "class ATest {\n  @Test\n  void adds() {\n    assertEquals(1, f());\n  }\n}\n", "ATest", "ATest.adds", "assertEquals"},
		{"a.ts", "import x from 'y';\n\n// Says.\nexport function f(x: number): number {\n" + body + "}\n\nclass B { g() { return 1; } }\n", "f B", "", "number { ... }"},
		{"a/a.go", "package a\n\n// F says.\nfunc F(x int) int {\n" + body + "\treturn 1\n}\n\ntype T struct{ X int }\n\nfunc (t *T) M() {}\n", "F T T.M", "", "// F says.\nfunc F(x int) int { ... }"},
		{"a/a_test.go", "package a\n\nfunc TestF(t *testing.T) {\n\tif F(1) != 1 {\n\t\tt.Error()\n\t}\n}\n", "TestF", "TestF", ""},
		{"a.test.js", "test('adds up', () => {\n  expect(f(1)).toBe(2);\n});\n", "", "adds up", ""},
	}
	symbols := func(chunks []Chunk) string {
		var all []string
		for _, c := range chunks {
			all = append(all, c.Symbol)
		}
		return strings.Join(all, " ")
	}
	for _, tt := range tests {
		units := Units{}.Chunks(tt.path, []byte(tt.source))
		if got := symbols(units); tt.units != "" && got != tt.units {
			t.Errorf("%s: got units %q, want %q", tt.path, got, tt.units)
		}
		if got := symbols(Tests{}.Chunks(tt.path, []byte(tt.source))); got != tt.tests {
			t.Errorf("%s: got tests %q, want %q", tt.path, got, tt.tests)
		}
		if tt.short == "" {
			continue
		}
		u := units[0]
		if !strings.HasPrefix(u.Head, "// File: "+tt.path+"\n") {
			t.Errorf("%s: got head %q", tt.path, u.Head)
		}
		if got := shorten(block{path: u.Path, head: u.Head, code: u.Code}); !strings.Contains(got, tt.short) {
			t.Errorf("%s: got\n%s\nwant %q in it", tt.path, got, tt.short)
		}
	}
	short := shorten(block{path: "A.java", code: tests[0].source})
	if strings.Count(short, "work();") != 8 || !strings.Contains(short, "/** Says. */") {
		t.Errorf("got\n%s\nwant the constructor whole and the comment", short)
	}
}
