package dataset

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/code2lora/code2lora/internal/testutil"
)

// The rows of the specification that the paper's snapshot extractor emits, under
// our rules: no closing parenthesis in targets, nothing over several lines,
// nothing inside of another target, the second argument instead of a precision,
// and the right column after "é".
func TestExtractGolden(t *testing.T) {
	tasks, stats := Extract("./tests/test_box.py", []byte(golden))
	var got []string
	for _, k := range tasks {
		got = append(got, fmt.Sprintf("%d %s %s.%s |%s|%s|", k.Line, k.Kind, k.Class, k.Function, testutil.LastLine(k.Prefix), k.Target))
	}
	testutil.CompareLines(t, "tasks", got, []string{
		`25 self.assertEqual TestBox.test_first |        self.assertEqual(helper(1), |2|`,
		`26 self.assertTrue TestBox.test_first |        self.assertTrue(|self.b.ok|`,
		`27 assert TestBox.test_first |        assert helper(2)  ==  |LIMIT|`,
		`30 self.assertRaises TestBox.test_second |        with self.assertRaises(|ValueError|`,
		`32 self.assertAlmostEqual TestBox.test_second |        self.assertAlmostEqual(0.1, |0.2|`,
		`35 assert .test_plain |    assert 1 < |helper(1)|`,
		`37 assert .test_plain |    assert math.pi == |pytest.approx(3.14, abs=0.01)|`,
		`38 pytest.raises .test_plain |    with pytest.raises(|KeyError, match="no"|`,
		`46 assert_* .test_np |    assert_equal(helper(0), |1|`,
		`47 assert_* .test_np |    assert_valid(|helper(0)|`,
		`48 assert .test_np |    assert "é" + helper(0) == |"y"|`,
	})
	want := map[Reason]int{NoComparison: 1, Nested: 1, MultiLine: 1}
	if !maps.Equal(stats.Dropped, want) || stats.Sites != 14 || stats.Tasks != len(tasks) || stats.Files != 1 {
		t.Errorf("stats: got %+v, want 14 sites, %d tasks, dropped %v", stats, len(tasks), want)
	}
	for _, k := range tasks {
		if k.File != "tests/test_box.py" || golden[k.Start:k.End] != k.Target || golden[:k.Start] != k.Prefix {
			t.Errorf("%s:%d: not verbatim", k.File, k.Line)
		}
	}
}

func TestExtractDrops(t *testing.T) {
	in := func(s string) string { return "def f():\n    " + s + "\n" }
	tests := []struct {
		name, source string
		targets      []string
		dropped      map[Reason]int
	}{
		{"outside", "assert a == 1\n", nil, map[Reason]int{NoFunction: 1}},
		{"too long", in("assert a == '" + strings.Repeat("x", 200) + "'"), nil, map[Reason]int{TooLong: 1}},
		{"long enough", in("assert a == '" + strings.Repeat("x", 198) + "'"), []string{"'" + strings.Repeat("x", 198) + "'"}, nil},
		{"repeated", in("assert a == 'x y'\n    assert b == \"xy\"\n    assert c == 1") + in("assert a == 1"),
			[]string{"'x y'", "1"}, map[Reason]int{Repeated: 2}}, // both functions are called f
		{"carriage return in target", in("assert a == (1 +\r\n        2)"), nil, map[Reason]int{MultiLine: 1}},
		{"zero byte", in("assert a == 1\x00"), nil, map[Reason]int{Binary: 1}},
		{"latin-1", in("assert a == '\xe9'"), nil, map[Reason]int{NotUTF8: 1}},
		{"long file", strings.Repeat("#\n", 1<<19) + in("assert a == 1"), nil, map[Reason]int{FileTooLong: 1}},
		{"broken", in("assert a == (1 +* 2)"), nil, map[Reason]int{SyntaxError: 1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tasks, stats := Extract("test_x.py", []byte(tt.source))
			var got []string
			for _, k := range tasks {
				got = append(got, k.Target)
			}
			if !slices.Equal(got, tt.targets) || !maps.Equal(stats.Dropped, tt.dropped) {
				t.Errorf("got %q, dropped %v, want %q, %v", got, stats.Dropped, tt.targets, tt.dropped)
			}
		})
	}
}

func TestImports(t *testing.T) {
	tests := []struct{ source, want string }{
		{"\"doc\"\n# c\nimport a\n\nfrom b import (\n  c,\n)\nX = 1\nimport d\n", "import a\n\nfrom b import (\n  c,\n)\n"},
		{"import a; import b", "import a; import b"},
		{"x = 1\nimport a\n", ""},
		{"try:\n  import a\nexcept: pass\n", ""},
		{"", ""},
	}
	for _, tt := range tests {
		doc, _ := DefaultOptions().document("test_x.py", []byte(tt.source))
		if got := doc.Text[doc.Imports.Start:doc.Imports.End]; got != tt.want {
			t.Errorf("%q: got %q, want %q", tt.source, got, tt.want)
		}
	}
}

func TestIsTestFile(t *testing.T) {
	for path, want := range map[string]bool{
		"tests/util.py": true, "a/test_b.py": true, "b_test.py": true, "tests/data.json": false,
		"latest/a.py": false, "contest.py": false, "a/b.py": false, "node_modules/tests/a.py": false,
	} {
		if got := IsTestFile(path); got != want {
			t.Errorf("%s: got %v, want %v", path, got, want)
		}
	}
}

func TestOptionsValidate(t *testing.T) {
	if err := DefaultOptions().Validate(); err != nil {
		t.Error(err)
	}
	err := Options{MaxFileBytes: 1, PerFile: -1, Split: "dev"}.Validate()
	for _, want := range []string{"max_target_bytes is 0", "per_file is -1", `split is "dev"`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want it to say %s", err, want)
		}
	}
}

func FuzzExtract(f *testing.F) {
	f.Add([]byte(golden), 64)
	f.Add([]byte("class A:\r\n\tdef f(self):\r\n\t\tassert x == 'é', 1\r\n\t\tself.assertIn(*a)\r\n"), 8)
	f.Add([]byte("\ufeffimport a\ndef f():\n assert (a == b\n"), 3)
	f.Fuzz(func(t *testing.T, source []byte, maxTokens int) {
		doc, stats := DefaultOptions().document("test_x.py", source)
		if err := doc.Validate(); err != nil {
			t.Error(err)
		}
		if stats.Tasks > stats.Sites {
			t.Errorf("%d tasks of %d sites", stats.Tasks, stats.Sites)
		}
		windows, skipped := doc.Windows(maxTokens, countWords)
		checkWindows(t, doc, windows, skipped, maxTokens)
		for i := range doc.Tasks {
			if _, err := StructuredPrefix(source, doc.Task(i)); err != nil {
				t.Error(err)
			}
		}
	})
}
