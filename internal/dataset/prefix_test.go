package dataset

import (
	"fmt"
	"strings"
	"testing"

	"github.com/code2lora/code2lora/internal/testutil"
)

// taskAt returns the golden file's task of a kind on a line.
func taskAt(t *testing.T, line int, kind string) Task {
	t.Helper()
	tasks, _ := Extract("test_box.py", []byte(golden))
	for _, k := range tasks {
		if k.Line == line && k.Kind == kind {
			return k
		}
	}
	t.Fatalf("no %s task on line %d", kind, line)
	return Task{}
}

// The two examples of the specification.
func TestStructuredPrefixGolden(t *testing.T) {
	head := []string{
		"import math", "import pytest", "from pkg.core import Box as B", "",
		"LIMIT = 3", "",
		"def helper(x):", "    return x + 1", "",
		"def box():", "    return B(1)", "",
	}
	plain := append(head[:len(head):len(head)], "def test_plain(box):", "", "    assert 1 < ")
	first := append(head[:len(head):len(head)],
		"class TestBox:", "    size = 2", "",
		"    def setUp(self):", "        self.b = B(2)", "",
		"    def tool(self):", "        return 5", "",
		"    def test_first(self):", "        self.assertEqual(helper(1), 2)", "        self.assertTrue(self.b.ok)", "",
		"        assert helper(2)  ==  ")
	if len(plain) != 15 || len(first) != 26 {
		t.Fatalf("the examples have %d and %d lines, want 15 and 26", len(plain), len(first))
	}
	for line, want := range map[int][]string{35: plain, 27: first} {
		got, err := StructuredPrefix([]byte(golden), taskAt(t, line, "assert"))
		if err != nil {
			t.Fatal(err)
		}
		testutil.CompareLines(t, fmt.Sprint("line ", line), strings.Split(got, "\n"), want)
	}
}

// The last lines of the specification's table where the cut is the same.
func TestStructuredPrefixCut(t *testing.T) {
	for _, tt := range []struct {
		line       int
		kind, want string
	}{
		{25, "self.assertEqual", "        self.assertEqual(helper(1), "},
		{30, "self.assertRaises", "        with self.assertRaises("},
		{38, "pytest.raises", "    with pytest.raises("},
		{46, "assert_*", "    assert_equal(helper(0), "},
		{48, "assert", `    assert "é" + helper(0) == `}, // the paper's code: one character too many
	} {
		got, err := StructuredPrefix([]byte(golden), taskAt(t, tt.line, tt.kind))
		if err != nil {
			t.Fatal(err)
		}
		if testutil.LastLine(got) != tt.want {
			t.Errorf("line %d: got %q, want %q", tt.line, testutil.LastLine(got), tt.want)
		}
	}
}

func TestStructuredPrefixLines(t *testing.T) {
	source := "import a\r\n\r\n@mark\r\ndef test_x():\r\n    assert (\r\n        a ==\r\n        1)\r\n" +
		"def test_y():\n" + strings.Repeat("    pass\n", 700) + "    assert a == 2\n"
	tasks, _ := Extract("test_x.py", []byte(source))
	if len(tasks) != 2 {
		t.Fatalf("%d tasks, want 2", len(tasks))
	}
	got, err := StructuredPrefix([]byte(source), tasks[0])
	if want := "import a\n\n@mark\ndef test_x():\n\n    assert (\n        a ==\n        "; got != want || err != nil {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	got, err = StructuredPrefix([]byte(source), tasks[1])
	if n := strings.Count(got, "\n") + 1; n != maxPrefixLines || err != nil {
		t.Errorf("got %d lines, %v, want %d", n, err, maxPrefixLines)
	}
}

func TestStructuredPrefixErrors(t *testing.T) {
	for _, task := range []Task{
		{Start: -1}, {Start: 5, End: 4}, {Start: 0, End: 1 << 20, Line: 1},
		{Start: 0, End: 1, Line: 1},                                      // outside of a function
		{Start: strings.Index(golden, "x + 1"), End: len(golden)},        // no line
		{Start: strings.Index(golden, "x + 1"), End: 999, Line: 1 << 20}, // no such line
	} {
		if got, err := StructuredPrefix([]byte(golden), task); err == nil {
			t.Errorf("%+v: got %q, want an error", task, got)
		}
	}
}
